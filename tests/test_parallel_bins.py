"""Transactions that run in bins: where they fall apart into groups, and where the grouping was wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from evmcore._decision import forget
from evmcore.bench import engine
from evmcore.bench.scenes import REQUEST_CONTRACTS
from evmcore.bench.shapes import shapes
from evmcore.blocks import Block
from evmcore.execution import execute_block
from evmcore.forks import Fork
from evmcore.state import MemoryState, as_backend
from evmcore.stm import ParallelExecutor
from evmcore.transactions import Transaction
from evmcore.types import Account, Withdrawal
from tests.assembly import assemble
from tests.failing_states import Failing
from tests.parallel_blocks import assert_bounded, check_equal, difference, outcome_of
from tests.small_blocks import COINBASE, COUNT, COUNTER, block_of, people, person, transfer

SEEDS = range(5, 405, 4)  # of random dealing: before anything runs if bit 4 is set, else meanwhile
POT, POT_SIZE = b"\x90" * 20, 100
BEACON_ROOTS = bytes.fromhex("000f3df6d732807ef1319fb7b8bb8522d0beac02")  # EIP-4788
# Pays the caller the amount in the calldata's first word, and notes in its slot whether that was possible.
TAKE = assemble("0 0 0 0 0 CALLDATALOAD CALLER GAS CALL CALLER SSTORE")


def call(number: int, to: bytes, data: bytes = b"", *, nonce: int = 0, value: int = 0) -> Transaction:
    """A call with a gas limit below which it is not timed, so that nothing depends on its time."""
    return Transaction(sender=person(number), nonce=nonce, to=to, value=value, data=data, gas_limit=90_000, gas_price=0)


def taken(number: int, amount: int) -> Transaction:
    return call(number, POT, amount.to_bytes(32, "big"))


def dealing(seed: int, threads: int = 2) -> ParallelExecutor:
    executor = ParallelExecutor(threads, always=True)
    executor.bins_seed = seed
    return executor


def assert_equal_however_dealt(block: Block, state: MemoryState, fork: Fork = Fork.LONDON) -> set[int]:
    """Returns the numbers of transactions that were final without being executed again."""
    expected = outcome_of(execute_block(block, state, fork, validate=False))
    final = set()
    for threads in (2, 3, 8):
        for seed in SEEDS:
            executor = dealing(seed, threads)
            given = outcome_of(execute_block(block, state, fork, validate=False, executor=executor))
            assert difference(expected, given) is None, f"{threads} threads, dealt out by {seed}"
            assert_bounded(executor, len(block.transactions))
            final.add(executor.counters["in_bins"])
    return final


@pytest.mark.parametrize("name", ["transfers", "erc20", "erc20, interleaved", "swaps, interleaved", "mixed"])
def test_what_belongs_together_is_learnt_and_all_run_once(name: str) -> None:
    """Transactions that the hints miss meet in the first blocks; then every transaction runs once, unchecked. How often
    they must meet depends on how they are dealt out, by their measured cost."""
    forget()
    workload = shapes(seed=3)[name]()
    (block,) = workload.blocks
    state, chain = MemoryState(workload.alloc), engine.workload_chain(workload.fork)
    expected = outcome_of(execute_block(block, state, chain, validate=False))
    count = len(block.transactions)
    executor = ParallelExecutor(2, always=True)
    executor.bins = 2
    for _ in range(100):
        given = outcome_of(execute_block(block, state, chain, validate=False, executor=executor))
        assert difference(expected, given) is None
        assert_bounded(executor, count)
        if executor.counters["in_bins"] == count:
            break
    assert executor.counters["in_bins"] == executor.counters["runs"] == count
    assert executor.counters["validations"] == 0


def test_calls_of_which_nothing_is_known_are_not_dealt_out() -> None:
    forget()
    contracts = [bytes([0x60 + number]) * 20 for number in range(8)]
    state = MemoryState(people(8) | {address: Account(1, 0, COUNT) for address in contracts})
    block = block_of(*(call(number, contracts[number], b"\x12\x34\x56\x78") for number in range(8)))
    executor = ParallelExecutor(2, always=True)
    executor.bins = 2
    execute_block(block, state, Fork.LONDON, validate=False, executor=executor)
    assert executor.counters["in_bins"] == 0
    execute_block(block, state, Fork.LONDON, validate=False, executor=executor)
    assert executor.counters["in_bins"] == 8


def test_a_slot_that_two_bins_change_ends_what_is_final_just_before_the_second() -> None:
    state = MemoryState(people(2) | {COUNTER: Account(1, 0, COUNT)})
    final = assert_equal_however_dealt(block_of(call(0, COUNTER), call(1, COUNTER)), state)
    assert final == {1, 2}  # in two bins, or in one


def test_senders_in_several_bins() -> None:
    """A nonce that the earlier transaction has not yet raised makes a transaction invalid in its bin, and only
    there."""
    state = MemoryState(people(2))
    block = block_of(*(transfer(0, person(1), nonce=nonce) for nonce in range(4)))
    assert min(assert_equal_however_dealt(block, state)) < 4


def test_payments_to_one_account_are_added_up() -> None:
    """No transaction reads the balance, so the dealing does not matter; not even for an account that did not exist."""
    state = MemoryState(people(9))
    block = block_of(*(transfer(number, b"\x77" * 20, value=number + 1) for number in range(9)))
    assert assert_equal_however_dealt(block, state) == {9}


@pytest.mark.parametrize("amounts", [(60, 60), (10, 20, 30), (60, 30, 60), (100, 1), (40, 40, 40, 40)], ids=str)
def test_a_pot_that_is_enough_for_each_bin_but_not_for_all(amounts: tuple[int, ...]) -> None:
    state = MemoryState(people(9) | {POT: Account(1, POT_SIZE, TAKE)})
    block = block_of(*(taken(number, amount) for number, amount in enumerate(amounts)))
    final = assert_equal_however_dealt(block, state)
    if sum(amounts) > POT_SIZE:
        assert min(final) < len(amounts)


def test_a_pot_that_is_filled_up_in_between() -> None:
    state = MemoryState(people(9) | {POT: Account(1, POT_SIZE, TAKE)})
    block = block_of(
        taken(0, 80), call(1, POT, bytes(32), value=50), taken(2, 70), call(3, POT, bytes(32), value=5), taken(4, 6)
    )
    assert_equal_however_dealt(block, state)


def test_a_contract_that_ends_in_one_bin_and_is_called_in_another() -> None:
    end = assemble("0 SLOAD 1 ADD 0 SSTORE 0 CALLDATALOAD @end JUMPI STOP end: CALLER SELFDESTRUCT")
    state = MemoryState(people(6) | {COUNTER: Account(1, 7, end, {0: 5})})
    one = (1).to_bytes(32, "big")
    ends, pays = call(1, COUNTER, one), call(2, COUNTER, value=3)
    block = block_of(call(0, COUNTER), ends, pays, call(3, COUNTER, one), call(4, COUNTER))
    for fork in (Fork.LONDON, Fork.CANCUN, Fork.HOMESTEAD):
        assert_equal_however_dealt(block, state, fork)


def test_the_beneficiary_is_only_added_to_unless_somebody_looks() -> None:
    looker = assemble(f"0x{COINBASE.hex()} BALANCE 0 SSTORE")
    state = MemoryState(people(6) | {COUNTER: Account(1, 0, looker)})
    pays = [Transaction(sender=person(i), to=person(5), value=1, gas_limit=21_000, gas_price=10**9) for i in range(5)]
    assert assert_equal_however_dealt(block_of(*pays), state) == {5}
    assert min(assert_equal_however_dealt(block_of(*pays[:3], call(4, COUNTER)), state)) < 4


def test_a_read_that_fails_in_vain_is_no_error_of_the_block() -> None:
    """In order, the first call keeps the second from a read that fails; in another bin, the second call makes that
    read. Nothing of it may stay, in the block's own working set or in another one."""
    code = assemble("1 SLOAD @set JUMPI 0 CALLDATALOAD @set JUMPI 2 SLOAD POP set: 1 1 SSTORE")
    alloc = people(3) | {COUNTER: Account(1, 0, code)}

    class Partial(Failing):
        def storage(self, address: bytes, slot: int) -> int:
            if slot == 2:
                raise ConnectionError("slot 2 is not known")
            return super().storage(address, slot)

    block = block_of(call(0, COUNTER, (1).to_bytes(32, "big")), call(1, COUNTER), transfer(2, person(1)))
    expected = outcome_of(execute_block(block, as_backend(Partial(alloc)), Fork.LONDON, validate=False))
    final = set()
    for seed in SEEDS:
        executor = dealing(seed)
        given = outcome_of(
            execute_block(block, as_backend(Partial(alloc)), Fork.LONDON, validate=False, executor=executor)
        )
        assert difference(expected, given) is None, seed
        final.add(executor.counters["in_bins"])
    assert final == {1, 3}


