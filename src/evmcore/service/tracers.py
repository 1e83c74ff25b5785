"""The tracers of the debug_ methods: from a request's trace options to a tracer, and from the tracer to the answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from evmcore._precompiles import number_at
from evmcore.service import parse
from evmcore.service.flat_calls import flat_calls
from evmcore.service.parse import BlockOverrides, StateOverrides, block_overrides, state_overrides
from evmcore.service.rpc_errors import SERVER_ERROR, InvalidParams, RpcError
from evmcore.tracing import CallTracer, MuxTracer, PrestateTracer, StructLogTracer, Tracer

__all__ = ["Trace", "TraceOptions", "TracedTransaction", "new_trace", "trace_options"]


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """The trace options of a request.

    `tracer`: its name, None for struct logs, whose options are `settings`; for other tracers `settings` is their
    `tracerConfig`. `timeout` in seconds, None if not given. `overrides`, `changes` and `index` are for debug_traceCall.
    """

    tracer: str | None
    settings: dict[str, Any]
    timeout: float | None = None
    overrides: StateOverrides = field(default_factory=StateOverrides)
    changes: BlockOverrides = field(default_factory=BlockOverrides)
    index: int | None = None


@dataclass(frozen=True, slots=True)
class TracedTransaction:
    """The position of the traced transaction; None in fields that do not apply. For flatCallTracer."""

    revision: int
    block_hash: bytes | None = None
    block_number: int | None = None
    transaction_hash: bytes | None = None
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """A tracer for one run, and its answer after the run."""

    tracer: Tracer
    result: Callable[[], Any]
    state_needed: bool = False
    """Whether it shows the state before the transaction, so that the run must be based on that state."""


def trace_options(value: Any, name: str) -> TraceOptions:
    """The trace options of a request. Raises `RpcError` for a tracer that does not exist."""
    item = parse.json_object({} if value is None else value, name)
    if "overrides" in item:
        raise InvalidParams(f"invalid argument {name}: other chain rules ('overrides') are not supported")
    tracer = parse.text(item["tracer"], f"{name}.tracer") if item.get("tracer") else None
    settings = item
    if tracer is not None:
        parse.json_object(item.get("tracerConfig", {}), f"{name}.tracerConfig")
        settings = dict(item.get("tracerConfig", {}))  # with nulls: muxTracer takes them for "no options"
    options = TraceOptions(
        tracer,
        settings,
        _duration(item["timeout"], f"{name}.timeout") if "timeout" in item else None,
        state_overrides(item.get("stateOverrides"), f"{name}.stateOverrides"),
        block_overrides(item.get("blockOverrides"), f"{name}.blockOverrides"),
        parse.quantity(item["txIndex"], f"{name}.txIndex", 32) if "txIndex" in item else None,
    )
    new_trace(options, TracedTransaction(0), 1)  # reports errors before anything has run
    return options


_DURATION: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def _duration(value: Any, name: str) -> float:
    """Seconds from text as "5s", "1m30s", "300ms"."""
    given = parse.text(value, name)
    parts = _DURATION.findall(given)
    if not parts or "".join(number + unit for number, unit in parts) != given:
        raise InvalidParams(f'invalid argument {name}: expected a duration such as "5s" or "300ms", got {given!r:.40}')
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


# ---- tracers by name


def new_trace(options: TraceOptions, place: TracedTransaction, size_limit: int) -> Trace:
    """The requested tracer. `size_limit`: bytes of the answer above which `TraceTooLarge` is raised."""
    if options.tracer is None:
        return _struct_logs(options.settings, size_limit)
    make = _TRACERS.get(options.tracer)
    if make is None:
        known = ", ".join(sorted(_TRACERS))
        raise RpcError(SERVER_ERROR, f"tracer {options.tracer[:60]!r} not found; tracers are {known}")
    return make(options.settings, place, size_limit)


def _flag(settings: dict[str, Any], name: str) -> bool:
    value = settings.get(name)
    return value is not None and parse.boolean(value, name)


def _sized(tracer: Tracer, size_limit: int) -> Tracer:
    tracer.size_limit = size_limit
    return tracer


def _struct_logs(settings: dict[str, Any], size_limit: int) -> Trace:
    limit = settings.get("limit", 0)
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise InvalidParams(f"invalid argument limit: expected a number of entries, got {limit!r:.40}")
    tracer = StructLogTracer(
        stack=not _flag(settings, "disableStack"),
        memory=_flag(settings, "enableMemory"),
        storage=not _flag(settings, "disableStorage"),
        return_data=_flag(settings, "enableReturnData"),
        limit=limit,
    )
    return Trace(_sized(tracer, size_limit), lambda: tracer.result)


def _calls(settings: dict[str, Any], place: TracedTransaction, size_limit: int) -> Trace:
    tracer = CallTracer(with_logs=_flag(settings, "withLog"), only_top_call=_flag(settings, "onlyTopCall"))
    return Trace(_sized(tracer, size_limit), lambda: tracer.result)


def _prestate(settings: dict[str, Any], place: TracedTransaction, size_limit: int) -> Trace:
    tracer = PrestateTracer(
        diff_mode=_flag(settings, "diffMode"),
        code=not _flag(settings, "disableCode"),
        storage=not _flag(settings, "disableStorage"),
        include_empty=_flag(settings, "includeEmpty"),
    )
    return Trace(_sized(tracer, size_limit), lambda: tracer.result, state_needed=True)


def _noop(settings: dict[str, Any], place: TracedTransaction, size_limit: int) -> Trace:
    return Trace(MuxTracer(()), dict)


def _four_bytes(settings: dict[str, Any], place: TracedTransaction, size_limit: int) -> Trace:
    tracer = CallTracer()

    def result() -> dict[str, int]:
        counts: dict[str, int] = {}
        _count_selectors(tracer.result or {}, place.revision, counts)
        return counts

    return Trace(_sized(tracer, size_limit), result)


def _count_selectors(frame: dict[str, Any], revision: int, counts: dict[str, int]) -> None:
    """Counts selector and size of the arguments of every message call, except calls of precompiles."""
    waiting = [frame]
    while waiting:
        call = waiting.pop()
        waiting.extend(call.get("calls", ()))
        size = len(call.get("input", "0x")) // 2 - 1
        if call.get("type") not in ("CALL", "CALLCODE", "DELEGATECALL", "STATICCALL") or size < 4:
            continue
        if number_at(bytes.fromhex(call["to"][2:]), revision) == 0:
            key = f"{call['input'][:10]}-{size - 4}"
            counts[key] = counts.get(key, 0) + 1


def _flat_calls(settings: dict[str, Any], place: TracedTransaction, size_limit: int) -> Trace:
    with_precompiles = _flag(settings, "includePrecompiles")
    as_parity = _flag(settings, "convertParityErrors")
    tracer = CallTracer()

    def result() -> list[dict[str, Any]]:
        position: dict[str, Any] = {}
        if place.block_hash is not None:
            position["blockHash"] = "0x" + place.block_hash.hex()
        position["blockNumber"] = place.block_number or 0
        if place.transaction_hash is not None:
            position["transactionHash"] = "0x" + place.transaction_hash.hex()
        position["transactionPosition"] = place.index or 0

        def hidden(address: bytes) -> bool:
            return not with_precompiles and number_at(address, place.revision) != 0

        return flat_calls(tracer.result or {}, position, hidden, as_parity)

    return Trace(_sized(tracer, size_limit), result)


def _mux(settings: dict[str, Any], place: TracedTransaction, size_limit: int) -> Trace:
    traces: dict[str, Trace] = {}
    for name, entry in settings.items():
        inner = parse.json_object({} if entry is None else entry, name)
        if name == "muxTracer":
            raise InvalidParams("invalid argument muxTracer: it cannot hold itself")
        traces[name] = new_trace(TraceOptions(name, inner), place, size_limit)
    return Trace(
        MuxTracer(trace.tracer for trace in traces.values()),
        lambda: {name: trace.result() for name, trace in traces.items()},
        state_needed=any(trace.state_needed for trace in traces.values()),
    )


_TRACERS: Final[dict[str, Callable[[dict[str, Any], TracedTransaction, int], Trace]]] = {
    "callTracer": _calls,
    "prestateTracer": _prestate,
    "noopTracer": _noop,
    "4byteTracer": _four_bytes,
    "flatCallTracer": _flat_calls,
    "muxTracer": _mux,
}
