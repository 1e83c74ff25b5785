"""Runs blocks, transactions and calls again with tracers (the debug_trace methods)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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

__all__ = ["TransactionPin", "trace_transactions"]

T = TypeVar("T")


class _Replay:
    """A block on the state before it, run again from its first transaction on."""

    def __init__(
        self,
        backend: Backend,
        chain: ChainConfig,
        block: Block,
        fork: Fork,
        block_hashes: Mapping[int, bytes],
        timeout: float | TimeLimit | None,
    ) -> None:
        self.backend = backend
        self.chain = chain
        self.block = block
        self.fork = fork
        self.block_hashes = block_hashes
        self.timeout = timeout
        self.session = Session(backend, chain, timeout=timeout)
        self.session.begin_block(block, fork=fork, block_hashes=block_hashes)

    def prepared(self, index: int, sender: bytes | None) -> PreparedTransaction:
        transaction = self.block.transactions[index]
        if sender is None:
            sender = transaction.recover_sender(self.fork)
        return PreparedTransaction(transaction, sender)

    def view(self) -> Backend:
        """The state as it is now."""
        return DiffView(self.backend, self.session.diff())

    def alone(self) -> Session:
        """A session of its own for the next transaction, on the state as it is now."""
        session = Session(self.view(), self.chain, timeout=self.timeout)
        session.begin_block(self.block, fork=self.fork, block_hashes=self.block_hashes, system_calls=False)
        return session


def trace_transactions(
    backend: Backend,
    chain: ChainConfig,
    block: Block,
    fork: Fork,
    block_hashes: Mapping[int, bytes],
    options: TraceOptions,
    *,
    senders: tuple[bytes, ...] | None = None,
    only: int | None = None,
    timeout: float | TimeLimit | None = None,
    size_limit: int,
) -> list[tuple[bytes, Any]]:
    """The transactions of a block with their traces, as (hash, answer of the tracer), or only that at place ``only``.

    ``backend`` is the state before the block, ``block_hashes`` the hashes of the blocks before it. ``timeout``: for
    everything; ``size_limit``: bytes of all answers, about. Raises what running raises, `TraceTooLarge`, and
    `InvalidTransaction` for a block that is none.
    """
    return list(_traces(backend, chain, block, fork, block_hashes, options, senders, only, timeout, size_limit))


def _traces(
    backend: Backend,
    chain: ChainConfig,
    block: Block,
    fork: Fork,
    block_hashes: Mapping[int, bytes],
    options: TraceOptions,
    senders: tuple[bytes, ...] | None,
    only: int | None,
    timeout: float | TimeLimit | None,
    size_limit: int,
) -> Iterator[tuple[bytes, Any]]:
    replay = _Replay(backend, chain, block, fork, block_hashes, timeout)
    last = len(block.transactions) if only is None else only + 1
    for index, transaction in enumerate(block.transactions[:last]):
        prepared = replay.prepared(index, None if senders is None else senders[index])
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
        yield transaction.hash, trace.result()
        size_limit = max(size_limit - trace.tracer.size, 1)


class TransactionPin:
    """The state before a transaction of a block, in the place of the block's pin. ``parent``: the pin of the block
    before, ``own`` that of the block itself."""

    def __init__(
        self,
        parent: Pin,
        own: Pin,
        chain: ChainConfig,
        block: Block,
        fork: Fork,
        index: int,
        timeout: float | TimeLimit,
    ) -> None:
        self.header: Header = own.header
        self.block_hash: bytes = own.block_hash
        self._parent = parent
        self._own = own
        self._chain = chain
        self._block = block
        self._fork = fork
        self._index = index
        self._timeout = timeout

    def block_hashes(self) -> Mapping[int, bytes]:
        """As those of the block."""
        return self._own.block_hashes()

    def run(
        self, work: Callable[[Backend], T], hint: CallHint | Sequence[CallHint] | None = None, *, wait: bool = True
    ) -> T:
        """What `work` gives for the state before the transaction."""
        hashes = self._parent.block_hashes()

        def before(backend: Backend) -> T:
            replay = _Replay(backend, self._chain, self._block, self._fork, hashes, self._timeout)
            for place in range(self._index):
                replay.session.run(replay.prepared(place, None))
            return work(replay.view())

        return self._parent.run(before, hint, wait=wait)

    def close(self) -> None:
        """Nothing of its own is held."""

    def __enter__(self) -> TransactionPin:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        return None
