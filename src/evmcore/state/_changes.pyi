from collections.abc import Collection

from evmcore.state.layout import Record

class ChangeSet:
    """The changes of one feed entry, natively (see `feed.Changes`)."""

    @staticmethod
    def decode(data: bytes, key: bytes) -> ChangeSet:
        """The changes in the field `d` of a feed entry of `key`. Raises `StateCorrupted`."""

    def encode(self) -> bytes:
        """The field `d` of a feed entry."""

    def invert(self, without: Collection[bytes] = ()) -> ChangeSet:
        """The reverse changes, of all accounts except `without`. Codes stay where they are."""

    @property
    def slot_count(self) -> int:
        """The number of slots that change."""

    @property
    def codes(self) -> dict[bytes, bytes]:
        """New codes by their hash."""

    def records(self) -> list[tuple[bytes, Record | None, Record | None]]:
        """Each account's address, and its records before and after; None: there is no key."""

    def needed_codes(self) -> set[bytes]:
        """Hashes of the codes that new records name and old records do not."""
