"""Roots of storage tries (yellow paper, appendix D)."""

from __future__ import annotations

from evmcore import rlp
from evmcore.trie import root_of


def storage_trie(slots: dict[int, int]) -> dict[bytes, bytes]:
    """The content of the storage trie: 32-byte slot (not yet hashed) to RLP of the value."""
    return {slot.to_bytes(32, "big"): rlp.encode_uint(value) for slot, value in slots.items()}


def storage_root(slots: dict[int, int]) -> bytes:
    """The 32-byte root of a storage trie with these slots."""
    return root_of(storage_trie(slots), secure=True)
