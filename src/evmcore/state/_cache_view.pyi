from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from evmcore.errors import StateError
from evmcore.state._cache import Cache
from evmcore.state._prefetch import CallBook
from evmcore.state._reader import Backend
from evmcore.state.base import AccountInfo

T = TypeVar("T")

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

class PinRunner:
    """A pinned step, and running on it."""

    state: Any
    moment: Any

    def __init__(self, state: Any, moment: Any) -> None: ...
    def run(self, work: Callable[[Backend], T], hint: Any = (), *, wait: bool = True, brief: bool = False) -> T:
        """What `work(backend)` gives for this state, once it has run on state that was known completely."""
