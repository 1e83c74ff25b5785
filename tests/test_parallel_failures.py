"""Failing states, invalid blocks, hostile blocks and many blocks: parallel execution ends, with the right outcome."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from evmcore.blocks import Block
from evmcore.errors import InvalidBlock, StateError, TransactionReason
from evmcore.execution import execute_block
from evmcore.forks import Fork
from evmcore.state import MemoryState, as_backend
from evmcore.stm import ParallelExecutor
from evmcore.transactions import Transaction
from evmcore.types import Account
from tests.assembly import assemble
from tests.failing_states import Failing, python_case
from tests.parallel_blocks import THREADS, assert_bounded, check_equal, executors_for, observe
from tests.parallel_fuzz.cases import make_case
from tests.small_blocks import BURN, BURNER, COUNT, COUNTER, block_of, people, person, transfer

# ------------------------------------------------------------ states that fail


@pytest.mark.parametrize("seed", range(12))
def test_states_written_in_python_are_equal(seed: int) -> None:
    case = python_case(seed)
    # Not that of a memory state, which also lists slots of wiped accounts that no transaction read.
    expected = observe(case.block, as_backend(Failing(case.alloc)), case.fork)
    for threads, executor in executors_for(THREADS).items():
        executor.delays = seed + threads
        given = observe(case.block, as_backend(Failing(case.alloc)), case.fork, executor)
        assert given == expected, f"{threads} threads"


@pytest.mark.parametrize("seed", range(8))
def test_a_failing_read_stops_the_block_with_its_error(seed: int) -> None:
    case = python_case(seed)
    counting = Failing(case.alloc)
    execute_block(case.block, as_backend(counting), case.fork, validate=False)
    expected = observe(case.block, as_backend(Failing(case.alloc)), case.fork)
    native_threads = len(list(Path("/proc/self/task").iterdir())) if Path("/proc/self/task").exists() else 0
    for fails_at in range(1, counting.reads + 1, max(1, counting.reads // 12)):
        for threads in (2, 3, 8):
            executor = ParallelExecutor(threads, always=True)
            executor.delays = seed + fails_at
            state = Failing(case.alloc, fails_at)
            with pytest.raises(StateError) as caught:
                execute_block(case.block, as_backend(state), case.fork, validate=False, commit=True, executor=executor)
            assert isinstance(caught.value.__cause__, StateError | ConnectionError)
            assert f"read {fails_at}" in str(caught.value)
            assert state.applied == 0
            reads = state.reads
            # Every thread has left the state: none reads it any more, and another block runs as if nothing had
            # happened.
            assert observe(case.block, as_backend(Failing(case.alloc)), case.fork, executor) == expected
            assert state.reads == reads
    if native_threads:
        assert len(list(Path("/proc/self/task").iterdir())) <= native_threads + 8


def test_a_read_that_only_speculation_makes_may_fail() -> None:
    """Transaction 1 is slow and changes which slot transaction 2 reads; the slot that 2 reads on stale data raises."""
    chooser = assemble("0 SLOAD SLOAD POP")
    target = b"\xc1" * 20

    class Picky(Failing):
        def storage(self, address: bytes, slot: int) -> int:
            if slot == 99:
                raise ConnectionError("slot 99 is not there")
            return super().storage(address, slot)

    code = (
        assemble("CALLDATASIZE @choose JUMPI 3000 loop: 1 SWAP1 SUB DUP1 @loop JUMPI 7 0 SSTORE STOP choose:") + chooser
    )
    alloc = people(4) | {target: Account(1, 0, code, {0: 99})}
    block = block_of(
        transfer(0, target, value=0, gas=200_000),
        *(Transaction(sender=person(n), to=target, data=b"\x01", gas_limit=100_000, gas_price=0) for n in range(1, 4)),
    )
    expected = observe(block, as_backend(Picky(alloc)), Fork.LONDON)
    assert "error" not in expected
    for threads, executor in executors_for((2, 3, 8)).items():
        for delays in range(1, 20):
            executor.delays = delays
            assert observe(block, as_backend(Picky(alloc)), Fork.LONDON, executor) == expected, f"{threads} threads"


# ------------------------------------------------------------ blocks that fail


@pytest.mark.parametrize("at", [0, 50, 99])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"nonce": 9}, TransactionReason.NONCE_MISMATCH_TOO_HIGH),
        ({"value": 10**30}, TransactionReason.INSUFFICIENT_ACCOUNT_FUNDS),
        ({"gas": 31_000_000}, TransactionReason.GAS_ALLOWANCE_EXCEEDED),
        ({"gas": 20_000}, TransactionReason.INTRINSIC_GAS_TOO_LOW),
    ],
)
def test_an_invalid_transaction_ends_the_block(at: int, change: dict[str, int], reason: TransactionReason) -> None:
    transactions = [transfer(number, COUNTER, value=0) for number in range(100)]
    transactions[at] = transfer(at, COUNTER, **change)
    block = block_of(*transactions)
    state = MemoryState(people(100) | {COUNTER: Account(1, 0, COUNT)})
    before = state.copy()
    for threads, executor in executors_for(THREADS).items():
        executor.delays = at + threads
        with pytest.raises(InvalidBlock) as caught:
            execute_block(block, state, Fork.LONDON, validate=False, commit=True, executor=executor)
        assert caught.value.reason is reason
        assert caught.value.__cause__.index == at
        assert state == before
        assert_bounded(executor, 100)
    _, words = check_equal(block, state, Fork.LONDON, before=before)
    assert words is None


# ------------------------------------------------------------ liveness, by counters


def hostile_blocks() -> dict[str, tuple[Block, dict[bytes, Account]]]:
    count = 60
    chain = [transfer(0, COUNTER, nonce=number, value=0) for number in range(count)]
    counter = [transfer(number, COUNTER, value=0) for number in range(count)]
    ring = [transfer(number, person((number + 1) % count), value=10**18, gas=21_000) for number in range(count)]
    burners = [transfer(number, BURNER if number % 7 == 3 else COUNTER, value=0) for number in range(count)]
    alloc = people(count) | {COUNTER: Account(1, 0, COUNT), BURNER: Account(1, 0, BURN)}
    return {
        "one sender, one slot": (block_of(*chain), alloc),
        "one slot": (block_of(*counter), alloc),
        "everybody passes everything on": (block_of(*ring), alloc),
        "burners between": (block_of(*burners), alloc),
    }


@pytest.mark.parametrize("name", hostile_blocks())
def test_hostile_blocks_end_within_bounded_runs(name: str) -> None:
    block, alloc = hostile_blocks()[name]
    state = MemoryState(alloc)
    for threads, executor in executors_for(THREADS).items():
        for delays in range(6):
            _, words = check_equal(block, state, Fork.LONDON, {threads: executor}, delays=delays)
            assert words is None
            assert not executor.counters["fallback"]
            assert_bounded(executor, len(block.transactions))


@pytest.mark.parametrize("fork", [Fork.SPURIOUS_DRAGON, Fork.LONDON, Fork.PRAGUE], ids=lambda fork: fork.title)
def test_random_blocks_end_within_bounded_runs(fork: Fork) -> None:
    executors = executors_for((3, 8))
    for seed in range(60):
        case = make_case(seed, fork=fork)
        for executor in executors.values():
            executor.delays = seed + 1
            observe(case.block, MemoryState(case.alloc), fork, executor)
            assert_bounded(executor, len(case.block.transactions))


# ------------------------------------------------------------ more than fits, more than one


def test_a_block_that_reaches_too_much_goes_on_sequentially() -> None:
    """Before storage reads had their proper price, a block could read more places than there is room for."""
    wide = assemble("0 CALLDATALOAD loop: DUP1 SLOAD POP 1 ADD DUP1 4095 AND @loop JUMPI STOP")
    target = b"\x3d" * 20
    block = block_of(
        *(transfer(number, COUNTER, value=0) for number in range(10)),
        *(
            Transaction(
                sender=person(10 + number),
                to=target,
                data=(4096 * number + 1).to_bytes(32, "big"),
                gas_limit=600_000,
                gas_price=0,
            )
            for number in range(10)
        ),
        *(transfer(20 + number, COUNTER, value=0) for number in range(10)),
    )
    state = MemoryState(people(40) | {COUNTER: Account(1, 0, COUNT), target: Account(1, 0, wide)})
    for threads in THREADS:
        for delays in range(3):
            # If all of them run ahead, some transaction certainly finds no room.
            (executor,) = executors_for((threads,), watch_all=delays == 0).values()
            expected, words = check_equal(block, state, Fork.HOMESTEAD, {threads: executor}, delays=delays)
            assert words is None
            assert expected["gas used"] > 10 * 400_000
            found = executor.counters
            if found["fallback"]:
                at = found["fallback_at"]
                assert found["fallback"] == "no room in the store" and at is not None and 0 <= at <= 30
                assert ("sequential" in found["phases"]) == (at < 30) and found["runs"] >= 30
            else:
                # The committer needs no room: no worker ran that far ahead of it.
                assert found["fallback_at"] is None and delays


def test_blocks_in_several_python_threads_at_once() -> None:
    cases = [make_case(seed) for seed in range(30)]
    expected = [observe(case.block, MemoryState(case.alloc), case.fork) for case in cases]
    shared = ParallelExecutor(3, always=True)
    wrong: list[int] = []

    def run(executor: ParallelExecutor) -> None:
        for number, case in enumerate(cases):
            if observe(case.block, MemoryState(case.alloc), case.fork, executor) != expected[number]:
                wrong.append(number)

    own = [ParallelExecutor(threads, always=True) for threads in (2, 8)]
    for number, executor in enumerate(own):
        executor.delays = number + 1
    threads = [threading.Thread(target=run, args=(executor,)) for executor in (shared, shared, *own)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
