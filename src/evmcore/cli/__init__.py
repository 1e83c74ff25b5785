"""The command line: ``python -m evmcore COMMAND``.

Exit codes: 0 done, 1 a test case failed or the EVM stopped with an error, 2 bad arguments or unreadable or malformed
input (one line on stderr says what and where); ``t8n`` uses geth's codes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from evmcore.cli.arguments import CommandError, Parser
from evmcore.errors import EvmcoreError

PROGRAM = "evmcore"


def _fail(command: str, message: str) -> None:
    print(f"{PROGRAM} {command}: error: " + " ".join(message.split()), file=sys.stderr)


def build_parser() -> Parser:
    """The parser of the whole command line."""
    from evmcore import __version__
    from evmcore.cli import fixture_commands, follow, load, run, serve, t8n

    parser = Parser(
        prog=PROGRAM,
        description="An Ethereum Virtual Machine engine: runs code and tests, keeps state in Redis, serves calls, "
        "measures. COMMAND --help tells more.",
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


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = next((word for word in arguments if not word.startswith("-")), "")
    try:
        if command == "bench" and arguments[0] == "bench":
            from evmcore.bench import main as bench

            return bench(arguments[1:])
        options = build_parser().parse_args(arguments)
        code: int = options.handler(options)
        sys.stdout.flush()
        return code
    except CommandError as error:
        _fail(command, str(error))
        return error.code
    except EvmcoreError as error:
        _fail(command, str(error))
        return 2
    except BrokenPipeError:
        # The reader went away (`| head`); what is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130
