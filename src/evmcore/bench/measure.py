"""Timing that holds on a busy machine: several rounds, engines by turns, processor time, medians and extremes."""

from __future__ import annotations

import math
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

# Below this the processor clock's own cost shows, and the wall clock's median is better than it.
SHORT_NS = 1_500_000


@dataclass(frozen=True)
class Task:
    """Something to be timed: `run` is timed, `before` and `after` are not (they set up and undo)."""

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


def sample(task: Task, budget_ns: int) -> float:
    """One sample: the median of as many runs as fit into about `budget_ns`, at least one.

    Runs that take longer than 1.5 ms are timed with this thread's processor clock, which other processes do not
    disturb. Shorter ones are timed with the wall clock; a disturbed run among many does not move their median. What it
    takes to time a function that does nothing is subtracted from those.
    """
    first = task.once(time.perf_counter_ns)
    if first > SHORT_NS:
        runs = max(1, min(9, budget_ns // first))
        return statistics.median(task.once(time.thread_time_ns) for _ in range(runs))
    runs = max(9, min(20_000, budget_ns // max(first, 200)))
    return max(1.0, statistics.median(task.once(time.perf_counter_ns) for _ in range(runs)) - nothing())


@cache
def nothing() -> float:
    """Nanoseconds of the wall clock between two looks at it with an empty function called in between."""
    empty = Task(lambda: None)
    return statistics.median(empty.once(time.perf_counter_ns) for _ in range(2_000))


def measure(
    tasks: Sequence[Task], rounds: int, budget_ns: int = 20_000_000, step: Callable[[], None] | None = None
) -> list[Samples]:
    """Measures the tasks by turns, `rounds` samples each; who begins changes from round to round.

    `step` is called after each round (progress).
    """
    taken: list[list[float]] = [[] for _ in tasks]
    for round_ in range(rounds):
        for turn in range(len(tasks)):
            index = (round_ + turn) % len(tasks)
            taken[index].append(sample(tasks[index], budget_ns))
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
