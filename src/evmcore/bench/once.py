"""`bench --parallel --once`: blocks in a row, each executed a single time, as a node meets them.

A process that executes a block again and again knows what it takes and has its code analysed. Here every way to execute
has a process of its own, new in every round, that goes through the blocks in order; the processes take turns block by
block, so that they lie next to each other in time. What the one that decides knows of a block it has from the blocks
before. With `known_codes` each process executes a block sequentially first, outside the clock and without learning
from it: what is left is a block whose contracts were seen before.
"""

from __future__ import annotations

import multiprocessing
import statistics
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from evmcore.bench import children, parallel, report
from evmcore.bench.parallel import AGAIN, AUTO, SEQUENTIAL, Configuration, Subject
from evmcore.errors import ResourceError


@dataclass(frozen=True)
class Stream:
    """The blocks to execute in a row: real ones of a directory, or the package's own (None)."""

    directory: Path | None
    seed: int
    large: bool
    known_codes: bool
    names: tuple[str, ...] = ()

    def makers(self) -> dict[str, Callable[[], Subject]]:
        if self.directory is not None:
            return parallel.block_makers(self.directory)
        return parallel.workload_makers(self.seed, self.large)

    def subjects(self) -> list[Subject]:
        makers = self.makers()
        made = (makers[name]() for name in self.names)
        return [subject for subject in made if subject.valid and subject.block.transactions]


@dataclass
class Row:
    """What was measured of a block: nanoseconds of its transactions in each round, by configuration."""

    name: str
    transactions: int
    samples: dict[Configuration, list[float]] = field(default_factory=dict)
    decisions: list[str] = field(default_factory=list)

    def median(self, configuration: Configuration) -> float:
        return statistics.median(self.samples[configuration])

    def ratio(self, configuration: Configuration) -> float:
        """How many times as fast as sequential execution: the median of the rounds, in each of which they lie next to
        each other."""
        ratios = [one / other for one, other in zip(self.samples[SEQUENTIAL], self.samples[configuration], strict=True)]
        return statistics.median(ratios)


def execute_in_turn(stream: Stream, configuration: Configuration, threads: int, asked: Connection) -> None:
    """The work of one process: the next block whenever it is asked for, until nobody asks any more."""
    subjects = stream.subjects()
    with suppress(EOFError, ConnectionError):
        asked.send([(subject.name, len(subject.block.transactions)) for subject in subjects])
        for subject in subjects:
            asked.recv()
            if stream.known_codes:
                subject.execute(SEQUENTIAL)
            nanoseconds, counters = parallel.phase(subject, configuration, threads)
            asked.send((nanoseconds, counters.decision))


class Way:
    """A process that executes the blocks in one way."""

    def __init__(self, stream: Stream, configuration: Configuration, threads: int) -> None:
        self.configuration = configuration
        self.asking, asked = multiprocessing.Pipe()
        self.process = children.started(execute_in_turn, stream, configuration, threads, asked)
        asked.close()

    def blocks(self) -> list[tuple[str, int]]:
        """Their names and numbers of transactions, once they are loaded."""
        found: list[tuple[str, int]] = self.answer()
        return found

    def next(self) -> tuple[float, str]:
        """Executes one block more: nanoseconds, and what was decided."""
        self.asking.send(None)
        took: tuple[float, str] = self.answer()
        return took

    def answer(self) -> Any:
        try:
            return self.asking.recv()
        except EOFError:
            self.process.join()
            raise ResourceError(
                f"a process that executes blocks ended early, with exit code {self.process.exitcode}"
            ) from None

    def close(self) -> None:
        self.asking.close()
        self.process.join()


def one_round(stream: Stream, threads: int, number: int, rows: dict[str, Row], step: Callable[[str], None]) -> None:
    """All blocks once in every way, by turns; who begins changes from block to block."""
    ways = [Way(stream, configuration, threads) for configuration in (SEQUENTIAL, AUTO, AGAIN, threads)]
    try:
        blocks, *_ = [way.blocks() for way in ways]
        for place, (name, transactions) in enumerate(blocks):
            row = rows.setdefault(name, Row(name, transactions))
            for turn in range(len(ways)):
                way = ways[(number + place + turn) % len(ways)]
                nanoseconds, decision = way.next()
                row.samples.setdefault(way.configuration, []).append(nanoseconds)
                if way.configuration == AUTO:
                    row.decisions.append(decision)
            step(name)
    finally:
        for way in ways:
            way.close()


# ------------------------------------------------------------ what is printed


def table_of(what: str, rows: Sequence[Row], threads: int) -> str:
    headers = [what, "txs", "seq ms", "auto", "noise", f"{threads} thr", "decision of the last round"]
    lines = []
    for row in rows:
        ratios = [f"{row.ratio(configuration):.2f}" for configuration in (AUTO, AGAIN, threads)]
        median = report.number(row.median(SEQUENTIAL) / 1e6)
        lines.append([row.name, str(row.transactions), median, *ratios, row.decisions[-1]])
    return report.table(headers, lines)


def summary_of(what: str, rows: Sequence[Row], threads: int) -> str:
    """Of each way: the ratios of blocks, and of the time that all of them take together."""
    lines = []
    whole = sum(row.median(SEQUENTIAL) for row in rows)
    for configuration in (AUTO, threads, AGAIN):
        ratios = {row.name: row.ratio(configuration) for row in rows}
        total = f"{whole / sum(row.median(configuration) for row in rows):.2f}"
        lines.append([parallel.words_of(configuration, [threads]), *report.spread(ratios), total])
    return report.table([f"{what} ({len(rows)})", *report.SPREAD, "all together"], lines)


def record_of(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "transactions": row.transactions,
        "samples": {str(configuration): values for configuration, values in row.samples.items()},
        "decisions": row.decisions,
    }


def run(what: str, stream: Stream, threads: int, rounds: int) -> list[Row]:
    """Measures the stream and prints what came out."""
    rows: dict[str, Row] = {}
    with report.progress(rounds * len(stream.names)) as bar:
        for number in range(rounds):
            one_round(stream, threads, number, rows, bar.step)
    found = list(rows.values())
    if found:
        known = "codes known, " if stream.known_codes else ""
        print(f"each {what} executed once, in order, {known}{rounds} rounds of fresh processes\n")
        print(table_of(what, found, threads) + "\n")
        print(summary_of(f"all of these {what}s", found, threads) + "\n")
    return found
