"""A chain's state in Redis, read through a cache in this process that the feed keeps exact."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NoReturn, Protocol

from evmcore.blocks import Header
from evmcore.errors import (
    BlockNotFound,
    EvmcoreError,
    InputError,
    StaleState,
    StateNotAvailable,
    StateUnavailable,
    UnsafeStorage,
    not_copied,
)
from evmcore.headers import BLOCK_HASH_WINDOW
from evmcore.state._cache import Cache
from evmcore.state._cache_view import CacheView, NotHere, PinRunner
from evmcore.state._fetch import RedisFetcher
from evmcore.state.arguments import check_count, check_seconds
from evmcore.state.base import AccountInfo
from evmcore.state.feed_reader import FeedReader, Following
from evmcore.state.layout import DEFAULT_RING, MOST_RING, Keys
from evmcore.state.links import CLOSED, FORKED, Links
from evmcore.state.preload import read_whole
from evmcore.state.upstream import Upstream, UpstreamNode
from evmcore.types import shown, to_address

__all__ = ["NotHere", "RedisPin", "RedisState", "StateStatus", "Upstream", "UpstreamNode"]

log = logging.getLogger(__name__)

# Steps beyond the ring that an open pin may fall behind before it is invalidated.
SLACK = 1024


class CallHint(Protocol):
    """The call that a run is going to make; its access list names slots that it will read."""

    @property
    def access_list(self) -> Sequence[tuple[bytes, Sequence[int]]]: ...


@dataclass(frozen=True, slots=True)
class StateStatus:
    """The status of a `RedisState`.

    `ready`: calls at the latest block are answered; otherwise `reason` says why not. `head_age`: seconds since Redis
    last confirmed the head. `feed_lag`: feed entries that are known to exist and are not applied yet. `reachable`:
    whether the feed is being followed. `counters` only grow.
    """

    ready: bool
    reason: str
    head_age: float
    feed_lag: int
    reachable: bool
    counters: Mapping[str, int]
    gauges: Mapping[str, float]


class _Point:
    """One step of a history: its head block, and the hashes of the blocks before."""

    __slots__ = ("_following", "_hashes", "block_hash", "header", "seq")

    def __init__(self, following: Following, seq: int) -> None:
        label = following.cache.label(seq)
        if label is None:
            raise StateNotAvailable(f"step {seq} is not held")
        self._following = following
        self.seq = seq
        self.header = Header.decode(label[2])
        self.block_hash = label[1]
        self._hashes: dict[int, bytes] | None = None

    def hashes(self) -> dict[int, bytes]:
        """Number to hash of the block and of the blocks before it that BLOCKHASH can reach."""
        if self._hashes is None:
            self._hashes = self._ancestry()
        return self._hashes

    def hash_of(self, number: int) -> bytes | None:
        return self.hashes().get(number)

    def _ancestry(self) -> dict[int, bytes]:
        cache, stored = self._following.cache, self._following.block_hashes
        labels = [cache.label(seq) for seq in range(cache.oldest, self.seq + 1)]
        followed = {label[1]: label[2] for label in labels if label is not None}
        number, block_hash = self.header.number, self.block_hash
        lowest = max(number - BLOCK_HASH_WINDOW, 0)
        hashes = {number: block_hash}
        while number > lowest and block_hash in followed:
            block_hash = Header.parent_hash_of(followed[block_hash])
            number -= 1
            hashes[number] = block_hash
        # Blocks before the followed history: as stored at the start, if that is the same branch.
        if stored.get(number) == block_hash:
            hashes.update({n: stored[n] for n in range(lowest, number) if n in stored})
        return hashes


class _Moment:
    """The state after one step, and the idle views of it, which the pins of that step share."""

    __slots__ = ("cache", "idle", "point", "seq")

    def __init__(self, following: Following, seq: int) -> None:
        self.cache = following.cache
        self.seq = seq
        self.point = _Point(following, seq)
        self.idle: list[CacheView] = []


class RedisPin(PinRunner):
    """One block of a `RedisState` with its state, which does not change while the pin is open. A context manager.

    Any thread may use a pin; several threads may call `run` at once.
    """

    state: RedisState
    moment: _Moment

    def __init__(self, state: RedisState, moment: _Moment) -> None:
        self._own: CacheView | None = None

    @property
    def header(self) -> Header:
        """The block's header."""
        return self.moment.point.header

    @property
    def block_hash(self) -> bytes:
        """The block's 32-byte hash."""
        return self.moment.point.block_hash

    @property
    def seq(self) -> int:
        """The step of the state's history."""
        return self.moment.seq

    def block_hashes(self) -> Mapping[int, bytes]:
        """Number to hash of the block itself and of the blocks before it that BLOCKHASH can reach."""
        return self.moment.point.hashes()

    @property
    def backend(self) -> CacheView:
        """The state as a backend for `EVM` or `execute_block`. Values that the cache lacks are fetched one by one, in
        the thread that reads; `backend.prefetch` fetches many at once."""
        if self._own is None:
            self._own = self.state._view(self.moment)
        return self._own

    def account(self, address: bytes) -> AccountInfo | None:
        """An account without code and storage; None if it does not exist."""
        return self.backend.account(address)

    def storage(self, address: bytes, slot: int) -> int:
        """The value of a storage slot."""
        return self.backend.storage(address, slot)

    def code(self, address: bytes) -> bytes:
        """The code of an account; empty if there is none."""
        return self.backend.code(address)

    def close(self) -> None:
        """Releases the pinned step, so that the cache can drop its versions."""
        self._own = None

    def __reduce__(self) -> NoReturn:
        raise not_copied(self, "pickle its block_hash, and pin that on a RedisState of the other process")

    def __enter__(self) -> RedisPin:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<RedisPin of block {self.header.number} 0x{self.block_hash.hex()}, step {self.seq}>"


