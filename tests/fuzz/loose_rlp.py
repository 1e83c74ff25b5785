"""RLP that says the same as the canonical encoding but is not it: what a decoder that is not strict takes for it.

Runs in the environment of the executable specification too: knows nothing of evmcore.
"""

from __future__ import annotations

from typing import Any

WAYS = ("long", "zeros", "single", "zero", "short", "more")


def count(item: Any) -> int:
    """How many members `item` has, it and those of its lists counted."""
    return 1 + sum(map(count, item)) if isinstance(item, list | tuple) else 1


def encode(item: Any, place: int, way: str) -> bytes:
    """The encoding of bytes and nested lists, of which one member (by its `place`; 0 is all of it) has another form."""
    is_list = isinstance(item, list | tuple)
    payload = b""
    if is_list:
        at = 1
        for member in item:
            payload += encode(member, place - at, way)
            at += count(member)
    else:
        payload = bytes(item)
    if place == 0:
        return _loose(is_list, payload, way)
    return _plain(is_list, payload)


def _header(is_list: bool, size: int) -> bytes:
    base = 0xC0 if is_list else 0x80
    if size < 56:
        return bytes([base + size])
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([base + 55 + len(digits)]) + digits


def _plain(is_list: bool, payload: bytes) -> bytes:
    if not is_list and len(payload) == 1 and payload[0] < 0x80:
        return payload
    return _header(is_list, len(payload)) + payload


def _loose(is_list: bool, payload: bytes, way: str) -> bytes:
    base = 0xC0 if is_list else 0x80
    size = len(payload)
    digits = size.to_bytes(max(1, (size.bit_length() + 7) // 8), "big")
    if way == "long":  # the form of the long ones for a short one
        return bytes([base + 55 + len(digits)]) + digits + payload
    if way == "zeros":  # a size with a leading zero
        return bytes([base + 56 + len(digits)]) + b"\0" + digits + payload
    if way == "single":  # a byte that stands for itself, with a header
        return _header(is_list, size) + payload
    if way == "zero":  # a number with a leading zero
        return _plain(is_list, b"\0" + payload)
    return _header(is_list, max(0, size + (1 if way == "more" else -1))) + payload
