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
        """Removes the commands; their memory is reused."""

    def add(self, *words: bytes) -> None:
        """Adds a command."""

    def extend(self, commands: Iterable[Sequence[bytes]]) -> None:
        """Adds commands."""

    def take_replies(self) -> int:
        """The number of replies that are due now; they count as taken."""

    def words(self, index: int) -> list[bytes]:
        """The first two words of a command, for messages."""

    def send(self, connection: Connection, timeout: float) -> None:
        """Sends the commands not sent yet. Raises `StateUnavailable`, after which the connection is closed."""

    @property
    def answered(self) -> int:
        """How many commands have their replies taken."""

    def send_piece(self, connection: Connection, timeout: float, most: int) -> int:
        """Sends whole commands of about `most` bytes and returns their number; their replies count as taken.

        Returns zero and sends nothing if no more than that is left. All commands sent before must have been answered.
        """

    def receive(self, connection: Connection, timeout: float) -> list[Any]:
        """The replies to the commands, once they were sent.

        Strings come as bytes, integers as int, arrays as lists, nothing as None, errors as `ErrorReply`.
        """
