"""Recursive Length Prefix, strictly: one encoding for every item and nothing else accepted (yellow paper, appendix B).

Nothing here recurses, so that deeply nested input from outside cannot exhaust the stack.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from evmcore.errors import RlpError

Item: TypeAlias = "bytes | list[Item]"
"""The result of decoding."""
Encodable: TypeAlias = "bytes | int | Sequence[Encodable]"
"""Accepted by `encode`; a number becomes its shortest big-endian bytes."""

EMPTY_STRING = b"\x80"
EMPTY_LIST = b"\xc0"


class NotCanonical(RlpError):
    """The bytes can be read, but are not the shortest encoding of the item."""


def encode_uint(value: int) -> bytes:
    """A non-negative number as a string item of its shortest big-endian bytes."""
    if value < 0:
        raise RlpError(f"RLP: a negative number cannot be encoded: {value}")
    return encode_bytes(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def encode_bytes(value: bytes) -> bytes:
    """A string item."""
    if len(value) == 1 and value[0] < 0x80:
        return value
    return _prefix(len(value), 0x80) + value


def encode_items(encoded: Sequence[bytes]) -> bytes:
    """A list item from the encodings of its members."""
    payload = b"".join(encoded)
    return _prefix(len(payload), 0xC0) + payload


def _prefix(length: int, offset: int) -> bytes:
    if length < 56:
        return bytes((offset + length,))
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((offset + 55 + len(size),)) + size


def _encode_leaf(item: Encodable) -> bytes:
    if isinstance(item, (bytes, bytearray, memoryview)):
        return encode_bytes(bytes(item))
    if isinstance(item, int) and not isinstance(item, bool):
        return encode_uint(item)
    raise RlpError(f"RLP: cannot encode {type(item).__name__}, only bytes, numbers, and lists and tuples of them")


def encode(item: Encodable) -> bytes:
    """The encoding of bytes, a number, or a list or tuple of these, nested to any depth.

    Raises `RlpError` for a negative number or any other type.
    """
    if not isinstance(item, (list, tuple)):
        return _encode_leaf(item)
    open_lists: list[tuple[Iterator[Encodable], list[bytes]]] = [(iter(item), [])]
    while True:
        members, encoded = open_lists[-1]
        for member in members:
            if isinstance(member, (list, tuple)):
                open_lists.append((iter(member), []))
                break
            encoded.append(_encode_leaf(member))
        else:
            open_lists.pop()
            whole = encode_items(encoded)
            if not open_lists:
                return whole
            open_lists[-1][1].append(whole)


def read_prefix(data: bytes, position: int, end: int) -> tuple[bool, int, int]:
    """Whether the item at `position` is a list, and where its payload starts and stops.

    Raises `RlpError` if the item does not end by `end`, and `NotCanonical` if there is a shorter encoding.
    """
    if position >= end:
        raise RlpError(f"RLP: expected an item at byte {position}, where the data end")
    first = data[position]
    start = position + 1
    if first < 0x80:
        return False, position, start
    is_list = first >= 0xC0
    length = first - (0xC0 if is_list else 0x80)
    if length > 55:
        size_end = start + length - 55
        if size_end > end:
            raise RlpError(f"RLP: the length of the item at byte {position} ends at {size_end}, the data at {end}")
        length = int.from_bytes(data[start:size_end], "big")
        if data[start] == 0 or length < 56:
            raise NotCanonical(f"RLP: the length of the item at byte {position} is not written in the shortest way")
        start = size_end
    stop = start + length
    if stop > end:
        raise RlpError(f"RLP: the item at byte {position} has {length} bytes, of which {end - start} are there")
    if length == 1 and not is_list and data[start] < 0x80:
        raise NotCanonical(f"RLP: the byte at {start} must be its own encoding, without a length before it")
    return is_list, start, stop


def decode_from(data: bytes, position: int = 0) -> tuple[Item, int]:
    """The item that starts at `position`, and where the next one would start.

    Raises `RlpError` for anything that is not the canonical encoding of an item.
    """
    is_list, start, stop = read_prefix(data, position, len(data))
    if not is_list:
        return data[start:stop], stop
    root: list[Item] = []
    open_lists = [(root, stop)]
    position = start
    while open_lists:
        members, end = open_lists[-1]
        if position == end:
            open_lists.pop()
            continue
        is_list, start, stop = read_prefix(data, position, end)
        if is_list:
            inner: list[Item] = []
            members.append(inner)
            open_lists.append((inner, stop))
            position = start
        else:
            members.append(data[start:stop])
            position = stop
    return root, position


def decode(data: bytes) -> Item:
    """The one item that `data` encodes: bytes, or a list of items.

    Raises `RlpError` for anything that is not canonical, and for bytes after the item.
    """
    item, end = decode_from(data)
    if end != len(data):
        raise RlpError(f"RLP: {len(data) - end} bytes follow the item, which ends at byte {end}")
    return item


def split_list(data: bytes, position: int = 0, end: int | None = None) -> tuple[list[bytes], int]:
    """The encodings of the members of the list at `position`, without decoding them, and where the list ends.

    Raises `RlpError` for a string item, or a member whose length is wrong or not canonical.
    """
    is_list, start, stop = read_prefix(data, position, len(data) if end is None else end)
    if not is_list:
        raise RlpError(f"RLP: expected a list at byte {position}, got a string of {stop - start} bytes")
    members = []
    while start < stop:
        member_end = read_prefix(data, start, stop)[2]
        members.append(data[start:member_end])
        start = member_end
    return members, stop


def decode_uint(value: Item, name: str, bits: int = 256) -> int:
    """The number below 2**bits that the payload `value` of a string item encodes.

    Raises `RlpError` naming the field for a list, leading zeros or a number that is too large.
    """
    if not isinstance(value, bytes):
        raise RlpError(f"RLP: field '{name}': expected a number, got a list")
    if value[:1] == b"\x00":
        raise NotCanonical(f"RLP: field '{name}': a number must not have leading zero bytes: 0x{value[:40].hex()}")
    number = int.from_bytes(value, "big")
    if number.bit_length() > bits:
        raise RlpError(f"RLP: field '{name}': expected a number below 2**{bits}, got one of {number.bit_length()} bits")
    return number


def decode_fixed(value: Item, name: str, size: int) -> bytes:
    """The payload `value` of a string item, of exactly `size` bytes. Raises `RlpError` naming the field."""
    if not isinstance(value, bytes):
        raise RlpError(f"RLP: field '{name}': expected {size} bytes, got a list")
    if len(value) != size:
        raise RlpError(f"RLP: field '{name}': expected {size} bytes, got {len(value)}")
    return value


def decode_list(value: Item, name: str) -> list[Item]:
    """The members of a list item. Raises `RlpError` naming the field when `value` is a string."""
    if not isinstance(value, list):
        raise RlpError(f"RLP: field '{name}': expected a list, got {len(value)} bytes")
    return value
