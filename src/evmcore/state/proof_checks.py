"""Checking Merkle proofs (yellow paper, appendix D)."""

from __future__ import annotations

from collections.abc import Sequence

from evmcore import rlp
from evmcore._hash import keccak256
from evmcore.blocks import EMPTY_TRIE_ROOT
from evmcore.errors import RlpError, StateError


def verify_proof(root: bytes, key: bytes, nodes: Sequence[bytes]) -> bytes | None:
    """The value at a key in the trie with this root, by the RLP of the nodes from the root to it; None: no value.

    `key` is not hashed yet. Raises `StateError` if the nodes prove neither a value nor its absence.
    """
    if root == EMPTY_TRIE_ROOT:
        return None
    path = _nibbles(keccak256(key))
    remaining = list(reversed(nodes))
    item: rlp.Item = root
    while True:
        node = _open_node(item, remaining)
        if len(node) == 17:
            if not path:
                raise StateError("Merkle proof: a branch where the key ends")
            item, path = node[path[0]], path[1:]
            if item == b"":
                return _proven(None, remaining)
            continue
        is_leaf, part = _part(node[0])
        if is_leaf:
            if part != path:
                return _proven(None, remaining)
            if not isinstance(node[1], bytes) or not node[1]:
                raise StateError("Merkle proof: a leaf without a value")
            return _proven(node[1], remaining)
        if not part or path[: len(part)] != part:
            return _proven(None, remaining)
        item, path = node[1], path[len(part) :]


def _proven(value: bytes | None, remaining: list[bytes]) -> bytes | None:
    if remaining:
        raise StateError("Merkle proof: more nodes than the way to the key has")
    return value


def _open_node(item: rlp.Item, remaining: list[bytes]) -> list[rlp.Item]:
    """The node that a parent (or the root hash) refers to: by hash, or inline if it is short."""
    if isinstance(item, list):
        node: rlp.Item = item
        # Most nodes give an inline node only inside its parent; some give it separately as well.
        if remaining and remaining[-1] == _encoded(item):
            remaining.pop()
    else:
        if not remaining:
            raise StateError("Merkle proof: nodes are missing")
        data = remaining.pop()
        if keccak256(data) != item:
            raise StateError(f"Merkle proof: a node has the hash 0x{keccak256(data).hex()}, needed is 0x{item.hex()}")
        try:
            node = rlp.decode(data)
        except RlpError as error:
            raise StateError(f"Merkle proof: a node that is not RLP: {error}") from error
    if not isinstance(node, list) or len(node) not in (2, 17):
        raise StateError("Merkle proof: a node that is neither a branch nor has a path")
    return node


def _encoded(item: rlp.Item) -> bytes:
    if isinstance(item, bytes):
        return rlp.encode_bytes(item)
    return rlp.encode_items([_encoded(member) for member in item])


def _part(encoded: rlp.Item) -> tuple[bool, bytes]:
    """Whether a node with a path is a leaf, and the path's nibbles (hex-prefix encoding)."""
    if not isinstance(encoded, bytes) or not encoded or encoded[0] >> 4 > 3:
        raise StateError("Merkle proof: a path that is not encoded as one")
    nibbles = _nibbles(encoded)
    return bool(nibbles[0] & 2), nibbles[1 if nibbles[0] & 1 else 2 :]


def _nibbles(data: bytes) -> bytes:
    return bytes(nibble for byte in data for nibble in (byte >> 4, byte & 15))
