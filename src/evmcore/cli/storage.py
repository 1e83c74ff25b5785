"""The common part of the commands that write to Redis: arguments, chains, and files with states."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evmcore.cli import arguments
from evmcore.cli.arguments import CommandError

if TYPE_CHECKING:
    from evmcore.blocks import Header
    from evmcore.forks import ChainConfig
    from evmcore.state.memory import MemoryState
    from evmcore.state.publisher import Publisher

DEFAULT_URL = "redis://127.0.0.1:6379/0"


def add_redis_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments for the server and for writing to it."""
    group = parser.add_argument_group("Redis")
    group.add_argument(
        "--redis",
        default=DEFAULT_URL,
        metavar="URL",
        help=f"redis://, rediss://, unix:// or redis+sentinel://host:port/service (default {DEFAULT_URL})",
    )
    group.add_argument(
        "--chain-id",
        type=arguments.uint256,
        default=None,
        metavar="N",
        help="chain id, which is part of every key (default: that of the genesis, block file or node)",
    )
    group.add_argument(
        "--ring",
        type=arguments.positive,
        default=128,
        metavar="N",
        help="blocks that can be read and taken back (default 128)",
    )
    group.add_argument(
        "--replicas",
        type=arguments.counted,
        default=0,
        metavar="N",
        help="after each change, wait until N replicas have it, for a second at most (default 0)",
    )


def open_publisher(options: argparse.Namespace, chain_id: int, *, replaces: bool = False) -> Publisher:
    """Takes the writer's office; `replaces`: of a state that will be deleted, valid or not."""
    from evmcore.state.publisher import Publisher

    return Publisher(options.redis, chain_id, ring=options.ring, replicas=options.replicas, replaces=replaces)


def start_logging(prefix: str = "") -> None:
    """Sends warnings to stderr, one line each."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=prefix + "%(levelname)s: %(message)s")


def read_object(path: str, what: str) -> Mapping[str, Any]:
    """The JSON object in a file."""
    document = arguments.parse_json(arguments.read_text(path, what), f"{what} {path}")
    if not isinstance(document, Mapping):
        raise CommandError(f"{what} {path}: an object is needed, got {type(document).__name__}")
    return document


class Genesis:
    """A geth-style genesis file: chain, first block and state."""

    def __init__(self, path: str) -> None:
        from evmcore.chain import genesis_header
        from evmcore.errors import InputError
        from evmcore.forks import ChainConfig
        from evmcore.state.memory import MemoryState

        self.path = path
        document = read_object(path, "genesis")
        try:
            self.chain: ChainConfig = ChainConfig.from_genesis(document)
            alloc = document.get("alloc")
            if not isinstance(alloc, Mapping):
                raise InputError("genesis: alloc: expected an object of address to account")
            self.config: Mapping[str, Any] = document.get("config", document)
            self.state: MemoryState = MemoryState(alloc)
            self.header: Header = genesis_header(document, self.chain, self.state.state_root())
        except InputError as error:
            raise CommandError(f"genesis {path}: {error}") from None


def load_genesis(publisher: Publisher, genesis: Genesis) -> None:
    """Loads the whole state of a genesis file."""
    from evmcore.state.loading import Loader
    from evmcore.state.sources import from_memory

    loader = Loader(publisher, genesis.header, complete=True, chain=genesis.config, source=f"genesis {genesis.path}")
    loader.run(from_memory(genesis.state))


def stored_chain(publisher: Publisher) -> ChainConfig | None:
    """The chain whose configuration is stored with the state, or the public network with that chain id."""
    from evmcore.errors import ConfigError
    from evmcore.forks import NETWORKS, ChainConfig

    config = publisher.chain_config()
    if config is not None:
        try:
            return ChainConfig.from_genesis(config)
        except ConfigError as error:
            raise CommandError(f"the chain configuration stored with the state: {error}") from None
    return next((chain for chain in NETWORKS.values() if chain.chain_id == publisher.keys.chain_id), None)


def file_path(path: str, what: str) -> Path:
    """A file that exists."""
    found = Path(path)
    if not found.is_file():
        raise CommandError(f"{what} {path}: no such file")
    return found
