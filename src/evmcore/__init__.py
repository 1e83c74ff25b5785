"""An Ethereum Virtual Machine engine for Python: answer calls, run transactions, execute blocks, every fork.

Start with `EVM` and `MemoryState`; `execute_block` runs a whole block. Names are loaded when first used, so that
importing one submodule does not load the engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evmcore.blocks import Block, Header
    from evmcore.engine import (
        EVM,
        BlockResult,
        Call,
        CallResult,
        State,
        StateDiff,
        Status,
        TransactionResult,
        execute_block,
    )
    from evmcore.errors import (
        BlockReason,
        ConfigError,
        EvmcoreError,
        ExecutionAborted,
        InputError,
        InvalidBlock,
        InvalidTransaction,
        ResourceError,
        RlpError,
        StateError,
        TransactionReason,
    )
    from evmcore.forks import BlobSchedule, ChainConfig, Fork
    from evmcore.reverts import RevertReason
    from evmcore.state import MemoryState
    from evmcore.transactions import Authorization, Transaction
    from evmcore.types import Account, BlockEnv, Log, Receipt, Withdrawal

__version__ = "0.1.0"

_HOME = {
    "evmcore.blocks": ("Block", "Header"),
    "evmcore.engine": (
        "EVM",
        "BlockResult",
        "Call",
        "CallResult",
        "State",
        "StateDiff",
        "Status",
        "TransactionResult",
        "execute_block",
    ),
    "evmcore.errors": (
        "BlockReason",
        "ConfigError",
        "EvmcoreError",
        "ExecutionAborted",
        "InputError",
        "InvalidBlock",
        "InvalidTransaction",
        "ResourceError",
        "RlpError",
        "StateError",
        "TransactionReason",
    ),
    "evmcore.forks": ("BlobSchedule", "ChainConfig", "Fork"),
    "evmcore.reverts": ("RevertReason",),
    "evmcore.state": ("MemoryState",),
    "evmcore.transactions": ("Authorization", "Transaction"),
    "evmcore.types": ("Account", "BlockEnv", "Log", "Receipt", "Withdrawal"),
}
_HOME_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "EVM",
    "Account",
    "Authorization",
    "BlobSchedule",
    "Block",
    "BlockEnv",
    "BlockReason",
    "BlockResult",
    "Call",
    "CallResult",
    "ChainConfig",
    "ConfigError",
    "EvmcoreError",
    "ExecutionAborted",
    "Fork",
    "Header",
    "InputError",
    "InvalidBlock",
    "InvalidTransaction",
    "Log",
    "MemoryState",
    "Receipt",
    "ResourceError",
    "RevertReason",
    "RlpError",
    "State",
    "StateDiff",
    "StateError",
    "Status",
    "Transaction",
    "TransactionReason",
    "TransactionResult",
    "Withdrawal",
    "__version__",
    "execute_block",
]


def __getattr__(name: str) -> Any:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
