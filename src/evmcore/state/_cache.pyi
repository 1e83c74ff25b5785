from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from evmcore.errors import StateError
from evmcore.state._prefetch import CallBook
from evmcore.state._reader import Backend
from evmcore.state._wire import Connection
from evmcore.state.base import AccountInfo

T = TypeVar("T")

class Stop:
    """A flag that ends the following of a feed, from any thread."""

    def set(self) -> None: ...
    def is_set(self) -> bool: ...

class Cache:
    """Accounts and slots of one chain with their history since step `seq`, kept exact by the feed."""

    complete: bool
    feed: bytes
    evicted: int
    latest: int
    oldest: int
    newest_seen: int
    caught_up: bool
    behind: bool
    age: float
    problem: str
    given_up: bool

    def __init__(
        self,
        prefix: bytes,
        feed: bytes,
        complete: bool,
        seq: int,
        header: bytes,
        block_hash: bytes,
        *,
        ring: int,
        slack: int,
        limit: int,
    ) -> None: ...
    def follow(self, connection: Connection, stop: Stop, block_ms: int, timeout: float) -> str:
        """Reads and applies feed entries until something ends it, and says what."""

    def give_up(self) -> None: ...
    def label(self, seq: int) -> tuple[bytes, bytes, bytes, int, int] | None:
        """(kind, block hash, header as RLP, published, seen) of the head after a step; None where it is not held."""

    def figures(self) -> dict[str, int]:
        """How much is in it, and how much memory that takes."""

    def fill(self, seq: int, address: bytes, record: bytes, fields: list[bytes], key: str) -> bool:
        """Puts in an account's record and fields of its storage hash, read after step `seq`."""

class Fetcher:
    """Where a view gets what is not in the cache."""

    book: CallBook

class NotHere(StateError):
    """Something is not in the cache, and the caller does not want to wait for it."""

class CacheView(Backend):
    """The state after one step, as a backend: for `EVM` and for `execute_block` (which cannot write to it)."""

    seq: int
    reads: int

    def __init__(
        self,
        cache: Cache,
        seq: int | None,
        fetcher: Fetcher,
        block_hash: Callable[[int], bytes | None] | None,
        guess: float = 0.001,
    ) -> None: ...
    def run(self, work: Callable[[Backend], T], hint: Any = (), wait: bool = True, brief: bool = False) -> T:
        """What `work(self)` gives once nothing it read was missing."""

    def prefetch(self, addresses: Iterable[bytes] = (), slots: Iterable[tuple[bytes, int]] = ()) -> None:
        """Fetches accounts, and slots given as (address, slot), with one request, for reads that will come."""

    def account(self, address: bytes) -> AccountInfo | None: ...
    def storage(self, address: bytes, slot: int) -> int: ...
    def code(self, address: bytes) -> bytes: ...
