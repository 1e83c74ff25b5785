"""Answering JSON-RPC requests from a state: what each method means, and the server in front of it."""

from __future__ import annotations

from evmcore.service.calls import CallService
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
