from collections.abc import Mapping
from typing import Any

from evmcore.state._reader import Backend
from evmcore.state.base import State

class PythonBackend(Backend):
    """The `Backend` around a `State` written in Python. `as_backend` makes it."""

    @property
    def state(self) -> State: ...
    def __init__(self, state: State) -> None: ...

def as_backend(state: Backend | State | Mapping[Any, Any]) -> Backend:
    """The `Backend` for a state argument.

    A `Backend` (such as `MemoryState`) is used itself, a `State` is adapted, a mapping is a geth-style alloc (or
    address to `Account`) for a new `MemoryState`. Raises `InputError` for anything else.
    """
