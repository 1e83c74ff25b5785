"""`bench --parallel --peer PROGRAM`: whole blocks on one thread and on several, this engine and others by turns.

Timed is what a caller waits for, from transactions with their senders to receipts and changes of the state: of this
engine the whole of `execute_block`, called from Python; of a peer what peers/README.md says. Everything by the wall
clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from evmcore.bench import engine, report
from evmcore.bench.measure import Samples, Timed, Wall, measure
from evmcore.bench.parallel import AUTO, SEQUENTIAL, Subject, measurable
from evmcore.bench.peer import PeerError
from evmcore.bench.program import Program

BUDGET_NS = 30_000_000
WARMING = 12  # executions until what a block's calls share is known
OURS = "evmcore"


@dataclass
class Row:
    """A block: the samples of each engine, by its name and the number of threads."""

    name: str
    transactions: int
    samples: dict[tuple[str, int], Samples] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def median(self, engine: str, threads: int) -> float:
        return self.samples[engine, threads].median

    def record(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "transactions": self.transactions,
            "samples": {f"{name} {threads}": list(taken.values) for (name, threads), taken in self.samples.items()},
            "left_out": self.left_out,
        }


def compete(subject: Subject, peers: Sequence[tuple[Program, int]], threads: int, rounds: int) -> Row:
    """Measures one block, engines by turns. `peers`: programs, each with the number of threads it is used on."""
    row = Row(subject.name, len(subject.block.transactions))
    tasks: dict[tuple[str, int], Timed] = {}
    for count, configuration in ((1, SEQUENTIAL), (threads, AUTO)):
        run = partial(subject.execute, configuration, threads)
        for _ in range(WARMING):
            run()
        tasks[OURS, count] = Wall(run)
    work = engine.work_of(subject.name, subject.block, subject.state, subject.chain, subject.block_hashes)
    for peer, count in peers:
        try:
            tasks[peer.name, count] = peer.block(work, count, by_wall=True)
        except PeerError as error:
            row.left_out.append(str(error))
    row.samples = dict(zip(tasks, measure(list(tasks.values()), rounds, BUDGET_NS), strict=True))
    return row


def run(
    what: str,
    makers: Iterable[tuple[str, Callable[[], Subject]]],
    programs: Sequence[Path],
    threads: int,
    rounds: int,
) -> list[Row]:
    """Measures blocks one after the other and prints tables. Invalid blocks are left out.

    A program keeps one block at a time; where it is used on one thread and on several, it is started twice.
    """
    with ExitStack() as open_programs:

        def start(path: Path) -> Program:
            return open_programs.enter_context(closing(Program(path)))

        peers = []
        for path in programs:
            peers.append((start(path), 1))
            if peers[-1][0].on_threads and threads > 1:
                peers.append((start(path), threads))
        rows = [compete(subject, peers, threads, rounds) for subject in measurable(makers)]
    if rows:
        show(what, rows, [(OURS, 1), (OURS, threads), *((peer.name, count) for peer, count in peers)])
    return rows


def show(what: str, rows: Sequence[Row], entrants: Sequence[tuple[str, int]]) -> None:
    """Milliseconds of each engine, and their ratios."""
    headers = [what, "txs", *(f"{name} {count}" for name, count in entrants)]
    lines = []
    for row in rows:
        cells = [row.name, str(row.transactions)]
        for entrant in entrants:
            cells.append(report.number(row.median(*entrant) / 1e6) if entrant in row.samples else "-")
        lines.append(cells)
    print("ms a block, by engine and number of threads")
    print(report.table(headers, lines) + "\n")
    comparisons = [
        (f"{name} {count} / {OURS} {count}", (name, count), (OURS, count)) for name, count in entrants if name != OURS
    ]
    comparisons += [
        (f"{name} 1 / {name} {count}: its gain from threads", (name, 1), (name, count))
        for name, count in entrants
        if count > 1
    ]
    ratios = [_ratios(rows, *each) for each in comparisons]
    print(report.table(["times", *report.SPREAD, "all together"], ratios) + "\n")
    report.show_left_out(reason for row in rows for reason in row.left_out)


def _ratios(rows: Sequence[Row], words: str, above: tuple[str, int], below: tuple[str, int]) -> list[str]:
    both = [row for row in rows if above in row.samples and below in row.samples]
    if not both:
        return [words, *["-"] * (len(report.SPREAD) + 1)]
    ratios = {row.name: row.median(*above) / row.median(*below) for row in both}
    whole = sum(row.median(*above) for row in both) / sum(row.median(*below) for row in both)
    return [f"{words} ({len(both)})", *report.spread(ratios), f"{whole:.2f}"]
