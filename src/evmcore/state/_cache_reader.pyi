from collections.abc import Callable, Iterable

from evmcore.state._cache import Cache
from evmcore.state._prefetch import CallBook
from evmcore.state._reader import Backend
from evmcore.state.base import AccountInfo

class Fetcher:
    """The source of values that a reader lacks."""

    book: CallBook
    upstream_questions: int

class CacheReader(Backend):
    """The state after one step, read from the cache; missing values are fetched one by one."""

    seq: int

    def __init__(
        self,
        cache: Cache,
        seq: int | None,
        fetcher: Fetcher,
        block_hash: Callable[[int], bytes | None] | None,
        guess: float = 0.001,
    ) -> None: ...
    def prefetch(self, addresses: Iterable[bytes] = (), slots: Iterable[tuple[bytes, int]] = ()) -> None:
        """Fetches accounts, and slots given as (address, slot), with one request, for later reads."""

    def account(self, address: bytes) -> AccountInfo | None: ...
    def storage(self, address: bytes, slot: int) -> int: ...
    def code(self, address: bytes) -> bytes: ...
