"""`t8n`: the state transition tool, with the names, defaults, forms and exit codes of geth's `evm t8n`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from evmcore.cli import arguments
from evmcore.cli.arguments import CommandError
from evmcore.cli.t8n_codes import IO_ERROR, JSON_ERROR


def add_parser(commands: argparse._SubParsersAction[arguments.Parser]) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "t8n",
        help="apply a block's transactions to a state",
        description="Executes transactions on a state as a block would, without a header to check against. Inputs and "
        "outputs are files, or stdin and stdout (one JSON object with the keys alloc, env, txs, result, body). Exit "
        "codes are geth's: 2 the EVM stopped or bad arguments, 3 bad configuration, 10 bad JSON, 11 unreadable file, "
        "12 bad RLP.",
    )
    inputs = parser.add_argument_group("inputs")
    for name, text in (
        ("alloc", "the state before"),
        ("env", "the block"),
        ("txs", "the transactions: a JSON list, or RLP as a JSON string"),
    ):
        inputs.add_argument(
            f"--input.{name}",
            dest=f"input_{name}",
            default=f"{name}.json",
            metavar="FILE",
            help=f"{text} (default {name}.json; `stdin`)",
        )
    outputs = parser.add_argument_group("outputs")
    outputs.add_argument(
        "--output.basedir",
        dest="basedir",
        default=".",
        metavar="DIR",
        help="folder of output files (default: the current one)",
    )
    outputs.add_argument(
        "--output.alloc",
        dest="output_alloc",
        default="alloc.json",
        metavar="FILE",
        help="the state after (default alloc.json; `stdout`, `stderr`)",
    )
    outputs.add_argument(
        "--output.result",
        dest="output_result",
        default="result.json",
        metavar="FILE",
        help="roots, receipts and rejections (default result.json; `stdout`, `stderr`)",
    )
    outputs.add_argument(
        "--output.body",
        dest="output_body",
        default="",
        metavar="FILE",
        help="RLP of the included transactions (default: none; `stdout`, `stderr`)",
    )
    outputs.add_argument(
        "--opcode.count",
        dest="opcode_count",
        default="",
        metavar="FILE",
        help="how often each opcode ran (default: none; `stdout`)",
    )
    rules = parser.add_argument_group("rules")
    rules.add_argument(
        "--state.fork",
        dest="fork",
        default="GrayGlacier",
        metavar="FORK",
        help="fork, or a transition such as ParisToShanghaiAtTime15k (default GrayGlacier)",
    )
    rules.add_argument(
        "--state.chainid", dest="chain_id", type=arguments.uint256, default=1, metavar="N", help="chain id (default 1)"
    )
    rules.add_argument(
        "--state.reward",
        dest="reward",
        type=_reward,
        default=0,
        metavar="WEI",
        help="block reward before Paris; -1: nobody is rewarded (default 0)",
    )
    arguments.add_trace_arguments(parser)
    parser.set_defaults(handler=_run)


def _reward(text: str) -> int:
    return -1 if text == "-1" else arguments.uint256(text)


def _run(options: argparse.Namespace) -> int:
    from evmcore.cli.transition import TransitionInput, transition

    stdin: Any = None
    documents = {}
    for name in ("alloc", "env", "txs"):
        path = getattr(options, f"input_{name}")
        if path == "stdin":
            if stdin is None:
                stdin = arguments.parse_json(arguments.read_text("stdin", "input", IO_ERROR), "stdin", JSON_ERROR)
                if not isinstance(stdin, dict):
                    raise CommandError("stdin: expected a JSON object with the keys alloc, env and txs", JSON_ERROR)
            if name not in stdin:
                raise CommandError(f"stdin: missing key {name!r}", JSON_ERROR)
            documents[name] = stdin[name]
        else:
            documents[name] = arguments.parse_json(arguments.read_text(path, name, IO_ERROR), path, JSON_ERROR)
    traces = _TraceFiles(options) if options.trace or options.opcode_count else None
    outcome = transition(
        TransitionInput(
            documents["alloc"], documents["env"], documents["txs"], options.fork, options.chain_id, options.reward
        ),
        None if traces is None else traces.tracer(),
    )
    if traces is not None and options.trace:
        traces.save(options.basedir, [transaction.hash for transaction in outcome.included])
    shown: dict[str, dict[str, Any]] = {"stdout": {}, "stderr": {}}
    contents = [
        ("alloc", options.output_alloc, outcome.alloc),
        ("result", options.output_result, outcome.result),
        ("body", options.output_body, outcome.body),
    ]
    if traces is not None:
        contents.append(("opcodeCount", options.opcode_count, traces.counts))
    for name, path, content in contents:
        if path in shown:
            shown[path][name] = content
        elif path:
            _write(os.path.join(options.basedir, path), json.dumps(content, indent=2) + "\n")
    for stream, content in ((sys.stdout, shown["stdout"]), (sys.stderr, shown["stderr"])):
        if content:
            print(json.dumps(content, indent=2), file=stream)
    return 0


def _write(path: str, text: str) -> None:
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except (OSError, ValueError) as error:
        raise CommandError(f"{path}: {getattr(error, 'strerror', None) or error}", IO_ERROR) from None


class _TraceFiles:
    """A stream for EIP-3155 lines that collects the lines per transaction and counts opcodes."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.finished: list[str] = []
        self.counts: dict[str, int] = {}
        self._lines: list[str] = []

    def tracer(self) -> Any:
        """The tracer that writes here."""
        from evmcore.tracing import EIP3155Tracer

        options = self.options
        return EIP3155Tracer(
            self,
            stack=not options.trace_nostack,
            memory=options.trace_memory and not options.trace_nomemory,
            return_data=options.trace_returndata and not options.trace_noreturndata,
        )

    def write(self, line: str) -> None:
        """Takes one line; a line without a program counter ends a transaction."""
        self._lines.append(line)
        entry = json.loads(line)
        if "pc" in entry:
            name = entry["opName"]
            self.counts[name] = self.counts.get(name, 0) + 1
        else:
            self.finished.append("".join(self._lines))
            self._lines.clear()

    def save(self, folder: str, hashes: list[bytes]) -> None:
        """Writes `trace-INDEX-HASH.jsonl` for each transaction."""
        for index, (text, transaction_hash) in enumerate(zip(self.finished, hashes, strict=True)):
            _write(os.path.join(folder, f"trace-{index}-0x{transaction_hash.hex()}.jsonl"), text)
