from collections.abc import Iterator

from evmcore._block_result import BlockResult
from evmcore._block_run import Executor
from evmcore._outcome import CommittedTransaction
from evmcore.block_request import BlockRequest

class BlockStream(Iterator[CommittedTransaction]):
    """What `execute_block_stream` returns: an iterator over a block's transactions as they become final.

    `result` is the `BlockResult` once the iterator is exhausted, before that None. `close` ends the execution early:
    all its threads have ended when it returns, and nothing has been applied to the state. A stream that is dropped is
    closed; it can also be used in a `with` statement. It belongs to one thread at a time.
    """

    result: BlockResult | None
    def __init__(self, request: BlockRequest, executor: Executor) -> None: ...
    def __iter__(self) -> BlockStream: ...
    def __next__(self) -> CommittedTransaction: ...
    def close(self) -> None:
        """Ends the execution if it still goes on, and the iteration. All threads have ended when this returns."""

    def __enter__(self) -> BlockStream: ...
    def __exit__(self, *ignored: object) -> None: ...
