"""Blocks executed with a given access list: exactly the block's list is accepted, at any number of threads.

That right lists give what sequential execution gives is compared for every real block, workload, fixture and random
block in `tests.parallel_blocks`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evmcore.access_lists import AccountChanges, BlockAccessList
from evmcore.bench import replay
from evmcore.blocks import Block
from evmcore.errors import BlockReason, InputError, InvalidBlock, StateError, TransactionReason
from evmcore.execution import execute_block, execute_block_stream
from evmcore.forks import Fork
from evmcore.listed import ListedExecutor
from evmcore.state import MemoryState, State
from evmcore.tracing import CallTracer
from evmcore.types import Account, Withdrawal
from tests.access_list_faults import FAULTS, WRONG_FORMAT, faulty_lists
from tests.assembly import assemble
from tests.listed_blocks import ALLOC, BOB, READER, WRITER, block_of, pay
from tests.parallel_blocks import Outcome, difference, observe_result, outcome_of
from tests.parallel_fuzz.cases import make_case
from tests.parallel_fuzz.check import repaired
from tests.shared_files import BLOCKS, block_name, needs_blocks

THREADS = (1, 2, 3, 8)


def given(
    block: Block, state: MemoryState, fork: Any, listed: BlockAccessList | bytes, **options: Any
) -> list[Outcome]:
    """What each number of threads makes of it."""
    return [
        observe_result(
            lambda threads=threads: execute_block(
                block, state, fork, threads=threads, access_list=listed, validate=False, **options
            )
        )
        for threads in THREADS
    ]


def only_error(outcomes: list[Outcome]) -> tuple[Any, ...]:
    """The error that all of them ended with."""
    assert all(outcome == outcomes[0] for outcome in outcomes), outcomes
    error = outcomes[0]["error"]
    assert isinstance(error, tuple)
    return error


def check_faults(seed: int, block: Block, alloc: Mapping[bytes, Account], fork: Any, **options: Any) -> Counter[str]:
    """Every fault that the block's list can have is found, in the same words by any number of threads."""
    counts: Counter[str] = Counter()
    state, before = MemoryState(alloc), MemoryState(alloc)
    right = execute_block(block, state, fork, access_list=True, validate=False, **options).access_list
    assert right is not None
    for fault, wrong in faulty_lists(seed, right, len(block.transactions)):
        kind, reason, _, words, _ = only_error(given(block, state, fork, wrong, **options))
        expected = BlockReason.INVALID_BLOCK_ACCESS_LIST
        if fault in WRONG_FORMAT:
            expected = BlockReason.INCORRECT_BLOCK_FORMAT
        assert (kind, reason) == (InvalidBlock, expected), (fault.__name__, words)
        assert "0x" in words and (fault in WRONG_FORMAT or "ind" in words or "slot" in words), words
        assert state == before, fault.__name__
        counts[fault.__name__] += 1
    return counts


def test_lists_with_any_fault_are_rejected_alike_at_any_number_of_threads(tell: Callable[[str], None]) -> None:
    counts: Counter[str] = Counter()
    for seed in range(40):
        case = repaired(make_case(seed, fork=(Fork.CANCUN, Fork.PRAGUE, Fork.OSAKA, None)[seed % 4]))
        if case.block.transactions:
            counts += check_faults(seed, case.block, case.alloc, case.fork)
    tell("faults in access lists: " + ", ".join(f"{name} {count}" for name, count in counts.items()))
    assert set(counts) == {fault.__name__ for fault in FAULTS}


@needs_blocks
@pytest.mark.parametrize("path", BLOCKS[::5], ids=block_name)
def test_faulty_lists_of_real_blocks_are_rejected(path: Path) -> None:
    real = replay.load(path)
    check_faults(real.block.header.number, real.block, real.alloc, real.chain, block_hashes=real.block_hashes)


