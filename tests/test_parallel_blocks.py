"""Real blocks and the workloads of the benchmark give in parallel what they give sequentially."""

from __future__ import annotations

from pathlib import Path

import pytest

from evmcore.bench import replay, traffic
from evmcore.bench.traffic import Computing, Swaps, TokenTransfers, Transfers
from evmcore.bench.workloads import Order, Shape, Workload, build
from evmcore.execution import execute_block
from evmcore.forks import Fork
from evmcore.state import MemoryState
from evmcore.stm import ParallelExecutor
from tests.parallel_blocks import THREADS, check_equal, executors_for
from tests.shared_files import BLOCKS, block_name, needs_blocks


@needs_blocks
@pytest.mark.parametrize("path", BLOCKS, ids=block_name)
def test_real_blocks_are_equal(path: Path) -> None:
    real = replay.load(path)
    state = MemoryState(real.alloc)
    hashes = real.block_hashes
    for delays in (0, real.block.header.number):
        expected, words = check_equal(
            real.block, state, real.chain, executors_for(THREADS), delays=delays, block_hashes=hashes
        )
        assert words is None
    assert replay.difference(real.receipts, expected["receipts"]) is None
    assert expected["gas used"] == real.gas_used


SMALL = 6_000_000
WORKLOADS = [
    build("transfers", [Transfers(Shape(families=100, people=2))], order=Order.SHUFFLED),
    build("one sender", [Transfers(Shape(rounds=200))]),
    build("two people", [Transfers(Shape(people=2, rounds=100))]),
    build("token", [TokenTransfers(Shape(families=60, people=2))], order=Order.SHUFFLED),
    build("token, one pair", [TokenTransfers(Shape(people=2, rounds=60))]),
    build("token clusters", [TokenTransfers(Shape(4, 3, 4, 4))], order=Order.CLUSTERED),
    build("token clusters, interleaved", [TokenTransfers(Shape(4, 3, 4, 4))], order=Order.INTERLEAVED),
    build("swaps", [Swaps(Shape(clusters=5, people=6, rounds=2))], order=Order.SHUFFLED),
    build("one pair", [Swaps(Shape(people=10, rounds=3))]),
    build("compute", [Computing(Shape(families=6))]),
    build(
        "mixed",
        [
            Transfers(Shape(families=40)),
            TokenTransfers(Shape(clusters=2, families=5, people=4)),
            Swaps(Shape(clusters=2, people=10)),
            Computing(Shape(families=2)),
        ],
        order=Order.SHUFFLED,
        block_gas=SMALL,
    ),
]


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_workloads_are_equal(workload: Workload) -> None:
    executors = executors_for(THREADS)
    state = MemoryState(workload.alloc)
    for number, block in enumerate(workload.blocks):
        for delays in (0, 1 + number):
            _, words = check_equal(block, state, Fork.CANCUN, executors, delays=delays, state_root=delays == 0)
            assert words is None
        execute_block(block, state, Fork.CANCUN, validate=False, commit=True, executor=ParallelExecutor(3))
    _check_outcome(workload, state)


@pytest.mark.parametrize("workload", traffic.standard(seed=7, blocks=1), ids=lambda workload: workload.name)
def test_whole_blocks_of_the_benchmark_are_equal(workload: Workload) -> None:
    executors = executors_for((2, 3, 8))
    state = MemoryState(workload.alloc)
    for block in workload.blocks:
        _, words = check_equal(block, state, Fork.CANCUN, executors)
        assert words is None
        execute_block(block, state, Fork.CANCUN, validate=False, commit=True, executor=ParallelExecutor(2))
    _check_outcome(workload, state)


def _check_outcome(workload: Workload, state: MemoryState) -> None:
    """Checks the state at the end against the generator's own books."""
    for address, balance in workload.outcome.balances.items():
        assert state.balance(address) == balance
    for address, slots in workload.outcome.storage.items():
        for slot, value in slots.items():
            assert state.storage(address, slot) == value
