"""Transactions streamed while a block is executed: the same ones, in order, with the same errors."""

from __future__ import annotations

import gc
import threading
import time
from pathlib import Path

import pytest

from evmcore import execute_block, execute_block_stream
from evmcore.bench import engine, replay
from evmcore.bench.scenes import scenes
from evmcore.bench.shapes import shapes
from evmcore.bench.workloads import Workload
from evmcore.blocks import Block, Header
from evmcore.errors import EvmcoreError, InputError, InvalidBlock, StateError, TransactionReason
from evmcore.forks import Fork
from evmcore.state import MemoryState, as_backend
from evmcore.stm import ParallelExecutor
from evmcore.transactions import Transaction
from evmcore.types import Account
from tests.failing_states import Failing, Patient, python_case
from tests.parallel_blocks import THREADS, difference, error_of, outcome_of
from tests.shared_files import BLOCKS, needs_blocks
from tests.small_blocks import BURN, BURNER, COUNT, COUNTER, block_of, people, transfer
from tests.waiting import until

SCENES = {scene.name: scene for scene in scenes(seed=4, size=60)}
SHAPES = {name: make for name, make in shapes(seed=6).items() if name not in SCENES}
BY_SIZE = sorted(BLOCKS, key=lambda path: path.stat().st_size)


def executors() -> dict[str, ParallelExecutor | None]:
    found: dict[str, ParallelExecutor | None] = {"sequential": None}
    return found | {f"{count} threads": ParallelExecutor(count, always=True) for count in THREADS}


def seen(transaction: object) -> tuple[object, ...]:
    names = ("status", "gas_used", "gas_refund", "gas_spent", "output", "created_address", "logs", "index", "receipt")
    return tuple(getattr(transaction, name) for name in names)


def check_stream(workload: Workload) -> None:
    """The streamed transactions are those of `execute_block`, and so is the result at the end."""
    (block,) = workload.blocks
    chain = engine.workload_chain(workload.fork)
    expected = execute_block(block, MemoryState(workload.alloc), chain, validate=False)
    wanted = [seen(transaction) for transaction in expected.transactions]
    for name, executor in executors().items():
        state = MemoryState(workload.alloc)
        options = {} if executor is None else {"executor": executor}
        stream = execute_block_stream(block, state, chain, validate=False, commit=True, **options)  # type: ignore[arg-type]
        assert stream.result is None
        given = []
        for number, transaction in enumerate(stream):
            given.append(seen(transaction))
            assert stream.result is None
            assert transaction.receipt == expected.receipts[number]
        assert given == wanted, name
        assert stream.result is not None
        assert difference(outcome_of(expected), outcome_of(stream.result)) is None
        engine.check_outcome(workload.name, state, workload.outcome)
        assert list(stream) == []


@pytest.mark.parametrize("name", [name for name, scene in SCENES.items() if scene.invalid is None])
def test_streamed_scenes_are_equal(name: str) -> None:
    check_stream(SCENES[name])


@pytest.mark.parametrize("name", ["transfers", "erc20, interleaved", "swaps, one pair", "mixed"])
def test_streamed_shapes_are_equal(name: str) -> None:
    check_stream(SHAPES[name]())


@needs_blocks
def test_streamed_real_blocks_have_their_receipts() -> None:
    for path in BY_SIZE[::6]:
        real = replay.load(path)
        for threads in (1, 2, 8):
            state = MemoryState(real.alloc)
            stream = execute_block_stream(
                real.block, state, real.chain, threads=threads, block_hashes=real.block_hashes, validate=False
            )
            receipts = [transaction.receipt for transaction in stream]
            assert replay.difference(real.receipts, receipts) is None


def test_results_stay_readable_while_the_arrays_behind_them_grow() -> None:
    """Every transaction leaves 4 KiB of log data, so that the arrays are moved many times under the reader."""
    # CODECOPY fills the memory, then two LOG1s
    logger = bytes.fromhex("61100060005f39") + bytes.fromhex("6007611000 5fa1".replace(" ", "")) * 2
    target = b"\x10" * 20
    block = block_of(*(transfer(number, target, value=0) for number in range(300)))
    alloc = people(300) | {target: Account(1, 0, logger)}
    expected = execute_block(block, MemoryState(alloc), Fork.SHANGHAI, validate=False)
    assert sum(len(log.data) for receipt in expected.receipts for log in receipt.logs) == 300 * 2 * 4096
    for threads in (1, 3):
        stream = execute_block_stream(block, MemoryState(alloc), Fork.SHANGHAI, threads=threads, validate=False)
        kept = list(stream)
        assert [transaction.logs for transaction in kept] == [receipt.logs for receipt in expected.receipts]
        assert [transaction.receipt for transaction in kept] == list(expected.receipts)


