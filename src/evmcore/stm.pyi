from typing import TypedDict

from evmcore._block import Executor

class Counters(TypedDict):
    threads: int
    runs: int
    reruns: int
    waits: int
    fallback: str

class ParallelExecutor(Executor):
    """Executes a block's transactions on ``threads`` native threads (Block-STM with a commit frontier): pass one as
    ``executor`` to `execute_block`. The outcome is that of sequential execution at any number of threads.

    ``always``: speculate even where one thread, or one transaction, makes that pointless (measurements).
    """

    threads: int
    always: bool
    counters: Counters
    delays: int
    def __init__(self, threads: int, always: bool = False) -> None: ...
