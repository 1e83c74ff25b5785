"""`serve`: answer JSON-RPC over HTTP."""

from __future__ import annotations

import argparse
import importlib.util
import os
import resource
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, TypeVar

from evmcore.cli import arguments, storage
from evmcore.cli.arguments import CommandError

if TYPE_CHECKING:
    from evmcore.forks import ChainConfig
    from evmcore.service.app import App
    from evmcore.service.limits import Limits
    from evmcore.service.memory_source import MemorySource
    from evmcore.service.redis_source import RedisSource
    from evmcore.service.source import Source
    from evmcore.service.workers import Certificate

T = TypeVar("T")

STATE_SECONDS: Final = 10.0  # for reading the state of the feed at the start


# Options that have no effect without one of the others.
NEEDS: Final = {
    "history": ("genesis",),
    **dict.fromkeys(("cache", "connections", "max_head_age", "redis_timeout"), ("redis",)),
    "upstream_timeout": ("upstream",),
}


def add_parser(commands: argparse._SubParsersAction[arguments.Parser]) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "serve",
        help="answer JSON-RPC over HTTP",
        description="Answers eth_call and the other methods of Ethereum nodes over HTTP: from a chain in memory, or "
        "from state in Redis that `load` and `follow` keep there.",
    )
    parser.add_argument("--genesis", metavar="FILE", help="geth genesis file: the state to serve, and its chain")
    parser.add_argument("--chain", metavar="FILE", help="RLP chain file: blocks to import on the genesis")
    parser.add_argument(
        "--history",
        type=arguments.positive,
        metavar="N",
        help="keep the state of the last N blocks only (default: of all)",
    )
    _add_redis(parser)
    server = parser.add_argument_group("server")
    server.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    server.add_argument("--port", type=_port, default=8545, metavar="N", help="port (default 8545; 0: any free one)")
    server.add_argument(
        "--workers", type=arguments.positive, default=1, metavar="N", help="worker processes (default 1)"
    )
    server.add_argument(
        "--cors",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="let scripts of this origin read answers; `*`: of any; may be given several times",
    )
    server.add_argument(
        "--vhosts",
        type=_names,
        default=("localhost",),
        metavar="LIST",
        help="names under which it may be asked, beside addresses, separated by commas; `*`: any (default localhost)",
    )
    server.add_argument("--tls-cert", metavar="FILE", help="serve over TLS, with this certificate chain (PEM)")
    server.add_argument("--tls-key", metavar="FILE", help="its private key (PEM, not encrypted)")
    server.add_argument(
        "--api",
        type=_namespaces,
        metavar="LIST",
        help="methods to answer, by their first words: eth,net,web3,debug,... (default: all)",
    )
    server.add_argument("--no-metrics", action="store_true", help="no /metrics")
    server.add_argument(
        "--unavailable-503",
        action="store_true",
        help="answer with HTTP status 503, not 200, while the state is unavailable, so that a proxy tries elsewhere",
    )
    _add_limits(parser)
    parser.set_defaults(handler=parser.checked(_serve, NEEDS))


