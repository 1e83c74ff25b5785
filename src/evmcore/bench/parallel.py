"""`bench --parallel`: sequential against parallel execution of the same blocks, by turns in one run.

What is timed is the part of a block that runs on the threads: its begin and its transactions, by the wall clock inside
`execute_block` (the phase `execute` of its counters). Preparing the block and collecting the diff are the same in
both and are left out. Execution with the block's access list given (EIP-7928) counts reading the list's RLP as well.

Beside every ratio stands what bounds it. The machine: how much more work two threads do than one when they share
nothing (cores that are hyper-threads or rented by the slice do less than twice the work). The block: the longest chain
of transactions that touch what the one before changed, and the longest transaction.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from evmcore._block_run import Executor
from evmcore.bench import engine, pairs, replay, report
from evmcore.bench.measure import together
from evmcore.bench.shapes import gigagas, shapes
from evmcore.bench.traffic import Computing
from evmcore.bench.workloads import Shape, Workload, build
from evmcore.blocks import Block
from evmcore.counters import ParallelCounters
from evmcore.errors import InvalidBlock
from evmcore.execution import execute_block
from evmcore.forks import ChainConfig
from evmcore.state import MemoryState
from evmcore.stm import ParallelExecutor
from evmcore.tracing import DependencyTracer

SAMPLE_NS = 15_000_000  # of one configuration, in one round
LARGE = 100  # transactions of a block that is worth several threads

Configuration = int | str
SEQUENTIAL: Configuration = "sequential"
AGAIN: Configuration = "sequential again"  # the same once more: what is noise
AUTO: Configuration = "auto"
SLOWER = 0.97  # of sequential execution: what `threads=` promises on every block
PAIRS_SECONDS = 2.0  # for the pairs of one block, at least `LEAST_PAIRS`
LEAST_PAIRS = 20


def listed(threads: int) -> Configuration:
    """So many threads, with the block's access list given."""
    return f"list {threads}"


def speculated(threads: int) -> Configuration:
    """So many threads, by speculation alone: nothing runs in bins."""
    return f"spec {threads}"


def configurations_of(threads: Sequence[int]) -> list[Configuration]:
    """What is compared with sequential execution, the largest number of threads by speculation alone as well."""
    return [*threads, speculated(max(threads)), AUTO, *map(listed, threads), AGAIN]


@dataclass
class Subject:
    """A block with the state it is executed on, time after time."""

    name: str
    block: Block
    state: MemoryState
    chain: ChainConfig
    block_hashes: dict[int, bytes] | None = None
    valid: bool = True
    listed: bytes | None = None

    def access_list(self) -> bytes:
        """The block's access list as RLP, made when first asked for."""
        if self.listed is None:
            hashes = self.block_hashes
            made = execute_block(
                self.block, self.state, self.chain, block_hashes=hashes, validate=False, access_list=True
            ).access_list
            assert made is not None
            self.listed = made.to_rlp()
        return self.listed

    def execute_by(self, executor: Executor) -> ParallelCounters:
        """One execution by an executor of the caller's; the block has to be valid."""
        result = execute_block(
            self.block, self.state, self.chain, block_hashes=self.block_hashes, validate=False, executor=executor
        )
        return result.parallel

    def execute(self, configuration: Configuration, threads: int = 1, tracer: DependencyTracer | None = None) -> Any:
        options: dict[str, Any] = {}
        if configuration == AUTO:
            options["threads"] = threads
        elif isinstance(configuration, str) and configuration.startswith("list "):
            options.update(threads=int(configuration[5:]), access_list=self.access_list())
        elif configuration not in (SEQUENTIAL, AGAIN):
            executor = ParallelExecutor(int(str(configuration).removeprefix("spec ")), always=True)
            executor.bins = int(not isinstance(configuration, str))
            options["executor"] = executor
        try:
            return execute_block(
                self.block,
                self.state,
                self.chain,
                block_hashes=self.block_hashes,
                validate=False,
                tracer=tracer,
                **options,
            )
        except InvalidBlock:
            if self.valid:
                raise
            return None


