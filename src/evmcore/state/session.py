"""One connection to a Redis server, for requests of many commands at once, with this package's errors.

redis-py handles addresses, TLS, AUTH and Sentinel; requests go through native code (see `_requests` and `_wire`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from evmcore.errors import InputError, StateCorrupted, StateError, StateUnavailable, WriteRefused
from evmcore.state._replies import Replies
from evmcore.state._requests import Request
from evmcore.state._wire import Connection, ErrorReply, open_connection
from evmcore.state.arguments import shown_address, split_address
from evmcore.state.layout import show_key

if TYPE_CHECKING:
    from redis import Redis

Command = tuple[bytes, ...]

# Seconds after which a connection attempt fails, or a reply is not waited for any more.
DEFAULT_TIMEOUT = 10.0

# The size in bytes of the first piece of `deliver`. A server processes that many in a few dozen microseconds.
FIRST_PIECE = 8 * 1024

# First words of error replies that are temporary, and of those that only an operator can resolve.
_TRANSIENT = ("LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "UNKILLABLE")
_REFUSALS = ("OOM", "READONLY", "NOPERM", "NOAUTH", "WRONGPASS", "MISCONF", "NOREPLICAS", "DENIED")


def open_client(url: str, timeout: float = DEFAULT_TIMEOUT) -> Redis:
    """A redis-py client for an address; nothing is connected yet.

    `redis://[user:password@]host:port/db`, `rediss://` (TLS), `unix:///path`, and `redis+sentinel://[user:
    password@]host:port[,host:port...]/service[/db]`. Raises `InputError` for other addresses, or if the package redis
    is not installed.
    """
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
        from redis.sentinel import Sentinel
    except ImportError as error:
        raise InputError("the package redis is not installed: pip install 'evmcore[redis]'") from error
    options: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "decode_responses": False,
        # Only the code that understands a request can decide whether to retry it.
        "retry": Retry(NoBackoff(), 0),
    }
    parts = split_address(url, "Redis address")
    if not url.startswith(("redis+sentinel://", "rediss+sentinel://")):
        database = parts.path.strip("/")
        if parts.scheme in ("redis", "rediss") and database and not database.isdecimal():
            raise InputError(f"Redis address {shown_address(url)}: {database!r} is not the number of a database")
        try:
            client = redis.Redis.from_url(url, **options)
            # Otherwise made only at the first connection, which would then reject unknown options of the address.
            client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)
        except (ValueError, TypeError) as error:
            raise InputError(f"Redis address {shown_address(url)}: {error}") from error
        return client
    service, _, database = parts.path.strip("/").partition("/")
    hosts = []
    for place in parts.netloc.rpartition("@")[2].split(","):
        host, _, port = place.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise InputError(f"Redis address {shown_address(url)}: a sentinel is not of the form host:port")
        hosts.append((host, int(port)))
    if not service or (database and not database.isdecimal()):
        raise InputError("Redis address: redis+sentinel://host:port/<service name>[/<database number>] is needed")
    if parts.username or parts.password:
        options["username"] = unquote(parts.username) if parts.username else None
        options["password"] = unquote(parts.password or "")
    sentinel_password = parse_qs(parts.query).get("sentinel_password", [None])[0]
    sentinel_options = {"socket_timeout": timeout, "password": sentinel_password}
    if parts.scheme == "rediss+sentinel":
        options["ssl"] = sentinel_options["ssl"] = True
    sentinel: Any = Sentinel(hosts, sentinel_kwargs=sentinel_options, **options)  # type: ignore[no-untyped-call]
    primary: Redis = sentinel.master_for(service, db=int(database or 0))
    return primary


def client_of(source: str | Redis, timeout: float) -> Redis:
    """The redis-py client for an address, or the given client itself. `InputError` for anything else."""
    if isinstance(source, str):
        return open_client(source, timeout)
    if not hasattr(source, "connection_pool"):
        raise InputError(f"Redis address: expected text or a client of redis-py, got {type(source).__name__}")
    return source


def state_error(text: str, doing: str = "", cause: BaseException | None = None) -> StateError:
    """The exception for an error reply, or for a connection that could not be opened because of `cause`."""
    from redis import exceptions

    text = " ".join(text.split()) or type(cause).__name__
    place = f"{doing}: " if doing else ""
    word = text.partition(" ")[0]
    if "Transaction discarded because of: " in text:
        word = text.partition("because of: ")[2].partition(" ")[0]
    if isinstance(cause, (exceptions.AuthenticationError, exceptions.NoPermissionError)) or word in _REFUSALS:
        return WriteRefused(f"{place}the Redis server refuses: {text}")
    if cause is not None or word in _TRANSIENT:
        return StateUnavailable(f"{place}the Redis server cannot be reached: {text}")
    if word == "WRONGTYPE":
        return StateCorrupted(f"{place}a key has another type than it should: {text}")
    return StateError(f"{place}the Redis server answered: {text}")


def as_fields(reply: Any) -> dict[bytes, bytes]:
    """The fields of a hash in a reply, in either version of the protocol."""
    if isinstance(reply, Mapping):
        return dict(reply)
    return dict(zip(reply[::2], reply[1::2], strict=True))


class Session:
    """A connection that is opened on first use and after every failure. Not for several threads at once."""

    def __init__(self, source: str | Redis, timeout: float = DEFAULT_TIMEOUT) -> None:
        """`source`: an address for `open_client`, or a redis-py client, which still belongs to the caller.

        `timeout`: seconds to wait for a reply, plus one second for each 32 KiB of the request.
        """
        self.client = client_of(source, timeout)
        self.timeout = timeout
        self._own = isinstance(source, str)
        self._connection: Connection | None = None

    def request(self, commands: Iterable[Command] | Request, doing: str = "") -> list[Any]:
        """Sends commands together; returns the reply to each. If replies are errors, raises the first by `state_error`.

        Error replies inside an EXEC's reply are left to the caller. After `StateUnavailable` it is unknown which
        commands were executed.
        """
        return self.receive(self.send(commands, doing), doing)

    def send(self, commands: Iterable[Command] | Request, doing: str = "") -> Request:
        """The first half of `request`, so that the caller can do something else until the replies arrive."""
        request = commands if isinstance(commands, Request) else Request(commands)
        connection = self.connection(doing)
        with self.guard(doing):
            request.send(connection, self.timeout)
        return request

    def receive(self, request: Request, doing: str = "") -> list[Any]:
        """The second half of `request`."""
        connection = self.connection(doing)
        with self.guard(doing):
            replies = request.receive(connection, self.timeout)
        self.check(request, replies, doing)
        return replies

    def exchange(self, *requests: Request, doing: str = "") -> Replies:
        """Like `request`; sends only the commands not sent before, and returns only the replies not taken before.

        The replies stay in their buffer until the next ones arrive. No other request may be sent in between.
        """
        connection = self.connection(doing)
        first = [len(request) for request in requests]
        with self.guard(doing):
            for request in requests:
                request.send(connection, self.timeout)
            counts = [request.take_replies() for request in requests]
            replies = Replies.receive(connection, sum(counts), self.timeout)
        index = replies.first_error()
        if index is not None:
            reply = replies[index]
            for request, commands, count in zip(requests, first, counts, strict=True):
                if index < count:
                    raise self._refused(reply, request, commands - count + index, doing)
                index -= count
        return replies

    def deliver(self, request: Request, doing: str = "") -> None:
        """Sends a request, except its end, piece by piece, each piece after the replies to the previous one, so that
        the server can serve others in between. The pieces grow. Replies are ignored, except an error, which is raised
        and ends the connection."""
        connection = self.connection(doing)
        size = FIRST_PIECE
        while True:
            first = request.answered
            with self.guard(doing):
                count = request.send_piece(connection, self.timeout, size)
                replies = Replies.receive(connection, count, self.timeout)
            if not count:
                return
            index = replies.first_error()
            if index is not None:
                error = self._refused(replies[index], request, first + index, doing)
                self.drop()
                raise error
            size *= 2

    def _refused(self, reply: str, request: Request, index: int, doing: str) -> StateError:
        where = command_text(request, index)
        return state_error(reply, f"{doing}: {where}" if doing else where)

    @contextmanager
    def guard_watch(self) -> Iterator[None]:
        """An error inside closes the connection, which ends WATCH too."""
        try:
            yield
        except BaseException:
            self.drop()
            raise

    def check(self, request: Request, replies: Sequence[Any], doing: str = "") -> None:
        """Raises for the first reply that is an error; `replies` belong to the first commands of a request."""
        for index, reply in enumerate(replies):
            # The last reply, that a transaction was aborted, says less than the reply to the command that was refused.
            if isinstance(reply, ErrorReply):
                raise self._refused(reply, request, index, doing)

    def connection(self, doing: str = "") -> Connection:
        """The connection, opened if there is none."""
        if self._connection is None or self._connection.closed:
            try:
                self._connection = open_connection(self.client, peer_text(self.client))
            except StateUnavailable as error:
                cause = error.__cause__
                raise state_error(str(cause) if cause is not None else str(error), doing, cause) from cause
        return self._connection

    @contextmanager
    def guard(self, doing: str = "") -> Iterator[None]:
        """An error inside leaves a connection with outstanding replies: the connection is closed."""
        try:
            yield
        except StateUnavailable as error:
            self.drop()
            text = str(error).removeprefix("the Redis server at ")
            place = f"{doing}: " if doing else ""
            raise StateUnavailable(f"{place}the Redis server cannot be reached: {text}") from error
        except BaseException:
            self.drop()
            raise

    def drop(self) -> None:
        """Closes the connection; the next request opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """Closes everything that this session opened."""
        self.drop()
        if self._own:
            self.client.close()


def command_text(request: Request, index: int) -> str:
    """The name and key of a command, for messages."""
    name, *key = request.words(index)
    return " ".join([name.decode("ascii", "backslashreplace"), *(show_key(word) for word in key)])


def peer_text(client: Redis) -> str:
    """The target of a client's connections, for messages."""
    options = client.connection_pool.connection_kwargs
    if "path" in options:
        return str(options["path"])
    if "service_name" in options:
        return str(options["service_name"])
    return f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
