"""The command line: `python -m evmcore COMMAND`.

Exit codes: 0 done, 1 a test case failed or the EVM stopped with an error, 2 bad arguments, unreadable or malformed
input, or output that cannot be written (one line on stderr says what and where), 130 and 143 ended by SIGINT and
SIGTERM; `t8n` uses geth's codes.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from evmcore.cli.arguments import CommandError, Parser
from evmcore.errors import EvmcoreError

PROGRAM = "evmcore"

# These spend their time in native code running the user's programs, and have nothing to clean up but --workers.
AT_ONCE = frozenset({"run", "statetest", "blocktest", "t8n"})


def _fail(command: str, message: str) -> None:
    print(f"{PROGRAM} {command}: error: " + " ".join(message.split()), file=sys.stderr)


def build_parser() -> Parser:
    """The parser of the whole command line."""
    from evmcore import __version__
    from evmcore.cli import fixture_commands, follow, load, run, serve, t8n

    parser = Parser(
        prog=PROGRAM,
        description="An Ethereum Virtual Machine engine: executes blocks and keeps their state in Redis, serves calls "
        "on it, runs code and tests, measures speed. `evmcore COMMAND --help` tells more.",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} version {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    commands.add_parser("bench", help="measure speed on workloads, cases or real blocks", add_help=False)
    run.add_parser(commands)
    fixture_commands.add_parsers(commands)
    t8n.add_parser(commands)
    load.add_parser(commands)
    follow.add_parser(commands)
    serve.add_parser(commands)
    return parser


@contextmanager
def _signals(command: str, has_workers: bool) -> Iterator[None]:
    """Sets how SIGINT and SIGTERM end a command, unless the command handles them itself."""
    before: Any
    ours: Any
    if command in AT_ONCE and not has_workers:
        # Python's own handler would wait until the program ends.
        number, before, ours = signal.SIGINT, signal.default_int_handler, signal.SIG_DFL
    else:
        # Ends everything that the command has started and opened.
        number, before, ours = signal.SIGTERM, signal.SIG_DFL, _end
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(number) is not before:
        yield
        return
    signal.signal(number, ours)
    try:
        yield
    finally:
        if signal.getsignal(number) is ours:
            signal.signal(number, before)


def _end(number: int, frame: object) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)  # once is enough
    raise SystemExit(128 + number)


def _open_outputs() -> None:
    """Opens standard streams that were closed before the start (`>&-`), on /dev/null."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (until the end)


def _flush() -> None:
    """Writes buffered output, if it can still be written."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = next((word for word in arguments if not word.startswith("-")), "")
    _open_outputs()
    try:
        with _signals(command, any(word.startswith("--w") for word in arguments)):
            return _run(command, arguments)
    except CommandError as error:
        _fail(command, str(error))
        return error.code
    except EvmcoreError as error:
        _fail(command, str(error))
        return 2
    except BrokenPipeError:
        _flush()  # the reader went away (`| head`)
        return 141
    except OSError as error:
        _flush()
        _fail(command, f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return 2
    except MemoryError:
        _fail(command, "out of memory")
        return 2
    except KeyboardInterrupt:
        return 130


def _run(command: str, arguments: Sequence[str]) -> int:
    if command == "bench" and arguments[0] == "bench":
        from evmcore.bench import main as bench

        code = bench(arguments[1:])
    else:
        options = build_parser().parse_args(arguments)
        code = options.handler(options)
    sys.stdout.flush()
    return code
