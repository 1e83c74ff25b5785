from evmcore._diff import AccountFields, StateDiff
from evmcore.state._reader import Backend

class DiffView(Backend):
    """A read-only backend that answers as `base` would after `diff` had been applied to it."""

    def __init__(self, base: Backend, diff: StateDiff) -> None: ...
    @property
    def base(self) -> Backend: ...
    @property
    def diff(self) -> StateDiff: ...
    @property
    def roots_on_threads(self) -> bool: ...
    def state_root(self, diff: StateDiff | None = None, threads: int = 1) -> bytes:
        """The root of the state, or with `diff` the root after applying it; on at most `threads` native threads if the
        base can use them. `StateError` if the base cannot compute a root."""

def read_account(backend: Backend, address: bytes) -> AccountFields | None:
    """Nonce, balance (wei) and code hash of an account of any backend; None if it does not exist."""

def read_code(backend: Backend, address: bytes) -> bytes:
    """The code of an account of any backend; empty if there is none."""

def read_storage(backend: Backend, address: bytes, slot: int) -> int:
    """The value of a storage slot of any backend; zero if it is not set."""
