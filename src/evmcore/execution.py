"""Executing blocks, on one thread or several."""

from __future__ import annotations

from functools import cache

from evmcore import _block
from evmcore._block_result import BlockResult
from evmcore._block_run import Executor
from evmcore._decision import ChoosingExecutor
from evmcore._stream import BlockStream
from evmcore.block_request import AccessListArgument, BlockRequest, of_arguments
from evmcore.errors import InputError
from evmcore.listed import ListedExecutor
from evmcore.threads import Threads, thread_count

SEQUENTIAL = Executor()


def executor_for(threads: Threads, executor: Executor | None, access_list: AccessListArgument = False) -> Executor:
    """What executes a block."""
    if not isinstance(access_list, bool):
        if executor is not None:
            raise InputError("arguments 'access_list' and 'executor': give one of them; ListedExecutor takes the list")
        return ListedExecutor(access_list, thread_count(threads))
    if executor is not None:
        if not isinstance(executor, Executor):
            raise InputError(f"argument 'executor': expected an Executor, got {type(executor).__name__}")
        if threads is not None:
            raise InputError("arguments 'threads' and 'executor': give one of them")
        return executor
    count = thread_count(threads)
    return choosing(count) if count > 1 else SEQUENTIAL


@cache
def choosing(threads: int) -> Executor:
    """The executor for up to so many threads; it keeps nothing of a block, so there is one for all."""
    return ChoosingExecutor(threads)


@of_arguments(BlockRequest)
def execute_block(request: BlockRequest) -> BlockResult:
    """Executes a `Block` on `state` (a `MemoryState`, another backend or a `State`) as it was after the parent block.

    - `chain`: a `ChainConfig`, the name of a public network, or a fork (its rules whatever the block's number and
      time).
    - `threads`: None or 1 runs the transactions one after the other; more let that many native threads take part
      where it pays, 0 or `"auto"` one for each core that this process may run on. The result is the same at any
      number; `BlockResult.parallel` tells what was done.
    - `parent`: the parent's `Header`; with it the header rules are checked.
    - `block_hashes`: mapping of number to hash for BLOCKHASH; what it lacks is asked of the state, the parent's hash
      is in the header.
    - `fork`: overrides what the chain says.
    - `validate`: compare body and outcome with the header (roots, gas, bloom, requests); with `check_state_root`
      the state root too, and, before Byzantium, the receipts root.
    - `commit`: apply the changes.
    - `reward`: wei for the beneficiary of a block before Paris in place of the fork's block reward, of which ommers
      get their shares; below zero nobody is rewarded.
    - `tracer`: one of `evmcore.tracing`, which sees every transaction; with one, and with roots after each
      transaction, they run one after the other.
    - `access_list`: True to note what is accessed, for `BlockResult.access_list` (EIP-7928, for blocks of any fork);
      or the block's list, a `BlockAccessList` or its RLP. Then every transaction runs once, by itself, on what the list
      says was before it, and a list that is not exactly the block's is an `InvalidBlock` (INVALID_BLOCK_ACCESS_LIST, or
      INCORRECT_BLOCK_FORMAT for accounts out of order).
    - `accesses`: note what each part of the block accesses by itself, for `BlockResult.accesses` and
      `CommittedTransaction.accesses`; `access_list=True` does so too.
    - `executor`: what runs the transactions, in place of `threads`.

    Senders are recovered from the signatures; a transaction that names its `sender` is taken at its word.

    Returns a `BlockResult`. Raises `InvalidBlock` with its reason for an invalid block, `InputError` for arguments that
    make no sense, `StateError` when the state cannot be read. In the main thread, handlers of signals run while the
    transactions do, and what one raises (`KeyboardInterrupt` at Ctrl-C) ends the block. Whatever is raised, the state
    is as before.
    """
    return _block.execute(request, executor_for(request.threads, request.executor, request.access_list))


@of_arguments(BlockRequest)
def execute_block_stream(request: BlockRequest) -> BlockStream:
    """Executes a block as `execute_block` does, and gives its transactions one after the other as they become final,
    while later ones still run: an iterator of `CommittedTransaction`, each with its receipt and, with `accesses` or
    `access_list=True`, with the list of what it accessed and changed.

        with execute_block_stream(block, state, threads=4) as stream:
            for transaction in stream:
                ...
        result = stream.result

    The execution begins with the first transaction asked for, in a thread of its own, and goes on however slowly the
    transactions are taken. What `execute_block` would raise comes out of the iteration, after the transactions before
    it: until the end, a block may turn out to be invalid. After the end `BlockStream.result` is the `BlockResult`, and
    with `commit` the changes are applied then. `BlockStream.close` (at the end of the `with` statement, or when the
    stream is dropped) stops and joins all threads; nothing is applied.
    """
    return BlockStream(request, executor_for(request.threads, request.executor, request.access_list))