def _add_redis(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("state in Redis (blocks come from --chain, where given)")
    group.add_argument(
        "--redis", metavar="URL", help="redis://, rediss://, unix:// or redis+sentinel://host:port/service"
    )
    group.add_argument(
        "--chain-id",
        type=arguments.uint256,
        metavar="N",
        help="chain id, which is part of every key (default: that of --genesis, else 1)",
    )
    group.add_argument(
        "--cache", type=arguments.positive, default=256, metavar="MIB", help="cache of each process (default 256)"
    )
    group.add_argument(
        "--connections",
        type=arguments.positive,
        default=8,
        metavar="N",
        help="connections to Redis of each process, at most (default 8)",
    )
    group.add_argument(
        "--upstream",
        metavar="URL",
        help="a node's JSON-RPC, http:// or https://, to ask for accounts and slots that were not loaded",
    )
    for flag, default, text in (
        ("max-head-age", 36.0, "without word from Redis after which calls at the latest block are refused"),
        ("redis-timeout", 1.0, "for one fetch"),
        ("upstream-timeout", 2.0, "for one question to the node"),
    ):
        group.add_argument(
            f"--{flag}",
            type=_above_zero(float),
            default=default,
            metavar="S",
            help=f"seconds {text} (default {default:g})",
        )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    from evmcore.service.limits import Limits

    default = Limits()
    group = parser.add_argument_group("limits")
    group.add_argument(
        "--reject-gas",
        action="store_true",
        help="refuse calls that ask for more gas than --limit-gas, instead of lowering it",
    )
    for flag, kind, unit, text in (
        ("gas", int, "GAS", "most gas of a call"),
        ("timeout", float, "S", "seconds for a request"),
        ("batch-timeout", float, "S", "seconds for all requests of a batch"),
        ("request-size", int, "BYTES", "bytes of a request's body"),
        ("response-size", int, "BYTES", "bytes of an answer's body"),
        ("batch", int, "N", "requests in a batch"),
        ("log-blocks", int, "N", "blocks that eth_getLogs looks through"),
        ("logs", int, "N", "logs that eth_getLogs gives"),
        ("slots", int, "N", "storage slots of one request"),
        ("threads", int, "N", "threads of a process for calls that are not short"),
        ("queue", int, "N", "requests that may wait for a thread"),
    ):
        value = getattr(default, flag.replace("-", "_"))
        group.add_argument(
            f"--limit-{flag}",
            type=_above_zero(kind),
            default=value,
            metavar=unit,
            help=f"{text} (default {value:,})",
        )
    group.add_argument(
        "--limit-memory",
        type=arguments.positive,
        metavar="MIB",
        help="address space of each process; a request that needs more is answered with an error (default: no limit)",
    )


def _above_zero(kind: Callable[[str], T]) -> Callable[[str], T]:
    def parse(text: str) -> T:
        value = kind(text)
        if not value > 0:  # type: ignore[operator]
            raise argparse.ArgumentTypeError(f"{text!r:.80} is not a number above zero")
        return value

    parse.__name__ = "number"
    return parse


def _namespaces(text: str) -> frozenset[str]:
    from evmcore.service.methods import METHODS

    wanted = frozenset(text.split(","))
    unknown = wanted - {name.partition("_")[0] for name in METHODS}
    if unknown:
        raise argparse.ArgumentTypeError(f"no method starts with {min(unknown)!r:.80}")
    return wanted


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if not name or ":" in name or "/" in name:
            raise argparse.ArgumentTypeError(f"{name!r:.80} is no name of a host (without port and scheme)")
    return names


def _port(text: str) -> int:
    value = int(text) if text.isascii() and text.isdecimal() else -1
    if not 0 <= value < 65536:
        raise argparse.ArgumentTypeError(f"{text!r:.80} is not a port from 0 to 65535")
    return value


def _limits(options: argparse.Namespace) -> Limits:
    from evmcore.service.limits import Limits

    given = {
        name.removeprefix("limit_"): value
        for name, value in vars(options).items()
        if name.startswith("limit_") and name != "limit_memory"
    }
    return Limits(**given, reject_gas=options.reject_gas)


def _require(*modules: str) -> None:
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise CommandError(f"{module} is not installed: pip install 'evmcore[server]'")


def load_memory_source(genesis: str, chain: str | None, history: int | None = None) -> MemorySource:
    """A source from a genesis file and, if given, a chain file. `CommandError` names the file with the error."""
    from evmcore.blocks import Block
    from evmcore.errors import InvalidBlock
    from evmcore.service.memory_source import MemorySource

    document = arguments.parse_json(arguments.read_text(genesis, "genesis"), f"genesis {genesis}")
    source = MemorySource.from_genesis(document, history)
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
    if not options.no_metrics:
        _require("prometheus_client")
    if options.workers > 1 and not hasattr(os, "fork"):
        raise CommandError("--workers needs a system with fork")
    if options.upstream is not None and options.redis is None:
        raise CommandError("--upstream is asked for what a state in Redis lacks: give --redis URL")
    from evmcore.service import workers

    _check_memory(options.limit_memory)
    certificate = _certificate(options)
    storage.start_logging("%(asctime)s ")
    limits = _limits(options)
    source = _source(options)
    chain = _chain(options, source) if options.workers == 1 else workers.apart(lambda: _chain(options, source))
    with ExitStack() as stack:
        if options.workers > 1 and not options.no_metrics:
            # The directory in which the workers share metrics; prometheus-client reads the variable when imported.
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = stack.enter_context(TemporaryDirectory(prefix="evmcore-metrics-"))
        try:
            listener = stack.enter_context(workers.listen(options.host, options.port))
        except OSError as error:
            raise CommandError(f"cannot listen on {options.host} port {options.port}: {error.strerror}") from None
        host, port = listener.getsockname()[:2]
        workers.end_on_signals()
        scheme = "http" if certificate is None else "https"
        print(f"listening on {scheme}://{f'[{host}]' if ':' in host else host}:{port}", flush=True)

        def make_app() -> App:
            return _app(options, limits, _own_source(options, chain, source))

        return workers.run(listener, make_app, options.workers, certificate)


LEAST_SPARE_MIB = 256  # of address space: for later imports, threads and their stacks, answers


def _check_memory(limit: int | None) -> None:
    """Refuses a limit in MiB that is too small for a process to even begin to answer."""
    if limit is None:
        return
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return  # only Linux has it
    taken = pages * resource.getpagesize() // 2**20
    if limit < taken + LEAST_SPARE_MIB:
        raise CommandError(
            f"--limit-memory {limit}: a process takes {taken} MiB of address space before it answers anything: "
            f"give at least {taken + LEAST_SPARE_MIB}"
        )


def _certificate(options: argparse.Namespace) -> Certificate | None:
    from evmcore.service.workers import Certificate

    if options.tls_cert is None and options.tls_key is None:
        return None
    if options.tls_cert is None or options.tls_key is None:
        raise CommandError("TLS needs both --tls-cert FILE and --tls-key FILE")
    certificate = Certificate(options.tls_cert, options.tls_key)
    certificate.check()
    return certificate


def _source(options: argparse.Namespace) -> MemorySource | None:
    """The source that all processes share: the chain in memory, if there is one."""
    if options.genesis is None:
        if options.chain is not None:
            raise CommandError("--chain needs the --genesis that it starts from")
        if options.redis is None:
            raise CommandError("nothing to serve: give --genesis FILE or --redis URL")
        return None
    source = load_memory_source(options.genesis, options.chain, options.history)
    if options.chain_id not in (None, source.chain.chain_id):
        raise CommandError(f"--chain-id {options.chain_id}: the genesis is of chain {source.chain.chain_id}")
    return source


def _chain(options: argparse.Namespace, shared: MemorySource | None) -> ChainConfig:
    """The served chain: of the genesis, or the configuration in Redis, which must then be reachable.

    It is determined once, before there are workers: a worker that starts while Redis is unreachable then serves like
    the others, and recovers with them.
    """
    if shared is not None:
        return shared.chain
    with closing(_redis_source(options, None, wait=STATE_SECONDS)) as source:
        return source.chain


def _own_source(options: argparse.Namespace, chain: ChainConfig, shared: MemorySource | None) -> Source:
    """The source of one process: connections cannot be shared."""
    if options.redis is None:
        assert shared is not None
        return shared
    from evmcore.service.archived_source import ArchivedSource

    stored = _redis_source(options, chain, wait=0.0)
    stored.state.settle(STATE_SECONDS)
    if shared is None or options.chain is None:
        return stored
    return ArchivedSource(stored, shared)


def _redis_source(options: argparse.Namespace, chain: ChainConfig | None, wait: float) -> RedisSource:
    from evmcore.service.redis_source import RedisSource

    upstream = None
    if options.upstream is not None:
        from evmcore.state.upstream import UpstreamNode

        upstream = UpstreamNode(options.upstream, timeout=options.upstream_timeout)
    return RedisSource.open(
        options.redis,
        options.chain_id if options.chain_id is not None else 1 if chain is None else chain.chain_id,
        chain,
        max_head_age=options.max_head_age,
        cache_bytes=options.cache * 2**20,
        connections=options.connections,
        timeout=options.redis_timeout,
        upstream=upstream,
        wait=wait,
    )


def _is_answered(options: argparse.Namespace, name: str) -> bool:
    """Whether a server answers a method. A transaction pool belongs to one process: several workers have none."""
    namespace = name.partition("_")[0]
    if options.workers > 1 and (namespace == "txpool" or name == "eth_sendRawTransaction"):
        return False
    return options.api is None or namespace in options.api


def _app(options: argparse.Namespace, limits: Limits, source: Source) -> App:
    """The application of one process."""
    from evmcore.service.app import App
    from evmcore.service.dispatch import Dispatcher
    from evmcore.service.library import CallService
    from evmcore.service.methods import METHODS

    if options.limit_memory is not None:
        size = options.limit_memory * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (size, resource.getrlimit(resource.RLIMIT_AS)[1]))
    metrics = None
    if not options.no_metrics:
        from evmcore.service.metrics import Metrics

        metrics = Metrics()
    methods = {name: method for name, method in METHODS.items() if _is_answered(options, name)}
    dispatcher = Dispatcher(CallService(source, limits), methods, metrics)
    return App(
        dispatcher,
        origins=tuple(options.cors),
        hosts=options.vhosts,
        metrics=metrics,
        unavailable_status=503 if options.unavailable_503 else 200,
    )
