from typing import Any, NamedTuple

class AccountFields(NamedTuple):
    """The fields of an account that exists. `balance` in wei; `code_hash` 32 bytes."""

    nonce: int
    balance: int
    code_hash: bytes

class AccountDiff(NamedTuple):
    """One changed account; `old` or `new` is None if it does not exist; `wiped`: its storage was destroyed between."""

    address: bytes
    old: AccountFields | None
    new: AccountFields | None
    wiped: bool

class SlotDiff(NamedTuple):
    """One changed storage slot; zero means that the slot is not set."""

    address: bytes
    key: int
    old: int
    new: int

class StateDiff:
    """Old and new value of every account field, storage slot and code that an execution changed.

    A *complete* diff can be undone exactly, joined and reversed: it includes the slots of wiped accounts that the
    execution never read, and the codes that the change removes. The diff of a block on a `MemoryState` is complete
    from the beginning; any other diff becomes complete when it is applied. Equality compares the changes; codes are
    compared by their hashes.

    `codes` maps the 32-byte hash of every code that the change adds or removes to the code.
    """

    codes: dict[bytes, bytes]
    @property
    def account_changes(self) -> list[AccountDiff]: ...
    @property
    def storage_changes(self) -> list[SlotDiff]: ...
    def __len__(self) -> int: ...
    def __eq__(self, other: object) -> bool: ...
    def invert(self) -> StateDiff:
        """The reverse diff: old and new exchanged. `self` must be complete."""

    def compose(self, later: StateDiff) -> StateDiff:
        """One diff with the combined effect of `self` and then `later`. `self` must be complete.

        Raises `InputError` if `later` does not start from where `self` ends.
        """

    def to_bytes(self) -> bytes:
        """A compact binary form with version and checksum."""

    @staticmethod
    def from_bytes(data: bytes | bytearray | memoryview) -> StateDiff:
        """The inverse of `to_bytes`; `InputError` if the bytes are cut, damaged or of another version."""

    def to_json(self) -> dict[str, Any]:
        """The diff as JSON values."""

    @staticmethod
    def from_json(value: Any) -> StateDiff:
        """The inverse of `to_json`; `InputError` naming the malformed part."""