class RedisState:
    """The state of one chain in Redis (see `layout`), for any number of threads of one process.

    Reads are answered from a cache in this process; missing values are fetched, many in one request. A thread follows
    the feed, so that the cache is exact at every block. While a pin is open, its reads are all of one block::

        with RedisState("redis://127.0.0.1:6379/0", chain_id=1) as state:
            with state.pin("latest") as pin:
                result = pin.run(lambda backend: EVM(backend, "mainnet", env).call(token, data))

    - `url`: `redis://`, `rediss://` (TLS), `unix://`, with user, password and database; `redis+sentinel://`
      (see `session.open_client`).
    - `max_head_age`: seconds since Redis last confirmed the head after which `pin("latest")` raises `StaleState`; None:
      answer from the cache for as long as Redis is unreachable.
    - `cache_bytes`: limit of the cache; values that changed inside the ring are never evicted for it.
    - `ring`: how many blocks before the head can be pinned.
    - `connections`: maximum number of connections for reading, besides the feed's.
    - `timeout`: seconds for one fetch, and for one reply.
    - `upstream`: the node to ask for values that an incomplete state lacks (`UpstreamNode`); without one, reading them
      is an error. It is closed with the state.
    - `preload`: addresses of accounts that are read completely, with all slots, whenever the cache starts.
    - `wait`: seconds that the constructor waits for the state and for the preloaded accounts. After that, or at once
      with 0, `pin` raises the error that prevents reading.

    Create one in each process: threads and connections do not survive a fork, and `pin` raises `StateUnavailable` in
    the child of a fork. Raises `InputError` for a bad argument.
    """

    def __init__(
        self,
        url: str,
        chain_id: int = 1,
        *,
        max_head_age: float | None = 36.0,
        cache_bytes: int = 256 * 1024 * 1024,
        ring: int = DEFAULT_RING,
        connections: int = 8,
        timeout: float = 1.0,
        upstream: Upstream | None = None,
        wait: float = 10.0,
        preload: Iterable[bytes] = (),
    ) -> None:
        check_count(connections, "connections", 1, 64)
        check_count(ring, "ring", 1, MOST_RING)
        check_count(cache_bytes, "cache_bytes", 0, 2**63 - 1)
        check_seconds(timeout, "timeout", above_zero=True)
        check_seconds(wait, "wait")
        if max_head_age is not None:
            check_seconds(max_head_age, "max_head_age")
        if isinstance(preload, str) or not isinstance(preload, Iterable):
            raise InputError(f"argument 'preload': expected addresses in a list, got {shown(preload)}")
        if upstream is not None and not all(hasattr(upstream, name) for name in ("accounts", "codes", "close")):
            raise InputError(
                "argument 'upstream': expected an UpstreamNode, or another with its accounts(), codes() and close(), "
                f"got {shown(upstream)}"
            )
        self.max_head_age = max_head_age
        self._feed_links = Links(url, 1, timeout)
        self._keys = Keys(chain_id)
        self.chain_id = self._keys.chain_id
        self._feed = FeedReader(
            self._feed_links,
            self._keys,
            ring=ring,
            slack=SLACK,
            limit=cache_bytes,
            timeout=timeout,
            patience=10.0 if max_head_age is None else max_head_age,
        )
        self._upstream = upstream
        self._process = os.getpid()
        self._closed = False
        self._links = self._feed.readers = Links(url, connections, timeout, admit=self._feed.admit)
        self._fetcher = RedisFetcher(self._links, self._keys, timeout, upstream, self._feed)
        self._lock = threading.Lock()
        self._latest: _Moment | None = None
        self._pins = 0
        self._preloads = [to_address(address, "preload") for address in preload]
        self._preloaded = 0
        self._preloading: threading.Thread | None = None
        self._feed.on_begin = self._begun
        deadline = time.monotonic() + wait
        self._feed.start()
        if self._feed.wait(wait) and self._preloading is not None:
            self._preloading.join(max(0.0, deadline - time.monotonic()))

    def __reduce__(self) -> NoReturn:
        raise not_copied(
            self, "its cache and its thread are this process's; open another there, with the same arguments"
        )

    # ---- whole contracts

    def _begun(self, following: Following) -> None:
        if self._preloads:
            self._preloading = threading.Thread(
                target=self._preload, args=(following,), name="evmcore preload", daemon=True
            )
            self._preloading.start()

    def preload(self, addresses: Iterable[bytes]) -> int:
        """Reads accounts into the cache now, with all their slots; returns the number of slots.

        Raises `StateUnavailable`, `StateCorrupted`, `UnsafeStorage`, and `StateNotAvailable` if the state was replaced
        meanwhile.
        """
        cache = self._following().cache
        return sum(self._read_whole(cache, to_address(address, "addresses")) for address in addresses)

    def _read_whole(self, cache: Cache, address: bytes) -> int:
        connection = self._links.take()
        try:
            count = read_whole(connection, self._keys, cache, address, max(self._links.timeout, 10.0))
        finally:
            self._links.give(connection)
        self._preloaded += count
        return count

    def _preload(self, following: Following) -> None:
        for address in self._preloads:
            try:
                self._read_whole(following.cache, address)
            except EvmcoreError as error:  # a call that needs the account will get the error
                if following.cache.given_up:
                    return
                log.warning("0x%s was not read whole: %s", address.hex(), error)

    # ---- pinning

    def pin(self, block: int | bytes | str | None = "latest") -> RedisPin:
        """Pins a block: by number, 32-byte hash, or tag. The tags latest (also None), pending, safe and finalized mean
        the head; earliest is block 0.

        Raises `InputError` for an argument that is not a block, `BlockNotFound` for an unknown block,
        `StateNotAvailable` for a block whose state is not held, `StaleState` if the head is older than `max_head_age`,
        `StateUnavailable` if there is no state (yet, or because it is closed), `UnsafeStorage` if the state cannot be
        trusted, because its server has evicted keys or is configured to.
        """
        if isinstance(block, bool) or not isinstance(block, (int, str, bytes, type(None))):
            raise InputError(f"argument 'block': expected a number, a 32-byte hash or a tag, got {shown(block)}")
        if isinstance(block, bytes) and len(block) != 32:
            raise InputError(f"argument 'block': expected 32 bytes of a hash, got {len(block)}")
        following = self._following()
        cache = following.cache
        self._pins += 1
        if block is None or block in ("latest", "pending", "safe", "finalized"):
            age = cache.age
            if self.max_head_age is not None and age > self.max_head_age:
                raise StaleState(
                    f"the head was last confirmed {age:.1f} s ago, {self.max_head_age:g} s are allowed"
                    + (f": {self._feed.reason}" if self._feed.reason else "")
                )
            latest = self._latest
            if latest is None or latest.cache is not cache or latest.seq != cache.latest:
                latest = self._moment(following, cache.latest)
                self._latest = latest
            return RedisPin(self, latest)
        return RedisPin(self, self._find(following, block))

    def _find(self, following: Following, block: int | bytes | str) -> _Moment:
        cache = following.cache
        head = self._moment(following, cache.latest)
        if block == "earliest":
            block = 0
        if isinstance(block, str):
            raise BlockNotFound(f"{block!r} is not a tag; tags are latest, pending, safe, finalized and earliest")
        if isinstance(block, int):
            if block > head.point.header.number or block < 0:
                raise BlockNotFound(f"block {block} is not there: the head is block {head.point.header.number}")
            wanted = head.point.hashes().get(block)
        else:
            wanted = block
        for seq in range(cache.latest, cache.oldest - 1, -1):
            label = cache.label(seq)
            if label is not None and label[1] == wanted:
                return self._moment(following, seq)
        if isinstance(block, int) or block in head.point.hashes().values():
            named = block if isinstance(block, int) else f"0x{block.hex()}"
            raise StateNotAvailable(f"the state after block {named} is not held: it is older than the feed")
        raise BlockNotFound(f"block 0x{block.hex()} is not known")

    def _moment(self, following: Following, seq: int) -> _Moment:
        latest = self._latest
        if latest is not None and latest.cache is following.cache and latest.seq == seq:
            return latest
        moment = _Moment(following, seq)
        moment.idle.append(self._view(moment))  # holds the step
        return moment

    def _view(self, moment: _Moment) -> CacheView:
        return CacheView(moment.cache, moment.seq, self._fetcher, moment.point.hash_of)

    def _following(self) -> Following:
        if self._process != os.getpid():
            raise StateUnavailable(FORKED)
        if self._closed:
            raise StateUnavailable(CLOSED)
        following = self._feed.current
        if following is None or not following.cache.caught_up:
            error = self._feed.error
            if isinstance(error, UnsafeStorage):
                raise UnsafeStorage(str(error)) from error
            if error is not None:
                raise StateUnavailable(str(error)) from error
            raise StateUnavailable("the state is being read: try again in a moment")
        return following

    # ---- the head

    def head(self) -> Header:
        """The header of the latest followed block."""
        return self.pin("latest").header

    @property
    def chain_config(self) -> Mapping[str, Any] | None:
        """The chain's configuration as stored with the state (the `config` of a genesis file), None if not stored."""
        return self._following().chain

    @property
    def complete(self) -> bool:
        """Whether every account of the chain is stored."""
        return self._following().cache.complete

    def settle(self, seconds: float) -> bool:
        """Waits, at most `seconds`, until the state is followed or an error prevents it. Whether it is followed."""
        return self._feed.wait(seconds, despite_errors=False)

    def restart(self, wait: float = 10.0) -> None:
        """Drops the whole cache and starts from the state in Redis. Open pins keep their values."""
        self._feed.restart()
        self._latest = None
        self._feed.wait(wait)

    # ---- status

    def status(self) -> StateStatus:
        """The status, for readiness checks and metrics."""
        if self._process != os.getpid():
            return StateStatus(False, FORKED, float("inf"), 0, False, {}, {})
        feed = self._feed
        following = feed.current
        cache = None if following is None else following.cache
        reason = feed.reason
        age = float("inf") if cache is None else cache.age
        if self._closed:
            ready = False
            reason = CLOSED
        elif cache is None or not cache.caught_up:
            ready = False
            reason = reason or "the state is being read"
        else:
            ready = self.max_head_age is None or age <= self.max_head_age
            if not ready:
                reason = f"the head was last confirmed {age:.1f} s ago" + (f": {reason}" if reason else "")
            elif cache.given_up or feed.suspicion is not None:
                ready = False
        figures = {} if cache is None else cache.figures()
        fetcher = self._fetcher
        predictions = fetcher.book.figures()
        counters = {
            "pins": self._pins,
            "cold_rounds": fetcher.rounds,
            "keys_fetched": fetcher.keys_asked,
            "corrections": fetcher.corrections,
            "predicted": predictions["predicted"],
            "predictions_used": predictions["came_true"],
            "cold_reads": predictions["read"],
            "damaged_values": fetcher.faults,
            "redis_errors": self._links.failures + self._feed_links.failures,
            "feed_restarts": feed.restarts,
            "feed_entries": figures.get("feed_entries", 0),
            "feed_bytes": figures.get("feed_bytes", 0),
            "preloaded_slots": self._preloaded,
            "evictions": figures.get("evictions", 0),
            "upstream_questions": fetcher.upstream_questions,
        }
        gauges: dict[str, float] = {
            "cache_bytes": figures.get("bytes", 0),
            "cache_bytes_taken": figures.get("bytes_taken", 0),
            "cache_slots": figures.get("slots", 0),
            "cache_accounts": figures.get("accounts", 0),
            "views": figures.get("views", 0),
        }
        lag = 0 if cache is None else cache.newest_seen - cache.latest
        return StateStatus(ready, "" if ready else reason, age, lag, not feed.reason, counters, gauges)

    def close(self) -> None:
        """Ends the feed's thread and closes all connections. Open pins go on with the values in the cache; no new pins
        can be opened."""
        if self._process != os.getpid():  # thread and connections are the parent's
            return
        self._closed = True
        self._feed.close()
        self._feed_links.close()
        self._links.close()
        if self._upstream is not None:
            self._upstream.close()
        self._latest = None

    def __enter__(self) -> RedisState:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<RedisState of chain {self.chain_id} at {self._links.peer}>"
