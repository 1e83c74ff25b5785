"""Storage roots and Merkle proofs of a memory state (yellow paper, appendix D; EIP-1186)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evmcore import rlp
from evmcore.blocks import EMPTY_TRIE_ROOT
from evmcore.state.base import EMPTY_CODE_HASH
from evmcore.trie import proof, root_of

if TYPE_CHECKING:
    from evmcore.state.memory import MemoryState


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
        "storageHash": "0x" + (root_of(storage, secure=True) if exists else EMPTY_TRIE_ROOT).hex(),
        "storageProof": [
            {
                "key": hex(slot),
                "value": hex(own_slots.get(slot, 0)),
                "proof": _hex(proof(storage, slot.to_bytes(32, "big"), secure=True)),
            }
            for slot in slots
        ],
    }


def _hex(nodes: list[bytes]) -> list[str]:
    return ["0x" + node.hex() for node in nodes]
