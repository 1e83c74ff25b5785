"""`load`: bring accounts into Redis."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evmcore.cli import arguments, storage
from evmcore.cli.arguments import CommandError

if TYPE_CHECKING:
    from evmcore.blocks import Header
    from evmcore.state.sources import SourceAccount


@dataclass
class StateToLoad:
    """Accounts of one block's state, from any source."""

    name: str
    chain_id: int
    header: Header
    accounts: Iterable[SourceAccount]
    count: int
    complete: bool = False
    config: Mapping[str, Any] | None = None
    block_hashes: Mapping[int, bytes] = field(default_factory=dict)
    close: Callable[[], None] = lambda: None


# Options that have no effect without one of the others.
NEEDS: Final = {"block": ("node",), "slots": ("node",), "header": ("alloc",)}


def add_parser(commands: argparse._SubParsersAction[arguments.Parser]) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "load",
        help="load accounts into Redis",
        description="Loads a state, or selected accounts of it, into Redis. Interrupted, it goes on when started "
        "again. Accounts can be added to a state that holds selected ones and is at the same block; readers go on "
        "meanwhile.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--genesis", metavar="FILE", help="geth genesis file: its state, at block 0")
    source.add_argument("--alloc", metavar="FILE", help="geth alloc file (address to account); needs --header")
    source.add_argument(
        "--block-file",
        metavar="FILE",
        help="block with the state it reads (.json.xz): what is known of the state after it",
    )
    source.add_argument("--node", metavar="URL", help="JSON-RPC address of a node (http or https); needs --account")
    parser.add_argument(
        "--block",
        default="latest",
        metavar="BLOCK",
        help="with --node: number or tag of the block after which the accounts are (default latest, or, where accounts "
        "are added to a state, its head)",
    )
    parser.add_argument(
        "--slots",
        metavar="FILE",
        help="with --node: JSON of address to list of slots, to load of accounts whose whole storage the node does not "
        "give",
    )
    parser.add_argument(
        "--chain-config",
        metavar="FILE",
        help="geth genesis file whose chain rules are kept with the state (not its alloc)",
    )
    parser.add_argument(
        "--header",
        metavar="FILE",
        help="header of the block after which the alloc is: JSON as eth_getBlockByNumber gives it, or RLP in hex",
    )
    parser.add_argument(
        "--account",
        type=arguments.address,
        action="append",
        default=[],
        metavar="ADDRESS",
        help="load only this account (may be repeated)",
    )
    parser.add_argument("--accounts", metavar="FILE", help="load only these accounts: one address a line")
    parser.add_argument("--replace", action="store_true", help="delete the chain's state in Redis first")
    storage.add_redis_arguments(parser)
    parser.set_defaults(handler=parser.checked(_load, NEEDS))


def _addresses(options: argparse.Namespace) -> set[bytes] | None:
    """The requested accounts; None: all."""
    from evmcore.errors import InputError
    from evmcore.types import to_address

    addresses = set(options.account)
    if options.accounts is not None:
        for number, line in enumerate(arguments.read_text(options.accounts, "accounts").splitlines(), 1):
            text = line.partition("#")[0].strip()
            if text:
                try:
                    addresses.add(to_address(text if text[:2] == "0x" else "0x" + text, "address"))
                except InputError as error:
                    raise CommandError(f"accounts {options.accounts}: line {number}: {error}") from None
        if not addresses:
            raise CommandError(f"accounts {options.accounts}: no address in it")
    return addresses or None


def _from_genesis(options: argparse.Namespace, addresses: set[bytes] | None) -> StateToLoad:
    from evmcore.state.sources import from_memory

    genesis = storage.Genesis(options.genesis)
    return StateToLoad(
        f"genesis {options.genesis}",
        genesis.chain.chain_id,
        genesis.header,
        from_memory(genesis.state, addresses),
        len(genesis.state) if addresses is None else len(addresses),
        addresses is None,
        genesis.config,
    )


def _from_alloc(options: argparse.Namespace, addresses: set[bytes] | None) -> StateToLoad:
    from evmcore.errors import EvmcoreError
    from evmcore.state.memory import MemoryState
    from evmcore.state.sources import from_alloc

    if options.header is None:
        raise CommandError("--alloc needs --header FILE: of the block after which the accounts are")
    if options.chain_id is None:
        raise CommandError("--alloc needs --chain-id N")
    header = _read_header(options.header)
    document = storage.read_object(options.alloc, "alloc")
    document = document.get("alloc", document)
    try:
        # A state is whole if its root is the header's.
        complete = addresses is None and MemoryState(document).state_root() == header.state_root
        accounts = list(from_alloc(document, addresses))
    except EvmcoreError as error:
        raise CommandError(f"alloc {options.alloc}: {error}") from None
    return StateToLoad(f"alloc {options.alloc}", options.chain_id, header, accounts, len(accounts), complete)


def _read_header(path: str) -> Header:
    from evmcore.blocks import Header
    from evmcore.errors import EvmcoreError

    text = arguments.read_text(path, "header").strip()
    try:
        if text.startswith("{"):
            return Header.from_json(arguments.parse_json(text, f"header {path}"))
        return Header.decode(arguments.hex_data(text))
    except CommandError:
        raise
    except EvmcoreError as error:
        raise CommandError(f"header {path}: {error}") from None


