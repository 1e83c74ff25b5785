from evmcore.state._changes import ChangeSet
from evmcore.state._requests import Request

class Commands:
    """Adds to a request, which begins with MULTI, the commands that change the state."""

    def __init__(self, request: Request, prefix: bytes) -> None:
        """`prefix`: of the chain's keys."""

    @property
    def request(self) -> Request: ...
    def write_codes(self, changes: ChangeSet) -> None:
        """Adds the commands for codes."""

    def write(self, changes: ChangeSet) -> None:
        """Adds the commands for accounts and storage."""

    def write_entry(self, changes: ChangeSet, place: list[bytes], fields: list[bytes]) -> None:
        """Adds the command of a feed entry: the words `place` and `fields`, then `d` with the changes."""

    def unexpected(self, replies: list[object]) -> int | None:
        """The index of the first reply that reports a number of fields other than the expected one; `replies` belong to
        the commands of the request behind MULTI."""
