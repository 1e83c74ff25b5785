"""``serve``: answer JSON-RPC over HTTP."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evmcore.cli import arguments
from evmcore.cli.arguments import CommandError

if TYPE_CHECKING:
    from evmcore.service.memory_source import MemorySource


def add_parser(commands: argparse._SubParsersAction[arguments.Parser]) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "serve",
        help="answer JSON-RPC over HTTP",
        description="Answers eth_call and the other methods of Ethereum nodes over HTTP, from a chain in memory.",
    )
    parser.add_argument("--genesis", metavar="FILE", help="geth genesis file: the state to serve, and its chain")
    parser.add_argument("--chain", metavar="FILE", help="RLP chain file: blocks to import on the genesis")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8545, metavar="N", help="port (default 8545; 0: any free one)")
    parser.set_defaults(handler=_serve)


def _require(*modules: str) -> None:
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise CommandError(f"{module} is not installed: pip install 'evmcore[server]'")


def load_memory_source(genesis: str, chain: str | None) -> MemorySource:
    """A source from a genesis file and, where given, a chain file. `CommandError` says which file is wrong."""
    from evmcore.blocks import Block
    from evmcore.errors import InvalidBlock
    from evmcore.service.memory_source import MemorySource

    document = arguments.parse_json(arguments.read_text(genesis, "genesis"), f"genesis {genesis}")
    source = MemorySource.from_genesis(document)
    if chain is not None:
        try:
            data = Path(chain).read_bytes()
        except OSError as error:
            raise CommandError(f"chain {chain}: {error.strerror or error}") from None
        try:
            source.import_blocks(Block.decode_stream(data))
        except InvalidBlock as error:
            number = source.head().number + 1
            raise CommandError(f"chain {chain}: block {number}: {error}") from None
    return source


def _serve(options: argparse.Namespace) -> int:
    _require("uvicorn", "httptools")
    import uvicorn

    from evmcore.service.app import App
    from evmcore.service.calls import CallService
    from evmcore.service.dispatch import Dispatcher
    from evmcore.service.methods import METHODS

    if options.genesis is None:
        raise CommandError("nothing to serve: give --genesis FILE")
    source = load_memory_source(options.genesis, options.chain)
    app: Any = App(Dispatcher(CallService(source), METHODS), close=source.close)
    uvicorn.run(app, host=options.host, port=options.port, http="httptools", log_level="warning", access_log=False)
    return 0
