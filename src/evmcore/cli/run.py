"""`run`: execute code and print the result."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from evmcore.cli import arguments
from evmcore.cli.arguments import CommandError

if TYPE_CHECKING:
    from evmcore.engine import EVM, CallResult

# geth's defaults: the texts "sender" and "receiver" as addresses.
SENDER = b"sender".rjust(20, b"\0")
RECEIVER = b"receiver".rjust(20, b"\0")
GAS = 10_000_000_000


def add_parser(commands: argparse._SubParsersAction[arguments.Parser]) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "run",
        help="execute code and print gas, output, revert reason and call tree",
        description="Executes code as one message call: all gas is there for the code, nothing is charged before. "
        "Exit code 0 when the code succeeds, 1 when it reverts or halts.",
    )
    parser.add_argument("code", nargs="?", metavar="CODE", help="hex code; `-`: read it from stdin")
    parser.add_argument("--codefile", metavar="FILE", help="file with hex code; `-`: stdin")
    parser.add_argument(
        "--input",
        type=arguments.data,
        default=None,
        metavar="HEX",
        help="calldata (with --create: appended to the init code)",
    )
    parser.add_argument("--inputfile", metavar="FILE", help="file with hex calldata; `-`: stdin")
    parser.add_argument("--create", action="store_true", help="run the code as init code of a new contract")
    parser.add_argument(
        "--prestate", metavar="FILE", help="geth genesis or alloc file: the state (and block) to run in"
    )
    parser.add_argument(
        "--fork", "--state.fork", dest="fork", default="osaka", metavar="FORK", help="rules to run by (default osaka)"
    )
    parser.add_argument(
        "--gas",
        type=arguments.argument("number", lambda text: arguments.integer(text, 62)),
        default=GAS,
        metavar="N",
        help=f"gas for the code (default {GAS})",
    )
    parser.add_argument(
        "--price", type=arguments.uint256, default=0, metavar="WEI", help="what GASPRICE shows (default 0)"
    )
    parser.add_argument(
        "--value", type=arguments.uint256, default=0, metavar="WEI", help="value sent along (default 0)"
    )
    parser.add_argument(
        "--sender",
        type=arguments.address,
        default=SENDER,
        metavar="ADDRESS",
        help="caller (default: the text `sender`)",
    )
    parser.add_argument(
        "--receiver",
        type=arguments.address,
        default=RECEIVER,
        metavar="ADDRESS",
        help="account that runs the code (default: the text `receiver`)",
    )
    parser.add_argument("--static", action="store_true", help="forbid state changes, as STATICCALL does")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--bench", action="store_true", help="repeat for a second and print the time per run")
    arguments.add_trace_arguments(parser)
    parser.set_defaults(handler=_run)


def _hex_input(path: str, what: str) -> bytes:
    from evmcore.errors import InputError

    try:
        return arguments.hex_data(arguments.read_text(path, what))
    except InputError as error:
        raise CommandError(f"{what} {path}: {error}") from None


def _code(options: argparse.Namespace) -> bytes | None:
    """The code to run; None: the receiver's code in the prestate."""
    from evmcore.errors import InputError

    if options.code is not None and options.codefile is not None:
        raise CommandError("CODE and --codefile exclude each other")
    if options.codefile is not None or options.code == "-":
        return _hex_input(options.codefile or "-", "code file")
    if options.code is not None:
        try:
            return arguments.hex_data(options.code)
        except InputError as error:
            raise CommandError(f"CODE: {error}") from None
    if options.create or options.prestate is None or options.receiver == RECEIVER:
        raise CommandError("no code: give CODE, --codefile, or --prestate with the --receiver whose code is to run")
    return None


def _evm(options: argparse.Namespace) -> EVM:
    from evmcore.cli.fixtures import fields
    from evmcore.cli.fixtures.source import FixtureError
    from evmcore.engine import EVM
    from evmcore.errors import InputError
    from evmcore.forks import Fork
    from evmcore.state import MemoryState

    try:
        fork = Fork.from_name(options.fork)
    except InputError as error:
        raise CommandError(f"--fork: {error}") from None
    if options.prestate is None:
        return EVM(MemoryState(), fork=fork)
    document = arguments.parse_json(arguments.read_text(options.prestate, "prestate"), f"prestate {options.prestate}")
    where = f"prestate {options.prestate}"
    try:
        genesis = fields.mapping(where, document)
        is_genesis = "alloc" in genesis
        alloc = fields.alloc(f"{where}: alloc", genesis["alloc"] if is_genesis else genesis)
        return EVM(
            MemoryState(alloc),
            fork=fork,
            block=_block(where, genesis if is_genesis else {}),
            chain_id=_chain_id(where, genesis),
        )
    except (FixtureError, fields.Oversized) as error:
        raise CommandError(str(error)) from None


