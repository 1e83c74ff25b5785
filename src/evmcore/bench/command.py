"""The command `python -m evmcore bench`: what to measure, in which order, and what is printed and written."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from evmcore.bench import (
    analysis,
    cases,
    engine,
    imports,
    lua,
    once,
    parallel,
    picture,
    redis_calls,
    replay,
    report,
    roots,
    timeline,
)
from evmcore.bench.load import command as load
from evmcore.bench.measure import Samples, geometric_mean, measure
from evmcore.bench.peer import Pyrevm
from evmcore.bench.traffic import standard
from evmcore.cli.arguments import CommandError, Parser, pattern, positive
from evmcore.cli.arguments import threads as thread_number
from evmcore.errors import EvmcoreError, InputError
from evmcore.threads import thread_count

DESCRIPTION = """\
Measures speed. Without --blocks, --cases, --parallel, --import, --roots and --analysis: workloads of the package's own
(plain transfers, ERC-20 transfers, swaps through pair contracts, a compute contract) and single calls from Python.
Every result is checked before it is timed.
"""


# What has no effect without one of the others.
NEEDS: Final = {
    "once": ("parallel",),
    "pairs": ("parallel",),
    "gigagas": ("parallel", "timeline"),
    "threads": ("parallel", "imports", "roots", "timeline"),
    **load.NEEDS,
}

# What is measured alone, and what would be left out beside any of it.
ALONE: Final = ("load_setup", "load", "peer_lua", "redis", "timeline")
OTHERS: Final = ("cases", "peer", "parallel", "analysis", "imports", "roots")


def parser() -> Parser:
    made = Parser(prog="evmcore bench", description=DESCRIPTION)
    made.add_argument(
        "--blocks", type=Path, metavar="DIR", help="run the real blocks (*.json.xz) of a directory, or one"
    )
    made.add_argument("--cases", type=Path, metavar="DIR", help="run the programs (*.json) of a directory")
    made.add_argument("--peer", choices=["pyrevm"], help="also measure this engine, alternately, on the same work")
    made.add_argument(
        "--filter", type=pattern, default="", metavar="REGEX", help="measure only what has this in its name"
    )
    made.add_argument("--rounds", type=positive, default=5, metavar="N", help="samples of each thing (default 5)")
    made.add_argument("--seed", type=int, default=1, help="of the package's own workloads (default 1)")
    made.add_argument(
        "--parallel", action="store_true", help="compare sequential and parallel execution, run alternately"
    )
    once_help = (
        "with --parallel: execute all blocks in a row, each a single time, by new processes in every round; known: "
        "their contracts were seen before (default: they were not)"
    )
    made.add_argument("--once", nargs="?", const="new", choices=["new", "known"], help=once_help)
    made.add_argument("--gigagas", action="store_true", help="with --parallel: blocks of 1 Ggas")
    analysis_help = "measure the analysis of code: contracts of the real blocks (--blocks), and hostile ones"
    made.add_argument("--analysis", action="store_true", help=analysis_help)
    import_help = (
        "measure whole imports, from a block's bytes to verified results, on one thread and several: of the real "
        "blocks that --blocks names, or of the package's own, whose state root is verified too"
    )
    made.add_argument("--import", dest="imports", action="store_true", help=import_help)
    roots_help = "measure state roots after a block, of states of several sizes, with the trie kept and without"
    made.add_argument("--roots", action="store_true", help=roots_help)
    threads_help = "with --parallel, --import and --roots: numbers, as in 1,2,4; with --timeline: one number"
    made.add_argument("--threads", type=thread_counts, metavar="LIST", help=threads_help)
    pairs_help = "with --parallel: pairs of runs for each block that seems slower with threads, at most (default: 200)"
    made.add_argument("--pairs", type=positive, default=200, metavar="N", help=pairs_help)
    timeline_help = (
        "draw who ran what and when in one parallel block, as SVG: the block that --blocks and --filter name, or the "
        "workload that --filter names (default: mixed)"
    )
    made.add_argument("--timeline", type=Path, metavar="FILE", help=timeline_help)
    made.add_argument("--json", type=Path, metavar="FILE", help="write every sample to this file")
    lua_help = "measure EVM.lua (FILE is its source) inside a Redis server of its own, on its two sample programs"
    made.add_argument("--peer-lua", type=Path, metavar="FILE", help=lua_help)
    redis_help = (
        "compare calls on state in Redis with calls on memory and with HMGET, on a server of its own or the one at URL"
    )
    made.add_argument("--redis", nargs="?", const="", metavar="URL", help=redis_help)
    load.add_arguments(made)
    return made


def thread_counts(text: str) -> list[int]:
    """Numbers of threads, separated by commas."""
    return sorted({thread_count(thread_number(part)) for part in text.split(",")})


def check_options(made: Parser, options: argparse.Namespace) -> None:
    """Raises `CommandError` for options that would do nothing, alone or beside the others."""
    made.refuse_idle(options, NEEDS)
    for name in made.given(options, ALONE)[:1]:
        beside = made.given(options, (*ALONE, *OTHERS, *(() if name == "timeline" else ("blocks",))))
        beside.remove(name)
        if name == "timeline" and options.json:
            beside.append("json")
        if beside:
            raise CommandError(f"{made.flag(name)}: not together with {', '.join(map(made.flag, beside))}")


@dataclass
class BlockRow:
    """A workload or a real block: time of each of its blocks, on this engine and on the peer."""

    name: str
    transactions: int = 0
    gas: int = 0
    ours: list[Samples] = field(default_factory=list)
    peer: list[Samples] = field(default_factory=list)
    first: int | None = None  # nanoseconds of the first execution of all, where known

    def seconds(self, of_peer: bool = False) -> float:
        """Of all blocks together, by the medians."""
        return sum(samples.median for samples in (self.peer if of_peer else self.ours)) / 1e9


@dataclass
class CaseRow:
    """A message or call on this engine and on the peer."""

    case: cases.Case
    gas: int
    ours: Samples
    peer: Samples | None


class Bench:
    """One run of the command."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.rounds: int = options.rounds
        self.measured = 0
        self.wanted = re.compile(options.filter)
        self.peer = Pyrevm() if options.peer else None
        self.record: dict[str, Any] = {"machine": report.machine(), "rounds": self.rounds, "unit": "ns"}
        if self.peer:
            self.record["peer"] = {"name": self.peer.name, "version": self.peer.version}

    # ---- blocks

    def workloads(self, seed: int) -> None:
        chosen = [workload for workload in standard(seed) if self.wanted.search(workload.name)]
        rows = []
        with report.progress(sum(len(workload.blocks) for workload in chosen)) as bar:
            for workload in chosen:
                row = BlockRow(workload.name, workload.transactions)
                run = engine.workload_run(workload)
                other = self.peer.workload(workload) if self.peer else None
                for block in workload.blocks:
                    tasks = [run.task(block)] + ([other.block(block)] if other else [])
                    samples = measure(tasks, self.rounds)
                    row.ours.append(samples[0])
                    row.peer += samples[1:]
                    row.gas += run.advance(block)
                    if other:
                        tasks[1].run()
                    bar.step(workload.name)
                engine.check_outcome(workload.name, run.state, workload.outcome)
                rows.append(row)
        self.print_blocks("workload", rows)
        self.record["workloads"] = [self.block_record(row) for row in rows]

    def real_blocks(self, directory: Path) -> None:
        paths = [path for path in replay.paths(directory) if self.wanted.search(path.name)]
        rows = []
        with report.progress(len(paths)) as bar:
            for path in paths:
                real = replay.load(path)
                if real.block.transactions:
                    run, first = engine.real_run(real)
                    samples = measure([run.task(real.block)], self.rounds, budget_ns=50_000_000)
                    rows.append(BlockRow(real.name, len(real.block.transactions), real.gas_used, samples, first=first))
                bar.step(real.name)
        self.print_blocks("block", rows)
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
        self.record["blocks"] = [self.block_record(row) for row in rows]

    # ---- analysis of code

    def analysis(self, options: argparse.Namespace) -> None:
        groups = analysis.made_codes(options.seed)
        if options.blocks:
            groups = {"real contracts": analysis.real_codes(replay.paths(options.blocks)), **groups}
        chosen = {name: codes for name, codes in groups.items() if self.wanted.search(name) and codes}
        if chosen:
            rows = analysis.run(chosen, self.rounds, self.peer)
            self.measured += len(rows)
            self.record["analysis"] = [row.record() for row in rows]

    # ---- state roots

    def roots(self, options: argparse.Namespace) -> None:
        sizes = [size for size in roots.SIZES if self.wanted.search(f"{size} accounts")]
        if sizes:
            threads = options.threads or sorted({1, thread_count("auto")})
            table, self.record["roots"] = roots.run(threads, self.rounds, options.seed, sizes)
            self.measured += len(sizes)
            print(table + "\n")

    # ---- sequential against parallel

    def parallel(self, options: argparse.Namespace) -> None:
        threads = options.threads or sorted({1, 2, thread_count("auto")})
        chosen: dict[str, dict[str, Any]] = {}
        if options.blocks:
            chosen["block"] = parallel.block_makers(options.blocks)
        if options.gigagas or not options.blocks:
            chosen["workload"] = parallel.workload_makers(options.seed, options.gigagas)
        self.record["ceilings"] = parallel.print_ceilings(threads, self.rounds)
        for what, makers in chosen.items():
            wanted = [(name, make) for name, make in makers.items() if self.wanted.search(name)]
            if options.once:
                names = tuple(name for name, _ in wanted)
                real = options.blocks if what == "block" else None
                stream = once.Stream(real, options.seed, options.gigagas, options.once == "known", names)
                met = once.run(what, stream, max(threads), self.rounds)
                self.measured += len(met)
                self.record[f"once_{what}s"] = [once.record_of(row) for row in met]
                continue
            rows = parallel.run(what, wanted, threads, self.rounds, options.pairs)
            self.measured += len(rows)
            self.record[f"parallel_{what}s"] = [parallel.record_of(row) for row in rows]

    # ---- whole imports

    def imports(self, options: argparse.Namespace) -> None:
        threads = options.threads or sorted({1, thread_count("auto")})
        rows = imports.run(
            options.blocks, lambda name: bool(self.wanted.search(name)), options.seed, threads, self.rounds
        )
        self.measured += len(rows)
        self.record["imports"] = [imports.record_of(row) for row in rows]

    def timeline(self, options: argparse.Namespace) -> None:
        threads = options.threads or [max(2, thread_count("auto"))]
        if len(threads) != 1:
            raise CommandError(f"--threads: one number with --timeline, got {len(threads)}")
        if options.blocks:
            makers = parallel.block_makers(options.blocks)
        else:
            makers = parallel.workload_makers(options.seed, options.gigagas)
        if options.blocks or options.filter:
            chosen = [name for name in makers if self.wanted.search(name)]
        else:
            chosen = ["mixed"]
        exact = [name for name in chosen if name == options.filter]
        chosen = exact or chosen
        if len(chosen) != 1:
            named = f": {'; '.join(chosen)}" if 1 < len(chosen) < 20 else ""
            raise CommandError(f"--timeline: draws one block; --filter {options.filter!r} names {len(chosen)}{named}")
        subject = makers[chosen[0]]()
        if not subject.valid or not subject.block.transactions:
            raise CommandError(f"--timeline: {subject.name}: the block is invalid or has no transactions")
        recorded, sequential = timeline.record(subject, threads[0])
        try:
            options.timeline.write_text(picture.draw(recorded), encoding="utf-8")
        except OSError as error:
            raise CommandError(f"--timeline: {options.timeline}: cannot be written: {error.strerror}") from None
        self.measured += 1
        print(timeline.summary(recorded, sequential))
        print(f"{options.timeline}: written")

    def print_blocks(self, what: str, rows: Sequence[BlockRow]) -> None:
        self.measured += len(rows)
        if not rows:
            return
        headers = [what, "blocks", "txs", "Mgas", "tx/s", "Mgas/s", "ms/block", "min", "max"]
        if any(row.first for row in rows):
            headers.append("first ms")
        if self.peer and any(row.peer for row in rows):
            headers += [f"{self.peer.name} Mgas/s", "ratio"]
        lines = []
        for row in rows:
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
            if row.peer:
                theirs = row.seconds(of_peer=True)
                cells += [report.number(row.gas / theirs / 1e6), f"{theirs / row.seconds():.2f}"]
            lines.append(cells)
        print(report.table(headers, lines) + "\n")

    @staticmethod
    def block_record(row: BlockRow) -> dict[str, Any]:
        return {
            "name": row.name,
            "transactions": row.transactions,
            "gas": row.gas,
            "first": row.first,
            "blocks": [list(samples.values) for samples in row.ours],
            "peer_blocks": [list(samples.values) for samples in row.peer],
        }

    # ---- messages and calls

    def programs(self, directory: Path) -> None:
        """Every case as a bare message; then those of the group `call` as calls from Python."""
        chosen = [case for case in cases.load_directory(directory) if self.wanted.search(case.name)]
        if not chosen:
            return
        empty = self.empty_call()
        rows = self.measure_cases(chosen, message=True)
        headers = ["program", "gas", "us", "min", "max", "Mgas/s"]
        if empty:
            headers += ["pyrevm us", "net us", "ratio", "net ratio"]
        lines = []
        for row in rows:
            cells = [
                row.case.name,
                f"{row.gas:,}",
                *(report.number(value / 1e3) for value in (row.ours.median, row.ours.least, row.ours.most)),
                report.number(1e3 * row.gas / row.ours.median),
            ]
            if row.peer and empty:
                net = row.peer.median - empty.median
                cells += [
                    report.number(row.peer.median / 1e3),
                    report.number(max(net, 0) / 1e3),
                    f"{row.peer.median / row.ours.median:.2f}",
                    f"{net / row.ours.median:.2f}" if row.case.data or row.gas else "-",
                ]
            lines.append(cells)
        print(report.table(headers, lines) + "\n")
        if empty:
            self.print_means(rows, empty)
        self.record["cases"] = [self.case_record(row) for row in rows]
        self.calls([case for case in chosen if case.group == "call"])

    def empty_call(self) -> Samples | None:
        """What the peer takes for a call that does nothing: its own overhead."""
        if not self.peer:
            return None
        samples = measure([self.peer.case(cases.own()[0])], self.rounds)[0]
        self.record["peer"]["empty_call"] = list(samples.values)
        return samples

    def print_means(self, rows: Sequence[CaseRow], empty: Samples) -> None:
        headers = ["group", "programs", "pyrevm / evmcore", "net, by medians", "net, by minima"]
        lines = []
        groups = sorted({row.case.group for row in rows} - {"call"})
        for name in [*groups, "main + evm-bench"]:
            members = [row for row in rows if row.case.group in name.split(" + ")]
            pairs = [(row.ours, row.peer) for row in members if row.peer]
            if not pairs or (" + " in name and not {"main", "evm-bench"} <= set(groups)):
                continue
            # Below nothing there is no ratio: a program that the peer runs as fast as an empty one counts as 0.01 us.
            lines.append(
                [
                    name,
                    str(len(pairs)),
                    f"{geometric_mean(peer.median / ours.median for ours, peer in pairs):.2f}",
                    f"{geometric_mean(max(peer.median - empty.median, 10) / ours.median for ours, peer in pairs):.2f}",
                    f"{geometric_mean(max(peer.least - empty.least, 10) / ours.least for ours, peer in pairs):.2f}",
                ]
            )
        print("geometric means of pyrevm's time over evmcore's; net: without what pyrevm takes for an empty call")
        print(report.table(headers, lines) + "\n")

    def calls(self, chosen: Sequence[cases.Case]) -> None:
        """Single calls as a user makes them, from Python."""
        chosen = [case for case in chosen if self.wanted.search(case.name)]
        if not chosen:
            return
        rows = self.measure_cases(chosen, message=False)
        headers = ["call from Python", "us", "min", "max", "calls/s"]
        if self.peer:
            headers += ["pyrevm calls/s", "ratio"]
        lines = []
        for row in rows:
            cells = [
                row.case.name,
                *(report.number(value / 1e3) for value in (row.ours.median, row.ours.least, row.ours.most)),
                report.number(1e9 / row.ours.median),
            ]
            if row.peer:
                cells += [report.number(1e9 / row.peer.median), f"{row.peer.median / row.ours.median:.2f}"]
            lines.append(cells)
        print(report.table(headers, lines) + "\n")
        self.record["calls"] = [self.case_record(row) for row in rows]

    def measure_cases(self, chosen: Sequence[cases.Case], message: bool) -> list[CaseRow]:
        self.measured += len(chosen)
        rows = []
        with report.progress(len(chosen)) as bar:
            for case in chosen:
                tasks = [engine.message(case) if message else engine.call(case)]
                if self.peer:
                    tasks.append(self.peer.case(case))
                samples = measure(tasks, self.rounds)
                rows.append(CaseRow(case, case.gas_used or 0, samples[0], samples[1] if self.peer else None))
                bar.step(case.name)
        return rows

    @staticmethod
    def case_record(row: CaseRow) -> dict[str, Any]:
        return {
            "name": row.case.name,
            "group": row.case.group,
            "gas": row.gas,
            "samples": list(row.ours.values),
            "peer_samples": list(row.peer.values) if row.peer else [],
        }


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command. Returns its exit code: 0, 1 for a wrong result, 2 for bad arguments or files."""
    made = parser()
    options = made.parse_args(argv)
    try:
        check_options(made, options)
        if options.json and (options.json.is_dir() or not options.json.parent.is_dir()):
            raise CommandError(f"--json: {options.json}: a directory, or not in one that exists")
        if options.load or options.load_setup:
            return load.run(options)
        if options.peer_lua:
            print(report.machine_line(report.machine()) + "\n")
            record = {"machine": report.machine(), "lua": lua.run(options.peer_lua, seconds=0.4 * options.rounds)}
            if options.json:
                options.json.write_text(json.dumps(record, indent=1) + "\n")
            return 0
        if options.redis is not None:
            facts = report.machine()
            print(report.machine_line(facts) + "\n")
            redis_record = {"machine": facts, "rounds": options.rounds, "unit": "ns", "redis": redis_calls.run(options)}
            if options.json:
                options.json.write_text(json.dumps(redis_record, indent=1) + "\n")
            return 0
        bench = Bench(options)
        line = report.machine_line(bench.record["machine"])
        print(line + (f"; {bench.peer.name} {bench.peer.version}" if bench.peer else "") + "\n")
        if options.timeline:
            if options.timeline.is_dir() or not options.timeline.parent.is_dir():
                raise CommandError(f"--timeline: {options.timeline}: a directory, or not in one that exists")
            bench.timeline(options)
            return 0
        if options.cases:
            bench.programs(options.cases)
        if options.analysis:
            bench.analysis(options)
        if options.roots:
            bench.roots(options)
        if options.parallel:
            bench.parallel(options)
        if options.imports:
            bench.imports(options)
        elif options.blocks and not (options.parallel or options.analysis or options.roots):
            bench.real_blocks(options.blocks)
        others = options.parallel or options.imports or options.analysis or options.roots
        if not (options.cases or options.blocks or others):
            bench.workloads(options.seed)
            bench.calls(cases.own())
        if not bench.measured:
            raise CommandError(f"--filter: nothing has {options.filter!r} in its name")
        if options.json:
            options.json.write_text(json.dumps(bench.record, indent=1) + "\n")
    except engine.WrongResult as error:
        print(f"evmcore bench: wrong result: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        raise  # the reader went away: the command line's own to end
    except (CommandError, InputError, OSError) as error:
        print(f"evmcore bench: error: {error}", file=sys.stderr)
        return 2
    except EvmcoreError as error:
        print(f"evmcore bench: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0
