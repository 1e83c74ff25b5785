"""An Ethereum Virtual Machine engine for Python: answer calls, run transactions, execute blocks, every fork.

Start with `EVM` and `MemoryState`; `execute_block` runs a whole block.
"""

from __future__ import annotations

from evmcore.blocks import Block, Header
from evmcore.engine import (
    EVM,
    BlockResult,
    BlockStream,
    Call,
    CallResult,
    CommittedTransaction,
    ParallelCounters,
    ParallelExecutor,
    StateDiff,
    Status,
    TimeLimit,
    TransactionResult,
    execute_block,
    execute_block_stream,
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
from evmcore.state import MemoryState, State
from evmcore.transactions import Authorization, Transaction
from evmcore.types import Account, BlockEnv, Log, Receipt, Withdrawal

__version__ = "0.1.0"

__all__ = [
    "EVM",
    "Account",
    "Authorization",
    "BlobSchedule",
    "Block",
    "BlockEnv",
    "BlockReason",
    "BlockResult",
    "BlockStream",
    "Call",
    "CallResult",
    "ChainConfig",
    "CommittedTransaction",
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
    "ParallelCounters",
    "ParallelExecutor",
    "Receipt",
    "ResourceError",
    "RevertReason",
    "RlpError",
    "State",
    "StateDiff",
    "StateError",
    "Status",
    "TimeLimit",
    "Transaction",
    "TransactionReason",
    "TransactionResult",
    "Withdrawal",
    "__version__",
    "execute_block",
    "execute_block_stream",
]