def test_receipts_outlive_the_stream() -> None:
    (block,) = SCENES["one counter"].blocks
    stream = execute_block_stream(block, MemoryState(SCENES["one counter"].alloc), "cancun", validate=False)
    transactions = list(stream)
    result = stream.result
    assert result is not None
    del stream
    gc.collect()
    assert [transaction.receipt for transaction in transactions] == list(result.receipts)


def test_roots_after_each_transaction_are_in_the_streamed_receipts() -> None:
    """Before Byzantium, where a receipt has the state root."""
    block = block_of(*(transfer(number, COUNTER, value=0) for number in range(20)))
    alloc = people(20) | {COUNTER: Account(1, 0, COUNT)}

    def execute(streamed: bool) -> list[bytes | None]:
        # Nothing in the header is right: the roots are seen before that is found out.
        options = {"check_state_root": True, "validate": False}
        state = MemoryState(alloc)
        if streamed:
            stream = execute_block_stream(block, state, Fork.HOMESTEAD, **options)  # type: ignore[arg-type]
            return [transaction.receipt.state_root for transaction in stream]
        result = execute_block(block, state, Fork.HOMESTEAD, **options)  # type: ignore[arg-type]
        return [receipt.state_root for receipt in result.receipts]

    roots = execute(streamed=False)
    assert None not in roots and len(set(roots)) == 20
    assert execute(streamed=True) == roots


# ------------------------------------------------------------ while it runs


def test_transactions_come_while_later_ones_still_run() -> None:
    """The last transaction reads a slot of a state that answers only when the first ten results have been seen."""
    gate = threading.Event()
    alloc = people(11) | {COUNTER: Account(1, 0, COUNT)}
    block = block_of(*(transfer(number, person_to(number), gas=21_000) for number in range(10)), transfer(10, COUNTER))
    for threads in (1, 2, 8):
        gate.clear()
        stream = execute_block_stream(
            block, as_backend(Patient(alloc, gate)), Fork.LONDON, threads=threads, validate=False
        )
        for number in range(10):
            assert next(stream).index == number
        gate.set()
        assert next(stream).index == 10
        assert list(stream) == []


def person_to(number: int) -> bytes:
    return b"\x0b" * 18 + number.to_bytes(2, "big")


def test_a_slow_reader_holds_nobody_up() -> None:
    (block,) = SCENES["one counter"].blocks
    stream = execute_block_stream(block, MemoryState(SCENES["one counter"].alloc), "cancun", threads=2, validate=False)
    next(stream)
    until(lambda: not any(thread.name == "evmcore block" for thread in threading.enumerate()))
    assert [transaction.index for transaction in stream] == list(range(1, 60))


def test_nothing_is_applied_before_the_end_has_been_seen() -> None:
    scene = SCENES["one counter"]
    (block,) = scene.blocks
    state = MemoryState(scene.alloc)
    stream = execute_block_stream(block, state, "cancun", threads=3, validate=False, commit=True)
    for _ in range(60):
        next(stream)
        assert state == MemoryState(scene.alloc)
    assert list(stream) == []
    engine.check_outcome(scene.name, state, scene.outcome)


# ------------------------------------------------------------ closing


def running() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "evmcore block"]


def burning_block(count: int) -> tuple[Block, dict[bytes, Account]]:
    """Half a minute of work in one transaction and ten more behind it."""
    block = block_of(
        transfer(0, COUNTER, value=0),
        *(transfer(number, BURNER, value=0, gas=20_000_000_000) for number in range(1, count)),
        gas_limit=10**15,
    )
    return block, people(count) | {COUNTER: Account(1, 0, COUNT), BURNER: Account(1, 0, BURN)}


@pytest.mark.parametrize("threads", [1, 2, 8])
@pytest.mark.parametrize("how", ["close", "with", "drop", "before it begins"])
def test_closing_early_ends_everything(how: str, threads: int) -> None:
    block, alloc = burning_block(10)
    state = MemoryState(alloc)
    start = time.process_time()
    stream = execute_block_stream(block, state, Fork.LONDON, threads=threads, validate=False, commit=True)
    if how != "before it begins":
        assert next(stream).index == 0
        assert len(running()) == 1
    if how == "with":
        with stream:
            pass
    elif how == "drop":
        del stream
        gc.collect()
    else:
        stream.close()
        stream.close()
    assert not running()
    assert time.process_time() - start < 10, "did not stop in the middle of a transaction"
    assert state == MemoryState(alloc)
    if how == "close":
        assert list(stream) == [] and stream.result is None
    state.set_balance(COUNTER, 1)  # nobody reads it any more


