"""What each transaction of a stream accessed and changed, told while later ones still run.

That these records are what the executable specification accesses is compared in `tests.test_access_lists_spec`.
"""

from __future__ import annotations

import gc
import inspect
import threading
from typing import Any

import pytest

from evmcore import execute_block, execute_block_stream
from evmcore._block_result import BlockResult
from evmcore._block_run import Executor
from evmcore.access_lists import AccountChanges, BalanceChange, BlockAccessList, SlotChanges, StorageChange
from evmcore.bench import replay
from evmcore.errors import InvalidBlock
from evmcore.forks import Fork
from evmcore.listed import ListedExecutor
from evmcore.state import MemoryState, as_backend
from evmcore.stm import ParallelExecutor
from evmcore.tracing import CallTracer
from evmcore.types import Account
from tests.assembly import assemble
from tests.failing_states import Patient
from tests.parallel_fuzz.cases import make_case
from tests.parallel_fuzz.check import repaired
from tests.shared_files import BLOCKS, needs_blocks
from tests.small_blocks import COUNT, COUNTER, block_of, people, transfer

THREADS = (1, 2, 3, 8)
BY_SIZE = sorted(BLOCKS, key=lambda path: path.stat().st_size)


def executors(listed: BlockAccessList, delays: int = 0) -> dict[str, Executor]:
    """Every way to execute a block."""
    made: dict[str, Executor] = {"sequential": Executor()}
    for threads in THREADS:
        parallel, by_list = ParallelExecutor(threads, always=True), ListedExecutor(listed, threads)
        parallel.delays = by_list.delays = delays and delays + threads
        made |= {f"{threads} threads": parallel, f"{threads} threads, list given": by_list}
    return made


def parts_of(result: BlockResult) -> list[BlockAccessList]:
    assert result.accesses is not None
    return [result.accesses.part(index) for index in range(len(result.block.transactions) + 2)]


def check(block: Any, state: Any, chain: Any, delays: int = 0, **options: Any) -> BlockResult:
    """Every executor streams the records that sequential execution has of the parts, and they are the list together."""
    expected = execute_block(block, state, chain, validate=False, access_list=True, **options)
    assert expected.access_list is not None
    parts = parts_of(expected)
    for name, executor in executors(expected.access_list, delays).items():
        stream = execute_block_stream(block, state, chain, validate=False, accesses=True, executor=executor, **options)
        given = [transaction.accesses for transaction in stream]
        assert given == parts[1:-1], name
        assert stream.result is not None
        assert parts_of(stream.result) == parts, name
        assert stream.result.access_list == expected.access_list
    assert BlockAccessList.joined(reversed(parts)) == expected.access_list
    return expected


@pytest.mark.parametrize("first", range(0, 60, 12))
def test_random_blocks_stream_their_records(first: int) -> None:
    for seed in range(first, first + 12):
        case = repaired(make_case(seed))
        try:
            execute_block(case.block, MemoryState(case.alloc), case.fork, validate=False)
        except InvalidBlock:
            continue
        check(case.block, MemoryState(case.alloc), case.fork, delays=seed + 1)


@needs_blocks
def test_real_blocks_stream_their_records() -> None:
    for path in BY_SIZE[::8]:
        real = replay.load(path)
        check(real.block, MemoryState(real.alloc), real.chain, block_hashes=real.block_hashes)


def test_many_accounts_and_slots_are_read_while_the_arrays_behind_them_grow() -> None:
    """Every transaction writes 40 slots of its own, in an account of its own."""
    count = 200
    writer = assemble(" ".join(f"{number + 1} {number} SSTORE" for number in range(40)))
    block = block_of(
        *(
            transfer(number, b"\x0d" * 18 + number.to_bytes(2, "big"), value=0, gas=1_000_000)
            for number in range(count)
        ),
        gas_limit=10**9,
    )
    alloc = people(count) | {b"\x0d" * 18 + number.to_bytes(2, "big"): Account(1, 0, writer) for number in range(count)}
    check(block, MemoryState(alloc), Fork.LONDON)


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("by_list", [False, True])
def test_records_come_while_later_transactions_still_run(threads: int, by_list: bool) -> None:
    """The last transaction reads a slot of a state that answers only when the records of the first ten were seen."""
    gate = threading.Event()
    alloc = people(11) | {COUNTER: Account(1, 0, COUNT)}
    receivers = [b"\x0b" * 18 + number.to_bytes(2, "big") for number in range(10)]
    block = block_of(*(transfer(number, receivers[number], gas=21_000) for number in range(10)), transfer(10, COUNTER))
    listed = execute_block(block, MemoryState(alloc), Fork.LONDON, validate=False, access_list=True).access_list
    assert listed is not None
    stream = execute_block_stream(
        block,
        as_backend(Patient(alloc, gate)),
        Fork.LONDON,
        threads=threads,
        access_list=listed if by_list else False,
        accesses=True,
        validate=False,
    )
    for number in range(10):
        accesses = next(stream).accesses
        assert accesses is not None
        paid = accesses.account(receivers[number])
        assert paid is not None and [change.block_access_index for change in paid.balance_changes] == [number + 1]
    gate.set()
    last = next(stream).accesses
    assert last is not None
    assert last.account(COUNTER) == AccountChanges(
        COUNTER, (SlotChanges(0, (StorageChange(11, 1),)),), balance_changes=(BalanceChange(11, 1),)
    )
    assert list(stream) == []


