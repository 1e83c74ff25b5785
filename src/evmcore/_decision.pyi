from typing import Any

from evmcore._block_run import Executor
from evmcore.threads import Threads

class ChoosingExecutor(Executor):
    """Executes a block on as many threads as are expected to pay, up to `threads` (at least 2); on one where none do.

    What is expected comes from the blocks that this process has executed; see `BlockResult.parallel` for what was
    chosen and why. The result is that of sequential execution.
    """

    threads: int
    def __init__(self, threads: Threads) -> None: ...

def forget() -> None:
    """Everything learnt, as in a new process (for tests)."""

def learnt() -> dict[str, Any]:
    """What is known: nanoseconds of a plain transfer and of 1,000 gas of unknown calls, kinds of calls that are known,
    by choice what threads take to begin (0: not measured yet), by choice and length of transactions what they add, and
    what trials may lose from now on."""

def teach(address: bytes, selector: bytes, nanoseconds: int, burden: int = 1024) -> None:
    """That calls of a function (4 bytes) of a contract (20 bytes) take so long, as if they had been seen in several
    blocks, and what threads add to them, in 1,024ths of the usual (for tests)."""

def teach_gas(plain_ns: int, kilogas_ns: int) -> None:
    """What a plain transfer takes, and 1,000 gas of calls of which nothing is known, in nanoseconds (for tests)."""

def teach_threads(waking_ns: int, added_ns: int) -> None:
    """What threads take to begin, and what they add to a transaction of any length, in nanoseconds (for tests)."""
