"""The facade: everything needed to answer calls, run transactions and execute blocks."""

from __future__ import annotations

from typing import Any, NamedTuple

from evmcore._block_result import BlockResult
from evmcore._diff import StateDiff
from evmcore._engine import EVM
from evmcore._outcome import CommittedTransaction
from evmcore._results import CallResult, Status, TransactionResult
from evmcore._stream import BlockStream
from evmcore._time_limit import TimeLimit
from evmcore.counters import ParallelCounters
from evmcore.execution import execute_block, execute_block_stream
from evmcore.stm import ParallelExecutor

__all__ = [
    "EVM",
    "BlockResult",
    "BlockStream",
    "Call",
    "CallResult",
    "CommittedTransaction",
    "ParallelCounters",
    "ParallelExecutor",
    "StateDiff",
    "Status",
    "TimeLimit",
    "TransactionResult",
    "execute_block",
    "execute_block_stream",
]


class Call(NamedTuple):
    """One call for `EVM.call_many`; its fields mean the same as the arguments of `EVM.call`."""

    to: bytes | str | int | None
    data: bytes | str = b""
    sender: bytes | str | int | None = None
    value: int | str = 0
    gas: int | str | None = None
    gas_price: int | str = 0
    access_list: Any = ()
