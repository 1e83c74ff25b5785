"""The parameters of eth_simulateV1, and the requested blocks with gaps filled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from evmcore.blocks import Header
from evmcore.service import parse
from evmcore.service.parse import BlockOverrides, CallObject, StateOverrides
from evmcore.service.rpc_errors import (
    BLOCK_NUMBER_ORDER,
    BLOCK_TIME_ORDER,
    CLIENT_LIMIT,
    InvalidParams,
    RpcError,
)

__all__ = ["SimulatedBlock", "SimulationRequest", "simulation_request", "with_gaps_filled"]

SECONDS_PER_BLOCK: Final = 12
MAX_CALLS: Final = 10_000  # of all blocks; geth's limits
MAX_BLOCK_CALLS: Final = 5_000


@dataclass(frozen=True, slots=True)
class SimulatedBlock:
    """A block to be simulated. Once gaps are filled, `changes` has a number and a time."""

    changes: BlockOverrides
    overrides: StateOverrides = field(default_factory=StateOverrides)
    calls: tuple[CallObject, ...] = ()


@dataclass(frozen=True, slots=True)
class SimulationRequest:
    """A parsed request of eth_simulateV1."""

    blocks: tuple[SimulatedBlock, ...]
    trace_transfers: bool = False
    validation: bool = False
    full_transactions: bool = False


def simulation_request(value: Any, name: str = "0", max_blocks: int = 256) -> SimulationRequest:
    """The first parameter of eth_simulateV1."""
    item = parse.json_object(value, name)
    entries = parse.array(item.get("blockStateCalls", []), f"{name}.blockStateCalls")
    if not entries:
        raise InvalidParams("empty input")
    if len(entries) > max_blocks:
        raise RpcError(CLIENT_LIMIT, "too many blocks")
    _check_calls(entries)

    def flag(key: str) -> bool:
        return parse.boolean(item.get(key, False), f"{name}.{key}")

    return SimulationRequest(
        tuple(_block(entry, f"{name}.blockStateCalls[{place}]") for place, entry in enumerate(entries)),
        trace_transfers=flag("traceTransfers"),
        validation=flag("validation"),
        full_transactions=flag("returnFullTransactions"),
    )


def _check_calls(entries: Sequence[Any]) -> None:
    """Checks the calls' number before any of them is parsed."""
    total = 0
    for entry in entries:
        calls = entry.get("calls") if isinstance(entry, dict) else None
        count = len(calls) if isinstance(calls, list) else 0
        if count > MAX_BLOCK_CALLS:
            raise RpcError(CLIENT_LIMIT, f"too many calls in block: {count} > {MAX_BLOCK_CALLS}")
        total += count
        if total > MAX_CALLS:
            raise RpcError(CLIENT_LIMIT, f"too many calls: {total} > {MAX_CALLS}")


def _block(value: Any, name: str) -> SimulatedBlock:
    item = parse.json_object(value, name)
    calls = parse.array(item.get("calls", []), f"{name}.calls")
    return SimulatedBlock(
        parse.block_overrides(item.get("blockOverrides"), f"{name}.blockOverrides"),
        parse.state_overrides(item.get("stateOverrides"), f"{name}.stateOverrides"),
        tuple(parse.call_object(call, f"{name}.calls[{place}]") for place, call in enumerate(calls)),
    )


def with_gaps_filled(blocks: Sequence[SimulatedBlock], base: Header, max_blocks: int) -> list[SimulatedBlock]:
    """The blocks from the one after `base` on, each with number and time: the requested blocks, and empty ones between
    them. Raises `RpcError` if the requested blocks are not in order, or too many."""
    filled: list[SimulatedBlock] = []
    number, time = base.number, base.timestamp
    for block in blocks:
        wanted = number + 1 if block.changes.number is None else block.changes.number
        if wanted <= number:
            raise RpcError(BLOCK_NUMBER_ORDER, f"block numbers must be in order: {wanted} <= {number}")
        if wanted - base.number > max_blocks:
            raise RpcError(CLIENT_LIMIT, "too many blocks")
        for between in range(number + 1, wanted):
            time += SECONDS_PER_BLOCK
            filled.append(SimulatedBlock(BlockOverrides(number=between, time=time)))
        number = wanted
        then = time + SECONDS_PER_BLOCK if block.changes.time is None else block.changes.time
        if then <= time:
            raise RpcError(BLOCK_TIME_ORDER, f"block timestamps must be in order: {then} <= {time}")
        time = then
        filled.append(replace(block, changes=replace(block.changes, number=number, time=time)))
    if time >= 2**64 or number >= 2**64:
        raise RpcError(CLIENT_LIMIT, "block numbers and times have 64 bits")
    return filled