@dataclass
class Row:
    """What was measured of a subject: nanoseconds of the phase, a sample each round, by configuration."""

    subject: Subject
    samples: dict[Configuration, list[float]] = field(default_factory=dict)
    counters: dict[Configuration, ParallelCounters] = field(default_factory=dict)
    critical_path: int = 0
    total: int = 0
    longest: int = 0
    pairs: pairs.Pairs | None = None  # of sequential execution and of the one that decides, where that seemed slower

    @property
    def transactions(self) -> int:
        return len(self.subject.block.transactions)

    def median(self, configuration: Configuration) -> float:
        return statistics.median(self.samples[configuration])

    def ratio(self, configuration: Configuration) -> float:
        """How many times as fast as sequential execution."""
        return self.median(SEQUENTIAL) / self.median(configuration)

    def residue(self, threads: int) -> float:
        """Nanoseconds a transaction that dividing the work by the threads does not explain."""
        return (self.median(threads) - self.median(SEQUENTIAL) / threads) / max(1, self.transactions)


def phase(subject: Subject, configuration: Configuration, threads: int) -> tuple[float, ParallelCounters]:
    """Nanoseconds of one execution's transactions, and to recover authorities (EIP-7702); senders are given."""
    counters = subject.execute(configuration, threads).parallel
    phases = counters.phases
    return phases["senders"] + phases["execute"] + phases.get("list", 0), counters


def sample(subject: Subject, configuration: Configuration, threads: int) -> tuple[float, ParallelCounters]:
    """The median phase of as many executions as fit, at least one."""
    spent = 0.0
    times: list[float] = []
    while True:
        start = time.perf_counter_ns()
        nanoseconds, counters = phase(subject, configuration, threads)
        spent += time.perf_counter_ns() - start
        times.append(nanoseconds)
        if spent + spent / len(times) > SAMPLE_NS or len(times) >= 99:
            return statistics.median(times), counters


def measure(subject: Subject, threads: Sequence[int], rounds: int, most_pairs: int = 0) -> Row:
    """Configurations by turns; who begins changes from round to round. Then up to so many pairs where the execution
    that decides seemed slower than it promises."""
    row = Row(subject)
    configurations = [SEQUENTIAL, *configurations_of(threads)]
    for configuration in configurations:  # code is analysed, memory is there
        subject.execute(configuration, max(threads))
    for round_ in range(rounds):
        for turn in range(len(configurations)):
            configuration = configurations[(round_ + turn) % len(configurations)]
            nanoseconds, counters = sample(subject, configuration, max(threads))
            row.samples.setdefault(configuration, []).append(nanoseconds)
            row.counters[configuration] = counters
    if most_pairs and row.ratio(AUTO) < SLOWER:
        row.pairs = paired(subject, max(threads), most_pairs)
    tracer = DependencyTracer()
    subject.execute(SEQUENTIAL, tracer=tracer)
    row.critical_path, row.total, row.longest = tracer.critical_path, sum(tracer.times), max(tracer.times, default=0)
    return row


def paired(subject: Subject, threads: int, most: int) -> pairs.Pairs:
    """Sequential execution and the one that decides, next to each other, as often as there is time for."""
    start = time.perf_counter()
    subject.execute(SEQUENTIAL)
    affordable = PAIRS_SECONDS / (4 * (time.perf_counter() - start))
    return pairs.by_turns(
        lambda: phase(subject, SEQUENTIAL, 1)[0],
        lambda: phase(subject, AUTO, threads)[0],
        min(most, max(LEAST_PAIRS, int(affordable))),
    )


# ------------------------------------------------------------ the machine


