"""`bench --import`: whole blocks as a node imports them, from bytes to verified results, on one thread and several.

What is timed is what an operator waits for: the block's RLP is decoded, senders are recovered from the signatures, the
transactions are executed, and what comes of it is compared with the header: gas, root of the transactions, root of the
receipts, bloom, requests and, where the whole state is known, its root; then the changes are applied. Between two
imports they are undone, outside the clock.

Of real blocks only the accounts and slots are known that they read, so there is no state root to compare. Where a
block's ommers are not known, the hash of none stands in its header. Blocks of the package's own are signed for this,
and have the state root, too.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evmcore._block_result import BlockResult
from evmcore.bench import engine, replay, report
from evmcore.bench.traffic import standard
from evmcore.bench.workloads import Workload
from evmcore.blocks import EMPTY_OMMERS_HASH, EMPTY_TRIE_ROOT, Block
from evmcore.execution import execute_block
from evmcore.forks import ChainConfig
from evmcore.state import MemoryState
from evmcore.trie import ordered_root

SAMPLE_NS = 30_000_000  # of one block on one number of threads, in one round
# What an import consists of. `rest`: the changes applied, and what stands between the other parts.
PARTS = ("decode", "prepare", "senders", "execute", "end", "roots", "state root", "rest")


@dataclass
class Subject:
    """A block's bytes, and the state that it is imported on time after time."""

    name: str
    encoded: bytes
    transactions: int
    state: MemoryState
    chain: ChainConfig
    block_hashes: dict[int, bytes] | None = None
    whole_state: bool = False

    def run(self, threads: int) -> tuple[BlockResult, dict[str, int]]:
        """One import, and the nanoseconds of its parts. The changes stay applied; the caller undoes them.

        Raises `InvalidBlock` where anything differs from the header.
        """
        start = time.perf_counter_ns()
        block = Block.decode(self.encoded)
        decoded = time.perf_counter_ns()
        result = execute_block(
            block,
            self.state,
            self.chain,
            threads=threads,
            block_hashes=self.block_hashes,
            check_state_root=self.whole_state,
            commit=True,
        )
        end = time.perf_counter_ns()
        phases = result.parallel.phases
        parts = {
            "decode": decoded - start,
            "prepare": phases["prepare"],
            "senders": phases["senders"],
            "execute": phases["execute"],
            "end": phases["end"],
            "roots": phases["check"] - phases["state_root"],
            "state root": phases["state_root"],
        }
        return result, parts | {"rest": end - start - sum(parts.values())}

    def once(self, threads: int) -> dict[str, int]:
        """The same, with the state as before afterwards, and its trie, as a node has that of the parent."""
        result, parts = self.run(threads)
        self.state.undo(result.diff)
        if self.whole_state:
            self.state.state_root()
        return parts

    def sample(self, threads: int) -> dict[str, float]:
        """The parts of the import of median length among as many as fit, at least one."""
        taken: list[dict[str, int]] = []
        spent = 0
        while not taken or (spent + spent // len(taken) <= SAMPLE_NS and len(taken) < 99):
            taken.append(self.once(threads))
            spent += sum(taken[-1].values())
        taken.sort(key=lambda parts: sum(parts.values()))
        return dict(taken[len(taken) // 2])


@dataclass
class Row:
    """What was measured of a block: nanoseconds by part, a sample each round, by number of threads."""

    name: str
    transactions: int
    size: int  # bytes
    samples: dict[int, list[dict[str, float]]] = field(default_factory=dict)
    decision: str = ""

    def median(self, threads: int, part: str | None = None) -> float:
        """Nanoseconds of a part, or of the whole."""
        if part is not None:
            return statistics.median(sample[part] for sample in self.samples[threads])
        return statistics.median(sum(sample.values()) for sample in self.samples[threads])

    def ratio(self, first: int, threads: int) -> float:
        """How many times as fast as on the first number of threads."""
        return self.median(first) / self.median(threads)


def measure(subject: Subject, threads: Sequence[int], rounds: int) -> Row:
    """Numbers of threads by turns; who begins changes from round to round."""
    row = Row(subject.name, subject.transactions, len(subject.encoded))
    for count in threads:  # code is analysed, memory is there, and what blocks like this take is known
        for _ in range(2):
            subject.once(count)
    for round_ in range(rounds):
        for turn in range(len(threads)):
            count = threads[(round_ + turn) % len(threads)]
            row.samples.setdefault(count, []).append(subject.sample(count))
    result, _ = subject.run(max(threads))
    subject.state.undo(result.diff)
    row.decision = result.parallel.decision
    return row


# ------------------------------------------------------------ what is imported


def real_subject(path: Path) -> Subject:
    """A real block, checked: its receipts are those of the file. Raises `engine.WrongResult` where they are not."""
    real = replay.load(path)
    block = replace(
        real.block, transactions=tuple(replace(transaction, sender=None) for transaction in real.block.transactions)
    )
    if block.header.ommers_hash != EMPTY_OMMERS_HASH and not block.ommers:
        block = replace(block, header=replace(block.header, ommers_hash=EMPTY_OMMERS_HASH))
    subject = Subject(
        real.name,
        block.encode(),
        len(block.transactions),
        MemoryState(real.alloc),
        real.chain,
        real.block_hashes,
    )
    result, _ = subject.run(1)
    problem = replay.difference(real.receipts, result.receipts)
    if problem is not None:
        raise engine.WrongResult(f"block {real.name}: {problem}")
    subject.state.undo(result.diff)
    return subject


def own_subjects(workload: Workload) -> Iterator[Subject]:
    """A workload's blocks, one after the other, with headers that say what they give; every one is to be measured
    before the next is asked for. Raises `engine.WrongResult` where the last state is not the workload's outcome."""
    state, chain = MemoryState(workload.alloc), engine.workload_chain(workload.fork)
    for index, block in enumerate(workload.blocks):
        name = workload.name if len(workload.blocks) == 1 else f"{workload.name} {index + 1}"
        encoded = sealed(block, state, chain).encode()
        subject = Subject(name, encoded, len(block.transactions), state, chain, whole_state=True)
        yield subject
        subject.run(1)
    engine.check_outcome(workload.name, state, workload.outcome)


def sealed(block: Block, state: MemoryState, chain: ChainConfig) -> Block:
    """The block with the header fields that only its execution tells."""
    result = execute_block(block, state, chain, validate=False)
    assert result.receipts_root is not None  # known since Byzantium
    header = replace(
        block.header,
        gas_used=result.gas_used,
        state_root=result.state_root(),
        receipts_root=result.receipts_root,
        logs_bloom=result.logs_bloom,
        transactions_root=ordered_root([transaction.encode() for transaction in block.transactions]),
        withdrawals_root=EMPTY_TRIE_ROOT,
    )
    return replace(block, header=header)


# ------------------------------------------------------------ what is printed


def table_of(what: str, rows: Sequence[Row], threads: Sequence[int]) -> str:
    """Every block: what its import takes, and what that consists of."""
    first, most = threads[0], threads[-1]
    headers = [what, "txs", "kB", *(f"ms ({count})" for count in threads)]
    headers += [f"ratio {count}" for count in threads[1:]]
    headers += [f"{part} %" for part in PARTS] + ["decision"]
    lines = []
    for row in rows:
        cells = [row.name, str(row.transactions), report.number(row.size / 1e3)]
        cells += [report.number(row.median(count) / 1e6) for count in threads]
        cells += [f"{row.ratio(first, count):.2f}" for count in threads[1:]]
        cells += [" ".join(f"{share:.0f}" for share in shares(row, part, sorted({first, most}))) for part in PARTS]
        lines.append([*cells, row.decision])
    return report.table(headers, lines)


def shares(row: Row, part: str, threads: Sequence[int]) -> list[float]:
    """Hundredths of the import that a part takes."""
    return [100 * row.median(count, part) / sum(row.median(count, each) for each in PARTS) for count in threads]


def parts_of(rows: Sequence[Row], threads: Sequence[int]) -> str:
    """All blocks together, part by part."""
    first = threads[0]
    headers = ["part of all imports"]
    for count in threads:
        headers += [f"ms ({count})", "share"]
    headers += [f"ratio {count}" for count in threads[1:]]
    totals = {count: {part: sum(row.median(count, part) for row in rows) for part in PARTS} for count in threads}
    whole = {count: sum(row.median(count) for row in rows) for count in threads}
    lines = []
    for part in [*PARTS, "all"]:
        spent = {count: whole[count] if part == "all" else totals[count][part] for count in threads}
        cells = [part]
        for count in threads:
            cells += [report.number(spent[count] / 1e6), f"{spent[count] / whole[count]:.0%}"]
        lines.append(cells + [f"{spent[first] / spent[count]:.2f}" if spent[count] else "-" for count in threads[1:]])
    return report.table(headers, lines)


def summary_of(what: str, rows: Sequence[Row], threads: Sequence[int]) -> str:
    """Mean, median, least and greatest ratio of each number of threads to the first."""
    lines = [
        [f"{count} threads to {threads[0]}", *report.spread({row.name: row.ratio(threads[0], count) for row in rows})]
        for count in threads[1:]
    ]
    return report.table([f"{what}s ({len(rows)})", *report.SPREAD], lines)


def record_of(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "transactions": row.transactions,
        "bytes": row.size,
        "decision": row.decision,
        "samples": {str(count): samples for count, samples in row.samples.items()},
    }


def run(
    blocks: Path | None, wanted: Callable[[str], bool], seed: int, threads: Sequence[int], rounds: int
) -> list[Row]:
    """Measures the blocks whose names are wanted, real ones or the package's own, and prints what came out."""
    rows = []
    if blocks is not None:
        paths = [path for path in replay.paths(blocks) if wanted(path.name)]
        with report.progress(len(paths)) as bar:
            for path in paths:
                subject = real_subject(path)
                if subject.transactions:
                    rows.append(measure(subject, threads, rounds))
                bar.step(path.name)
    else:
        workloads = [workload for workload in standard(seed, blocks=1, signed=True) if wanted(workload.name)]
        with report.progress(len(workloads)) as bar:
            for workload in workloads:
                rows += [measure(subject, threads, rounds) for subject in own_subjects(workload)]
                bar.step(workload.name)
    if rows:
        what = "workload" if blocks is None else "block"
        print(table_of(what, rows, threads) + "\n")
        print(parts_of(rows, threads) + "\n")
        if len(threads) > 1:
            print(summary_of(what, rows, threads) + "\n")
    return rows