def _chain_id(where: str, genesis: Mapping[str, Any]) -> int:
    from evmcore.cli.fixtures import fields

    config = genesis.get("config")
    if not isinstance(config, dict):
        return 1
    return fields.uint(f"{where}: config.chainId", config.get("chainId", 1))


def _block(where: str, genesis: Mapping[str, Any]) -> Any:
    from evmcore.cli.fixtures import fields
    from evmcore.types import BlockEnv

    def number(name: str, default: int, bits: int = 64) -> int:
        return fields.uint(f"{where}: {name}", genesis.get(name, default), bits)

    coinbase = genesis.get("coinbase")
    excess = genesis.get("excessBlobGas")
    return BlockEnv(
        number=number("number", 0),
        timestamp=number("timestamp", 0),
        gas_limit=number("gasLimit", 30_000_000, 63),
        difficulty=number("difficulty", 0, 256),
        prevrandao=number("mixHash", 0, 256).to_bytes(32, "big"),
        base_fee=number("baseFeePerGas", 0, 256),
        coinbase=bytes(20) if coinbase is None else fields.fixed(f"{where}: coinbase", coinbase, 20),
        excess_blob_gas=None if excess is None else number("excessBlobGas", 0),
    )


def _run(options: argparse.Namespace) -> int:
    from evmcore.cli.traces import tracer_factory
    from evmcore.tracing import CallTracer

    code = _code(options)
    if options.input is not None and options.inputfile is not None:
        raise CommandError("--input and --inputfile exclude each other")
    data = _hex_input(options.inputfile, "input file") if options.inputfile is not None else options.input or b""
    evm = _evm(options)

    def execute(tracer: Any) -> CallResult:
        shared = {
            "sender": options.sender,
            "value": options.value,
            "gas": options.gas,
            "gas_price": options.price,
            "tracer": tracer,
        }
        if options.create:
            return evm.message(None, (code or b"") + data, **shared)
        return evm.message(options.receiver, data, code=code, is_static=options.static, **shared)

    # A message does not change the state, so it can be run once for each tracer.
    make_tracer = tracer_factory(options)
    if make_tracer is not None:
        execute(make_tracer())
    calls = CallTracer()
    result = execute(calls)
    tree = calls.result
    seconds = _time(execute) if options.bench else None
    if options.json:
        print(json.dumps(_as_json(result, tree, seconds), indent=2))
    else:
        _print(result, tree, seconds)
    return 0 if result.success else 1


def _time(execute: Any) -> float:
    """Median seconds per run, over as many runs as fit into a second."""
    times: list[float] = []
    end = time.perf_counter() + 1
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        execute(None)
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def _as_json(result: CallResult, tree: Any, seconds: float | None) -> dict[str, Any]:
    out: dict[str, Any] = {
        "status": result.status.name,
        "gasUsed": result.gas_used,
        "output": "0x" + result.output.hex(),
        "error": result.error,
    }
    reason = result.revert_reason
    if reason is not None:
        out["revert"] = {"kind": reason.kind, "message": reason.message, "code": reason.code}
    if result.created_address is not None:
        out["created"] = "0x" + result.created_address.hex()
    out["logs"] = [
        {
            "address": "0x" + log.address.hex(),
            "topics": ["0x" + t.hex() for t in log.topics],
            "data": "0x" + log.data.hex(),
        }
        for log in result.logs
    ]
    out["calls"] = tree
    if seconds is not None:
        out["seconds"] = seconds
    return out


def _print(result: CallResult, tree: Mapping[str, Any] | None, seconds: float | None) -> None:
    print(f"status    {result.status.name}")
    print(f"gas used  {result.gas_used}")
    print(f"output    0x{result.output.hex()}")
    reason = result.revert_reason
    if reason is not None:
        print(f"revert    {reason.message}")
    if result.created_address is not None:
        print(f"created   0x{result.created_address.hex()}")
    for log in result.logs:
        topics = " ".join("0x" + topic.hex() for topic in log.topics)
        print(f"log       0x{log.address.hex()} [{topics}] 0x{log.data.hex()}")
    if seconds is not None:
        print(f"time      {seconds * 1e6:.1f} us a run, {result.gas_used / seconds / 1e6:.0f} Mgas/s")
    if tree is not None:
        print("calls")
        _print_call(tree, 1)
    sys.stdout.flush()


def _print_call(call: Mapping[str, Any], depth: int) -> None:
    value = int(call.get("value") or "0x0", 16)
    words = [call["type"], call.get("to") or "?", f"gas {int(call['gasUsed'], 16)}"]
    if value:
        words.append(f"value {value}")
    if call.get("error"):
        words.append(f"! {call['error']}")
    print("  " * depth + " ".join(words))
    for inner in call.get("calls") or ():
        _print_call(inner, depth + 1)