@pytest.mark.parametrize("threads", [1, 3])
def test_short_transactions_are_not_run_to_the_end_either(threads: int) -> None:
    block = block_of(
        *(transfer(number % 50, person_to(number), nonce=number // 50, gas=21_000) for number in range(20_000)),
        gas_limit=10**12,
    )
    state = MemoryState(people(50))
    stream = execute_block_stream(block, state, Fork.LONDON, threads=threads, validate=False)
    next(stream)
    stream.close()
    assert not running()


# ------------------------------------------------------------ errors


@pytest.mark.parametrize("name", [name for name, scene in SCENES.items() if scene.invalid is not None])
def test_an_invalid_transaction_is_raised_after_those_before_it(name: str) -> None:
    scene = SCENES[name]
    (block,) = scene.blocks
    at = {"start": 0, "middle": 30, "end": 59}[name.rpartition(" ")[2]]
    with pytest.raises(InvalidBlock) as expected:
        execute_block(block, MemoryState(scene.alloc), "cancun", validate=False)
    for label, executor in executors().items():
        state = MemoryState(scene.alloc)
        options = {} if executor is None else {"executor": executor}
        stream = execute_block_stream(block, state, "cancun", validate=False, commit=True, **options)  # type: ignore[arg-type]
        indices: list[int] = []
        with pytest.raises(InvalidBlock) as caught:
            indices.extend(transaction.index for transaction in stream)
        assert error_of(caught.value) == error_of(expected.value), label
        assert caught.value.reason is TransactionReason.NONCE_MISMATCH_TOO_HIGH
        assert state == MemoryState(scene.alloc)
        assert list(stream) == [] and stream.result is None
        assert not running()
        assert len(indices) <= at


def test_every_valid_transaction_before_an_invalid_one_is_seen() -> None:
    scene = SCENES["invalid at the middle"]
    (block,) = scene.blocks
    for threads in THREADS:
        count = 0
        with pytest.raises(InvalidBlock):
            for transaction in execute_block_stream(
                block, MemoryState(scene.alloc), "cancun", threads=threads, validate=False
            ):
                assert transaction.index == count
                count += 1
        assert count == 30


def test_a_header_that_is_wrong_is_raised_at_the_end() -> None:
    (block,) = SCENES["one counter"].blocks
    state = MemoryState(SCENES["one counter"].alloc)
    with pytest.raises(InvalidBlock) as expected:
        execute_block(block, state, "cancun")
    stream = execute_block_stream(block, state, "cancun", threads=2)
    with pytest.raises(InvalidBlock) as caught:
        list(stream)
    assert error_of(caught.value) == error_of(expected.value)


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_a_failing_read_is_raised_and_ends_everything(threads: int) -> None:
    for seed in range(4):
        case = python_case(seed)
        counting = Failing(case.alloc)
        try:
            execute_block(case.block, as_backend(counting), case.fork, validate=False)
        except EvmcoreError:
            continue
        for fails_at in range(1, counting.reads + 1, max(1, counting.reads // 8)):
            state = Failing(case.alloc, fails_at)
            executor = ParallelExecutor(threads, always=True)
            stream = execute_block_stream(
                case.block, as_backend(state), case.fork, validate=False, commit=True, executor=executor
            )
            with pytest.raises(StateError, match=f"read {fails_at}"):
                list(stream)
            assert state.applied == 0
            assert not running()


def test_a_stream_is_refused_for_what_is_no_block() -> None:
    with pytest.raises(InputError, match="block"):
        execute_block_stream("block", MemoryState({}))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="threads"):
        execute_block_stream(Block(Header(number=1), ()), MemoryState({}), threads=-1)


def test_a_state_that_is_none_is_refused_by_the_first_step() -> None:
    stream = execute_block_stream(Block(Header(number=1), ()), object(), "london")  # type: ignore[arg-type]
    with pytest.raises(InputError):
        next(stream)


def test_many_streams_leave_nothing_behind() -> None:
    (block,) = SCENES["one counter"].blocks
    state = MemoryState(SCENES["one counter"].alloc)

    def run(count: int) -> None:
        for number in range(count):
            stream = execute_block_stream(block, state, "cancun", threads=1 + number % 3, validate=False)
            for transaction in stream:
                if transaction.index == number % 60:
                    break

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4

    if not Path("/proc/self/statm").exists():
        pytest.skip("reads the memory in use from /proc")
    run(300)
    before = resident()
    run(600)
    assert resident() - before < 2_048, "KiB more after 600 streams"
    gc.collect()
    assert not running()


def test_a_tracer_sees_a_streamed_block() -> None:
    from evmcore.tracing import DependencyTracer

    (block,) = SCENES["one counter"].blocks
    tracer = DependencyTracer()
    state = MemoryState(SCENES["one counter"].alloc)
    assert len(list(execute_block_stream(block, state, "cancun", threads=2, validate=False, tracer=tracer))) == 60
    assert len(tracer.times) == 60
    assert tracer.critical_path == sum(tracer.times), "everybody waits for the one before"


def test_a_transaction_of_a_stream_says_which_it_is() -> None:
    block = block_of(Transaction(sender=b"\1" * 20, to=b"\2" * 20, gas_price=0))
    (transaction,) = execute_block_stream(block, MemoryState({}), Fork.LONDON, validate=False)
    assert transaction.index == 0 and transaction.diff is None
    assert transaction.receipt.transaction_hash == block.transactions[0].hash
