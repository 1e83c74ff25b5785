"""Hints change when something runs: what met others is lined up."""

from __future__ import annotations

import pytest

from evmcore import execute_block
from evmcore._decision import forget
from evmcore.bench import engine
from evmcore.bench.shapes import shapes
from evmcore.blocks import Block
from evmcore.errors import InvalidBlock
from evmcore.forks import Fork
from evmcore.state import MemoryState
from evmcore.stm import ParallelExecutor
from evmcore.transactions import Transaction
from evmcore.types import Account
from tests.assembly import assemble
from tests.parallel_blocks import check_equal, difference, executors_for, outcome_of
from tests.small_blocks import block_of, people, person

SHAPES = shapes(seed=5)
LOOP = b"\x70" * 20
# Goes round as often as its argument says.
TURNS = assemble("4 CALLDATALOAD loop: 1 SWAP1 SUB DUP1 @loop JUMPI")
# Changes the slot that its argument names, in a way that no delta stands for.
MARK = b"\x71" * 20
MARKS = assemble("4 CALLDATALOAD DUP1 SLOAD DUP1 MUL 1 ADD SWAP1 SSTORE")
# Both, one after the other, with one slot for all.
CHAIN = b"\x72" * 20
TURNS_AND_MARKS = TURNS + assemble("POP 0 SLOAD DUP1 MUL 1 ADD 0 SSTORE")

pytestmark = pytest.mark.usefixtures("nothing_known")


def call(number: int, to: bytes, selector: bytes, argument: int, gas_limit: int) -> Transaction:
    data = selector + argument.to_bytes(32, "big")
    return Transaction(sender=person(number), to=to, data=data, gas_limit=gas_limit, gas_price=0)


def reruns_of(block: Block, state: MemoryState, chain: Fork | object, times: int) -> list[int]:
    """Of so many executions one after the other, each equal to sequential execution."""
    expected = outcome_of(execute_block(block, state, chain, validate=False))  # type: ignore[arg-type]
    executor = ParallelExecutor(2, always=True)
    found = []
    for _ in range(times):
        result = execute_block(block, state, chain, validate=False, executor=executor)  # type: ignore[arg-type]
        assert difference(expected, outcome_of(result)) is None
        found.append(result.parallel.reruns)
    return found


@pytest.mark.parametrize("name", ["swaps, one pair", "swaps, clusters"])
def test_swaps_that_met_at_a_pair_are_lined_up_and_stay_so(name: str) -> None:
    """Being lined up they hardly meet any more, which is no reason to forget why."""
    workload = SHAPES[name]()
    (block,) = workload.blocks
    found = reruns_of(block, MemoryState(workload.alloc), engine.workload_chain(workload.fork), times=30)
    assert all(reruns <= len(block.transactions) // 4 for reruns in found[6:])


def test_calls_are_told_apart_by_the_addresses_in_their_calldata() -> None:
    """Calls of one function meet where they name the same address, and only those are lined up. Now and then one tries
    without, as long as the line is of little trust, and those behind it run again with it."""
    selector = bytes.fromhex("55667788")
    places = [int.from_bytes(b"\x99" * 19 + bytes([number]), "big") for number in range(4)]
    block = block_of(
        *(call(number, MARK, selector, places[number % 4], 200_000) for number in range(160)), gas_limit=10**9
    )
    state = MemoryState(people(160) | {MARK: Account(1, 0, MARKS)})
    found = reruns_of(block, state, Fork.LONDON, times=20)[6:]
    assert sum(reruns > 40 for reruns in found) <= len(found) // 3


def test_transactions_without_gas_have_no_length() -> None:
    """They are invalid, and found to be so, on any number of threads."""
    block = block_of(*(call(number, LOOP, bytes(4), 1, 0) for number in range(3)))
    state = MemoryState(people(3) | {LOOP: Account(1, 0, TURNS)})
    for threads in (1, 2, 3):
        with pytest.raises(InvalidBlock):
            execute_block(block, state, Fork.LONDON, validate=False, executor=ParallelExecutor(threads, always=True))


def began_before(result_of: ParallelExecutor, index: int) -> int:
    """How many transactions began after one of the latest block did."""
    _, _, events = result_of.timeline
    begun: dict[int, int] = {}
    for _, what, transaction, begin, _, _ in events:
        if transaction is not None and what.startswith("ran"):
            begun[transaction] = min(begin, begun.get(transaction, begin))
    return sum(begin > begun[index] for begin in begun.values())


def most_behind(block: Block, state: MemoryState, index: int) -> int:
    """How many transactions a later one left behind at best, in some executions, each equal to sequential execution."""
    expected = outcome_of(execute_block(block, state, Fork.LONDON, validate=False))
    executor = ParallelExecutor(2, always=True)
    executor.recording = True
    executor.delays = 1  # threads begin together
    found = 0
    for _ in range(30):
        result = execute_block(block, state, Fork.LONDON, validate=False, executor=executor)
        assert difference(expected, outcome_of(result)) is None
        found = max(found, began_before(executor, index))
    return found


def test_a_transaction_that_would_end_the_block_alone_begins_early() -> None:
    short = [call(number, LOOP, bytes(4), 500, 200_000) for number in range(40)]
    block = block_of(*short, call(40, LOOP, b"\1\2\3\4", 50_000, 4_000_000), gas_limit=10**9)
    state = MemoryState(people(41) | {LOOP: Account(1, 0, TURNS)})
    assert most_behind(block, state, 40) >= 20


def test_a_chain_that_would_end_the_block_begins_early() -> None:
    """Each of its members is short enough to wait for its turn; those who met before are one chain."""
    short = [call(number, LOOP, bytes(4), 1_000, 200_000) for number in range(40)]
    chain = [call(40 + number, CHAIN, bytes(4), 10_000, 1_000_000) for number in range(4)]
    block = block_of(*short, *chain, gas_limit=10**9)
    state = MemoryState(people(44) | {LOOP: Account(1, 0, TURNS), CHAIN: Account(1, 0, TURNS_AND_MARKS)})
    assert most_behind(block, state, 40) >= 20


def test_those_that_meet_for_the_first_time_teach_those_behind_them() -> None:
    """Nothing is known at first, and nearly every swap meets the one before it at their pair."""
    workload = SHAPES["swaps, clusters"]()
    (block,) = workload.blocks
    state, chain = MemoryState(workload.alloc), engine.workload_chain(workload.fork)
    expected = outcome_of(execute_block(block, state, chain, validate=False))
    executor = ParallelExecutor(2, always=True)
    executor.delays = 1  # threads begin together
    found = []
    for _ in range(20):
        forget()
        result = execute_block(block, state, chain, validate=False, executor=executor)
        assert difference(expected, outcome_of(result)) is None
        found.append(result.parallel)
    assert any(each.waits and each.reruns <= len(block.transactions) // 2 for each in found)


def test_calls_that_share_nothing_may_make_contracts_with_storage() -> None:
    """Each call has a factory of its own, and nobody has ever asked for the slots of what it makes."""
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
