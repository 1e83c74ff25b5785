from typing import Any

from evmcore._block_run import Executor
from evmcore.threads import Threads

class ChoosingExecutor(Executor):
    """Executes a block on as many threads as are expected to pay, up to `threads` (at least 2); on one thread where
    several do not pay.

    The expectation comes from the blocks that this process has executed; `BlockResult.parallel` says what was chosen
    and why. The result is that of sequential execution.
    """

    threads: int
    def __init__(self, threads: Threads) -> None: ...

def forget() -> None:
    """Forgets everything learnt, as in a new process (for tests)."""

def learnt() -> dict[str, Any]:
    """What has been learnt: nanoseconds of a plain transfer and of 1,000 gas of unknown calls; the number of kinds of
    calls that have been timed; by choice, the time threads take to begin (0: not measured yet); by choice and length of
    transactions, the time that threads add; and the time that trials may lose from now on."""

def teach(address: bytes, selector: bytes, nanoseconds: int, burden: int = 1024) -> None:
    """Teaches that calls of a function (4 bytes) of a contract (20 bytes) take `nanoseconds`, as if they had been seen
    in several blocks, and what threads add to them, in 1,024ths of the usual (for tests)."""

def teach_gas(plain_ns: int, kilogas_ns: int) -> None:
    """Teaches the time of a plain transfer, and of 1,000 gas of unknown calls, in nanoseconds (for tests)."""

def teach_threads(waking_ns: int, added_ns: int) -> None:
    """Teaches the time threads take to begin, and the time they add to a transaction of any length, in nanoseconds (for
    tests)."""
