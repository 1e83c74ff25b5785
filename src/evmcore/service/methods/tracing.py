"""debug_traceTransaction, debug_traceBlock*, debug_traceCall."""

from __future__ import annotations

from typing import Any, Final

from evmcore.blocks import Block
from evmcore.errors import ExecutionAborted, InvalidBlock, InvalidTransaction, TraceTooLarge
from evmcore.forks import Fork
from evmcore.service.archive import ArchivedBlock
from evmcore.service.context import Context
from evmcore.service.method import rpc
from evmcore.service.methods.blocks import find
from evmcore.service.outcomes import refusal_text
from evmcore.service.parse import call_object, data, hash32
from evmcore.service.rpc_errors import SERVER_ERROR, InvalidParams, RpcError
from evmcore.service.source import Pin
from evmcore.service.tracers import Trace, TracedTransaction, TraceOptions, new_trace, trace_options
from evmcore.service.tracing import TracedBlock, TransactionPin, trace_transactions
from evmcore.state import Backend
from evmcore.tracing import Tracer

TIMED_OUT: Final = "execution timeout"  # geth's text


def _trace(
    context: Context,
    block: Block,
    fork: Fork,
    options: TraceOptions,
    senders: tuple[bytes, ...] | None = None,
    only: int | None = None,
) -> list[tuple[bytes, Any]]:
    if block.header.number == 0:
        raise RpcError(SERVER_ERROR, "genesis is not traceable")
    parent = context.pin(block.header.parent_hash)
    traced = TracedBlock(context.service.source.chain, block, fork, parent.block_hashes(), senders)
    limit = context.service.limits.response_size

    def work(backend: Backend) -> list[tuple[bytes, Any]]:
        return trace_transactions(
            backend, traced, options, only=only, timeout=context.timeout(options.timeout), size_limit=limit
        )

    try:
        return parent.run(work)
    except (InvalidTransaction, InvalidBlock, TraceTooLarge) as error:
        raise RpcError(SERVER_ERROR, f"tracing failed: {error}") from error
    except ExecutionAborted:
        raise RpcError(SERVER_ERROR, TIMED_OUT) from None


def _trace_block(context: Context, block: ArchivedBlock, options: Any) -> list[dict[str, Any]]:
    wanted = trace_options(options, "1")
    context.answer_header = block.header
    if block.result is not None:
        context.gas_used += block.header.gas_used
    return _listed(_trace(context, block.block, block.fork, wanted, block.senders))


def _listed(traces: list[tuple[bytes, Any]]) -> list[dict[str, Any]]:
    return [{"txHash": "0x" + digest.hex(), "result": result} for digest, result in traces]


@rpc("debug_traceBlockByNumber", required=1, quick=False)
def trace_block_by_number(context: Context, block: Any, options: Any) -> list[dict[str, Any]]:
    found = find(context, block)
    if found is None:
        raise RpcError(SERVER_ERROR, f"block #{block} not found")
    return _trace_block(context, found, options)


@rpc("debug_traceBlockByHash", required=1, quick=False)
def trace_block_by_hash(context: Context, block: Any, options: Any) -> list[dict[str, Any]]:
    found = context.archive.block_by_hash(hash32(block, "0"))
    if found is None:
        raise RpcError(SERVER_ERROR, f"block {block} not found")
    return _trace_block(context, found, options)


@rpc("debug_traceBlock", required=1, quick=False)
def trace_block(context: Context, block: Any, options: Any) -> list[dict[str, Any]]:
    """Traces a block given by its RLP encoding; the block need not be on the chain, but its parent must."""
    try:
        given = Block.decode(data(block, "0"))
    except InvalidBlock as error:
        raise InvalidParams(f"could not decode block: {error}") from error
    header = given.header
    fork = context.service.source.chain.fork_of(header.number, header.timestamp, header.difficulty)
    return _listed(_trace(context, given, fork, trace_options(options, "1")))


@rpc("debug_traceTransaction", required=1, quick=False)
def trace_transaction(context: Context, transaction: Any, options: Any) -> Any:
    found = context.archive.transaction(hash32(transaction, "0"))
    if found is None:
        raise RpcError(SERVER_ERROR, "transaction not found")
    block, index = found
    wanted = trace_options(options, "1")
    context.answer_header = block.header
    context.gas_used += block.receipts[index].cumulative_gas_used
    return _trace(context, block.block, block.fork, wanted, block.senders, index)[0][1]


def _before(context: Context, pin: Pin, options: TraceOptions) -> Pin:
    """The state before the transaction of the pinned block that `options` name."""
    found = context.archive.block_by_hash(pin.block_hash)
    index = options.index or 0
    if found is None or index >= len(found.transactions):
        raise RpcError(SERVER_ERROR, f"transaction index {index} out of range for block {pin.header.number}")
    parent = context.pin(found.header.parent_hash)
    chain = context.service.source.chain
    traced = TracedBlock(chain, found.block, found.fork, parent.block_hashes(), found.senders)
    return TransactionPin(parent, pin, traced, index, context.timeout(options.timeout))


@rpc("debug_traceCall", required=1, quick=False)
def trace_call(context: Context, transaction: Any, block: Any, options: Any) -> Any:
    call = call_object(transaction)
    wanted = trace_options(options, "2")
    pin = context.pin_of(block, "1")
    if wanted.index is not None:
        pin = _before(context, pin, wanted)
    service, header = context.service, pin.header
    fork = service.source.chain.fork_of(header.number, header.timestamp, header.difficulty)
    place = TracedTransaction(fork.revision, None, header.number)
    traces: list[Trace] = []

    def watch() -> Tracer:
        traces.append(new_trace(wanted, place, service.limits.response_size))
        return traces[-1].tracer

    try:
        service.run_call(context, pin, call, wanted.overrides, wanted.changes, watch=watch, timeout=wanted.timeout)
    except InvalidTransaction as error:
        raise RpcError(SERVER_ERROR, f"tracing failed: {refusal_text(error)}") from error
    except TraceTooLarge as error:
        raise RpcError(SERVER_ERROR, f"tracing failed: {error}") from error
    except ExecutionAborted:
        raise RpcError(SERVER_ERROR, TIMED_OUT) from None
    return traces[-1].result()
