from typing import Any

from evmcore._block import Executor

class ChoosingExecutor(Executor):
    """Executes a block on as many threads as are expected to pay, up to ``threads`` (at least 2); on one where none do.

    What is expected comes from the blocks that this process has executed; see `BlockResult.parallel` for what was
    chosen and why. The result is that of sequential execution.
    """

    threads: int
    def __init__(self, threads: int) -> None: ...

def forget() -> None:
    """Everything learnt, as in a new process (for tests)."""

def learnt() -> dict[str, Any]:
    """What is known: nanoseconds of a plain transfer and of 1,000 gas of unknown calls, kinds of calls that are known,
    and (choice, nanoseconds, residue) for lengths of transactions that were tried."""

def teach(address: bytes, selector: bytes, nanoseconds: int) -> None:
    """That calls of a function (4 bytes) of a contract (20 bytes) take so long, as if they had been seen in several
    blocks (for tests)."""
