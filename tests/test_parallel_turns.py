"""Workers that take turns: the seed determines what happens to a block, on any machine, but not the result."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from evmcore import execute_block
from evmcore._decision import forget
from evmcore.bench import engine
from evmcore.bench.shapes import shapes
from evmcore.state import MemoryState, as_backend
from evmcore.stm import ParallelExecutor
from tests.failing_states import Failing, python_case
from tests.parallel_blocks import executors_for, observe
from tests.small_blocks import block_of, people, transfer

SHAPES = shapes(seed=5)

pytestmark = pytest.mark.usefixtures("nothing_known")


def story(name: str, threads: int, seed: int) -> Iterator[tuple[object, ...]]:
    """The deeds of each worker with each transaction in three executions in a row, beginning with nothing learnt:
    ordered by when they ended, without times."""
    forget()
    workload = SHAPES[name]()
    (block,) = workload.blocks
    chain = engine.workload_chain(workload.fork)
    execute_block(block, MemoryState(workload.alloc), chain, validate=False)  # from here on its codes are known
    executor = ParallelExecutor(threads, always=True)
    executor.recording, executor.turns = True, seed
    for _ in range(3):
        execute_block(block, MemoryState(workload.alloc), chain, validate=False, executor=executor)
        _, lost, events = executor.timeline
        assert lost == 0
        for worker, what, transaction, _, _, detail in sorted(events, key=lambda event: event[4]):
            if transaction is not None:
                yield worker, what, transaction, detail


@pytest.mark.parametrize("threads", [2, 8])
@pytest.mark.parametrize("name", ["mixed", "swaps, clusters"])
def test_what_happens_follows_from_the_seed(name: str, threads: int) -> None:
    stories = [tuple(story(name, threads, seed)) for seed in (1, 1, 2)]
    assert stories[0] == stories[1] != stories[2]
    assert {worker for worker, *_ in stories[0]} == set(range(threads))
    assert any(what == "ran again" for _, what, *_ in stories[0])


def test_a_worker_alone_keeps_its_turn() -> None:
    block = block_of(*(transfer(number, b"\x0b" * 20) for number in range(30)))
    for threads in (1, 2, 5):
        executor = ParallelExecutor(threads, always=True)
        executor.turns = 7
        assert execute_block(block, MemoryState(people(30)), "london", validate=False, executor=executor).gas_used


@pytest.mark.parametrize("seed", range(4))
def test_states_written_in_python_are_read_and_may_fail(seed: int) -> None:
    case = python_case(seed)
    expected = observe(case.block, as_backend(Failing(case.alloc)), case.fork)
    for executor in executors_for((2, 3, 8)).values():
        for turns in range(1, 6):
            executor.turns = turns
            assert observe(case.block, as_backend(Failing(case.alloc)), case.fork, executor) == expected
            broken = observe(case.block, as_backend(Failing(case.alloc, 3)), case.fork, executor)
            assert "read 3" in str(broken["error"])