def ceiling(threads: int, rounds: int) -> float:
    """How many times the work of one thread so many do at once: each executes a block of its own, sequentially, that
    computes and shares nothing."""

    def subject() -> Subject:
        workload = build("ceiling", [Computing(Shape(families=12))], block_gas=10**9)
        return _of_workload(workload)

    subjects = [subject() for _ in range(threads)]
    for each in subjects:
        each.execute(SEQUENTIAL)

    def several_times(own: Subject) -> None:
        for _ in range(4):
            own.execute(SEQUENTIAL)

    works = [partial(several_times, each) for each in subjects]
    pairs = [(together(works[:1]), together(works)) for _ in range(rounds)]
    return statistics.median(threads * one / all_ for one, all_ in pairs)


# ------------------------------------------------------------ what is executed


def _of_workload(workload: Workload) -> Subject:
    (block,) = workload.blocks
    chain = engine.workload_chain(workload.fork)
    return Subject(workload.name, block, MemoryState(workload.alloc), chain, valid=workload.invalid is None)


def _of_file(path: Path) -> Subject:
    real = replay.load(path)
    return Subject(real.name, real.block, MemoryState(real.alloc), real.chain, real.block_hashes)


def workload_makers(seed: int, large: bool) -> dict[str, Callable[[], Subject]]:
    """What makes each subject of the package's own, by name."""
    makers = gigagas(seed) if large else shapes(seed)
    return {name: lambda make=make: _of_workload(make()) for name, make in makers.items()}  # type: ignore[misc]


def block_makers(directory: Path) -> dict[str, Callable[[], Subject]]:
    """The same for the real blocks of a directory. Raises InputError where there is none."""
    return {path.name: lambda path=path: _of_file(path) for path in replay.paths(directory)}  # type: ignore[misc]


# ------------------------------------------------------------ what is printed


def table_of(what: str, rows: Sequence[Row], threads: Sequence[int]) -> str:
    """Ratios to sequential execution, beside what bounds them."""
    most = max(threads)
    headers = [what, "txs", "seq ms", *(f"{count} thr" for count in threads)]
    headers += [f"spec {most}", f"auto {most}", "decision"]
    headers += [f"list {count}" for count in threads]
    headers += [f"residue us/tx ({most})", "runs/tx", "bytes/tx", "total/path", "total/longest"]
    lines = []
    for row in rows:
        cells = [row.subject.name, str(row.transactions), report.number(row.median(SEQUENTIAL) / 1e6)]
        cells += [f"{row.ratio(count):.2f}" for count in threads]
        cells += [f"{row.ratio(speculated(most)):.2f}", f"{row.ratio(AUTO):.2f}", row.counters[AUTO].decision]
        cells += [f"{row.ratio(listed(count)):.2f}" for count in threads]
        cells += [f"{row.residue(most) / 1e3:.2f}", f"{row.counters[most].executions_per_transaction:.2f}"]
        cells += [f"{row.counters[most].more.get('bytes', 0) / max(1, row.transactions):,.0f}"]
        cells += [f"{row.total / max(1, bound):.1f}" for bound in (row.critical_path, row.longest)]
        lines.append(cells)
    return report.table(headers, lines)


def words_of(configuration: Configuration, threads: Sequence[int]) -> str:
    if configuration == AUTO:
        return f"auto, at most {max(threads)}"
    if configuration == AGAIN:
        return "sequential again (noise)"
    if configuration == speculated(max(threads)):
        return f"{max(threads)} threads, speculation alone"
    if isinstance(configuration, str):
        return f"{configuration.removeprefix('list ')} threads, access list given"
    return f"{configuration} threads"