def test_an_invalid_block_gives_one_error_at_any_number_of_threads() -> None:
    reasons: Counter[str] = Counter()
    for seed in range(1000, 1060):
        case = make_case(seed)
        fixed = repaired(case)
        if fixed is case or not fixed.block.transactions:
            continue  # the block is valid
        state, before = MemoryState(case.alloc), MemoryState(case.alloc)
        listed = execute_block(fixed.block, state, case.fork, access_list=True, validate=False).access_list
        assert listed is not None
        kind, reason, *_ = only_error(given(case.block, state, case.fork, listed))
        assert kind is InvalidBlock and isinstance(reason, (BlockReason, TransactionReason))
        assert state == before
        reasons[type(reason).__name__] += 1
    assert reasons["TransactionReason"] > 20


# ---------------------------------------------------------------------------------------------------- small blocks


def listed_by(block: Block, alloc: Mapping[bytes, Account] = ALLOC, fork: Fork = Fork.SHANGHAI) -> BlockAccessList:
    made = execute_block(block, MemoryState(alloc), fork, access_list=True, validate=False).access_list
    assert made is not None
    return made


def test_every_transaction_runs_once() -> None:
    block = block_of(*(pay(nonce, WRITER) for nonce in range(40)))
    for threads in THREADS:
        result = execute_block(
            block, MemoryState(ALLOC), Fork.SHANGHAI, threads=threads, access_list=listed_by(block), validate=False
        )
        assert result.parallel.executions == 40
        assert result.parallel.threads == threads
        assert not result.parallel.fallback
        assert result.access_list == listed_by(block)
        (change,) = result.diff.storage_changes
        assert change.new == 40


def test_where_the_time_goes_is_told() -> None:
    block = block_of(*(pay(nonce, WRITER) for nonce in range(50)))
    right = listed_by(block)
    for threads in THREADS:
        counters = execute_block(
            block, MemoryState(ALLOC), Fork.SHANGHAI, threads=threads, access_list=right, validate=False
        ).parallel
        assert 1 <= counters.threads <= threads
        assert all(counters.phases[name] > 0 for name in ("list", "opening", "running", "committing"))
        assert all(counters.phases[name] >= 0 for name in ("waking", "waiting"))
        assert counters.phases["opening"] + counters.phases["running"] // counters.threads <= counters.phases["execute"]
        assert "sequential" not in counters.phases and counters.executions == 50
    unheard = execute_block(
        block, MemoryState(ALLOC), Fork.HOMESTEAD, access_list=listed_by(block, fork=Fork.HOMESTEAD), validate=False
    ).parallel
    assert unheard.phases["sequential"] > 0 and unheard.phases["running"] == 0


def test_a_block_without_transactions_is_compared_too() -> None:
    block = block_of(withdrawals=(Withdrawal(0, 0, BOB, 5), Withdrawal(1, 1, READER, 0)))
    right = listed_by(block)
    assert [account.address for account in right] == sorted([BOB, READER])
    assert right.account(BOB) == AccountChanges(BOB, balance_changes=((1, 5 * 10**9),))  # type: ignore[arg-type]
    assert right.account(READER) == AccountChanges(READER)
    assert "error" not in given(block, MemoryState(ALLOC), Fork.SHANGHAI, right)[0]
    for fault, wrong in faulty_lists(1, right, 0):
        assert only_error(given(block, MemoryState(ALLOC), Fork.SHANGHAI, wrong))[0] is InvalidBlock, fault


def test_a_traced_block_is_compared_too() -> None:
    block = block_of(pay(0, WRITER), pay(1, READER))
    right = listed_by(block)

    def run(listed: BlockAccessList) -> Any:
        return execute_block(
            block, MemoryState(ALLOC), Fork.SHANGHAI, access_list=listed, validate=False, tracer=CallTracer()
        )

    assert run(right).gas_used
    for _, wrong in faulty_lists(3, right, 2):
        with pytest.raises(InvalidBlock):
            run(wrong)


def test_a_streamed_block_can_have_its_list_given() -> None:
    block = block_of(*(pay(nonce, WRITER) for nonce in range(5)))
    right = listed_by(block)
    with execute_block_stream(
        block, MemoryState(ALLOC), Fork.SHANGHAI, threads=2, access_list=right, validate=False
    ) as stream:
        assert len(list(stream)) == 5
    assert stream.result.access_list == right
    wrong = BlockAccessList([replace(account, nonce_changes=()) for account in right])
    with (
        pytest.raises(InvalidBlock),
        execute_block_stream(
            block, MemoryState(ALLOC), Fork.SHANGHAI, threads=2, access_list=wrong, validate=False
        ) as stream,
    ):
        list(stream)


