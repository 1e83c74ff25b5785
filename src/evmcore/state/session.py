"""One connection to a Redis server, for requests of many commands at once, with this package's errors.

Addressing, TLS, AUTH and Sentinel are redis-py's; its command layer, which costs far more than the commands, is not
used. Readers on the hot path have a socket of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from evmcore.errors import InputError, StateCorrupted, StateError, StateUnavailable, WriteRefused
from evmcore.state.layout import show_key

if TYPE_CHECKING:
    from redis import Redis

Command = tuple[bytes, ...]

# Seconds until a connection attempt or a reply is given up.
DEFAULT_TIMEOUT = 10.0

# First words of error replies that pass by themselves, and of those that only an operator can change.
_TRANSIENT = ("LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "UNKILLABLE")
_REFUSALS = ("OOM", "READONLY", "NOPERM", "NOAUTH", "WRONGPASS", "MISCONF", "NOREPLICAS", "DENIED")


def open_client(url: str, timeout: float = DEFAULT_TIMEOUT) -> Redis:
    """A redis-py client for an address; nothing is connected yet.

    ``redis://[user:password@]host:port/db``, ``rediss://`` (TLS), ``unix:///path``, and ``redis+sentinel://[user:
    password@]host:port[,host:port...]/service[/db]``. Raises `InputError` for other addresses, or where the package
    redis is missing.
    """
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
        from redis.sentinel import Sentinel
    except ImportError as error:
        raise InputError("the package redis is needed: pip install evmcore[redis]") from error
    options: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "decode_responses": False,
        # Whether another try makes sense is decided where the request is understood.
        "retry": Retry(NoBackoff(), 0),
    }
    if not url.startswith(("redis+sentinel://", "rediss+sentinel://")):
        try:
            return redis.Redis.from_url(url, **options)
        except ValueError as error:
            raise InputError(f"Redis address {_without_password(url)!r}: {error}") from error
    parts = urlsplit(url)
    service, _, database = parts.path.strip("/").partition("/")
    hosts = []
    for place in parts.netloc.rpartition("@")[2].split(","):
        host, _, port = place.rpartition(":")
        if not host or not port.isdecimal():
            raise InputError(f"Redis address: sentinel {place!r} is not of the form host:port")
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
    client: Redis = sentinel.master_for(service, db=int(database or 0))
    return client


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return parts._replace(netloc="***@" + parts.netloc.rpartition("@")[2]).geturl()


def state_error(error: Exception, doing: str = "") -> StateError:
    """The exception of this package for one of redis-py's."""
    from redis import exceptions

    text = " ".join(str(error).split()) or type(error).__name__
    place = f"{doing}: " if doing else ""
    word = text.partition(" ")[0]
    if "Transaction discarded because of: " in text:
        word = text.partition("because of: ")[2].partition(" ")[0]
    refusals = (
        exceptions.OutOfMemoryError,
        exceptions.ReadOnlyError,
        exceptions.NoPermissionError,
        exceptions.AuthenticationError,
    )
    if isinstance(error, refusals) or word in _REFUSALS:
        return WriteRefused(f"{place}the Redis server refuses: {text}")
    if isinstance(error, (exceptions.ConnectionError, exceptions.TimeoutError, OSError)) or word in _TRANSIENT:
        return StateUnavailable(f"{place}the Redis server cannot be reached: {text}")
    if word == "WRONGTYPE":
        return StateCorrupted(f"{place}a key has another type than it should: {text}")
    return StateError(f"{place}the Redis server answered: {text}")


def pack(commands: Iterable[Command]) -> bytes:
    """Commands as bytes to send (RESP)."""
    parts: list[bytes] = []
    for command in commands:
        parts.append(b"*%d\r\n" % len(command))
        for word in command:
            parts += (b"$%d\r\n" % len(word), word, b"\r\n")
    return b"".join(parts)


def as_fields(reply: Any) -> dict[bytes, bytes]:
    """The fields of a hash in a reply, in either version of the protocol."""
    if isinstance(reply, Mapping):
        return dict(reply)
    return dict(zip(reply[::2], reply[1::2], strict=True))


class Session:
    """A connection that is opened when first used and after every failure. Not for several threads at once."""

    def __init__(self, source: str | Redis, timeout: float = DEFAULT_TIMEOUT) -> None:
        """`source`: an address for `open_client`, or a redis-py client, which stays the caller's."""
        self.client = open_client(source, timeout) if isinstance(source, str) else source
        self._own = isinstance(source, str)
        self._connection: Any = None

    def request(self, commands: Sequence[Command], doing: str = "") -> list[Any]:
        """Sends commands together; the reply to each. Raises for the first reply that is an error, by `state_error`.

        Error replies inside an EXEC's reply are left for the caller to look at. After `StateUnavailable` nobody knows
        what was carried out.
        """
        self.send(commands, doing)
        return self.receive(commands, doing)

    def send(self, commands: Sequence[Command], doing: str = "") -> None:
        """The first half of `request`, so that something else can be done until the replies are there."""
        from redis import exceptions

        data = pack(commands)
        try:
            if self._connection is None:
                self._connection = self.client.connection_pool.make_connection()
                self._connection.connect()
            self._connection.send_packed_command([data], check_health=False)
        except (exceptions.RedisError, OSError) as error:
            self.drop()
            raise state_error(error, doing) from error
        except BaseException:
            self.drop()
            raise

    def receive(self, commands: Sequence[Command], doing: str = "") -> list[Any]:
        """The second half of `request`."""
        from redis import exceptions

        replies: list[Any] = []
        try:
            for _ in commands:
                try:
                    replies.append(self._connection.read_response(disable_decoding=True))
                except exceptions.ResponseError as error:
                    replies.append(error)
        except (exceptions.RedisError, OSError) as error:
            self.drop()
            raise state_error(error, doing) from error
        except BaseException:
            # Replies are still to come: the connection is of no use any more.
            self.drop()
            raise
        for command, reply in zip(commands, replies, strict=True):
            # That a transaction is aborted, which comes last, says less than why one of its commands was not taken.
            if isinstance(reply, Exception):
                where = f"{command[0].decode()} {show_key(command[1])}" if len(command) > 1 else command[0].decode()
                raise state_error(reply, f"{doing}: {where}" if doing else where) from reply
        return replies

    def drop(self) -> None:
        """Closes the connection; the next request opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()

    def close(self) -> None:
        """Closes everything that this session opened."""
        self.drop()
        if self._own:
            self.client.close()
