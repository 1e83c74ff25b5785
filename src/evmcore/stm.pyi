from typing import TypedDict

from evmcore._block_run import Executor
from evmcore.counters import WorkerEvent
from evmcore.threads import Threads

class Counters(TypedDict):
    threads: int
    runs: int
    reruns: int
    waits: int
    validations: int
    lazies: int
    bytes: int
    runs_in_bins: int
    in_bins: int
    aborts: dict[str, int]
    phases: dict[str, int]
    fallback: str
    fallback_at: int | None

class ParallelExecutor(Executor):
    """Executes a block's transactions on `threads` native threads (Block-STM with a commit frontier; before that in
    bins, where they fall apart into groups that share nothing): pass one as `executor` to `execute_block`. The outcome
    is that of sequential execution at any number of threads.

    `always`: speculate even where one thread, or one transaction, makes that pointless (measurements).

    With `recording`, `timeline` tells what the workers of the last block did: nanoseconds in all, number of events for
    which there was no room, and the events. What they did is one of `_stm_watch.DEEDS` or `woke`; the detail is the
    index of the transaction whose estimate was met, or why a run did not stand (a number of `_stm_told.CAUSES`).
    """

    threads: int
    always: bool
    counters: Counters
    delays: int
    """For tests: seed of delays at the points where threads meet; 0: none."""
    turns: int
    """For tests: seed of whose turn it is, one worker being at work at any time; 0: all are. Nothing is timed then, so
    that what happens follows from the seed and from what was learnt before."""
    watch_all: bool
    """For tests: take every slot for one that other transactions write too, run everything ahead, and fill `learnt`."""
    together: bool
    """For tests: nobody begins before all is ready for everybody, so that short blocks run on several threads, too."""
    bins: int
    """Whether transactions run in bins: 0 never, 1 where that is likely to do; 2, for tests, whenever they can be dealt
    out, which is done before anything is run."""
    bins_seed: int
    """For tests: always run in bins, dealt out at random by this seed; 0: do not."""
    learnt: list[tuple[int, bytes, int, int, int]]
    """Transaction, address, slot, low, high: a slot's values that would have changed nothing."""
    recording: bool
    timeline: tuple[int, int, list[WorkerEvent]]
    def __init__(self, threads: Threads, always: bool = False) -> None: ...
