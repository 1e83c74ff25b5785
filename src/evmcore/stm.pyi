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
    bins, where they fall apart into groups that share nothing): pass an instance as `executor` to `execute_block`. The
    outcome is that of sequential execution at any number of threads.

    `always`: speculate even where one thread, or one transaction, makes that pointless (for measurements).

    With `recording`, `timeline` tells what the workers of the last block did: nanoseconds in all, the number of events
    for which there was no room, and the events. What a worker did is one of `_stm_watch.DEEDS` or `woke`. The detail is
    the index of the transaction whose estimate was met, or the cause of a failed validation (a number of
    `_stm_told.CAUSES`).
    """

    threads: int
    always: bool
    counters: Counters
    delays: int
    """For tests: seed of delays at the points where threads meet; 0: none."""
    turns: int
    """For tests: seed of the order in which workers take turns, one worker running at any time; 0: all run at once.
    Nothing is timed then, so that what happens follows from the seed and from what was learnt before."""
    watch_all: bool
    """For tests: treat every slot as one that other transactions write too, run everything ahead, and fill `learnt`."""
    together: bool
    """For tests: no worker begins before everything is ready for all, so that short blocks run on several threads,
    too."""
    bins: int
    """Whether transactions run in bins: 0 never, 1 where bins are likely to pay; 2, for tests, whenever they can be
    dealt out, which then happens before anything runs."""
    bins_seed: int
    """For tests: always run in bins, dealt out at random by this seed; 0: do not."""
    learnt: list[tuple[int, bytes, int, int, int]]
    """Transaction, address, slot, low, high: the slot's values for which the run would have been the same."""
    recording: bool
    timeline: tuple[int, int, list[WorkerEvent]]
    def __init__(self, threads: Threads, always: bool = False) -> None: ...
