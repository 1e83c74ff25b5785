from collections.abc import Iterator

from evmcore._block_result import BlockResult
from evmcore._block_run import Executor
from evmcore._outcome import CommittedTransaction
from evmcore.block_request import BlockRequest

class BlockStream(Iterator[CommittedTransaction]):
    """The result of `execute_block_stream`: an iterator over a block's transactions as they become final.

    `result` is the `BlockResult` once the iterator is exhausted, before that None. `close` ends the execution early:
    when it returns, all threads of the execution have ended and nothing has been applied to the state. A stream that
    is dropped is closed. A stream can be used in a `with` statement. Only one thread at a time may use a stream.
    """

    result: BlockResult | None
    def __init__(self, request: BlockRequest, executor: Executor) -> None: ...
    def __iter__(self) -> BlockStream: ...
    def __next__(self) -> CommittedTransaction: ...
    def close(self) -> None:
        """Ends the iteration, and the execution if it is still running. All threads have ended when this returns."""

    def __enter__(self) -> BlockStream: ...
    def __exit__(self, *ignored: object) -> None: ...
