"""Where state lives: the native memory backend, and the base class for backends written in Python."""

from __future__ import annotations

from evmcore.state._reader import Backend
from evmcore.state.adapter import as_backend
from evmcore.state.base import AccountInfo, State
from evmcore.state.memory import MemoryState

__all__ = ["AccountInfo", "Backend", "MemoryState", "State", "as_backend"]
