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
        """The root of the state, or as it would be after a diff; on at most `threads` native threads where the base
        can. `StateError` where the base cannot compute one."""

def read_account(backend: Backend, address: bytes) -> AccountFields | None:
    """Nonce, balance and code hash of an account of any backend; None when it does not exist."""

def read_code(backend: Backend, address: bytes) -> bytes:
    """The code of an account of any backend; empty when there is none."""

def read_storage(backend: Backend, address: bytes, slot: int) -> int:
    """The value of a storage slot of any backend; zero when it is not set."""