def test_more_declared_reads_than_the_gas_can_pay_for_end_the_block_early() -> None:
    """EIP-7928, early rejection: no transaction need be run where the list alone shows that it cannot be right."""
    block = block_of(pay(0, READER), gas_limit=1_000_000)
    right = listed_by(block)
    reads = tuple(range(2, 2 + 1_000_000 // 1600))
    accounts = [
        replace(account, storage_reads=(0, 1, *reads)) if account.address == READER else account for account in right
    ]
    kind, reason, _, words, _ = only_error(given(block, MemoryState(ALLOC), Fork.SHANGHAI, BlockAccessList(accounts)))
    assert (kind, reason) == (InvalidBlock, BlockReason.INVALID_BLOCK_ACCESS_LIST)
    assert "627 declared reads left and 1000000 gas" in words


def test_the_reads_of_request_contracts_take_no_gas_of_the_block() -> None:
    """EIP-7002: what the block itself calls after its transactions may read, however little gas is left."""
    contract = bytes.fromhex("00000961ef480eb55e80d19ad83579a64c007002")
    code = b"".join(bytes.fromhex("61") + slot.to_bytes(2, "big") + b"\x54\x50" for slot in range(300)) + b"\x00"
    alloc = {
        **ALLOC,
        contract: Account(1, 0, code),
        bytes.fromhex("0000bbddc7ce488642fb579f8b00f3a590007251"): Account(1, 0, b"\x00"),
    }
    block = block_of(pay(0, BOB, gas=21_000), gas_limit=30_000)
    right = listed_by(block, alloc, Fork.PRAGUE)
    account = right.account(contract)
    assert account is not None and len(account.storage_reads) == 300
    for outcome in given(block, MemoryState(alloc), Fork.PRAGUE, right):
        assert "error" not in outcome


def test_the_size_of_the_list_is_limited_where_the_fork_has_that_rule() -> None:
    block = block_of(pay(0, READER))
    right = listed_by(block)
    assert right.item_count == 5
    execute_block(
        block, MemoryState(ALLOC), Fork.SHANGHAI, validate=False, executor=ListedExecutor(right, 1, limit_size=True)
    )
    tight = block_of(pay(0, READER), gas_limit=9_999)
    with pytest.raises(InvalidBlock) as raised:
        execute_block(
            tight, MemoryState(ALLOC), Fork.SHANGHAI, validate=False, executor=ListedExecutor(right, 1, limit_size=True)
        )
    assert raised.value.reason == BlockReason.BLOCK_ACCESS_LIST_GAS_LIMIT_EXCEEDED


def test_what_is_no_list_is_said_to_be_none() -> None:
    block = block_of(pay(0, BOB))
    with pytest.raises(InvalidBlock, match="expected 6 members") as raised:
        execute_block(block, MemoryState(ALLOC), Fork.SHANGHAI, access_list=b"\xc1\xc0", validate=False)
    assert raised.value.reason == BlockReason.RLP_STRUCTURES_ENCODING
    with pytest.raises(InputError, match="access_list"):
        execute_block(block, MemoryState(ALLOC), Fork.SHANGHAI, access_list=7, validate=False)  # type: ignore[arg-type]
    executor = ListedExecutor(listed_by(block))
    with pytest.raises(InputError, match="give one of them"):
        execute_block(
            block, MemoryState(ALLOC), Fork.SHANGHAI, access_list=listed_by(block), executor=executor, validate=False
        )
    execute_block(block, MemoryState(ALLOC), Fork.SHANGHAI, executor=executor, validate=False)
    with pytest.raises(InputError, match="one block"):
        execute_block(block, MemoryState(ALLOC), Fork.SHANGHAI, executor=executor, validate=False)


# ---------------------------------------------------------------------------------------------------- backends


class Recording(State):
    """A state that says what it was asked for."""

    def __init__(self, alloc: Mapping[bytes, Account]) -> None:
        self.alloc = alloc
        self.asked: list[Any] = []
        self.fetched: list[Any] = []

    def account(self, address: bytes) -> Account | None:
        self.asked.append(address)
        return self.alloc.get(address)

    def storage(self, address: bytes, slot: int) -> int:
        self.asked.append((address, slot))
        return self.alloc[address].storage.get(slot, 0)


class Fetching(Recording):
    def prefetch(self, addresses: list[bytes], slots: list[tuple[bytes, int]]) -> None:
        assert not self.asked
        self.fetched.append((addresses, slots))


class Failing(Recording):
    def storage(self, address: bytes, slot: int) -> int:
        raise ConnectionError("gone")


@pytest.mark.parametrize("threads", THREADS)
def test_each_account_and_slot_is_read_once_for_all_transactions(threads: int) -> None:
    block = block_of(*(pay(nonce, (READER, WRITER)[nonce % 2]) for nonce in range(20)))
    state = Recording(ALLOC)
    execute_block(block, state, Fork.SHANGHAI, threads=threads, access_list=listed_by(block), validate=False)
    repeated = [what for what, count in Counter(state.asked).items() if count > threads]
    assert not repeated


def test_all_that_is_listed_is_fetched_in_one_batch_where_the_state_can() -> None:
    block = block_of(pay(0, READER), pay(1, WRITER))
    right = listed_by(block)
    state = Fetching(ALLOC)
    execute_block(block, state, Fork.SHANGHAI, threads=2, access_list=right, validate=False)
    ((addresses, slots),) = state.fetched
    assert addresses == [account.address for account in right]
    assert sorted(slots) == sorted([(READER, 0), (READER, 1), (WRITER, 0)])
    assert {*state.asked} <= {*addresses, *slots}


@pytest.mark.parametrize("threads", THREADS)
def test_a_state_that_cannot_be_read_ends_the_block_with_its_error(threads: int) -> None:
    block = block_of(*(pay(nonce, READER) for nonce in range(6)))
    with pytest.raises(StateError, match="gone") as raised:
        execute_block(
            block, Failing(ALLOC), Fork.SHANGHAI, threads=threads, access_list=listed_by(block), validate=False
        )
    assert isinstance(raised.value.__cause__, ConnectionError)


def test_committing_applies_what_sequential_execution_would() -> None:
    block = block_of(*(pay(nonce, (READER, WRITER, BOB)[nonce % 3], value=nonce % 2) for nonce in range(30)))
    one, other = MemoryState(ALLOC), MemoryState(ALLOC)
    sequential = execute_block(block, one, Fork.SHANGHAI, validate=False, commit=True, access_list=True)
    by_list = execute_block(
        block, other, Fork.SHANGHAI, validate=False, commit=True, threads=2, access_list=sequential.access_list or b""
    )
    assert difference(outcome_of(sequential), outcome_of(by_list)) is None
    assert one == other


def test_an_empty_account_that_went_before_the_transactions_is_gone_for_them() -> None:
    """EIP-161 clears an empty account that a system call touches, which no list tells; calling it with value then costs
    25,000 gas for a new account."""
    roots = bytes.fromhex("000f3df6d732807ef1319fb7b8bb8522d0beac02")
    empty = b"\xe0" * 20
    alloc = {
        **ALLOC,
        empty: Account(0, 0, b"", {7: 1}),  # with storage, as the accounts that EIP-7610 is about
        roots: Account(1, 0, assemble(f"0 0 0 0 0 0x{empty.hex()} GAS CALL STOP")),
        READER: Account(1, 5, assemble(f"0 0 0 0 1 0x{empty.hex()} GAS CALL STOP")),
    }
    block = block_of(pay(0, READER), pay(1, READER))
    right = listed_by(block, alloc, Fork.CANCUN)
    state = MemoryState(alloc)
    expected = outcome_of(execute_block(block, state, Fork.CANCUN, access_list=True, validate=False))
    first, second = (gas_used for _, gas_used, *_ in expected["transactions"])
    assert first == second + 25_000
    for outcome in given(block, state, Fork.CANCUN, right):
        assert difference(expected, outcome) is None
