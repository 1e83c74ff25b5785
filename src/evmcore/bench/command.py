"""The command `python -m evmcore bench`: what to measure, in which order, and what is printed and written."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final

from evmcore.bench import (
    analysis,
    cases,
    contest,
    engine,
    imports,
    lua,
    messages,
    once,
    parallel,
    picture,
    redis_calls,
    replay,
    report,
    roots,
    sequential,
    timeline,
)
from evmcore.bench.load import command as load
from evmcore.bench.peer import Peer, open_peer
from evmcore.bench.program import Program
from evmcore.bench.pyrevm import Pyrevm
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
    peer_help = (
        "also measure this engine, alternately, on the same work: pyrevm, or the path of a program that speaks the "
        "protocol of peers/README.md; may be given several times (with --parallel: programs alone)"
    )
    made.add_argument("--peer", action="append", default=[], metavar="NAME", help=peer_help)
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
    alone = made.given(options, ("once", "imports", "roots"))
    if options.peer and alone:
        raise CommandError(f"--peer: not together with {', '.join(map(made.flag, alone))}")
    if options.peer and options.parallel and "pyrevm" in options.peer:
        raise CommandError("--peer pyrevm: not together with --parallel, which compares whole blocks")


class Bench:
    """One run of the command."""

    def __init__(self, options: argparse.Namespace, peers: Sequence[Peer], facts: dict[str, str | int]) -> None:
        self.rounds: int = options.rounds
        self.measured = 0
        self.wanted = re.compile(options.filter)
        self.peers = peers
        self.record: dict[str, Any] = {"machine": facts, "rounds": self.rounds, "unit": "ns"}
        if peers:
            self.record["peers"] = {peer.name: peer.version for peer in peers}

    @property
    def programs(self) -> list[Program]:
        """The peers that execute whole blocks."""
        return [peer for peer in self.peers if isinstance(peer, Program)]

    # ---- blocks

    def workloads(self, seed: int) -> None:
        chosen = [workload for workload in standard(seed) if self.wanted.search(workload.name)]
        rows = sequential.workloads(chosen, self.peers, self.rounds)
        self.measured += len(rows)
        self.record["workloads"] = [row.record() for row in rows]

    def real_blocks(self, directory: Path) -> None:
        paths = [path for path in replay.paths(directory) if self.wanted.search(path.name)]
        rows = sequential.real_blocks(paths, self.programs, self.rounds)
        self.measured += len(rows)
        self.record["blocks"] = [row.record() for row in rows]

    # ---- analysis of code

    def analysis(self, options: argparse.Namespace) -> None:
        groups = analysis.made_codes(options.seed)
        if options.blocks:
            groups = {"real contracts": analysis.real_codes(replay.paths(options.blocks)), **groups}
        chosen = {name: codes for name, codes in groups.items() if self.wanted.search(name) and codes}
        if chosen:
            pyrevm = next((peer for peer in self.peers if isinstance(peer, Pyrevm)), None)
            rows = analysis.run(chosen, self.rounds, pyrevm)
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
            if self.programs:
                entered = contest.run(what, wanted, [peer.path for peer in self.programs], max(threads), self.rounds)
                self.measured += len(entered)
                self.record[f"contest_{what}s"] = [each.record() for each in entered]
                continue
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
        if options.timeline.is_dir() or not options.timeline.parent.is_dir():
            raise CommandError(f"--timeline: {options.timeline}: a directory, or not in one that exists")
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

    # ---- messages and calls

    def case_files(self, directory: Path) -> None:
        """Every case as a bare message; then those of the group `call` as calls from Python."""
        chosen = [case for case in cases.load_directory(directory) if self.wanted.search(case.name)]
        if chosen:
            rows, empty = messages.programs(chosen, self.peers, self.rounds)
            self.measured += len(rows)
            self.record["cases"] = [row.record() for row in rows]
            self.record["empty_calls"] = {name: list(samples.values) for name, samples in empty.items()}
            self.calls([case for case in chosen if case.group == "call"])

    def calls(self, chosen: Sequence[cases.Case]) -> None:
        """Single calls as a user makes them, from Python."""
        chosen = [case for case in chosen if self.wanted.search(case.name)]
        if chosen:
            rows = messages.calls(chosen, self.peers, self.rounds)
            self.measured += len(rows)
            self.record["calls"] = [row.record() for row in rows]


def measure_chosen(bench: Bench, options: argparse.Namespace) -> None:
    """Measures what the options name. Raises CommandError if that is nothing."""
    if options.cases:
        bench.case_files(options.cases)
    if options.analysis:
        bench.analysis(options)
    if options.roots:
        bench.roots(options)
    if options.parallel:
        bench.parallel(options)
    if options.imports:
        bench.imports(options)
    others = options.parallel or options.imports or options.analysis or options.roots
    if options.blocks and not others:
        bench.real_blocks(options.blocks)
    if not (options.cases or options.blocks or others):
        bench.workloads(options.seed)
        bench.calls(cases.own())
    if not bench.measured:
        raise CommandError(f"--filter: nothing has {options.filter!r} in its name")


def run(options: argparse.Namespace) -> int:
    """Measures, prints and writes what the options say. Returns the exit code."""
    if options.json and (options.json.is_dir() or not options.json.parent.is_dir()):
        raise CommandError(f"--json: {options.json}: a directory, or not in one that exists")
    if options.load or options.load_setup:
        return load.run(options)
    facts = report.machine()
    record: dict[str, Any]
    if options.peer_lua:
        print(report.machine_line(facts) + "\n")
        record = {"machine": facts, "lua": lua.run(options.peer_lua, seconds=0.4 * options.rounds)}
    elif options.redis is not None:
        print(report.machine_line(facts) + "\n")
        record = {"machine": facts, "rounds": options.rounds, "unit": "ns", "redis": redis_calls.run(options)}
    else:
        with ExitStack() as stack:
            peers = [stack.enter_context(closing(open_peer(name))) for name in options.peer]
            print("; ".join([report.machine_line(facts), *(f"{peer.name} {peer.version}" for peer in peers)]) + "\n")
            bench = Bench(options, peers, facts)
            if options.timeline:
                bench.timeline(options)
                return 0
            measure_chosen(bench, options)
            record = bench.record
    if options.json:
        options.json.write_text(json.dumps(record, indent=1) + "\n")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command. Returns its exit code: 0, 1 for a wrong result, 2 for bad arguments or files."""
    made = parser()
    options = made.parse_args(argv)
    try:
        check_options(made, options)
        return run(options)
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