def test_records_are_there_only_when_asked_for() -> None:
    block = block_of(*(transfer(number, COUNTER) for number in range(5)))
    state = MemoryState(people(5) | {COUNTER: Account(1, 0, COUNT)})
    listed = execute_block(block, state, Fork.LONDON, validate=False, access_list=True).access_list
    for options in ({}, {"threads": 2}, {"access_list": listed}, {"access_list": listed, "threads": 2}):
        with execute_block_stream(block, state, Fork.LONDON, validate=False, **options) as stream:
            assert [transaction.accesses for transaction in stream] == [None] * 5
        assert stream.result is not None and stream.result.accesses is None


def test_records_outlive_the_stream_and_its_result() -> None:
    block = block_of(*(transfer(number, COUNTER) for number in range(5)))
    state = MemoryState(people(5) | {COUNTER: Account(1, 0, COUNT)})
    result = execute_block(block, state, Fork.LONDON, validate=False, access_list=True)
    parts = parts_of(result)
    for executor in executors(result.access_list).values():  # type: ignore[arg-type]
        stream = execute_block_stream(block, state, Fork.LONDON, validate=False, accesses=True, executor=executor)
        kept = list(stream)
        del stream, executor
        gc.collect()
        assert [transaction.accesses for transaction in kept] == parts[1:-1]


@pytest.mark.parametrize("fork", [Fork.HOMESTEAD, Fork.LONDON])
def test_transactions_that_are_looked_at_one_by_one_have_their_records(fork: Fork) -> None:
    """With a tracer, or, before Byzantium, with the state root after each."""
    block = block_of(*(transfer(number, COUNTER) for number in range(5)))
    state = MemoryState(people(5) | {COUNTER: Account(1, 0, COUNT)})
    expected = execute_block(block, state, fork, validate=False, access_list=True)
    one_by_one: dict[str, Any] = {"check_state_root": True} if fork < Fork.BYZANTIUM else {"tracer": CallTracer()}
    assert expected.access_list is not None
    for listed in (True, expected.access_list):
        stream = execute_block_stream(
            block,
            state,
            fork,
            validate=False,
            accesses=True,
            access_list=listed,
            **one_by_one,
        )
        assert [transaction.accesses for transaction in stream] == parts_of(expected)[1:-1]
        assert stream.result is not None and parts_of(stream.result) == parts_of(expected)


def test_a_block_whose_list_tells_too_little_streams_the_records_of_what_runs_on() -> None:
    """Before EIP-161 a list does not tell whether an account is there, so nothing runs by it."""
    block = block_of(*(transfer(number, COUNTER) for number in range(5)))
    state = MemoryState(people(5) | {COUNTER: Account(1, 0, COUNT)})
    result = check(block, state, Fork.HOMESTEAD)
    again = execute_block(block, state, Fork.HOMESTEAD, validate=False, access_list=result.access_list)  # type: ignore[arg-type]
    assert again.parallel.fallback


def test_a_transaction_that_is_not_as_listed_is_not_streamed() -> None:
    block = block_of(*(transfer(number, COUNTER) for number in range(6)))
    state = MemoryState(people(6) | {COUNTER: Account(1, 0, COUNT)})
    listed = execute_block(block, state, Fork.LONDON, validate=False, access_list=True).access_list
    assert listed is not None
    slots = (SlotChanges(0, tuple(StorageChange(at, at if at != 4 else 9) for at in range(1, 7))),)
    wrong = BlockAccessList(
        AccountChanges(account.address, slots, (), account.balance_changes) if account.address == COUNTER else account
        for account in listed
    )
    for threads in THREADS:
        seen = []
        with pytest.raises(InvalidBlock, match="index 4 changes slot 0"):
            for transaction in execute_block_stream(
                block, state, Fork.LONDON, threads=threads, access_list=wrong, accesses=True, validate=False
            ):
                seen.append((transaction.index, transaction.accesses is not None))
        assert seen == [(0, True), (1, True), (2, True)]


def test_both_ways_to_execute_a_block_take_the_same_arguments() -> None:
    once, streamed = inspect.signature(execute_block), inspect.signature(execute_block_stream)
    assert once.parameters == streamed.parameters
    assert [*once.parameters][:4] == ["block", "state", "chain", "threads"]
    assert once.parameters["validate"].default is True
    with pytest.raises(TypeError, match="unknown_argument"):
        execute_block(block_of(), MemoryState({}), unknown_argument=1)  # type: ignore[call-arg]