def _from_block_file(options: argparse.Namespace, addresses: set[bytes] | None) -> StateToLoad:
    from evmcore.bench import replay
    from evmcore.errors import InputError
    from evmcore.state.sources import from_block
    from evmcore.types import to_address

    path = storage.file_path(options.block_file, "block file")
    try:
        fields = replay.read(path)
        real = replay.parse(path, fields)
        left_out = [to_address(address, "meta") for address in fields["meta"]["unknownWithdrawalBalances"]]
        before = fields["preState"]
    except (KeyError, TypeError) as error:
        raise CommandError(f"block file {path}: {error} is missing or malformed") from None
    except (InputError, OSError) as error:
        raise CommandError(f"block file: {error}") from None
    header = real.block.header
    return StateToLoad(
        f"block file {Path(path).name}",
        real.chain.chain_id,
        header,
        from_block(before, real.block, real.chain, real.block_hashes, left_out, addresses),
        len(before) if addresses is None else len(addresses),
        block_hashes=real.block_hashes,
    )


def _from_node(options: argparse.Namespace, addresses: set[bytes] | None) -> StateToLoad:
    from evmcore.state.rpc import Node, from_node
    from evmcore.types import to_hash

    slots = _slots(options.slots)
    wanted = (addresses or set()) | slots.keys()
    if not wanted:
        raise CommandError(
            "--node needs --account, --accounts or --slots: a node does not tell which accounts there are"
        )
    node = Node(options.node)
    chain_id = node.chain_id()
    header = node.header(_block(options, chain_id))
    hashes = {}
    parent = node.block(header.parent_hash) if header.number else None
    if parent is not None:
        hashes[header.number - 1] = to_hash(parent["hash"], "hash")
    return StateToLoad(
        f"node {node.client.name}",
        chain_id,
        header,
        from_node(node, header, wanted, slots),
        len(wanted),
        block_hashes=hashes,
        close=node.close,
    )


def _block(options: argparse.Namespace, chain_id: int) -> int | str | bytes:
    """The requested block; by default the head of the stored state, if accounts can be added to it."""
    from evmcore.state.stored import stored_head

    text: str = options.block
    if text != "latest":
        return arguments.integer(text, 64) if text[:1].isdigit() else text
    head = None if options.replace else stored_head(options.redis, chain_id)
    return text if head is None else head.hash


def _slots(path: str | None) -> dict[bytes, list[int]]:
    from evmcore.errors import InputError
    from evmcore.types import to_address, to_uint

    if path is None:
        return {}
    found = {}
    try:
        for address, slots in storage.read_object(path, "slots").items():
            if not isinstance(slots, list):
                raise InputError(f"{address}: a list of slots is needed, got {type(slots).__name__}")
            found[to_address(address, "address")] = [to_uint(slot, "slot") for slot in slots]
    except InputError as error:
        raise CommandError(f"slots {path}: {error}") from None
    return found


def _chain_config(path: str, chain_id: int) -> Mapping[str, Any]:
    from evmcore.errors import InputError
    from evmcore.forks import ChainConfig

    document = storage.read_object(path, "chain configuration")
    try:
        chain = ChainConfig.from_genesis(document)
    except InputError as error:
        raise CommandError(f"chain configuration {path}: {error}") from None
    if chain.chain_id != chain_id:
        raise CommandError(
            f"chain configuration {path} is of chain {chain.chain_id}, what is loaded of chain {chain_id}"
        )
    config: Mapping[str, Any] = document.get("config", document)
    return config


def _load(options: argparse.Namespace) -> int:
    from evmcore.bench.report import number, progress
    from evmcore.errors import InputError
    from evmcore.state.loading import Loader

    addresses = _addresses(options)
    if options.genesis is not None:
        state = _from_genesis(options, addresses)
    elif options.alloc is not None:
        state = _from_alloc(options, addresses)
    elif options.node is not None:
        state = _from_node(options, addresses)
    else:
        state = _from_block_file(options, addresses)
    if options.chain_id is not None and options.chain_id != state.chain_id:
        raise CommandError(f"--chain-id {options.chain_id}: {state.name} is of chain {state.chain_id}")
    if options.chain_config is not None:
        state.config = _chain_config(options.chain_config, state.chain_id)
    storage.start_logging()
    start = time.perf_counter()
    with (
        storage.open_publisher(options, state.chain_id, replaces=options.replace) as publisher,
        progress(state.count) as bar,
    ):
        loader = Loader(
            publisher,
            state.header,
            complete=state.complete,
            chain=state.config,
            block_hashes=state.block_hashes,
            source=state.name,
            replace=options.replace,
            progress=lambda address, slots: bar.step(f"0x{address.hex()}"),
        )
        try:
            result = loader.run(state.accounts)
        except InputError as error:
            raise CommandError(f"{state.name}: {error}") from None
        finally:
            state.close()
    seconds = time.perf_counter() - start
    print(
        f"chain {state.chain_id}, block {result.head.number} 0x{result.head.hash.hex()}: {result.accounts:,} accounts "
        f"with {result.slots:,} slots loaded in {number(seconds)} s"
        + (f", {result.skipped:,} were there" if result.skipped else "")
        + f"; the state is {'complete' if state.complete else 'of selected accounts'}"
    )
    return 0
