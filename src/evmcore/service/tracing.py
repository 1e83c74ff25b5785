"""Runs blocks, transactions and calls again with tracers (the debug_trace methods)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

from evmcore._prepared import PreparedTransaction
from evmcore._session import Session
from evmcore._time_limit import TimeLimit
from evmcore.blocks import Block, Header
from evmcore.forks import ChainConfig, Fork
from evmcore.service.source import CallHint, Pin
from evmcore.service.tracers import TracedTransaction, TraceOptions, new_trace
from evmcore.state import Backend
from evmcore.state._view import DiffView

__all__ = ["TracedBlock", "TransactionPin", "trace_transactions"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TracedBlock:
    """A block that is executed again, with the data that this takes besides the state before it.

    `block_hashes`: number to hash of the blocks before it. `senders`: of its transactions, 20 bytes each; None if they
    have to be recovered.
    """

    chain: ChainConfig
    block: Block
    fork: Fork
    block_hashes: Mapping[int, bytes]
    senders: tuple[bytes, ...] | None = None

    def prepared(self, index: int) -> PreparedTransaction:
        """One of its transactions, ready to run."""
        transaction = self.block.transactions[index]
        sender = transaction.recover_sender(self.fork) if self.senders is None else self.senders[index]
        return PreparedTransaction(transaction, sender)


class _Replay:
    """A block on the state before it, executed again from its first transaction on."""

    def __init__(self, backend: Backend, traced: TracedBlock, timeout: float | TimeLimit | None) -> None:
        self.backend = backend
        self.traced = traced
        self.timeout = timeout
        self.session = self._session(backend)

    def _session(self, backend: Backend, system_calls: bool = True) -> Session:
        traced = self.traced
        session = Session(backend, traced.chain, timeout=self.timeout)
        session.begin_block(traced.block, fork=traced.fork, block_hashes=traced.block_hashes, system_calls=system_calls)
        return session

    def view(self) -> Backend:
        """The current state."""
        return DiffView(self.backend, self.session.diff())

    def alone(self) -> Session:
        """A separate session for the next transaction, on the current state."""
        return self._session(self.view(), system_calls=False)


def trace_transactions(
    backend: Backend,
    traced: TracedBlock,
    options: TraceOptions,
    *,
    only: int | None = None,
    timeout: float | TimeLimit | None = None,
    size_limit: int,
) -> list[tuple[bytes, Any]]:
    """The transactions of a block with their traces, as (hash, answer of the tracer), or only the one at index `only`.

    `backend` is the state before the block. `timeout`: for everything; `size_limit`: bytes of all answers,
    approximately. Raises the errors of the execution, `TraceTooLarge`, and `InvalidTransaction` for an invalid block.
    """
    replay = _Replay(backend, traced, timeout)
    block, fork = traced.block, traced.fork
    last = len(block.transactions) if only is None else only + 1
    traces = []
    for index, transaction in enumerate(block.transactions[:last]):
        prepared = traced.prepared(index)
        if only is not None and index != only:
            replay.session.run(prepared)
            continue
        place = TracedTransaction(fork.revision, block.hash, block.header.number, transaction.hash, index)
        trace = new_trace(options, place, size_limit)
        if trace.state_needed:
            replay.alone().run(prepared, gas_cap=False, tracer=trace.tracer)
            if index + 1 < last:
                replay.session.run(prepared)
        else:
            replay.session.run(prepared, tracer=trace.tracer)
        traces.append((transaction.hash, trace.result()))
        size_limit = max(size_limit - trace.tracer.size, 1)
    return traces


class TransactionPin:
    """The state before a transaction of a block, used in place of the block's pin. `parent`: the pin of the parent
    block, `own`: the pin of the block itself; `timeout`: for running the transactions before."""

    def __init__(self, parent: Pin, own: Pin, traced: TracedBlock, index: int, timeout: float | TimeLimit) -> None:
        self.header: Header = own.header
        self.block_hash: bytes = own.block_hash
        self._parent = parent
        self._own = own
        self._traced = traced
        self._index = index
        self._timeout = timeout

    def block_hashes(self) -> Mapping[int, bytes]:
        """The block hashes of the block."""
        return self._own.block_hashes()

    def run(
        self, work: Callable[[Backend], T], hint: CallHint | Sequence[CallHint] | None = None, *, wait: bool = True
    ) -> T:
        """The result of `work` on the state before the transaction."""

        def before(backend: Backend) -> T:
            replay = _Replay(backend, self._traced, self._timeout)
            for place in range(self._index):
                replay.session.run(self._traced.prepared(place))
            return work(replay.view())

        return self._parent.run(before, hint, wait=wait)

    def close(self) -> None:
        """Does nothing: both pins belong to the caller."""

    def __enter__(self) -> TransactionPin:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        return None
