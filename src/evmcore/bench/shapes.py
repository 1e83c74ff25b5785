"""Blocks for comparing sequential and parallel execution: from independent to fully dependent, small to 1 Ggas."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

from evmcore.bench.scenes import scenes
from evmcore.bench.traffic import Computing, Swaps, TokenTransfers, Transfers
from evmcore.bench.workloads import Order, Shape, Traffic, Workload, build

ONE_BLOCK = 10**12  # gas: everything fits into one block

Maker = Callable[[], Workload]


def _maker(name: str, seed: int, *traffic: Traffic, order: Order = Order.CLUSTERED) -> tuple[str, Maker]:
    return name, lambda: build(name, deepcopy(traffic), order=order, seed=seed, block_gas=ONE_BLOCK)


def shapes(seed: int = 1, size: int = 1) -> dict[str, Maker]:
    """What makes each workload, by name; every one is a single block of about `size` times 30 million gas."""

    def fit(gas: int) -> int:
        return max(2, size * 30_000_000 // gas)

    token, swap, plain = fit(35_000), fit(104_000), fit(21_000)
    made = [
        _maker("transfers", seed, Transfers(Shape(families=plain))),
        _maker("transfers, one sender", seed, Transfers(Shape(rounds=plain))),
        _maker("transfers, two people", seed, Transfers(Shape(people=2, rounds=plain // 2))),
        _maker("erc20", seed, TokenTransfers(Shape(families=token // 2, people=2))),
        _maker("erc20, clusters", seed, TokenTransfers(Shape(10, 3, 4, max(1, token // 120)))),
        _maker(
            "erc20, interleaved", seed, TokenTransfers(Shape(10, 3, 4, max(1, token // 120))), order=Order.INTERLEAVED
        ),
        _maker("erc20, two people", seed, TokenTransfers(Shape(people=2, rounds=token // 2))),
        _maker("swaps", seed, Swaps(Shape(clusters=swap))),
        _maker("swaps, clusters", seed, Swaps(Shape(clusters=10, people=max(1, swap // 10)))),
        _maker(
            "swaps, interleaved", seed, Swaps(Shape(clusters=10, people=max(1, swap // 10))), order=Order.INTERLEAVED
        ),
        _maker("swaps, one pair", seed, Swaps(Shape(people=swap))),
        _maker("compute", seed, Computing(Shape(families=fit(Computing.GAS)))),
        _maker(
            "mixed",
            seed,
            Transfers(Shape(families=plain // 4)),
            TokenTransfers(Shape(clusters=5, families=max(1, token // 100), people=5)),
            Swaps(Shape(clusters=4, people=max(1, swap // 16))),
            Computing(Shape(families=fit(4 * Computing.GAS))),
            order=Order.SHUFFLED,
        ),
    ]
    return dict(made) | {scene.name: _given(scene) for scene in scenes(seed)}


def _given(workload: Workload) -> Maker:
    return lambda: workload


def gigagas(seed: int = 1) -> dict[str, Maker]:
    """One block of 1.0 to 1.3 Ggas each, by name: 47,620 transfers, 37,000 token transfers, 10,200 swaps. Nobody shares
    anything but the fees' beneficiary and, for the tokens, the contract; every swap has contracts of its own."""
    return dict(
        [
            _maker("transfers, 1 Ggas", seed, Transfers(Shape(families=47_620))),
            _maker("erc20, 1 Ggas", seed, TokenTransfers(Shape(families=18_500, people=2))),
            _maker("swaps, 1 Ggas", seed, Swaps(Shape(clusters=10_200))),
        ]
    )
