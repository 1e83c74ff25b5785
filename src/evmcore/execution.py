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
    """The executor for a block."""
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
    """The executor for at most `threads` threads. It keeps nothing of a block, so all blocks share one."""
    return ChoosingExecutor(threads)


@of_arguments(BlockRequest)
def execute_block(request: BlockRequest) -> BlockResult:
    """Executes a `Block` on `state` (a `MemoryState`, another backend or a `State`), the state after the parent block.

    - `chain`: a `ChainConfig`, the name of a public network, or a fork (its rules then apply whatever the block's
      number and time).
    - `threads`: None or 1 runs the transactions one after the other. A larger number lets up to that many native
      threads take part if that is expected to be faster; 0 or `"auto"` means one for each core that this process may
      run on. The result is the same for any number; `BlockResult.parallel` tells how the block was executed.
    - `parent`: the parent's `Header`; if given, the header rules are checked.
    - `block_hashes`: mapping of number to hash for BLOCKHASH. For numbers that are not in it the state is asked; the
      parent's hash comes from the header.
    - `fork`: replaces the fork of the chain.
    - `validate`: compares body and outcome with the header (roots, gas, bloom, requests); with `check_state_root` also
      the state root and, before Byzantium, the receipts root.
    - `commit`: applies the changes to the state.
    - `reward`: wei for the beneficiary of a block before Paris, in place of the fork's block reward, on which the
      shares of ommers are based; if negative, there are no rewards.
    - `tracer`: one of `evmcore.tracing`; it sees every transaction. With a tracer, or if state roots after each
      transaction are needed, transactions run one after the other.
    - `access_list`: True records what is accessed, for `BlockResult.access_list` (EIP-7928, for blocks of any fork).
      Alternatively the block's list, a `BlockAccessList` or its RLP: every transaction then runs once, independently,
      on the values that the list gives for the state before it. A list that is not exactly the block's is an
      `InvalidBlock` (INVALID_BLOCK_ACCESS_LIST, or INCORRECT_BLOCK_FORMAT for accounts out of order).
    - `accesses`: records what each part of the block accesses, for `BlockResult.accesses` and
      `CommittedTransaction.accesses`; `access_list=True` implies it.
    - `executor`: runs the transactions, in place of `threads`.

    Senders are recovered from the signatures, except for transactions with a `sender`, which is trusted.

    Returns a `BlockResult`. Raises `InvalidBlock` with its reason for an invalid block, `InputError` for invalid
    arguments, `StateError` if the state cannot be read. In the main thread, signal handlers run during the execution,
    and an exception they raise (`KeyboardInterrupt` at Ctrl-C) ends the block. If anything is raised, the state is
    unchanged.
    """
    return _block.execute(request, executor_for(request.threads, request.executor, request.access_list))


@of_arguments(BlockRequest)
def execute_block_stream(request: BlockRequest) -> BlockStream:
    """Executes a block as `execute_block` does, and yields its transactions in order as they become final, while later
    transactions still run: an iterator of `CommittedTransaction`, each with its receipt and, with `accesses` or
    `access_list=True`, with the list of what it accessed and changed.

        with execute_block_stream(block, state, threads=4) as stream:
            for transaction in stream:
                ...
        result = stream.result

    The execution begins when the first transaction is requested and runs in a separate thread; it does not wait for
    the consumer. An error that `execute_block` would raise is raised by the iteration, after the transactions before
    it: until the end, a block may turn out to be invalid. At the end `BlockStream.result` becomes the `BlockResult`,
    and with `commit` the changes are applied. `BlockStream.close` (at the end of the `with` statement, or when the
    stream is dropped) stops and joins all threads; nothing is applied.
    """
    return BlockStream(request, executor_for(request.threads, request.executor, request.access_list))
