from evmcore._diff import StateDiff
from evmcore.state._changes import ChangeSet
from evmcore.state._replies import Replies
from evmcore.state._requests import Request

class Plan:
    """Turns one diff into changes: requests the stored values, compares them, and determines the changes."""

    def __init__(self, diff: StateDiff, prefix: bytes, checked_slots: int, seed: int = 1) -> None:
        """`prefix`: of the chain's keys. `checked_slots`: how many slots at most are compared with what is stored, of
        accounts that are known completely; which ones depends on `seed`."""

    def ask_records(self, request: Request) -> None:
        """Adds the command for the records of the diff's accounts; none when there are no accounts."""

    def take_records(self, replies: Replies, index: int, complete: bool) -> None:
        """Reads the reply to it. `complete`: whether the state holds every account. Raises `StateCorrupted`, and
        `StateError` where a record is not what the diff starts from."""

    def ask_storage(self, request: Request, generations: dict[bytes, int] | None = None) -> None:
        """Adds the commands for the storage of the accounts. Before the records are known, `generations` has those of
        accounts whose storage is not of generation 0."""

    def foresee(self) -> None:
        """Encodes the slots of accounts that stay for the feed entry, before what was asked by `ask_storage` is known,
        as if they were known completely."""

    def forget_foreseen(self) -> None:
        """Discards the encoding, because the assumption was wrong."""

    def answered(self) -> bool:
        """Whether what was asked for before the records were known is what is needed, and what was foreseen is so."""

    def generations(self) -> dict[bytes, int]:
        """The generations of the accounts' storage that are not 0, once the records are known."""

    def finish(self, replies: Replies) -> ChangeSet:
        """What changes, once the storage is known; without codes. Raises `StateCorrupted`, `StateError`."""

    @property
    def touched(self) -> int:
        """The number of accounts in the diff."""
