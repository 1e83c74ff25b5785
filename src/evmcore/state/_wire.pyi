from collections.abc import Sequence
from typing import Any

class ErrorReply(str):
    """An error reply of Redis."""

class Connection:
    """A connection to Redis whose socket is ours. One thread at a time."""

    peer: str
    requests: int
    bytes_out: int
    bytes_in: int
    whole: int
    era: int
    replica: bool

    @property
    def closed(self) -> bool: ...
    def close(self) -> None: ...
    def interrupt(self) -> None: ...
    def request(self, commands: Sequence[Sequence[bytes]], timeout: float, doing: str = "") -> list[Any]:
        """Sends commands together; returns the reply to each. Raises for the first reply that is an error."""

def open_connection(client: Any, peer: str) -> Connection:
    """A connection that a redis-py client opens. Raises `StateUnavailable`."""
