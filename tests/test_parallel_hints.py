"""Hints change when a transaction runs: transactions that conflicted are lined up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from evmcore import execute_block
from evmcore._decision import forget
from evmcore.bench import engine
from evmcore.bench.shapes import shapes
from evmcore.blocks import Block
from evmcore.errors import InvalidBlock
from evmcore.forks import ChainConfig, Fork
from evmcore.state import MemoryState
from evmcore.stm import ParallelExecutor
from evmcore.transactions import Transaction
from evmcore.types import Account
from tests.assembly import assemble
from tests.parallel_blocks import check_equal, difference, executors_for, outcome_of
from tests.small_blocks import block_of, people, person

SHAPES = shapes(seed=5)
LOOP = b"\x70" * 20
# Loops as often as its argument says.
TURNS = assemble("4 CALLDATALOAD loop: 1 SWAP1 SUB DUP1 @loop JUMPI")
# Changes the slot that its argument names, in a way that no delta can express.
MARK = b"\x71" * 20
MARKS = assemble("4 CALLDATALOAD DUP1 SLOAD DUP1 MUL 1 ADD SWAP1 SSTORE")
# Both, one after the other, with one slot for all callers.
CHAIN = b"\x72" * 20
TURNS_AND_MARKS = TURNS + assemble("POP 0 SLOAD DUP1 MUL 1 ADD 0 SSTORE")

pytestmark = pytest.mark.usefixtures("nothing_known")


def call(number: int, to: bytes, selector: bytes, argument: int, gas_limit: int) -> Transaction:
    data = selector + argument.to_bytes(32, "big")
    return Transaction(sender=person(number), to=to, data=data, gas_limit=gas_limit, gas_price=0)


def executions(
    block: Block, state: MemoryState, chain: ChainConfig | Fork, threads: int, seed: int, times: int
) -> Iterator[ParallelExecutor]:
    """Executes the block `times` times in a row, each time with the outcome of sequential execution. Workers take
    turns, drawn by the seed: what happens is the same on every machine."""
    forget()
    expected = outcome_of(execute_block(block, state, chain, validate=False))
    executor = ParallelExecutor(threads, always=True)
    executor.recording = True
    for number in range(times):
        executor.turns = 1000 * seed + number
        result = execute_block(block, state, chain, validate=False, executor=executor)
        assert difference(expected, outcome_of(result)) is None
        yield executor


def runs(executor: ParallelExecutor) -> dict[int, tuple[int, int]]:
    """When each transaction of the latest block first began and last ended."""
    _, _, events = executor.timeline
    found: dict[int, tuple[int, int]] = {}
    for _, what, transaction, begin, end, _ in events:
        if transaction is not None and what.startswith("ran"):
            first, last = found.get(transaction, (begin, end))
            found[transaction] = min(begin, first), max(end, last)
    return found


def met(executor: ParallelExecutor) -> int:
    """How many runs met an unfinished transaction."""
    return executor.counters["reruns"] + executor.counters["waits"]


@pytest.mark.parametrize("threads", [2, 3, 8])
@pytest.mark.parametrize("name", ["swaps, one pair", "swaps, clusters"])
def test_swaps_that_met_at_a_pair_are_lined_up_and_stay_so(name: str, threads: int) -> None:
    """Being lined up, they do not conflict any more, which is no reason to forget why."""
    workload = SHAPES[name]()
    (block,) = workload.blocks
    state, chain = MemoryState(workload.alloc), engine.workload_chain(workload.fork)
    for seed in (1, 2):
        first, _, _, *later = (met(each) for each in executions(block, state, chain, threads, seed, times=12))
        assert first >= len(block.transactions) // 2, "nothing was known, most should have met"
        assert later == [0] * 9


def test_calls_are_told_apart_by_the_addresses_in_their_calldata() -> None:
    """Calls of one function conflict if they name the same address, and only those are lined up: none begins before the
    fourth before it has ended; many begin before the one before them has."""
    selector = bytes.fromhex("55667788")
    places = [int.from_bytes(b"\x99" * 19 + bytes([number]), "big") for number in range(4)]
    block = block_of(
        *(call(number, MARK, selector, places[number % 4], 200_000) for number in range(160)), gas_limit=10**9
    )
    state = MemoryState(people(160) | {MARK: Account(1, 0, MARKS)})

    def beside(executor: ParallelExecutor, distance: int) -> int:
        spans = runs(executor)
        return sum(spans[number][0] < spans[number - distance][1] for number in range(distance, 160))

    for seed in range(1, 7):
        for number, executor in enumerate(executions(block, state, Fork.LONDON, 8, seed, times=10)):
            if number == 0:
                assert met(executor) >= 160 and beside(executor, 4) >= 80, "nothing was known, most should have met"
            else:
                assert met(executor) == 0 and beside(executor, 4) == 0
                assert beside(executor, 1) >= 40


@pytest.mark.parametrize("paid", [False, True])
def test_who_writes_what_others_read_is_waited_for_though_it_never_ran_again(paid: bool) -> None:
    """Writer and readers are of different kinds. The writer always stands: only the readers conflict."""
    # With the first selector: long work, then a change of a slot or, with `paid`, of a balance. With the other: a read
    # of it.
    pay, own = "0 0 0 0 CALLVALUE 0x73 GAS CALL POP", "0x73 BALANCE"
    write, read = (pay, own) if paid else ("7 0 SSTORE", "0 SLOAD")
    code = assemble(
        f"0 CALLDATALOAD 224 SHR 1 EQ @write JUMPI {read} 1 SSTORE STOP "
        f"write: 4 CALLDATALOAD loop: 1 SWAP1 SUB DUP1 @loop JUMPI {write}"
    )
    both = b"\x74" * 20
    writes, reads = (number.to_bytes(4, "big") for number in (1, 2))
    first = call(0, both, writes, 3_000, 400_000)
    if paid:
        first = replace(first, value=5)
    block = block_of(first, *(call(number, both, reads, 1, 400_000) for number in range(1, 12)), gas_limit=10**9)
    state = MemoryState(people(12) | {both: Account(1, 0, code, {0: 1, 1: 1})})
    for seed in range(1, 7):
        times = [met(each) for each in executions(block, state, Fork.LONDON, 2, seed, times=48)]
        assert sum(times) > 0, "nothing was known, some should have met the writer"
        assert times[-16:] == [0] * 16


def test_transactions_without_gas_have_no_length() -> None:
    """They are invalid, and found to be so, on any number of threads."""
    block = block_of(*(call(number, LOOP, bytes(4), 1, 0) for number in range(3)))
    state = MemoryState(people(3) | {LOOP: Account(1, 0, TURNS)})
    for threads in (1, 2, 3):
        with pytest.raises(InvalidBlock):
            execute_block(block, state, Fork.LONDON, validate=False, executor=ParallelExecutor(threads, always=True))


def left_behind(executor: ParallelExecutor, index: int) -> int:
    """How many transactions of the latest block began after the one at `index`."""
    begun = {transaction: begin for transaction, (begin, _) in runs(executor).items()}
    return sum(begin > begun[index] for begin in begun.values())


@pytest.mark.parametrize("threads", [2, 3])
def test_a_transaction_that_would_end_the_block_alone_begins_early(threads: int) -> None:
    """Its gas limit gives an estimate; once the call was seen, its cost is known."""
    short = [call(number, LOOP, bytes(4), 500, 200_000) for number in range(40)]
    block = block_of(*short, call(40, LOOP, b"\1\2\3\4", 50_000, 4_000_000), gas_limit=10**9)
    state = MemoryState(people(41) | {LOOP: Account(1, 0, TURNS)})
    for seed in range(1, 5):
        first, *later = (left_behind(each, 40) for each in executions(block, state, Fork.LONDON, threads, seed, 8))
        assert first >= 20 and min(later) >= 30


@pytest.mark.parametrize("threads", [2, 3])
def test_a_chain_that_would_end_the_block_begins_early(threads: int) -> None:
    """Each of its transactions is short enough to wait for its turn; those that met before form one chain."""
    short = [call(number, LOOP, bytes(4), 1_000, 200_000) for number in range(40)]
    chain = [call(40 + number, CHAIN, bytes(4), 10_000, 1_000_000) for number in range(4)]
    block = block_of(*short, *chain, gas_limit=10**9)
    state = MemoryState(people(44) | {LOOP: Account(1, 0, TURNS), CHAIN: Account(1, 0, TURNS_AND_MARKS)})
    for seed in range(1, 5):
        first, _, *later = (left_behind(each, 40) for each in executions(block, state, Fork.LONDON, threads, seed, 16))
        assert first <= 3, "nobody knew that they are a chain"
        assert min(later) >= 20 and sum(behind >= 37 for behind in later) >= 8


@pytest.mark.parametrize(
    ("name", "threads", "most"), [("swaps, clusters", 2, 3), ("swaps, one pair", 2, 6), ("swaps, one pair", 3, 6)]
)
def test_those_that_meet_for_the_first_time_teach_those_behind_them(name: str, threads: int, most: int) -> None:
    """Nothing is known at first, and nearly every swap meets the one before it at their pair. It learns to wait for
    that one, so that at most one in `most` is re-executed. Without that, more than half of them would be."""
    workload = SHAPES[name]()
    (block,) = workload.blocks
    state, chain = MemoryState(workload.alloc), engine.workload_chain(workload.fork)
    for seed in range(1, 13):
        (executor,) = executions(block, state, chain, threads, seed, times=1)
        assert executor.counters["waits"] >= len(block.transactions) // 2
        assert executor.counters["reruns"] <= len(block.transactions) // most


def test_calls_that_share_nothing_may_make_contracts_with_storage() -> None:
    """Each call has a factory of its own, and no transaction has read the slots of what it makes."""
    init = assemble("7 1 SSTORE 9 0 SSTORE STOP")
    make = f"0x{init.hex()} 0 MSTORE {len(init)} {32 - len(init)} 0 CREATE 0 MSTORE 32 0 LOG0 "
    factories = [b"\xfa" * 18 + number.to_bytes(2, "big") for number in range(120)]
    alloc = people(120) | {factory: Account(1, 0, assemble(make + "STOP")) for factory in factories}
    block = block_of(
        *(
            Transaction(sender=person(number), to=factory, gas_limit=200_000, gas_price=0)
            for number, factory in enumerate(factories)
        ),
        gas_limit=10**9,
    )
    executors = executors_for((1, 2, 3, 8))
    for delays in range(4):
        expected, words = check_equal(block, MemoryState(alloc), Fork.LONDON, executors, delays=delays)
        assert words is None and "error" not in expected
