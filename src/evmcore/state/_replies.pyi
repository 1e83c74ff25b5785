from typing import Any

from evmcore.state._wire import Connection

class Replies:
    """The replies to a request, until the next one is received on the same connection."""

    @staticmethod
    def receive(connection: Connection, count: int, timeout: float) -> Replies:
        """Waits for so many replies. Raises `StateUnavailable`, after which the connection is closed."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Any:
        """A reply: bytes, int, list, None, or `ErrorReply`."""

    def first_error(self) -> int | None:
        """The index of the first reply that is an error; errors inside arrays do not count."""
