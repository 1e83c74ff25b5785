"""Blocks executed on one thread: the package's own workloads and real blocks, beside peers on the same transactions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evmcore.bench import engine, replay, report
from evmcore.bench.measure import Samples, Timed, measure
from evmcore.bench.peer import BlockWork, Peer, PeerError
from evmcore.bench.workloads import Workload

REAL_BUDGET_NS = 50_000_000  # for a sample of a real block


@dataclass
class Row:
    """A workload or a real block: time of each of its blocks, on this engine and on the peers."""

    name: str
    transactions: int = 0
    gas: int = 0
    ours: list[Samples] = field(default_factory=list)
    peers: dict[str, list[Samples]] = field(default_factory=dict)
    first: int | None = None  # nanoseconds of the first execution of all, where known
    left_out: list[str] = field(default_factory=list)  # what peers could not do, and why

    def seconds(self, peer: str | None = None) -> float:
        """Of all blocks together, by the medians."""
        return sum(samples.median for samples in (self.peers[peer] if peer else self.ours)) / 1e9

    def add(self, own: Timed, work: BlockWork, peers: Sequence[Peer], rounds: int, budget_ns: int) -> None:
        """Measures a block, on the peers too, by turns."""
        tasks, able = [own], []
        for peer in peers:
            try:
                tasks.append(peer.block(work))
                able.append(peer)
            except PeerError as error:
                self.left_out.append(str(error))
        ours, *theirs = measure(tasks, rounds, budget_ns)
        self.ours.append(ours)
        for peer, samples in zip(able, theirs, strict=True):
            self.peers.setdefault(peer.name, []).append(samples)

    def record(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "transactions": self.transactions,
            "gas": self.gas,
            "first": self.first,
            "blocks": [list(samples.values) for samples in self.ours],
            "peers": {name: [list(samples.values) for samples in blocks] for name, blocks in self.peers.items()},
            "left_out": self.left_out,
        }


def workloads(chosen: Sequence[Workload], peers: Sequence[Peer], rounds: int) -> list[Row]:
    """Measures workloads and prints a table. Raises WrongResult where the state is not the expected one at the end."""
    rows = []
    with report.progress(sum(len(workload.blocks) for workload in chosen)) as bar:
        for workload in chosen:
            row = Row(workload.name, workload.transactions)
            run = engine.workload_run(workload)
            for block in workload.blocks:
                task = run.task(block)
                work = run.work(f"block {block.header.number} of {workload.name}", block)
                row.add(task, work, peers, rounds, budget_ns=20_000_000)
                row.gas += run.advance(block)
                bar.step(workload.name)
            engine.check_outcome(workload.name, run.state, workload.outcome)
            rows.append(row)
    show("workload", rows, peers)
    return rows


def real_blocks(paths: Sequence[Path], peers: Sequence[Peer], rounds: int) -> list[Row]:
    """Measures real blocks and prints a table. Raises WrongResult where the receipts are not those of the file."""
    rows = []
    with report.progress(len(paths)) as bar:
        for path in paths:
            real = replay.load(path)
            if real.block.transactions:
                run, first = engine.real_run(real)
                row = Row(real.name, len(real.block.transactions), real.gas_used, first=first)
                row.add(run.task(real.block), run.work(real.name, real.block), peers, rounds, REAL_BUDGET_NS)
                rows.append(row)
            bar.step(real.name)
    show("block", rows, peers)
    if rows:
        slowest = min(rows, key=lambda row: row.gas / row.seconds())
        gas = sum(row.gas for row in rows) / 1e6
        total = gas / sum(row.seconds() for row in rows)
        first_total = gas / sum(row.first or 0 for row in rows) * 1e9
        print(
            f"all {len(rows)} blocks: {report.number(total)} Mgas/s "
            f"({report.number(first_total)} when executed for the first time); the slowest, {slowest.name}: "
            f"{report.number(slowest.gas / slowest.seconds() / 1e6)} Mgas/s; receipts and gas as expected\n"
        )
    return rows


def show(what: str, rows: Sequence[Row], peers: Sequence[Peer]) -> None:
    """Prints the table, what peers were ahead or behind by, and what they could not do."""
    if not rows:
        return
    headers = [what, "blocks", "txs", "Mgas", "tx/s", "Mgas/s", "ms/block", "min", "max"]
    if any(row.first for row in rows):
        headers.append("first ms")
    compared = [peer.name for peer in peers if any(row.peers.get(peer.name) for row in rows)]
    for name in compared:
        headers += [f"{name} Mgas/s", "ratio"]
    print(report.table(headers, [_cells(row, compared) for row in rows]) + "\n")
    summaries = []
    for name in compared:
        ratios = {row.name: row.seconds(name) / row.seconds() for row in _complete(rows, name)}
        theirs = sum(row.seconds(name) for row in _complete(rows, name))
        ours = sum(row.seconds() for row in _complete(rows, name))
        summaries.append([f"{name} ({len(ratios)})", *report.spread(ratios), f"{theirs / ours:.2f}"])
    if summaries:
        print("times of peers over evmcore's")
        print(report.table(["peer", *report.SPREAD, "all together"], summaries) + "\n")
    report.show_left_out(reason for row in rows for reason in row.left_out)


def _complete(rows: Sequence[Row], peer: str) -> list[Row]:
    """The rows of which the peer has done every block."""
    return [row for row in rows if len(row.peers.get(peer, ())) == len(row.ours)]


def _cells(row: Row, peers: Sequence[str]) -> list[str]:
    values = [value / 1e6 for samples in row.ours for value in samples.values]
    cells = [
        row.name,
        str(len(row.ours)),
        str(row.transactions),
        report.number(row.gas / 1e6),
        report.number(row.transactions / row.seconds()),
        report.number(row.gas / row.seconds() / 1e6),
        report.number(1e3 * row.seconds() / len(row.ours)),
        report.number(min(values)),
        report.number(max(values)),
    ]
    if row.first:
        cells.append(report.number(row.first / 1e6))
    for name in peers:
        if _complete([row], name):
            theirs = row.seconds(name)
            cells += [report.number(row.gas / theirs / 1e6), f"{theirs / row.seconds():.2f}"]
        else:
            cells += ["-", "-"]
    return cells
