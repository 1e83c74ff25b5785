"""The thread that keeps the cache exact: starts it from what Redis holds, follows the feed, starts over."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evmcore._hash import keccak256
from evmcore.blocks import Header
from evmcore.errors import EvmcoreError, StateCorrupted, StateError, StateUnavailable
from evmcore.state import layout
from evmcore.state._cache import Cache, Stop
from evmcore.state._wire import Connection
from evmcore.state.layout import Head, Keys
from evmcore.state.links import Links
from evmcore.state.session import as_fields

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.02  # seconds between attempts after a failure; doubled each time
LONGEST_PAUSE = 1.0
BLOCK_MS = 250  # how long one request waits for an entry: so old the head's confirmation gets while nothing happens

# After these the cache is of no use for what comes: another one is started.
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
    """A state that is being followed, and what stays as it is meanwhile."""

    cache: Cache
    block_hashes: Mapping[int, bytes]  # as they were stored at the start
    chain: Mapping[str, Any] | None  # configuration, where it was stored


class FeedReader:
    """Follows the feed of one chain in a thread of its own.

    `current` is what it follows, or followed last; None until there was something. `reason` says why it is not being
    followed, and is empty when it is. `ring`, `slack` and `limit` are those of `Cache`; `patience`: seconds for which a
    state that Redis has lost is kept, so that it is not replaced by an earlier one.
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
        self._whole_window = True  # whether the next start goes back as far as the feed does
        self._stop = Stop()
        self._wake = threading.Event()
        self._connection: Connection | None = None
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

    @property
    def following(self) -> bool:
        """Whether the state is followed, and complete up to the present."""
        current = self.current
        return not self.reason and current is not None and current.cache.caught_up and not current.cache.given_up

    def wait(self, timeout: float) -> bool:
        """Waits until `following`, at most `timeout` seconds; whether it is."""
        deadline = time.monotonic() + timeout
        while not self.following and time.monotonic() < deadline and not self._stop.is_set():
            time.sleep(0.002)
        return self.following

    def restart(self) -> None:
        """Gives the cache up and starts another one. `wait` for it."""
        current = self.current
        if current is not None:
            self.reason = "the cache is started anew"
            current.cache.give_up()
        connection = self._connection
        if connection is not None:
            connection.interrupt()
        self._wake.set()

    def moved(self, reason: str) -> None:
        """Somebody found that Redis holds another state than the cache: the feed's thread is to look at once."""
        connection = self._connection
        if connection is not None and not self.reason:
            log.warning("the state in Redis %s", reason)
            connection.interrupt()
        self._wake.set()

    # ---- the thread

    def _run(self) -> None:
        pause = 0.0
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                self._connection = self.links.connect()
                try:
                    if self.current is None or self.current.cache.given_up:
                        self._begin(self._connection)
                        pause = 0.0
                    self._follow(self._connection)
                finally:
                    connection, self._connection = self._connection, None
                    connection.close()
            except EvmcoreError as error:
                self._fail(error)
            except Exception as error:  # a defect must not end the thread without a word
                log.exception("following the feed failed")
                self._fail(StateError(f"{type(error).__name__}: {error}"))
            if time.monotonic() - started > LONGEST_PAUSE:  # it went well for a while
                pause = 0.0
            if not self._stop.is_set():
                self._wake.wait(pause)
                self._wake.clear()
                pause = min(max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE)

    def _fail(self, error: EvmcoreError) -> None:
        if self._stop.is_set():
            return
        if str(error) != self.reason:
            log.warning("the feed is not followed: %s", error)
        self.error = error
        self.reason = str(error) or type(error).__name__

    def _follow(self, connection: Connection) -> None:
        """Follows the feed until something is wrong, and raises that."""
        assert self.current is not None
        cache = self.current.cache
        self.reason = ""
        self.error = None
        outcome = cache.follow(connection, self._stop, BLOCK_MS, self.timeout)
        if outcome == "stopped" or cache.given_up:
            return
        if outcome == "io":
            raise StateUnavailable(f"the connection to the Redis server at {connection.peer} was lost")
        if outcome == "malformed":
            raise StateUnavailable(f"the Redis server at {connection.peer} sent other replies than were asked for")
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
        """Makes a cache that starts as far back as the feed goes, or the ring."""
        keys = self.keys
        commands = [
            (b"MULTI",),
            (b"HGETALL", keys.head),
            (b"HGETALL", keys.block_hashes),
            (b"HMGET", keys.meta, b"complete", b"chain"),
            (b"XRANGE", keys.feed, b"-", b"+", b"COUNT", b"1"),
            (b"EXEC",),
        ]
        replies = connection.request(commands, self.timeout, "reading the head")[-1]
        head = layout.decode_head(as_fields(replies[0]), keys.head)
        if head is None:
            raise StateUnavailable(f"no state is loaded: there is no {layout.show_key(keys.head)}")
        self._check_not_back(head)
        complete, chain = replies[2]
        if complete not in (b"0", b"1"):
            raise StateCorrupted(f"{layout.show_key(keys.meta)}: the field complete is {complete!r:.40}, not 0 or 1")
        hashes = {
            layout.decimal(number, keys.block_hashes, "number"): value
            for number, value in as_fields(replies[1]).items()
            if len(value) == 32
        }
        seq, header, block_hash = self._start(connection, head, replies[3])
        cache = Cache(
            keys.prefix,
            head.feed,
            complete == b"1",
            seq,
            header,
            block_hash,
            ring=self.ring,
            slack=self.slack,
            limit=self.limit,
        )
        self.current = Following(cache, hashes, None if chain is None else json.loads(chain))

    def _check_not_back(self, head: Head) -> None:
        """What was served is not taken back by a server that has lost its last blocks, while it may get them back."""
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
            entry_id = layout.entry_id(start + 1)
            found = connection.request(
                [(b"XRANGE", self.keys.feed, entry_id, entry_id)], self.timeout, "reading the feed"
            )[0]
            if found:
                header = as_fields(found[0][1]).get(b"p")
                if header is not None:
                    return start, header, keccak256(header)
        return head.seq, head.header.encode(), head.hash
