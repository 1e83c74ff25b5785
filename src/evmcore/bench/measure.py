"""Timing that holds on a busy machine: several rounds, engines by turns, processor time, medians and extremes."""

from __future__ import annotations

import math
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

# Below this the processor clock's own cost shows, and the wall clock's median is better than it.
SHORT_NS = 1_500_000


class Timed(Protocol):
    """Something to be timed."""

    def sample(self, budget_ns: int) -> float:
        """Nanoseconds of one run: the median of as many as fit into about `budget_ns`, at least one."""
        ...


def runs_within(budget_ns: int, first_ns: int) -> int:
    """How many runs make a sample, when the first one took so long."""
    if first_ns > SHORT_NS:
        return max(1, min(9, budget_ns // first_ns))
    return max(9, min(20_000, budget_ns // max(first_ns, 200)))


@dataclass(frozen=True)
class Task:
    """Something in this process to be timed: `run` is timed, `before` and `after` are not (they set up and undo)."""

    run: Callable[[], object]
    before: Callable[[], object] | None = None
    after: Callable[[], object] | None = None

    def once(self, clock: Callable[[], int]) -> int:
        """One run in nanoseconds of `clock`."""
        if self.before is not None:
            self.before()
        start = clock()
        self.run()
        elapsed = clock() - start
        if self.after is not None:
            self.after()
        return elapsed

    def sample(self, budget_ns: int) -> float:
        """See `Timed`. Runs that take longer than 1.5 ms are timed with this thread's processor clock, which other
        processes do not disturb. Shorter ones are timed with the wall clock; a disturbed run among many does not move
        their median. What it takes to time a function that does nothing is subtracted from those.
        """
        first = self.once(time.perf_counter_ns)
        runs = runs_within(budget_ns, first)
        if first > SHORT_NS:
            return statistics.median(self.once(time.thread_time_ns) for _ in range(runs))
        return max(1.0, statistics.median(self.once(time.perf_counter_ns) for _ in range(runs)) - nothing())


@dataclass(frozen=True)
class Wall:
    """A task that several threads work at: timed by the wall clock however long it takes."""

    run: Callable[[], object]

    def sample(self, budget_ns: int) -> float:
        """See `Timed`."""
        task = Task(self.run)
        runs = runs_within(budget_ns, task.once(time.perf_counter_ns))
        return statistics.median(task.once(time.perf_counter_ns) for _ in range(runs))


@dataclass(frozen=True)
class Samples:
    """Nanoseconds of each round, for one thing measured."""

    values: tuple[float, ...]

    @property
    def least(self) -> float:
        return min(self.values)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def most(self) -> float:
        return max(self.values)


def together(works: Sequence[Callable[[], object]]) -> float:
    """Seconds from when all works begin at once, each in a thread of its own, until the last of them has ended. Raises
    what one of them raises."""
    start = threading.Barrier(len(works) + 1)
    failures: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        start.wait()
        try:
            work()
        except BaseException as error:
            failures.append(error)

    running = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in running:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in running:
        thread.join()
    seconds = time.perf_counter() - began
    if failures:
        raise failures[0]
    return seconds


@cache
def nothing() -> float:
    """Nanoseconds of the wall clock between two looks at it with an empty function called in between."""
    empty = Task(lambda: None)
    return statistics.median(empty.once(time.perf_counter_ns) for _ in range(2_000))


def measure(
    tasks: Sequence[Timed], rounds: int, budget_ns: int = 20_000_000, step: Callable[[], None] | None = None
) -> list[Samples]:
    """Measures the tasks by turns, `rounds` samples each; who begins changes from round to round.

    `step` is called after each round (progress).
    """
    taken: list[list[float]] = [[] for _ in tasks]
    for round_ in range(rounds):
        for turn in range(len(tasks)):
            index = (round_ + turn) % len(tasks)
            taken[index].append(tasks[index].sample(budget_ns))
        if step is not None:
            step()
    return [Samples(tuple(values)) for values in taken]


def geometric_mean(values: Iterable[float]) -> float:
    """Of positive numbers. Raises ValueError when there are none or one is not positive."""
    logs = []
    for value in values:
        if value <= 0:
            raise ValueError(f"values: a positive number is needed, got {value}")
        logs.append(math.log(value))
    if not logs:
        raise ValueError("values: at least one is needed")
    return math.exp(sum(logs) / len(logs))
