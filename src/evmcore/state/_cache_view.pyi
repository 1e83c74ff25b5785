from collections.abc import Callable
from typing import Any, TypeVar

from evmcore.errors import StateError
from evmcore.state._cache_reader import CacheReader
from evmcore.state._reader import Backend

T = TypeVar("T")

class NotHere(StateError):
    """A value is not in the cache, and the caller does not want to wait for it."""

class CacheView(CacheReader):
    """The state after one step, as a backend: for `EVM` and for `execute_block` (which cannot write to it)."""

    reads: int

    def run(self, work: Callable[[Backend], T], hint: Any = (), wait: bool = True, brief: bool = False) -> T:
        """The result of `work(self)`, from a run that missed no value."""

class PinRunner:
    """A pinned step, and running work on it."""

    state: Any
    moment: Any

    def __init__(self, state: Any, moment: Any) -> None: ...
    def run(self, work: Callable[[Backend], T], hint: Any = (), *, wait: bool = True, brief: bool = False) -> T:
        """The result of `work(backend)` on this state, from a run for which everything it read was known."""
