"""Answering JSON-RPC requests from a state: what each method means, and the server in front of it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evmcore.service.library import CallService
    from evmcore.service.limits import Limits
    from evmcore.service.memory_source import MemorySource
    from evmcore.service.rpc_errors import RpcError
    from evmcore.service.source import CallHint, Pin, Source, SourceStatus, WouldBlock
    from evmcore.service.state_source import StateSource

__all__ = [
    "CallHint",
    "CallService",
    "Limits",
    "MemorySource",
    "Pin",
    "RpcError",
    "Source",
    "SourceStatus",
    "StateSource",
    "WouldBlock",
]

# Imported on first use: the command line needs only the limits.
_HOMES = {
    "CallHint": "source",
    "CallService": "library",
    "Limits": "limits",
    "MemorySource": "memory_source",
    "Pin": "source",
    "RpcError": "rpc_errors",
    "Source": "source",
    "SourceStatus": "source",
    "StateSource": "state_source",
    "WouldBlock": "source",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