def test_a_block_without_room_for_all_says_so_as_ever() -> None:
    state = MemoryState(people(8))
    block = block_of(*(transfer(number, person(7), gas=30_000) for number in range(6)), gas_limit=100_000)
    for seed in SEEDS:
        _, words = check_equal(block, state, Fork.LONDON, {2: dealing(seed)}, bins=True, delays=seed)
        assert words is None


def test_bins_and_what_remains_are_drawn() -> None:
    state = MemoryState(people(2) | {COUNTER: Account(1, 0, COUNT)})
    block = block_of(*(call(number % 2, COUNTER, nonce=number // 2) for number in range(12)))
    for seed in SEEDS[:20]:
        executor = dealing(seed)
        executor.recording = True
        execute_block(block, state, Fork.LONDON, validate=False, executor=executor)
        took, lost, events = executor.timeline
        assert lost == 0 and all(0 <= begin <= end <= took for _, _, _, begin, end, _ in events)
        ran = [tx for _, what, tx, _, _, _ in events if what.startswith("ran ")]
        assert set(ran) == set(range(12))


SYSTEM = 2**160 - 2  # calls request contracts at a block's end (EIP-7002)
NOTES = REQUEST_CONTRACTS[0]
# Other callers leave what they pay in their own slot, and read the slot of a later caller. At the block's end: returns
# every such slot, balances of payees and the contract's own, and changes what the first of the senders left there.
READ_ALL = " ".join(f"0x{person(number).hex()} SLOAD {32 * number} MSTORE" for number in range(6))
SEE_ALL = " ".join(f"0x{(b'p' * 19 + bytes([number])).hex()} BALANCE {32 * (number + 6)} MSTORE" for number in range(6))
END = f"{READ_ALL} {SEE_ALL} SELFBALANCE 384 MSTORE 99 0x{person(0).hex()} SSTORE 416 0 RETURN"
NOTE = assemble(f"0x{SYSTEM:040x} CALLER EQ @end JUMPI 2 CALLER ADD SLOAD CALLVALUE CALLER SSTORE STOP end: {END}")


def prague_block(*transactions: Transaction, withdrawals: tuple[Withdrawal, ...] = ()) -> Block:
    later: dict[str, Any] = dict.fromkeys(("withdrawals_root", "parent_beacon_block_root", "requests_hash"), bytes(32))
    header = replace(block_of().header, blob_gas_used=0, excess_blob_gas=0, **later)
    return Block(header, transactions, withdrawals=withdrawals)


@pytest.mark.parametrize("clearing", [False, True], ids=["nothing ends", "an account ends"])
def test_what_ends_a_block_sees_and_changes_what_any_bin_did(clearing: bool) -> None:
    """Withdrawals and request contracts: accounts that one bin changed, that several did, and that none touched."""
    payees = [b"p" * 19 + bytes([number]) for number in range(6)]
    end = assemble("CALLER SELFDESTRUCT")
    mortal = Account(1, 0, end, {1: 1}) if clearing else Account(1, 0, b"\0")
    state = MemoryState(people(14) | {contract: Account(1, 0, NOTE) for contract in REQUEST_CONTRACTS} | {POT: mortal})
    notes = [call(number, NOTES, value=number + 1) for number in range(6)]
    payments = [transfer(6 + number, payees[number % 5], value=100 + number) for number in range(6)]
    paid = [*payees, person(1), person(7), POT, b"\x88" * 20]
    withdrawals = tuple(Withdrawal(number, 0, address, number + 1) for number, address in enumerate(paid))
    mixed = [each for pair in zip(notes, payments, strict=True) for each in pair]
    block = prague_block(*mixed, call(12, POT), withdrawals=withdrawals)
    assert len(block.transactions) in assert_equal_however_dealt(block, state, Fork.PRAGUE)
    result = execute_block(block, state, Fork.PRAGUE, validate=False)
    words = [int.from_bytes(result.requests[0][1:][at : at + 32], "big") for at in range(0, 13 * 32, 32)]
    assert words[:6] == [1, 2, 3, 4, 5, 6] and words[12] == 21
    assert words[6:12] == [205 + 10**9, 101 + 2 * 10**9, 102 + 3 * 10**9, 103 + 4 * 10**9, 104 + 5 * 10**9, 6 * 10**9]


def test_a_contract_that_ends_in_one_bin_after_another_one_wrote_to_it() -> None:
    """In order, so that all transactions become final; but what was written is gone with the contract."""
    code = assemble("CALLDATASIZE @end JUMPI CALLER CALLER SSTORE STOP end: CALLER SELFDESTRUCT")
    state = MemoryState(people(4) | {COUNTER: Account(1, 0, code, {7: 7})})
    block = block_of(call(0, COUNTER), call(1, COUNTER), call(2, COUNTER, b"\1"), transfer(3, person(0)))
    assert 4 in assert_equal_however_dealt(block, state)


def test_a_slot_that_the_block_itself_changed_before_its_transactions() -> None:
    code = assemble("CALLVALUE 1 ADD 0 SSTORE")
    contracts = dict.fromkeys(REQUEST_CONTRACTS, Account(1, 0, b"\0")) | {BEACON_ROOTS: Account(1, 0, code)}
    state = MemoryState(people(6) | contracts)
    block = prague_block(*(transfer(number, person(number + 1)) for number in range(5)), call(5, BEACON_ROOTS, value=6))
    assert 6 in assert_equal_however_dealt(block, state, Fork.PRAGUE)