def promise_of(what: str, rows: Sequence[Row]) -> str:
    """Which blocks are slower with `threads=` than it promises, and which of them not by chance."""
    seemed = [row for row in rows if row.ratio(AUTO) < SLOWER]
    noise = [row for row in rows if row.ratio(AGAIN) < SLOWER]
    text = f"{what}s slower than {SLOWER} of sequential, deciding by themselves: measured {len(seemed)} of {len(rows)}"
    text += f" (sequential against itself: {len(noise)})"
    judged = {row.subject.name: row.pairs for row in seemed if row.pairs}
    if not judged:
        return text + ("" if not seemed else "; not judged further: no pairs were asked for")
    names = pairs.slower(judged, SLOWER)
    text += (
        f", significant {len(names)}: sign test of pairs run by turns, A B B A, {pairs.CHANCE:.0%} for all together\n\n"
    )
    lines = []
    for name, found in judged.items():
        low, high = found.interval()
        verdict = "slower" if name in names else "not slower" if low >= SLOWER else "not told from noise"
        row = next(row for row in seemed if row.subject.name == name)
        lines.append(
            [
                name,
                f"{row.ratio(AUTO):.2f}",
                str(len(found.ratios)),
                f"{found.median:.3f}",
                f"{low:.3f} to {high:.3f}",
                f"{found.chance_of(SLOWER):.2g}",
                verdict,
            ]
        )
    headers = [what, "first", "pairs", "median", "95 % interval", f"chance at {SLOWER}", "verdict"]
    return text + report.table(headers, lines)


def summary_of(what: str, rows: Sequence[Row], threads: Sequence[int]) -> str:
    """Mean, median, least and greatest ratio of each configuration."""
    lines = []
    for configuration in configurations_of(threads):
        ratios = {row.subject.name: row.ratio(configuration) for row in rows}
        lines.append([words_of(configuration, threads), *report.spread(ratios)])
    return report.table([f"{what} ({len(rows)})", *report.SPREAD], lines)


def record_of(row: Row) -> dict[str, Any]:
    return {
        "name": row.subject.name,
        "transactions": row.transactions,
        "samples": {str(configuration): values for configuration, values in row.samples.items()},
        "critical_path": row.critical_path,
        "longest": row.longest,
        "total": row.total,
        "decision": row.counters[AUTO].decision,
        "pairs": list(row.pairs.ratios) if row.pairs else [],
    }


def measurable(makers: Iterable[tuple[str, Callable[[], Subject]]]) -> Iterator[Subject]:
    """Makes the subjects one after the other, with a progress bar, and leaves out blocks that are invalid or empty."""
    chosen = list(makers)
    with report.progress(len(chosen)) as bar:
        for name, make in chosen:
            subject = make()
            if subject.valid and subject.block.transactions:
                yield subject
            bar.step(name)


def run(
    what: str,
    makers: Iterable[tuple[str, Callable[[], Subject]]],
    threads: Sequence[int],
    rounds: int,
    most_pairs: int,
) -> list[Row]:
    """Measures the subjects one after the other and prints what came out. Blocks that are invalid are left out."""
    rows = [measure(subject, threads, rounds, most_pairs) for subject in measurable(makers)]
    if rows:
        print(table_of(what, rows, threads) + "\n")
        print(summary_of(f"all of these {what}s", rows, threads) + "\n")
        large = [row for row in rows if row.transactions > LARGE]
        if 0 < len(large) < len(rows):
            small = [row for row in rows if row.transactions <= LARGE]
            print(summary_of(f"{what}s of more than {LARGE} transactions", large, threads) + "\n")
            print(summary_of(f"the other {what}s", small, threads) + "\n")
        print(promise_of(what, rows) + "\n")
    return rows


def print_ceilings(threads: Sequence[int], rounds: int) -> dict[str, float]:
    """This machine's own bound, in the same run."""
    found = {str(count): ceiling(count, max(3, rounds)) for count in threads if count > 1}
    for count, times in found.items():
        print(f"{count} threads that share nothing do {times:.2f} times the work of one on this machine")
    print("ratios: how many times as fast as sequential execution, by medians of the transactions' wall time")
    print(
        "total/path, total/longest: what the longest chain of dependent transactions, or the longest one, would allow\n"
    )
    return found
