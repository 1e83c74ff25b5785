"""Every workload for comparing executors gives the same outcome on any number of threads as sequentially."""

from __future__ import annotations

import pytest

from evmcore import execute_block
from evmcore._receipts import logs_bloom
from evmcore.bench import engine
from evmcore.bench.scenes import scenes
from evmcore.bench.shapes import gigagas, shapes
from evmcore.bench.workloads import Workload
from evmcore.counters import PHASES
from evmcore.errors import InputError, InvalidBlock
from evmcore.state import MemoryState
from evmcore.stm import ParallelExecutor
from evmcore.trie import ordered_root
from tests.parallel_blocks import THREADS, check_equal, difference, executors_for, outcome_of

SCENES = {scene.name: scene for scene in scenes(seed=3, size=60)}
SHAPES = {name: make for name, make in shapes(seed=5).items() if name not in SCENES}


@pytest.mark.parametrize("name", SCENES)
def test_scenes_are_equal(name: str) -> None:
    scene = SCENES[name]
    chain = engine.workload_chain(scene.fork)
    state = MemoryState(scene.alloc)
    (block,) = scene.blocks
    before = state.copy()
    executors = executors_for(THREADS)
    for delays in range(8):
        expected, words = check_equal(
            block, state, chain, executors, delays=delays, before=before, state_root=not delays
        )
        assert words is None
        if scene.invalid is None:
            assert "error" not in expected
        else:
            assert expected["error"][1] is scene.invalid


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_are_equal(name: str) -> None:
    workload = SHAPES[name]()
    state = MemoryState(workload.alloc)
    (block,) = workload.blocks
    _, words = check_equal(block, state, engine.workload_chain(workload.fork), executors_for(THREADS))
    assert words is None


@pytest.mark.parametrize("name", [*SCENES, *SHAPES])
def test_the_argument_threads_changes_nothing(name: str) -> None:
    workload: Workload = SCENES[name] if name in SCENES else SHAPES[name]()
    chain = engine.workload_chain(workload.fork)
    (block,) = workload.blocks
    results = []
    for threads in (None, 0, "auto", *THREADS):
        state = MemoryState(workload.alloc)
        if workload.invalid is not None:
            with pytest.raises(InvalidBlock) as caught:
                execute_block(block, state, chain, validate=False, commit=True, threads=threads)
            assert caught.value.reason is workload.invalid
            assert state == MemoryState(workload.alloc)
            continue
        result = execute_block(block, state, chain, validate=False, commit=True, threads=threads)
        engine.check_outcome(name, state, workload.outcome)
        results.append(outcome_of(result))
    for other in results[1:]:
        assert difference(results[0], other) is None


def test_every_transaction_of_the_valid_scenes_succeeds_but_for_creations_where_there_is_something() -> None:
    for name, scene in SCENES.items():
        if scene.invalid is None:
            (block,) = scene.blocks
            chain = engine.workload_chain(scene.fork)
            receipts = execute_block(block, MemoryState(scene.alloc), chain, validate=False).receipts
            assert all(receipt.status == 1 for receipt in receipts), name


def test_a_gigagas_block_is_executed_in_parallel_to_its_end() -> None:
    workload = gigagas()["transfers, 1 Ggas"]()
    (block,) = workload.blocks
    state = MemoryState(workload.alloc)
    chain = engine.workload_chain(workload.fork)
    executor = ParallelExecutor(3, always=True)
    result = execute_block(block, state, chain, validate=False, commit=True, executor=executor)
    assert result.gas_used == 47_620 * 21_000 and not executor.counters["fallback"]
    engine.check_outcome(workload.name, state, workload.outcome)


# ------------------------------------------------------------ counters


def test_counters_of_sequential_execution() -> None:
    (block,) = SCENES["one counter"].blocks
    counters = execute_block(block, MemoryState(SCENES["one counter"].alloc), "cancun", validate=False).parallel
    assert (counters.threads, counters.transactions, counters.executions) == (1, 60, 60)
    assert (counters.reruns, counters.waits, counters.validations, counters.fallback) == (0, 0, 0, "")
    assert counters.executions_per_transaction == 1
    assert set(counters.phases) == set(PHASES)
    assert all(counters.phases[phase] > 0 for phase in ("prepare", "execute", "end"))
    assert counters.phases["prepare"] > counters.phases["senders"]
    assert counters.phases["check"] == counters.phases["state_root"] == 0, "the header was not looked at"


