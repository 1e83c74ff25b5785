from evmcore.state._wire import Connection

class Stop:
    """A flag that stops following a feed, from any thread."""

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
        """Reads and applies feed entries until something ends it; returns the name of a `Followed`."""

    def give_up(self) -> None: ...
    def label(self, seq: int) -> tuple[bytes, bytes, bytes, int, int] | None:
        """(kind, block hash, header as RLP, published, seen) of the head after a step; None if it is not held."""

    def figures(self) -> dict[str, int]:
        """The number of entries, and the memory they take."""

    def fill(self, seq: int, address: bytes, record: bytes, fields: list[bytes], key: str) -> bool:
        """Adds an account's record and fields of its storage hash, read after step `seq`."""
