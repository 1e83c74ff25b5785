"""Storage roots and Merkle proofs of a memory state, and checking proofs (yellow paper, appendix D; EIP-1186)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evmcore import rlp
from evmcore._hash import keccak256
from evmcore.errors import RlpError, StateError
from evmcore.state.base import EMPTY_CODE_HASH
from evmcore.trie import proof, root_of

if TYPE_CHECKING:
    from evmcore.state.memory import MemoryState

EMPTY_ROOT = root_of({})


def storage_trie(slots: dict[int, int]) -> dict[bytes, bytes]:
    """What the storage trie holds: 32-byte slot (not yet hashed) to RLP of the value."""
    return {slot.to_bytes(32, "big"): rlp.encode_uint(value) for slot, value in slots.items()}


def storage_root(slots: dict[int, int]) -> bytes:
    """The 32-byte root of a storage trie with these slots."""
    return root_of(storage_trie(slots), secure=True)


def state_trie(state: MemoryState) -> dict[bytes, bytes]:
    """What the state trie holds: 20-byte address (not yet hashed) to RLP of nonce, balance, storage root, code hash."""
    return {address: _account_rlp(state, address) for address in state.addresses()}


def _account_rlp(state: MemoryState, address: bytes) -> bytes:
    root = storage_root(state.slots(address))
    return rlp.encode([state.nonce(address), state.balance(address), root, state.code_hash(address)])


def account_proof(state: MemoryState, address: bytes, slots: list[int]) -> dict[str, Any]:
    """The answer of eth_getProof for an account and some slots; keys as the shortest hexadecimal numbers."""
    own_slots = state.slots(address)
    storage = storage_trie(own_slots)
    exists = address in state
    return {
        "address": "0x" + address.hex(),
        "accountProof": _hex(proof(state_trie(state), address, secure=True)),
        "balance": hex(state.balance(address)),
        "codeHash": "0x" + (state.code_hash(address) if exists else EMPTY_CODE_HASH).hex(),
        "nonce": hex(state.nonce(address)),
        "storageHash": "0x" + (root_of(storage, secure=True) if exists else EMPTY_ROOT).hex(),
        "storageProof": [
            {
                "key": hex(slot),
                "value": hex(own_slots.get(slot, 0)),
                "proof": _hex(proof(storage, slot.to_bytes(32, "big"), secure=True)),
            }
            for slot in slots
        ],
    }


# ------------------------------------------------------------------------------------------------- checking


def verify_proof(root: bytes, key: bytes, nodes: Sequence[bytes]) -> bytes | None:
    """The value that a trie of this root has at a key, by the RLP of the nodes on the way; None: it has none there.

    `key` is not hashed yet. Raises `StateError` for nodes that do not prove anything about the key.
    """
    if root == EMPTY_ROOT:
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
    """The node that a parent (or the root hash) refers to: by hash, or as itself where it is short."""
    if isinstance(item, list):
        node: rlp.Item = item
        # Most nodes leave it at that; some give it as a node of its own as well.
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


def _hex(nodes: list[bytes]) -> list[str]:
    return ["0x" + node.hex() for node in nodes]
