"""The thread that keeps the cache exact: starts the cache from the state in Redis, follows the feed, starts over."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from evmcore._hash import keccak256
from evmcore.blocks import Header
from evmcore.errors import EvmcoreError, StateCorrupted, StateError, StateUnavailable, UnsafeStorage
from evmcore.state import evictions, feed, layout
from evmcore.state._cache import Cache, Stop
from evmcore.state._wire import Connection
from evmcore.state.backoff import Backoff
from evmcore.state.layout import Head, Keys
from evmcore.state.links import Links, client_for
from evmcore.state.session import as_fields

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.02  # seconds between attempts after a failure, except the first attempt
LONGEST_PAUSE = 1.0
BLOCK_MS = 250  # how long one request waits for an entry; the age of the confirmed head reaches this while idle

# After these errors the cache cannot be continued: another one is started.
_ANEW = {
    "no head": "the state in Redis is gone",
    "rebuilt": "the state in Redis was replaced by another one",
    "diverged": "the state in Redis has another history than the one that was followed",
    "gap": "feed entries were trimmed before they were read",
    "damaged": "what Redis holds is damaged",
    "no memory": "no memory for the state cache",
}


@dataclass(frozen=True)
class Following:
    """A state that is being followed, and the data that stay constant meanwhile."""

    cache: Cache
    block_hashes: Mapping[int, bytes]  # as stored at the start
    chain: Mapping[str, Any] | None  # the configuration, if stored
    mark: bytes | None  # of the server's evictions, when the state was begun (`evictions.mark`)


class FeedReader:
    """Follows the feed of one chain in a separate thread.

    `current` is the state that is followed, or was followed last; None until there was one. `reason` says why no state
    is being followed, and is empty otherwise. `ring`, `slack` and `limit` are those of `Cache`; `patience`: seconds for
    which a state that Redis has lost is kept, so that it is not replaced by an earlier one.

    `suspicion` is set if the server has evicted keys, or is configured to. Then nothing is fetched from it until the
    state was loaded again or the server reconfigured. The values in the cache are exact all the same.
    """

    def __init__(
        self, links: Links, keys: Keys, *, ring: int, slack: int, limit: int, timeout: float, patience: float
    ) -> None:
        self.links = links
        self.keys = keys
        self.ring = ring
        self.slack = slack
        self.limit = limit
        self.timeout = timeout
        self.patience = patience
        self.current: Following | None = None
        self.reason = "the state has not been read yet"
        self.error: EvmcoreError | None = None
        self.restarts = 0
        self.on_begin: Callable[[Following], None] | None = None  # called with each new cache
        self.readers: Links | None = None  # fetch values that the cache lacks; checked anew with each state
        self._suspicion: UnsafeStorage | None = None
        self._primary: Links | None = None
        self._primary_place: tuple[str, int] | None = None
        self._lock = threading.Lock()
        self._whole_window = True  # whether the next start goes back as far as the feed does
        self._stop = Stop()
        self._wake = threading.Event()
        self._connection: Connection | None = None
        self._asked = 0.0  # when following the feed began on this connection
        self._thread = threading.Thread(target=self._run, name="evmcore feed", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def close(self) -> None:
        """Ends the thread and waits for it."""
        self._stop.set()
        self._wake.set()
        connection = self._connection
        if connection is not None:
            connection.interrupt()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()
        if self.current is not None:
            self.current.cache.give_up()
        if self._primary is not None:
            self._primary.close()

    @property
    def following(self) -> bool:
        """Whether the state is followed, and complete up to the present."""
        current = self.current
        return not self.reason and current is not None and current.cache.caught_up and not current.cache.given_up

    def wait(self, timeout: float, *, despite_errors: bool = True) -> bool:
        """Waits until `following`, at most `timeout` seconds, or until the first error; returns `following`."""
        deadline = time.monotonic() + timeout
        while not self.following and time.monotonic() < deadline and not self._stop.is_set():
            if self.error is not None and not despite_errors:
                break
            time.sleep(0.002)
        return self.following

    def restart(self) -> None:
        """Drops the cache and starts another one; `wait` for it."""
        current = self.current
        if current is not None:
            self.reason = "the cache is started anew"
            current.cache.give_up()
        connection = self._connection
        if connection is not None:
            connection.interrupt()
        self._wake.set()

    def moved(self, reason: str) -> None:
        """Called when a reader finds that Redis holds another state than the cache: makes the feed's thread check at
        once."""
        self._look_again(f"the state in Redis {reason}")

    def _look_again(self, why: str) -> None:
        connection = self._connection
        if connection is not None and not self.reason and self._has_heard():
            log.warning("%s", why)
            connection.interrupt()
        self._wake.set()

    def _has_heard(self) -> bool:
        """Whether the head was confirmed since this connection began to follow; if not, the thread is checking now."""
        current = self.current
        return current is not None and current.cache.age < time.monotonic() - self._asked

    # ---- whether the server may have lost keys

    def admit(self, connection: Connection) -> None:
        """Checks the server of a new connection. Raises `UnsafeStorage` if a missing key there proves nothing."""
        current = self.current
        self._look_at_server(connection, None if current is None else current.mark)

    @property
    def suspicion(self) -> UnsafeStorage | None:
        """The reason why nothing is fetched; see the class."""
        return self._suspicion

    @suspicion.setter
    def suspicion(self, error: UnsafeStorage | None) -> None:
        self._suspicion = error
        if self.readers is not None:
            self.readers.places.barred = error is not None

    def suspect(self, error: UnsafeStorage) -> None:
        """Called when the server has evicted keys: nothing more is fetched from it; the feed's thread checks
        further."""
        self.suspicion = error
        self._look_again(str(error))

    def primary_links(self) -> Links | None:
        """Connections to the primary of the replica that was met last; None if there was no replica."""
        with self._lock:
            return self._primary

    def _look_at_server(self, connection: Connection, mark: bytes | None) -> None:
        text = connection.request([(b"INFO",)], self.timeout, "asking whether the server evicts keys")[0]
        info = evictions.parse_info(text)
        evictions.check_policy(info.maxmemory, info.policy)
        connection.whole = evictions.check_count(info, mark)
        connection.replica = info.primary is not None
        if info.primary is not None:
            self._meet_primary(info.primary)

    def _meet_primary(self, place: tuple[str, int]) -> None:
        """The primary may have evicted keys that a replica lacks: opens connections for asking the primary."""
        with self._lock:
            if place == self._primary_place:
                return
            old, self._primary_place = self._primary, place
            host, port = place
            self._primary = Links(
                client_for(host, port, self.links.client, self.timeout),
                1,
                self.timeout,
                f"{host}:{port}",
                self.admit,
            )
        if old is not None:
            old.close()

    # ---- the thread

    def _run(self) -> None:
        backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE, at_once=True)
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                self._connection = self.links.connect()
                try:
                    if self.current is None or self.current.cache.given_up or self.suspicion is not None:
                        self._begin(self._connection)
                        backoff.reset()
                    else:
                        self.admit(self._connection)
                    self._follow(self._connection)
                finally:
                    connection, self._connection = self._connection, None
                    connection.close()
            except EvmcoreError as error:
                self._fail(error)
            except Exception as error:  # a defect must not end the thread silently
                log.exception("following the feed failed")
                self._fail(StateError(f"{type(error).__name__}: {error}"))
            if time.monotonic() - started > LONGEST_PAUSE:  # following worked for a while
                backoff.reset()
            if not self._stop.is_set():
                self._wake.wait(backoff.pause())
                self._wake.clear()

    def _fail(self, error: EvmcoreError) -> None:
        if self._stop.is_set():
            return
        if str(error) != self.reason:
            log.warning("the feed is not followed: %s", error)
        if isinstance(error, UnsafeStorage):
            self.suspicion = error
        self.error = error
        self.reason = str(error) or type(error).__name__

    def _follow(self, connection: Connection) -> None:
        """Follows the feed until an error, and raises it."""
        assert self.current is not None
        cache = self.current.cache
        self._asked = time.monotonic()
        if self.error is not None:
            log.info("the feed is followed again")
        self.reason = ""
        self.error = None
        outcome = cache.follow(connection, self._stop, BLOCK_MS, self.timeout)
        if outcome == "stopped" or cache.given_up:
            return
        if outcome == "io":
            raise StateUnavailable(f"the connection to the Redis server at {connection.peer} was lost")
        if outcome == "malformed":
            raise StateUnavailable(f"the Redis server at {connection.peer} sent other replies than were asked for")
        if outcome == "evicted":
            raise evictions.evicted(cache.evicted, connection.whole)
        if outcome == "may evict":
            self.admit(connection)  # which checks the new configuration
            raise StateUnavailable(f"the Redis server at {connection.peer} was set up otherwise: looking again")
        if outcome == "refused":
            raise StateUnavailable(f"the Redis server refuses to be followed: {cache.problem}")
        cache.give_up()
        self.restarts += 1
        problem = f"{_ANEW[outcome]}: {cache.problem}" if outcome == "damaged" else _ANEW[outcome]
        self._whole_window = outcome not in ("damaged", "no memory")
        log.warning("%s; the cache is started anew", problem)
        self._wake.set()
        raise StateCorrupted(problem) if outcome == "damaged" else StateUnavailable(problem)

    # ---- starting

    def _begin(self, connection: Connection) -> None:
        """Makes a cache that starts as far back as the feed goes, but not further than the ring."""
        keys = self.keys
        commands = [
            (b"MULTI",),
            (b"HGETALL", keys.head),
            (b"HGETALL", keys.block_hashes),
            (b"HMGET", keys.meta, b"complete", b"chain", b"evicted"),
            (b"XRANGE", keys.feed, b"-", b"+", b"COUNT", b"1"),
            (b"EXEC",),
        ]
        replies = connection.request(commands, self.timeout, "reading the head")[-1]
        mark = replies[2].pop()
        self._look_at_server(connection, mark)
        head = layout.decode_head(as_fields(replies[0]), keys.head)
        if head is None:
            raise StateUnavailable(f"no state is loaded: there is no {layout.show_key(keys.head)}")
        self._check_not_back(head)
        complete = layout.decode_complete(replies[2][0], keys.meta)
        chain = layout.decode_chain(replies[2][1], keys.meta)
        hashes = layout.decode_block_hashes(as_fields(replies[1]), keys.block_hashes)
        seq, header, block_hash = self._start(connection, head, replies[3])
        cache = Cache(
            keys.prefix,
            head.feed,
            complete,
            seq,
            header,
            block_hash,
            ring=self.ring,
            slack=self.slack,
            limit=self.limit,
        )
        old = self.current
        self.current = Following(cache, hashes, chain, mark)
        self.suspicion = None
        for links in (self.readers, self.primary_links()):
            if links is not None:
                links.renew()
        if old is not None:
            old.cache.give_up()
        if self.on_begin is not None:
            self.on_begin(self.current)

    def _check_not_back(self, head: Head) -> None:
        """A server that has lost its last blocks does not take back the served state while it may still recover
        them."""
        if self.current is None:
            return
        cache = self.current.cache
        label = cache.label(cache.latest)
        if label is None or cache.feed != head.feed or cache.age > self.patience:
            return
        served = Header.decode(label[2]).number
        if head.number < served:
            raise StateUnavailable(f"Redis has gone back to block {head.number}, block {served} has been served")

    def _start(self, connection: Connection, head: Head, oldest: list[Any]) -> tuple[int, bytes, bytes]:
        """The step to start at, with the header and block hash after it."""
        first = layout.decimal(oldest[0][0].partition(b"-")[0], self.keys.feed, "id") if oldest else head.seq + 1
        start = max(first - 1, head.seq - self.ring)
        if self._whole_window and 0 <= start < head.seq:
            entry_id = feed.entry_id(start + 1)
            found = connection.request(
                [(b"XRANGE", self.keys.feed, entry_id, entry_id)], self.timeout, "reading the feed"
            )[0]
            if found:
                header = as_fields(found[0][1]).get(b"p")
                if header is not None:
                    return start, header, keccak256(header)
        return head.seq, head.header.encode(), head.hash
