"""Single messages, and calls as a user makes them from Python, beside peers on the same code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evmcore.bench import cases, engine, report
from evmcore.bench.measure import Samples, Timed, geometric_mean, measure
from evmcore.bench.peer import Peer, PeerError

LEAST_NET_NS = 10  # a program that a peer runs as fast as an empty one: below nothing there is no ratio


@dataclass
class Row:
    """A message or call on this engine and on the peers."""

    case: cases.Case
    ours: Samples
    peers: dict[str, Samples] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    @property
    def gas(self) -> int:
        return self.case.gas_used or 0

    def record(self) -> dict[str, Any]:
        return {
            "name": self.case.name,
            "group": self.case.group,
            "gas": self.gas,
            "samples": list(self.ours.values),
            "peers": {name: list(samples.values) for name, samples in self.peers.items()},
            "left_out": self.left_out,
        }


def measured(chosen: Sequence[cases.Case], peers: Sequence[Peer], rounds: int, message: bool) -> list[Row]:
    """Each case as a bare message, or as a call from Python; peers by turns."""
    rows = []
    with report.progress(len(chosen)) as bar:
        for case in chosen:
            tasks: list[Timed] = [engine.message(case) if message else engine.call(case)]
            able, left_out = [], []
            for peer in peers:
                try:
                    tasks.append(peer.case(case))
                    able.append(peer.name)
                except PeerError as error:
                    left_out.append(str(error))
            ours, *theirs = measure(tasks, rounds)
            rows.append(Row(case, ours, dict(zip(able, theirs, strict=True)), left_out))
            bar.step(case.name)
    return rows


def empty_calls(peers: Sequence[Peer], rounds: int) -> dict[str, Samples]:
    """What peers that are called from Python take for a call that does nothing: their overhead."""
    tasks = {peer.name: peer.empty() for peer in peers}
    return {name: measure([task], rounds)[0] for name, task in tasks.items() if task}


def programs(chosen: Sequence[cases.Case], peers: Sequence[Peer], rounds: int) -> tuple[list[Row], dict[str, Samples]]:
    """Measures every case as a bare message and prints tables. Returns the rows and the empty calls."""
    empty = empty_calls(peers, rounds)
    rows = measured(chosen, peers, rounds, message=True)
    headers = ["program", "gas", "us", "min", "max", "Mgas/s"]
    for peer in peers:
        headers += [f"{peer.name} us", "ratio"]
        if peer.name in empty:
            headers += ["net us", "net ratio"]
    lines = []
    for row in rows:
        cells = [
            row.case.name,
            f"{row.gas:,}",
            *(report.number(value / 1e3) for value in (row.ours.median, row.ours.least, row.ours.most)),
            report.number(1e3 * row.gas / row.ours.median),
        ]
        for peer in peers:
            cells += _peer_cells(row, peer.name, empty.get(peer.name))
        lines.append(cells)
    print(report.table(headers, lines) + "\n")
    if peers:
        _show_means(rows, peers, empty)
    report.show_left_out(reason for row in rows for reason in row.left_out)
    return rows, empty


def calls(chosen: Sequence[cases.Case], peers: Sequence[Peer], rounds: int) -> list[Row]:
    """Measures single calls as a user makes them, from Python, and prints a table. Peers that are programs time
    themselves, without a call from Python."""
    rows = measured(chosen, peers, rounds, message=False)
    headers = ["call from Python", "us", "min", "max", "calls/s"]
    for peer in peers:
        headers += [f"{peer.name} calls/s", "ratio"]
    lines = []
    for row in rows:
        cells = [
            row.case.name,
            *(report.number(value / 1e3) for value in (row.ours.median, row.ours.least, row.ours.most)),
            report.number(1e9 / row.ours.median),
        ]
        for peer in peers:
            samples = row.peers.get(peer.name)
            cells += (
                [report.number(1e9 / samples.median), f"{samples.median / row.ours.median:.2f}"]
                if samples
                else ["-", "-"]
            )
        lines.append(cells)
    print(report.table(headers, lines) + "\n")
    report.show_left_out(reason for row in rows for reason in row.left_out)
    return rows


def _peer_cells(row: Row, peer: str, empty: Samples | None) -> list[str]:
    samples = row.peers.get(peer)
    if samples is None:
        return ["-"] * (4 if empty else 2)
    cells = [report.number(samples.median / 1e3), f"{samples.median / row.ours.median:.2f}"]
    if empty:
        net = samples.median - empty.median
        does_something = row.case.data or row.gas
        cells += [report.number(max(net, 0) / 1e3), f"{net / row.ours.median:.2f}" if does_something else "-"]
    return cells


def _show_means(rows: Sequence[Row], peers: Sequence[Peer], empty: Mapping[str, Samples]) -> None:
    headers = [
        "group",
        "peer",
        "programs",
        "by medians",
        "by minima",
        *(["net, by medians", "net, by minima"] if empty else []),
    ]
    lines = []
    groups = sorted({row.case.group for row in rows} - {"call"})
    both = ["main + evm-bench"] if {"main", "evm-bench"} <= set(groups) else []
    for name in [*groups, *both]:
        members = [row for row in rows if row.case.group in name.split(" + ")]
        for peer in peers:
            pairs = [(row.ours, row.peers[peer.name]) for row in members if peer.name in row.peers]
            if pairs:
                cells = [name, peer.name, str(len(pairs)), *_means(pairs, Samples((0.0,)))]
                if empty:
                    cells += _means(pairs, empty[peer.name]) if peer.name in empty else ["-", "-"]
                lines.append(cells)
    net = "; net: without what an empty call from Python takes" if empty else ""
    print(f"geometric means of the peers' times over evmcore's{net}")
    print(report.table(headers, lines) + "\n")


def _means(pairs: Sequence[tuple[Samples, Samples]], overhead: Samples) -> list[str]:
    """Of the ratios of pairs of our samples and a peer's, less its overhead: by medians and by minima."""
    by_median = (max(peer.median - overhead.median, LEAST_NET_NS) / ours.median for ours, peer in pairs)
    by_least = (max(peer.least - overhead.least, LEAST_NET_NS) / ours.least for ours, peer in pairs)
    return [f"{geometric_mean(ratios):.2f}" for ratios in (by_median, by_least)]
