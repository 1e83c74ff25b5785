"""Sources of accounts to load: geth-style allocs, memory states, executed blocks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evmcore._block import execute
from evmcore._hash import keccak256
from evmcore.block_request import BlockRequest
from evmcore.blocks import Block
from evmcore.errors import StateError
from evmcore.forks import ChainConfig
from evmcore.state.alloc import parse_alloc
from evmcore.state.base import EMPTY_CODE_HASH
from evmcore.state.memory import MemoryState


@dataclass(frozen=True, slots=True)
class SourceAccount:
    """An account to load. `code` is None if it is stored already or not known; `slots` are (key, value) pairs.

    `storage_complete`: slots that are not given are zero. Otherwise they are unknown, and given zeros are known zeros.
    `absent`: the account does not exist.
    """

    address: bytes
    nonce: int = 0
    balance: int = 0
    code_hash: bytes = EMPTY_CODE_HASH
    code: bytes | None = b""
    slots: Iterable[tuple[int, int]] = ()
    storage_complete: bool = True
    absent: bool = False


def select(addresses: Collection[bytes] | None, there: Iterable[bytes]) -> list[bytes]:
    """The addresses to load, ascending: all that exist, or the given ones."""
    return sorted(there if addresses is None else set(addresses))


def from_alloc(alloc: Mapping[Any, Any], addresses: Collection[bytes] | None = None) -> Iterator[SourceAccount]:
    """The accounts of a geth-style alloc, or those of the given addresses, ascending.

    A given address that is not in the alloc is an absent account. Raises `InputError` naming the account.
    """
    entries = {entry.address: entry for entry in parse_alloc(alloc)}
    for address in select(addresses, entries):
        entry = entries.get(address)
        if entry is None:
            yield SourceAccount(address, absent=True)
            continue
        code_hash = entry.code_hash if entry.code is None else keccak256(entry.code)
        assert code_hash is not None
        slots = [(key, value) for key, value in entry.storage.items() if value]
        yield SourceAccount(address, entry.nonce, entry.balance, code_hash, entry.code, slots)


def from_memory(state: MemoryState, addresses: Collection[bytes] | None = None) -> Iterator[SourceAccount]:
    """The accounts of a memory state, or those of the given addresses, ascending."""
    for address in select(addresses, state.addresses()):
        if address not in state:
            yield SourceAccount(address, absent=True)
            continue
        yield SourceAccount(
            address,
            state.nonce(address),
            state.balance(address),
            state.code_hash(address),
            state.code(address),
            state.slots(address).items(),
        )


def from_block(
    before: Mapping[Any, Any],
    block: Block,
    chain: ChainConfig,
    block_hashes: Mapping[int, bytes],
    left_out: Collection[bytes] = (),
    addresses: Collection[bytes] | None = None,
) -> Iterator[SourceAccount]:
    """The known part of the state after a block, if of the state before it only the part that the block reads is known.

    `before` is a geth-style alloc. The block is executed and checked as `execute_block` does. Storage is known only in
    part, except for accounts that the block created. Accounts in `left_out`, accounts whose code is not known, and
    given addresses that the block does not access are left out. Raises `InputError` or `InvalidBlock`.
    """
    entries = {entry.address: entry for entry in parse_alloc(before)}
    state = MemoryState(before)
    diff = execute(BlockRequest(block, state, chain, block_hashes=block_hashes, commit=True)).diff
    made = {change.address for change in diff.account_changes if change.old is None or change.wiped}
    slots: dict[bytes, dict[int, int]] = {address: dict(entry.storage) for address, entry in entries.items()}
    for change in diff.storage_changes:
        slots.setdefault(change.address, {})[change.key] = change.new
    touched = entries.keys() | {change.address for change in diff.account_changes}
    for address in select(addresses, touched):
        if address in left_out or address not in touched:
            continue
        if address not in state:
            yield SourceAccount(address, absent=True)
            continue
        code_hash = state.code_hash(address)
        try:
            code = state.code(address)
        except StateError:
            continue  # only its hash is known
        if address in made:
            known: Iterable[tuple[int, int]] = state.slots(address).items()
        else:
            known = slots[address].items()
        yield SourceAccount(
            address, state.nonce(address), state.balance(address), code_hash, code, known, address in made
        )
