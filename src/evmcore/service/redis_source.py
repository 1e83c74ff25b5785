"""A source whose chain and state are in Redis: `serve --redis`. Any number of processes may serve the same state."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from evmcore.blocks import Header
from evmcore.errors import ConfigError
from evmcore.forks import NETWORKS, ChainConfig
from evmcore.service.archive import Archive
from evmcore.service.source import BlockId, CallHint, SourceStatus, WouldBlock
from evmcore.state import Backend
from evmcore.state.redis import NotHere, RedisPin, RedisState

__all__ = ["RedisSource", "RedisSourcePin"]

T = TypeVar("T")


class RedisSourcePin:
    """A block of a `RedisSource`."""

    def __init__(self, pin: RedisPin, source: RedisSource) -> None:
        self.pin = pin
        self._source = source

    @property
    def header(self) -> Header:
        """The block's header."""
        return self.pin.header

    @property
    def block_hash(self) -> bytes:
        """The block's 32-byte hash."""
        return self.pin.block_hash

    def block_hashes(self) -> Mapping[int, bytes]:
        """Number to hash of the block and of up to 256 blocks before it."""
        return self.pin.block_hashes()

    def run(
        self, work: Callable[[Backend], T], hint: CallHint | Sequence[CallHint] | None = None, *, wait: bool = True
    ) -> T:
        """The result of `work`, from a run that missed no value (`RedisPin.run`)."""
        runs = 0

        def counted(backend: Backend) -> T:
            nonlocal runs
            runs += 1
            return work(backend)

        try:
            return self.pin.run(counted, () if hint is None else hint, wait=wait, brief=not wait)
        except NotHere as error:
            raise WouldBlock(str(error)) from None
        finally:
            if runs > 1:
                self._source.note_runs(runs)

    def close(self) -> None:
        """Releases the pinned step."""
        self.pin.close()

    def __enter__(self) -> RedisSourcePin:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()


class RedisSource:
    """A `RedisState` for the service; closing the source closes the state.

    `chain`: the chain's configuration; by default the one stored with the state, or the known network with its id.
    Raises `ConfigError` if there is neither.
    """

    def __init__(self, state: RedisState, chain: ChainConfig | None = None) -> None:
        self.state = state
        self._lock = threading.Lock()
        self._runs_again = 0
        self._chain = _chain_of(state) if chain is None else chain

    @classmethod
    def open(cls, url: str, chain_id: int = 1, chain: ChainConfig | None = None, **options: Any) -> RedisSource:
        """A source for the state at an address; `options` are those of `RedisState`."""
        state = RedisState(url, chain_id, **options)
        try:
            return cls(state, chain)
        except BaseException:
            state.close()
            raise

    @property
    def chain(self) -> ChainConfig:
        """The chain's id and forks."""
        return self._chain

    @property
    def archive(self) -> Archive | None:
        """None: Redis holds state, not blocks."""
        return None

    def head(self) -> Header:
        """The header of the latest block. Raises as `pin` does."""
        return self.state.head()

    def pin(self, block: BlockId = "latest") -> RedisSourcePin:
        """A block by number, hash or tag. Raises as `RedisState.pin` does."""
        return RedisSourcePin(self.state.pin(block), self)

    def note_runs(self, runs: int) -> None:
        """Counts a call that ran several times because it read values that were not in the cache."""
        with self._lock:
            self._runs_again += runs - 1

    def status(self) -> SourceStatus:
        """The status, for readiness checks and metrics."""
        now = self.state.status()
        return SourceStatus(
            ready=now.ready,
            reason=now.reason,
            head_age=now.head_age,
            feed_lag=now.feed_lag,
            backend_reachable=now.reachable,
            counters={**now.counters, "runs_again": self._runs_again},
            gauges=now.gauges,
        )

    def close(self) -> None:
        """Closes the state."""
        self.state.close()


def _chain_of(state: RedisState) -> ChainConfig:
    stored = state.chain_config
    if stored is not None:
        return ChainConfig.from_genesis(stored)
    for known in NETWORKS.values():
        if known.chain_id == state.chain_id:
            return known
    raise ConfigError(f"chain {state.chain_id} is not known, and no configuration is stored with its state: name one")
