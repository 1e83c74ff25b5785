"""`statetest` and `blocktest`: run consensus test fixtures, with the flags and the JSON of geth's `evm`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from evmcore.cli import arguments
from evmcore.cli.arguments import CommandError

if TYPE_CHECKING:
    from evmcore.cli.fixtures.options import Options
    from evmcore.cli.fixtures.result import CaseResult

FORK_WIDTH = 36


def add_parsers(commands: argparse._SubParsersAction[arguments.Parser]) -> None:
    """Adds both commands."""
    _add(commands, "state", "statetest", "run state tests")
    block = _add(commands, "blockchain", "blocktest", "run blockchain tests")
    block.set_defaults(fork="", index=-1)


def _add(
    commands: argparse._SubParsersAction[arguments.Parser], kind: str, name: str, text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=text,
        description=f"Runs{text.removeprefix('run')}: files, directories and .tar.xz archives. Without a path, file "
        "names are read from stdin, one a line, and each is answered at once. On a terminal: pass counts by fork and "
        "what differs in a failed case; otherwise a JSON list as geth's evm prints it. Exit code 1 when a case fails.",
    )
    parser.add_argument("paths", nargs="*", metavar="PATH", help="fixture file, directory or archive")
    parser.add_argument(
        "--run", "-k", type=arguments.pattern, default="", metavar="REGEX", help="only tests whose name matches"
    )
    if kind == "state":
        parser.add_argument("--statetest.fork", dest="fork", default="", metavar="FORK", help="only cases of this fork")
        parser.add_argument(
            "--statetest.index", dest="index", type=int, default=-1, metavar="N", help="only this post entry of a fork"
        )
    parser.add_argument(
        "--workers", type=arguments.positive, default=1, metavar="N", help="worker processes (default 1)"
    )
    parser.add_argument("--bench", action="store_true", help="add the time and gas of each case to the JSON")
    parser.add_argument("--dump", action="store_true", help="add the state after each case to the JSON")
    parser.add_argument("--human", action="store_true", help="print for a person also when stdout is not a terminal")
    arguments.add_trace_arguments(parser)
    parser.set_defaults(handler=_run, kind=kind)
    return parser


def _run(arguments_: argparse.Namespace) -> int:
    from evmcore.cli.fixtures.options import Options
    from evmcore.cli.traces import tracer_factory

    options = Options(
        run=arguments_.run,
        fork=arguments_.fork,
        index=arguments_.index,
        dump=arguments_.dump,
        tracer=tracer_factory(arguments_),
    )
    if options.tracer is not None and arguments_.workers > 1:
        raise CommandError("--trace writes the lines of one case after the other: use --workers 1")
    if arguments_.paths:
        return _report(arguments_, _results(arguments_, options, arguments_.paths))
    code = 0
    for line in sys.stdin:
        if line.strip():
            code = max(code, _report(arguments_, _results(arguments_, options, [line.strip()])))
    return code


def _results(arguments_: argparse.Namespace, options: Options, paths: Iterable[str]) -> Iterator[list[CaseResult]]:
    from evmcore.cli.fixtures.runner import run_sources
    from evmcore.cli.fixtures.source import read_sources

    return run_sources(arguments_.kind, options, read_sources(paths), arguments_.workers)


def _report(arguments_: argparse.Namespace, results: Iterator[list[CaseResult]]) -> int:
    if arguments_.human or sys.stdout.isatty():
        return _report_to_person(results)
    cases = [case for file in results for case in file]
    print(json.dumps([case.json(arguments_.bench) for case in cases], indent=2), flush=True)
    return 0 if all(case.passed for case in cases) else 1


def _report_to_person(results: Iterator[list[CaseResult]]) -> int:
    passed: dict[str, int] = {}
    total: dict[str, int] = {}
    files, start = 0, time.perf_counter()
    progress = sys.stderr.isatty()
    for file in results:
        files += 1
        for case in file:
            total[case.fork] = total.get(case.fork, 0) + 1
            passed[case.fork] = passed.get(case.fork, 0) + case.passed
            if not case.passed:
                print(f"FAIL {case.source}: {case.name} [{case.fork} {case.index}]: {case.error}")
        if progress and files % 20 == 0:
            print(f"\r{files} files, {sum(total.values())} cases", end="", file=sys.stderr, flush=True)
    if progress and files >= 20:
        print("\r" + " " * 40 + "\r", end="", file=sys.stderr, flush=True)
    if not total:
        print("no case matches")
        return 0
    for fork, count in sorted(total.items(), key=lambda item: _fork_order(item[0])):
        print(f"{fork:<{FORK_WIDTH}} {passed[fork]:>6}/{count} pass")
    good, cases = sum(passed.values()), sum(total.values())
    print(f"{'all':<{FORK_WIDTH}} {good:>6}/{cases} pass ({files} files, {time.perf_counter() - start:.1f} s)")
    return 0 if good == cases else 1


def _fork_order(name: str) -> tuple[int, str]:
    from evmcore.errors import InputError
    from evmcore.forks import Fork

    start, to, _ = name.partition("To")
    try:
        return (Fork.from_name(start) + (100 if to else 0), name)
    except InputError:
        return (1000, name)
