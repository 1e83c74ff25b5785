from collections.abc import Iterable, Sequence
from typing import Any

from evmcore.state._wire import Connection

class Request:
    """Commands as bytes, to be sent together."""

    def __init__(self, commands: Iterable[Sequence[bytes]] = ()) -> None: ...
    def __len__(self) -> int:
        """The number of commands."""

    @property
    def size(self) -> int:
        """Bytes to send."""

    def clear(self) -> None:
        """Forgets the commands; the room they took is used again."""

    def add(self, *words: bytes) -> None:
        """Adds a command."""

    def extend(self, commands: Iterable[Sequence[bytes]]) -> None:
        """Adds commands."""

    def take_replies(self) -> int:
        """How many replies are to come now; they count as taken."""

    def words(self, index: int) -> list[bytes]:
        """The first two words of a command, for messages."""

    def send(self, connection: Connection, timeout: float) -> None:
        """Sends the commands not sent yet. Raises `StateUnavailable`, after which the connection is closed."""

    def receive(self, connection: Connection, timeout: float) -> list[Any]:
        """The replies to the commands, once they were sent.

        Strings come as bytes, integers as int, arrays as lists, nothing as None, errors as `ErrorReply`.
        """
