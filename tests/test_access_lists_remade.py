"""Execution with the access list given, of blocks that destroy contracts and make them again at the same address.

A list says which values each place of the block left; that storage went with a contract it says only by the code. So
what was in a slot before the block counts for the block's diff, and never for a transaction after the contract's end.
"""

from __future__ import annotations

from itertools import product

import pytest

from evmcore._hash import keccak256
from evmcore.blocks import Block, Header
from evmcore.errors import StateError
from evmcore.execution import execute_block
from evmcore.forks import Fork
from evmcore.listed import ListedExecutor
from evmcore.state import MemoryState, State
from evmcore.transactions import Transaction
from evmcore.types import Account
from tests.assembly import assemble, deploying
from tests.parallel_blocks import difference, observe
from tests.parallel_fuzz.cases import REQUESTS

THREADS = (1, 2, 3, 8)
FORKS = (Fork.ISTANBUL, Fork.LONDON, Fork.SHANGHAI, Fork.CANCUN, Fork.OSAKA)
ALICE, FACTORY = b"\xa1" * 20, b"\xfa" * 20

# What the contract does for the bits of its calldata.
ADD, COPY, CLEAR, DESTROY = 1, 2, 4, 8
CHILD = assemble(
    """
    0 CALLDATALOAD 1 AND ISZERO @copy JUMPI 0 SLOAD 5 ADD 0 SSTORE
    copy: 0 CALLDATALOAD 2 AND ISZERO @clear JUMPI 1 SLOAD 2 SSTORE
    clear: 0 CALLDATALOAD 4 AND ISZERO @destroy JUMPI 0 0 SSTORE
    destroy: 0 CALLDATALOAD 8 AND ISZERO @end JUMPI ORIGIN SELFDESTRUCT
    end: STOP
    """
)
INIT = deploying(CHILD)
ADDRESS = keccak256(b"\xff" + FACTORY + bytes(32) + keccak256(INIT))[12:]


def factory() -> bytes:
    """Makes the contract and calls it with its own calldata."""
    words = [int.from_bytes(INIT[at : at + 32].ljust(32, b"\0"), "big") for at in range(0, len(INIT), 32)]
    store = " ".join(f"{word:#x} {32 * at} MSTORE" for at, word in enumerate(words))
    call = f"0 CALLDATALOAD 0 MSTORE 0 0 32 0 0 {int.from_bytes(ADDRESS, 'big'):#x} GAS CALL POP STOP"
    return assemble(f"{store} 0 {len(INIT)} 0 0 CREATE2 POP {call}")


ABSENT = {
    ALICE: Account(0, 10**20),
    FACTORY: Account(1, 0, factory()),
    **{address: Account(1, 0, b"\x00") for address in REQUESTS},
}
EMPTY = ABSENT | {ADDRESS: Account()}
PRESENT = ABSENT | {ADDRESS: Account(1, 3, CHILD, {0: 1, 1: 7, 3: 9})}


def block_of(*steps: tuple[bytes, int]) -> Block:
    """A transaction for each (whom to call, the bits of its calldata)."""
    transactions = [
        Transaction(
            type=0, sender=ALICE, nonce=nonce, to=to, gas_limit=1_000_000, gas_price=10, data=bits.to_bytes(32, "big")
        )
        for nonce, (to, bits) in enumerate(steps)
    ]
    header = Header(number=1, timestamp=1, gas_limit=30_000_000, base_fee_per_gas=7, coinbase=b"\xcb" * 20)
    return Block(header, tuple(transactions), (), ())


@pytest.mark.parametrize("fork", FORKS, ids=lambda fork: fork.title)
@pytest.mark.parametrize("alloc", (ABSENT, EMPTY, PRESENT), ids=("absent before", "empty before", "there before"))
def test_every_order_of_making_and_destroying_is_as_without_the_list(fork: Fork, alloc: dict[bytes, Account]) -> None:
    """Three transactions of these eight, in every order, one of the numbers of threads by turns."""
    steps = [(FACTORY, bits) for bits in (0, ADD | COPY, DESTROY, ADD | DESTROY)]
    steps += [(ADDRESS, bits) for bits in (ADD, COPY | CLEAR, DESTROY, COPY | DESTROY)]
    for number, chosen in enumerate(product(steps, repeat=3)):
        block, state, before = block_of(*chosen), MemoryState(alloc), MemoryState(alloc)
        expected = observe(block, state, fork, access_list=True, state_root=True)
        executor = ListedExecutor(expected["access list"], THREADS[number % len(THREADS)])
        given = observe(block, state, fork, executor, state_root=True)
        words = [f"{'make' if to == FACTORY else 'use'} {bits}" for to, bits in chosen]
        assert difference(expected, given) is None, words
        assert state == before, words
    assert number == 511


def test_a_slot_that_nobody_reads_before_its_contract_ends_has_its_old_value_in_the_diff() -> None:
    block = block_of((ADDRESS, DESTROY), (FACTORY, ADD | COPY))
    listed = execute_block(block, MemoryState(PRESENT), Fork.LONDON, access_list=True, validate=False).access_list
    assert listed is not None
    for threads in THREADS:
        state = MemoryState(PRESENT)
        result = execute_block(
            block, state, Fork.LONDON, threads=threads, access_list=listed, validate=False, commit=True
        )
        assert result.parallel.executions == 2 and not result.parallel.fallback
        # Slot 1 was 7 and is copied after the contract's end: as zero. Slot 3 is in nobody's list, and goes too.
        changed = {change.key: (change.old, change.new) for change in result.diff.storage_changes}
        assert changed == {0: (1, 5), 1: (7, 0), 3: (9, 0)}
        assert state.storage(ADDRESS, 0) == 5 and state.storage(ADDRESS, 3) == 0
        state.undo(result.diff)
        assert state == MemoryState(PRESENT)


def test_a_slot_whose_old_value_cannot_be_read_ends_the_block_with_that_error() -> None:
    class WithoutStorage(State):
        def account(self, address: bytes) -> Account | None:
            return PRESENT.get(address)

        def storage(self, address: bytes, slot: int) -> int:
            raise ConnectionError("gone")

    block = block_of((ADDRESS, DESTROY), (FACTORY, ADD))
    listed = execute_block(block, MemoryState(PRESENT), Fork.LONDON, access_list=True, validate=False).access_list
    assert listed is not None
    for threads in THREADS:
        with pytest.raises(StateError, match="gone"):
            execute_block(block, WithoutStorage(), Fork.LONDON, threads=threads, access_list=listed, validate=False)