def test_counters_of_parallel_execution() -> None:
    (block,) = SCENES["one counter"].blocks
    state = MemoryState(SCENES["one counter"].alloc)
    executor = ParallelExecutor(3, always=True)
    executor.together = True
    counters = execute_block(block, state, "cancun", validate=False, executor=executor).parallel
    assert counters.threads == 3
    assert 60 <= counters.executions <= 120 + counters.waits
    assert counters.fallback == ""
    assert counters.executions_per_transaction == counters.executions / 60


def test_counters_of_an_empty_block() -> None:
    (block,) = SCENES["empty block"].blocks
    counters = execute_block(block, MemoryState({}), "cancun", validate=False, threads=4).parallel
    assert (counters.transactions, counters.executions, counters.executions_per_transaction) == (0, 0, 0)


@pytest.mark.parametrize("threads", [-1, True, 1.5, "all", 5000])
def test_a_number_of_threads_that_makes_no_sense_is_refused(threads: object) -> None:
    (block,) = SCENES["one transfer"].blocks
    with pytest.raises(InputError, match="threads"):
        execute_block(block, MemoryState({}), "cancun", threads=threads)  # type: ignore[arg-type]


def test_threads_and_executor_exclude_each_other() -> None:
    (block,) = SCENES["one transfer"].blocks
    with pytest.raises(InputError, match="one of them"):
        execute_block(block, MemoryState({}), "cancun", threads=2, executor=ParallelExecutor(2))


def test_the_receipts_root_is_that_of_the_encoded_receipts_on_any_number_of_threads() -> None:
    workload = SHAPES["mixed"]()
    (block,) = workload.blocks
    chain = engine.workload_chain(workload.fork)
    for threads in (1, 2, 8):
        result = execute_block(block, MemoryState(workload.alloc), chain, validate=False, threads=threads)
        encoded = result.encoded_receipts()
        assert encoded is not None
        assert result.receipts_root == ordered_root(encoded)
        assert result.logs_bloom == logs_bloom([log for receipt in result.receipts for log in receipt.logs])
        assert [receipt.bloom for receipt in result.receipts] == [logs_bloom(r.logs) for r in result.receipts]


@pytest.mark.parametrize("name", ["one counter", "delegations", "destroyed and made again"])
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_every_counter_is_filled(name: str, threads: int) -> None:
    (block,) = SCENES[name].blocks
    state, count = MemoryState(SCENES[name].alloc), len(block.transactions)
    executor = ParallelExecutor(threads, always=True)
    executor.together = True
    found = execute_block(block, state, SCENES[name].fork, validate=False, executor=executor).parallel
    assert found.transactions == count and 1 <= found.threads <= threads
    assert found.decision == (f"{found.threads} threads, as asked" if found.threads > 1 else "sequential")
    # Each is validated at most once, and re-executed if the validation failed.
    assert found.validations <= count and found.reruns == sum(found.aborts.values())
    assert found.executions >= count + found.reruns
    assert (found.fallback, found.fallback_at) == ("", None)
    assert set(found.phases) == {*PHASES, "opening", "waking", "running", "committing", "waiting"}
    assert all(found.phases[phase] > 0 for phase in ("opening", "waking", "running", "committing"))
    # The threads' phases fit into the time that passed while they were there.
    spent = sum(found.phases[phase] for phase in ("waking", "running", "committing", "waiting"))
    assert 0 < spent <= 1.01 * found.threads * found.phases["execute"]
    assert spent >= found.phases["running"] + found.phases["committing"]


def test_settled_deltas_are_counted() -> None:
    (block,) = SCENES["one counter"].blocks
    executor = ParallelExecutor(1, always=True)
    executor.watch_all = True  # everything runs ahead, even here
    found = execute_block(
        block, MemoryState(SCENES["one counter"].alloc), "cancun", validate=False, executor=executor
    ).parallel
    # Of each transaction, at least the sender's payment and the beneficiary's credit.
    assert found.lazies >= 2 * len(block.transactions)
