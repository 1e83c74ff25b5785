"""Slower or noise: a sign test of pairs, checked against counting and against samples whose truth is known."""

from __future__ import annotations

import itertools
import random

import pytest

from evmcore.bench.pairs import Pairs, by_turns, chance_of_so_many, slower


@pytest.mark.parametrize("tosses", [0, 1, 2, 5, 10])
def test_the_chance_of_so_many_heads_is_that_of_counting_all_outcomes(tosses: int) -> None:
    outcomes = [sum(coins) for coins in itertools.product((0, 1), repeat=tosses)]
    for hits in range(tosses + 1):
        counted = sum(heads >= hits for heads in outcomes) / len(outcomes)
        assert chance_of_so_many(hits, tosses) == pytest.approx(counted)


def test_pairs_run_next_to_each_other_and_change_places() -> None:
    order: list[str] = []

    def way(name: str, took: float) -> float:
        order.append(name)
        return took

    found = by_turns(lambda: way("A", 2.0), lambda: way("B", 4.0), 2)
    assert order == list("ABBABAAB")
    assert found.ratios == [0.5, 0.5]


def noisy(rng: random.Random, ratio: float, count: int = 100) -> Pairs:
    """What a machine gives whose speed is another one every time."""
    return Pairs([ratio * rng.lognormvariate(0, 0.1) for _ in range(count)])


def test_what_is_clearly_slower_is_called_so() -> None:
    rng = random.Random(1)
    judged = {"slow": noisy(rng, 0.8), "equal": noisy(rng, 1.0), "quick": noisy(rng, 1.3)}
    assert slower(judged, 0.97) == ["slow"]


def test_noise_is_seldom_called_slower() -> None:
    """At the bound itself, where it is likeliest: of 400 groups of ten, five in a hundred at most."""
    rng = random.Random(2)
    wrong = sum(bool(slower({str(k): noisy(rng, 0.97) for k in range(10)}, 0.97)) for _ in range(400))
    assert wrong <= 0.05 * 400


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = random.Random(3)
    missed = 0
    for _ in range(1000):
        low, high = noisy(rng, 1.1, 40).interval()
        missed += not low <= 1.1 <= high
    assert missed <= 50


def test_few_pairs_say_little() -> None:
    few = Pairs([0.5, 0.6, 0.7])
    assert few.interval() == (0.5, 0.7)
    assert slower({"few": few}, 0.97) == []
    assert few.median == 0.6
