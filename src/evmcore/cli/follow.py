"""`follow`: keep the state in Redis at the head of a chain."""

from __future__ import annotations

import argparse
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evmcore.cli import arguments, storage
from evmcore.cli.arguments import CommandError

if TYPE_CHECKING:
    from evmcore.block_sources import BlockSource
    from evmcore.follower import Changer, Progress
    from evmcore.forks import ChainConfig
    from evmcore.state.publisher import Publisher


# Options that have no effect without one of the others.
NEEDS: Final = {
    "poll": ("node",),
    "trust_tracer": ("diffs",),
    "genesis": ("chain", "node"),
    "execute_on": ("chain", "node"),
    "state_root": ("chain", "node"),
}


def add_parser(commands: argparse._SubParsersAction[arguments.Parser]) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "follow",
        help="keep the state in Redis at the head of a chain",
        description="Takes blocks, executes and checks them, and publishes what they change, each in one step. Started "
        "again it goes on where it stopped. SIGTERM and SIGINT end it between blocks.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--chain",
        metavar="FILE",
        help="RLP chain file; --genesis loads the state when there is none yet; where the file has another branch than "
        "the state, that goes back to where they part, as far as its feed can take blocks back",
    )
    source.add_argument(
        "--blocks", nargs="+", metavar="PATH", help="blocks with the state they read (.json.xz), or a folder of such"
    )
    source.add_argument("--node", metavar="URL", help="JSON-RPC address of a node (http or https): its canonical chain")
    parser.add_argument("--genesis", metavar="FILE", help="geth genesis file of the chain")
    parser.add_argument(
        "--diffs",
        action="store_true",
        help="with --node: execute nothing, take the changes from the node's prestateTracer (debug_traceBlockByHash) "
        "and proofs (eth_getProof); the way to keep selected accounts",
    )
    parser.add_argument(
        "--trust-tracer",
        action="store_true",
        help="with --diffs: ask for proofs only of what the tracer does not show (rewards, withdrawals, system "
        "contracts)",
    )
    parser.add_argument(
        "--poll",
        type=arguments.seconds,
        default=1.0,
        metavar="SECONDS",
        help="with --node: seconds between two looks for a new block (default 1)",
    )
    parser.add_argument(
        "--threads",
        type=arguments.threads,
        default=1,
        metavar="N",
        help="threads that execute a block (default 1; 0: all cores)",
    )
    parser.add_argument(
        "--execute-on",
        choices=("memory", "redis"),
        default="memory",
        help="memory (default): read the whole state from Redis at the start, and execute on that; redis: execute on "
        "the state in Redis through a cache, for states that memory does not hold; without checking state roots",
    )
    parser.add_argument(
        "--no-state-root",
        dest="state_root",
        action="store_false",
        help="do not compute the state root after each block, for which a trie of the whole state is kept in memory; "
        "receipts, gas and logs are checked in any case",
    )
    parser.add_argument(
        "--until", type=arguments.uint64, default=None, metavar="N", help="stop when block N is the head"
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but the last line")
    storage.add_redis_arguments(parser)
    parser.set_defaults(handler=parser.checked(_follow, NEEDS))


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set; a second signal has its usual effect."""
    stop = threading.Event()
    before: dict[int, Any] = {}

    def handle(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, before[number])

    for number in (int(signal.SIGTERM), int(signal.SIGINT)):
        before[number] = signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _report(progress: Progress) -> None:
    head = progress.head
    if progress.reverted:
        line = f"back to block {head.number} 0x{head.hash.hex()}"
    else:
        line = (
            f"block {head.number} 0x{head.hash.hex()}: {progress.transactions} transactions, "
            f"{progress.changes} changes, {progress.working * 1000:.1f} ms to execute, "
            f"{progress.publishing * 1000:.1f} ms to publish"
        )
    print(line, flush=True)


def _open_chain(options: argparse.Namespace) -> tuple[Publisher, BlockSource, Changer]:
    from evmcore.block_sources import ChainFile

    path = storage.file_path(options.chain, "chain")
    genesis = None if options.genesis is None else storage.Genesis(options.genesis)
    source = ChainFile(path, None if genesis is None else genesis.header)
    if genesis is not None and options.chain_id not in (None, genesis.chain.chain_id):
        raise CommandError(f"--chain-id {options.chain_id}: the genesis is of chain {genesis.chain.chain_id}")
    chain_id = options.chain_id if genesis is None else genesis.chain.chain_id
    if chain_id is None:
        raise CommandError("--chain needs --genesis FILE or --chain-id N")
    publisher = storage.open_publisher(options, chain_id)
    source.ancestors = publisher.ancestors
    if publisher.head() is None:
        if genesis is None:
            raise CommandError("no state is loaded: give --genesis FILE, or load a state first")
        storage.load_genesis(publisher, genesis)
    chain = storage.stored_chain(publisher) if genesis is None else genesis.chain
    if chain is None:
        raise CommandError(f"the rules of chain {chain_id} are not known: give --genesis FILE")
    return publisher, source, _executing(options, publisher, chain)


def _executing(options: argparse.Namespace, publisher: Publisher, chain: ChainConfig) -> Changer:
    from evmcore.follower import ExecutingChanger, RemoteChanger
    from evmcore.state.redis import RedisState

    if options.execute_on == "memory":
        return ExecutingChanger(publisher, chain, threads=options.threads, check_state_root=options.state_root)
    state = RedisState(options.redis, publisher.keys.chain_id, max_head_age=None)
    try:
        return RemoteChanger(publisher, state, chain, threads=options.threads)
    except BaseException:
        state.close()
        raise


def _open_blocks(options: argparse.Namespace) -> tuple[Publisher, BlockSource, Changer]:
    from evmcore.bench import replay
    from evmcore.block_sources import BlocksWithState
    from evmcore.errors import InputError
    from evmcore.follower import StatefulChanger

    paths: list[Path] = []
    try:
        for text in options.blocks:
            path = Path(text)
            paths += replay.paths(path) if path.is_dir() else [storage.file_path(text, "block file")]
        paths.sort(key=lambda path: (len(path.name), path.name))
        first = replay.load(paths[0])
    except InputError as error:
        raise CommandError(f"blocks: {error}") from None
    chain_id = options.chain_id if options.chain_id is not None else first.chain.chain_id
    source = BlocksWithState(replay.load(path) for path in paths)
    return storage.open_publisher(options, chain_id), source, StatefulChanger(source, threads=options.threads)


def _open_node(options: argparse.Namespace) -> tuple[Publisher, BlockSource, Changer]:
    from evmcore.node_source import NodeSource
    from evmcore.state.rpc import Node
    from evmcore.traced_diffs import TracingChanger

    node = Node(options.node)
    chain_id = node.chain_id()
    if options.chain_id not in (None, chain_id):
        raise CommandError(f"--chain-id {options.chain_id}: the node is of chain {chain_id}")
    genesis = None if options.genesis is None else storage.Genesis(options.genesis)
    if genesis is not None and genesis.chain.chain_id != chain_id:
        raise CommandError(
            f"genesis {options.genesis} is of chain {genesis.chain.chain_id}, the node of chain {chain_id}"
        )
    publisher = storage.open_publisher(options, chain_id)
    if publisher.head() is None:
        if genesis is None:
            raise CommandError("no state is loaded: load one first, or give --genesis FILE")
        storage.load_genesis(publisher, genesis)
    changer: Changer
    if options.diffs:
        publisher.checked_slots = None  # The changes come from another program: compare all of them.
        changer = TracingChanger(publisher, node, prove_all=not options.trust_tracer)
    else:
        chain = storage.stored_chain(publisher) if genesis is None else genesis.chain
        if chain is None:
            raise CommandError(
                f"the rules of chain {chain_id} are not known: give --genesis FILE, or follow by --diffs"
            )
        changer = _executing(options, publisher, chain)
    return publisher, NodeSource(node, publisher.block_hashes), changer


def _open(options: argparse.Namespace) -> tuple[Publisher, BlockSource, Changer]:
    if options.node is not None:
        return _open_node(options)
    if options.diffs:
        raise CommandError("--diffs needs --node URL")
    return _open_chain(options) if options.chain is not None else _open_blocks(options)


def _follow(options: argparse.Namespace) -> int:
    from evmcore.errors import InvalidBlock
    from evmcore.follower import Follower

    storage.start_logging()
    publisher, source, changer = _open(options)
    start = time.perf_counter()
    count = 0

    def report(progress: Progress) -> None:
        nonlocal count
        count += not progress.reverted
        if not options.quiet:
            _report(progress)

    try:
        with stop_on_signals() as stop:
            follower = Follower(publisher, source, changer, poll=options.poll, report=report)
            try:
                head = follower.run(stop, options.until)
            except InvalidBlock as error:
                at = publisher.head()
                where = "" if at is None else f" after block {at.number}"
                raise CommandError(f"the block{where}: {error}", 1) from None
    finally:
        changer.close()
        source.close()
        publisher.close()
    seconds = time.perf_counter() - start
    print(f"head: block {head.number} 0x{head.hash.hex()}, {count} blocks in {seconds:.1f} s", flush=True)
    return 0
