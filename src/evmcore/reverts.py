"""Decoded revert data: Solidity's `Error(string)` and `Panic(uint256)`, or other bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["PANIC_MEANINGS", "RevertReason", "decode_revert"]

ERROR_SELECTOR = bytes.fromhex("08c379a0")  # keccak256("Error(string)")[:4]
PANIC_SELECTOR = bytes.fromhex("4e487b71")  # keccak256("Panic(uint256)")[:4]

#: Panic codes of the Solidity compiler (its documentation, "Panic via assert and Error via require").
PANIC_MEANINGS: dict[int, str] = {
    0x00: "generic panic inserted by the compiler",
    0x01: "assertion failed",
    0x11: "arithmetic overflow or underflow",
    0x12: "division or modulo by zero",
    0x21: "value outside the enum's range",
    0x22: "storage byte array wrongly encoded",
    0x31: "pop from an empty array",
    0x32: "array index out of bounds",
    0x41: "too much memory allocated, or array too large",
    0x51: "call of an uninitialised internal function",
}


@dataclass(frozen=True, slots=True)
class RevertReason:
    """Revert data, decoded.

    `kind` is "error" for `Error(string)`, "panic" for `Panic(uint256)`, "empty" for no data and "raw" for anything else
    (a custom error, or bytes that are not ABI-encoded). `message` is readable text in each case; `code` is the panic
    code; `data` is the original revert data.
    """

    kind: Literal["error", "panic", "raw", "empty"]
    message: str
    code: int | None
    data: bytes

    def __str__(self) -> str:
        return self.message


def decode_revert(data: bytes) -> RevertReason:
    """Decode revert data. Never fails: data in neither of Solidity's forms is "raw", with the data as its message."""
    if not data:
        return RevertReason("empty", "reverted without a reason", None, data)
    selector, body = data[:4], data[4:]
    if selector == ERROR_SELECTOR:
        text = _abi_string(body)
        if text is not None:
            return RevertReason("error", text, None, data)
    if selector == PANIC_SELECTOR and len(body) == 32:
        code = int.from_bytes(body, "big")
        meaning = PANIC_MEANINGS.get(code, "unknown panic code")
        return RevertReason("panic", f"panic 0x{code:02x}: {meaning}", code, data)
    return RevertReason("raw", "0x" + data.hex(), None, data)


def _abi_string(body: bytes) -> str | None:
    """The only string of an ABI-encoded argument list, or None if the bytes are not such a list."""
    if len(body) < 64:
        return None
    offset = int.from_bytes(body[:32], "big")
    if offset + 32 > len(body):
        return None
    size = int.from_bytes(body[offset : offset + 32], "big")
    text = body[offset + 32 : offset + 32 + size]
    if len(text) != size:
        return None
    return text.decode("utf-8", errors="replace")
