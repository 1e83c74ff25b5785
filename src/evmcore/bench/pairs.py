"""Whether one way is slower than another, with noise told apart: pairs of runs next to each other, and a sign test.

A machine whose speed changes within seconds changes it for both members of a pair. What is left is judged without any
assumption on how noise is distributed: if the true ratio were at least the bound, half of the pairs would lie below it
at most, and how likely so many are by chance is a matter of tossing coins.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

CHANCE = 0.05  # of calling anything slower that is not: of all that is judged together


def chance_of_so_many(hits: int, tosses: int) -> float:
    """How likely `hits` or more heads are in so many tosses of a fair coin. 1.0 for no tosses."""
    return math.fsum(math.comb(tosses, heads) for heads in range(hits, tosses + 1)) / 2.0**tosses


@dataclass(frozen=True)
class Pairs:
    """Ratios of pairs: how many times as fast the second way was as the first."""

    ratios: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.ratios)

    def interval(self, chance: float = CHANCE) -> tuple[float, float]:
        """Where the true median lies, except with that chance: two of the ratios, by their ranks. The least and the
        greatest of all where there are too few to say so much."""
        ordered, count = sorted(self.ratios), len(self.ratios)
        left_out = 0
        while left_out < (count - 1) // 2 and chance_of_so_many(count - left_out - 1, count) <= chance / 2:
            left_out += 1
        return ordered[left_out], ordered[count - 1 - left_out]

    def chance_of(self, bound: float) -> float:
        """How likely so many pairs below the bound are by chance, if the true ratio is the bound."""
        return chance_of_so_many(sum(ratio < bound for ratio in self.ratios), len(self.ratios))


def by_turns(first: Callable[[], float], second: Callable[[], float], count: int) -> Pairs:
    """So many pairs, each from four runs: first, second, second, first, then the other way round, so that neither
    profits from its place or from a drift."""
    ratios = []
    for number in range(count):
        if number % 2:
            after = second()
            before = first() + first()
            after += second()
        else:
            before = first()
            after = second() + second()
            before += first()
        ratios.append(before / after)
    return Pairs(ratios)


def slower(judged: dict[str, Pairs], bound: float) -> list[str]:
    """Names of those that are below the bound, not by chance. All of them share the chance to be called so wrongly
    (Bonferroni)."""
    return [name for name, pairs in judged.items() if pairs.chance_of(bound) < CHANCE / len(judged)]
