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

    @property
    def answered(self) -> int:
        """How many commands have their replies taken."""

    def send_piece(self, connection: Connection, timeout: float, most: int) -> int:
        """Sends whole commands of `most` bytes, or little more, and gives their number; their replies count as taken.

        Zero, and nothing is sent, where no more than that is left. All that was sent before has to be answered.
        """

    def receive(self, connection: Connection, timeout: float) -> list[Any]:
        """The replies to the commands, once they were sent.

        Strings come as bytes, integers as int, arrays as lists, nothing as None, errors as `ErrorReply`.
        """
