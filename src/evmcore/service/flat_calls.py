"""geth's flatCallTracer: the tree of calls as a list, in the shape of Parity's `trace_` methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["flat_calls"]

REVERTED: Final = "execution reverted"

# Parity's error texts, and the beginnings of geth's texts for the same errors.
_PARITY_ERRORS: Final = {
    "contract creation code storage out of gas": "Out of gas",
    "out of gas": "Out of gas",
    "max code size exceeded": "Out of gas",
    "invalid jump destination": "Bad jump destination",
    REVERTED: "Reverted",
    "return data out of bounds": "Out of bounds",
    "precompile failed": "Built-in failed",
    "invalid input length": "Built-in failed",
    "invalid opcode": "Bad instruction",
    "stack underflow": "Stack underflow",
    "stack limit reached": "Out of stack",
    "write protection": "Mutable Call In Static Context",
}


def flat_calls(
    frame: Mapping[str, Any], position: Mapping[str, Any], hidden: Callable[[bytes], bool], parity_errors: bool
) -> list[dict[str, Any]]:
    """The calls of a `CallTracer`'s `frame`, each before the calls it made. `position`: the fields that locate the
    transaction. Calls of `hidden` addresses (precompiles) are left out, except the top call."""
    flat: list[dict[str, Any]] = []
    waiting: list[tuple[Mapping[str, Any], list[int]]] = [(frame, [])]
    while waiting:
        call, address = waiting.pop()
        inner = [one for one in call.get("calls", ()) if not _is_hidden(one, hidden)]
        entry = _entry(call, parity_errors)
        entry |= position
        entry |= {"subtraces": len(inner), "traceAddress": address}
        flat.append(entry)
        waiting.extend(reversed([(one, [*address, place]) for place, one in enumerate(inner)]))
    return flat


def _is_hidden(call: Mapping[str, Any], hidden: Callable[[bytes], bool]) -> bool:
    is_call = call["type"] in ("CALL", "CALLCODE", "DELEGATECALL", "STATICCALL")
    return is_call and hidden(bytes.fromhex(call["to"][2:]))


def _entry(call: Mapping[str, Any], parity_errors: bool) -> dict[str, Any]:
    kind = call["type"]
    if kind == "SELFDESTRUCT":
        action = {"address": call["from"], "balance": call["value"], "refundAddress": call["to"]}
        return {"action": action, "result": None, "type": "suicide"}
    error = call.get("error")
    action = {"from": call["from"], "gas": call["gas"]}
    if "value" in call:
        action["value"] = call["value"]
    result: dict[str, Any] | None
    if kind in ("CREATE", "CREATE2"):
        action |= {"creationMethod": kind.lower(), "init": call["input"]}
        result = {"gasUsed": call["gasUsed"], "code": call.get("output", "0x")}
        if "to" in call:
            result["address"] = call["to"]
        entry: dict[str, Any] = {"action": action, "type": "create"}
    else:
        action |= {"callType": kind.lower(), "to": call["to"], "input": call["input"]}
        result = {"gasUsed": call["gasUsed"], "output": call.get("output", "0x")}
        entry = {"action": action, "type": "call"}
    if error is not None:
        if error != REVERTED:
            result = None
        entry["error"] = _parity_error(error) if parity_errors else error
    if result is not None:
        entry["result"] = result
    return entry


def _parity_error(error: str) -> str:
    return next((text for start, text in _PARITY_ERRORS.items() if error.startswith(start)), error)
