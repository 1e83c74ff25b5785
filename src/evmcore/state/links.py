"""The few connections over which a process reads from Redis: shared, reopened after failures with growing pauses."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from evmcore.errors import StateUnavailable
from evmcore.state._places import Places
from evmcore.state._wire import Connection, open_connection
from evmcore.state.arguments import split_address
from evmcore.state.backoff import Backoff
from evmcore.state.session import client_of

if TYPE_CHECKING:
    from redis import Redis

FIRST_PAUSE = 0.02  # seconds between attempts to connect
LONGEST_PAUSE = 2.0

CLOSED = "the state is closed"
FORKED = "this state was opened before the process was forked: open another in each process"


def peer_name(url: str) -> str:
    """The target of an address, for messages: without user and password. `InputError` for invalid text."""
    parts = split_address(url, "Redis address")
    return parts.netloc.rpartition("@")[2] or parts.path


def client_for(host: str, port: int, like: Redis, timeout: float) -> Redis:
    """A redis-py client for another server, with the user, password, database and TLS options of `like`."""
    import redis

    known = like.connection_pool.connection_kwargs
    secure = issubclass(like.connection_pool.connection_class, redis.connection.SSLConnection)
    options: dict[str, Any] = {name: known[name] for name in ("username", "password", "db", "retry") if name in known}
    options |= {name: value for name, value in known.items() if name.startswith("ssl_")}
    return redis.Redis(
        host=host, port=port, ssl=secure, socket_timeout=timeout, socket_connect_timeout=timeout, **options
    )


class Links:
    """Up to `most` connections to `source` (an address, or a redis-py client); a caller that takes a connection gives
    it back. Safe for use from several threads. `admit` checks each new connection and raises if it must not be used.

    After a failure to connect, further attempts wait a while, longer each time. Until then `take` fails at once, so
    that a server that is down costs callers nothing.
    """

    def __init__(
        self,
        source: str | Redis,
        most: int,
        timeout: float,
        peer: str = "",
        admit: Callable[[Connection], None] | None = None,
    ) -> None:
        self.peer = peer or (peer_name(source) if isinstance(source, str) else "")
        self.timeout = timeout
        self.failures = 0  # failures to connect, and lost connections
        self.client = client_of(source, timeout)
        self._admit = admit
        self.places = Places(most)
        self._lock = threading.Lock()
        self._backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        self._next_try = 0.0
        self._problem: StateUnavailable | None = None

    def take(self) -> Connection:
        """A connection for one request at a time. Raises `StateUnavailable`."""
        if self.places.foreign:
            raise StateUnavailable(FORKED)
        try:
            connection = self.places.take(self.timeout)
        except IndexError:
            raise StateUnavailable(f"no connection to the Redis server at {self.peer} became free in time") from None
        if connection is not None:
            if connection.era == self.places.era:
                return connection
            connection.close()
        try:
            return self.connect()
        except BaseException:
            self.places.give(None)
            raise

    def give(self, connection: Connection) -> None:
        """Gives a connection back, whatever its condition."""
        if connection.closed:
            self.failures += 1
            self.places.give(None)
        elif connection.era != self.places.era:
            connection.close()
            self.places.give(None)
        else:
            self.places.give(connection)

    def connect(self) -> Connection:
        """A new connection, which does not count towards `most`; the caller closes it."""
        with self._lock:
            if self.places.closed:
                raise StateUnavailable(CLOSED)
            if self._problem is not None and time.monotonic() < self._next_try:
                raise StateUnavailable(str(self._problem)) from self._problem
            try:
                era = self.places.era
                connection = open_connection(self.client, self.peer)
                connection.era = era
                if self._admit is not None:
                    try:
                        self._admit(connection)
                    except BaseException:
                        connection.close()
                        raise
            except StateUnavailable as error:
                self.failures += 1
                self._next_try = time.monotonic() + self._backoff.pause()
                self._problem = error
                raise
            self._backoff.reset()
            self._problem = None
            return connection

    def renew(self) -> None:
        """Replaces the open connections, when they are given back, by new ones, which are checked anew."""
        self.places.era += 1

    def close(self) -> None:
        """Closes idle connections; connections in use are closed when they are given back."""
        if not self.places.foreign:
            self.places.close()
            self.client.close()
