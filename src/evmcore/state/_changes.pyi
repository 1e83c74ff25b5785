from collections.abc import Collection

from evmcore.state._requests import Request
from evmcore.state.layout import Record

class ChangeSet:
    """What one feed entry changes, natively (see `layout.Changes`)."""

    @staticmethod
    def decode(data: bytes, key: bytes) -> ChangeSet:
        """The changes in the field `d` of a feed entry of `key`. Raises `StateCorrupted`."""

    def encode(self) -> bytes:
        """The field `d` of a feed entry."""

    def invert(self, without: Collection[bytes] = ()) -> ChangeSet:
        """The changes that lead back, of all accounts but some. Codes stay where they are."""

    @property
    def codes(self) -> dict[bytes, bytes]:
        """New codes by their hash."""

    def records(self) -> list[tuple[bytes, Record | None, Record | None]]:
        """Each account's address, its record before and after; None: there is no key."""

    def needed_codes(self) -> set[bytes]:
        """Hashes of the codes that new records name and old ones do not."""

    def write(self, request: Request, prefix: bytes) -> None:
        """Adds the commands that bring the keys of accounts, storage and codes from old to new.

        `prefix`: of the chain's keys.
        """

    def write_entry(self, request: Request, place: list[bytes], fields: list[bytes]) -> None:
        """Adds the command of a feed entry: the words `place` and `fields`, then `d` with the changes."""

    def unexpected(self, replies: list[object]) -> int | None:
        """The index of the first reply that tells of another number of fields than the command `write` added had to
        change; `replies` are those to the commands of the request, behind MULTI."""
