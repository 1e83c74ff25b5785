"""The sources of the service's state: the contract between calls and backends.

A `Source` follows a chain; a `Pin` is one block of it with its state. Everything a request reads comes from one pin, so
that its answer is of one block whatever the chain does meanwhile; a batch has one pin for all its requests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from evmcore.errors import StateError
from evmcore.state import Backend

if TYPE_CHECKING:
    from evmcore.blocks import Header
    from evmcore.forks import ChainConfig
    from evmcore.service.archive import Archive

__all__ = ["BlockId", "CallHint", "Pin", "Source", "SourceStatus", "WouldBlock"]

T = TypeVar("T")

BlockId: TypeAlias = "int | bytes | str | None"
"""A block number, a 32-byte block hash, or a tag: latest, pending, safe, finalized, earliest. None is latest."""


class WouldBlock(StateError):
    """The required state is not in this process, and the caller does not want to wait for it."""


@dataclass(frozen=True, slots=True)
class CallHint:
    """The call that a run is going to make, for sources that fetch the state of such calls before they run.

    `access_list`: pairs of a 20-byte address and its slots, as the request gave it.
    """

    to: bytes | None
    data: bytes = b""
    sender: bytes = bytes(20)
    access_list: Sequence[tuple[bytes, Sequence[int]]] = ()


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """The status of a source, for readiness checks and metrics.

    `ready`: calls at the latest block can be answered; otherwise `reason` says why not. `head_age`: seconds since the
    source learnt of the head, None if the source has a fixed chain. `feed_lag`: entries of the feed that are known to
    exist and are not applied. `counters` only grow (pins, cold_rounds, ...); `gauges` go up and down (cache_bytes,
    ...).
    """

    ready: bool
    reason: str = ""
    head_age: float | None = None
    feed_lag: int = 0
    backend_reachable: bool = True
    counters: Mapping[str, int] = field(default_factory=dict)
    gauges: Mapping[str, float] = field(default_factory=dict)


class Pin(Protocol):
    """One block and the state after it, which do not change while the pin is open. A context manager that closes it.

    Pins may be used from any thread, one thread at a time.
    """

    @property
    def header(self) -> Header: ...

    @property
    def block_hash(self) -> bytes: ...

    def block_hashes(self) -> Mapping[int, bytes]:
        """Number to hash of the block itself and of the blocks before it that BLOCKHASH can reach."""

    def run(
        self, work: Callable[[Backend], T], hint: CallHint | Sequence[CallHint] | None = None, *, wait: bool = True
    ) -> T:
        """The result of `work` on the state, from a run for which everything it read was known.

        `work` is called again if a value that it read had to be fetched first, or changed during the run: it must be
        free of side effects, and exceptions of discarded runs are ignored. The backend may be the same object for other
        pins of the block, and should be if possible: callers that cache by backend gain from it.

        `hint`: the call that `work` will make, several for a batch. With `wait` False, `WouldBlock` is raised instead
        of waiting for longer than an event loop may be held up: a few milliseconds, and usually far less.
        """

    def close(self) -> None: ...

    def __enter__(self) -> Pin: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class Source(Protocol):
    """A chain and its state. Safe for use from several threads."""

    @property
    def chain(self) -> ChainConfig: ...

    @property
    def archive(self) -> Archive | None:
        """Block bodies, receipts and proofs, None if the source has none."""

    def head(self) -> Header:
        """The header of the latest block. Never an earlier one than before, unless the chain was reorganised.

        Raises `StateError` if the head is not known.
        """

    def pin(self, block: BlockId = "latest") -> Pin:
        """Opens a pin.

        Raises `BlockNotFound`, and `StateNotAvailable` for a block whose state is not kept (any more).
        """

    def status(self) -> SourceStatus: ...

    def close(self) -> None: ...
