"""The parallel block executor: Block-STM with a commit frontier. Layer 5: it knows transactions and blocks, not
opcodes.

Worker threads execute transactions speculatively. Each has its own machine and working set, whose reader answers from
the multi-version store (`include/stm/store.h`). The committer is whichever worker holds that office. It goes through
the transactions in order, validates the read set of each against what is final, re-executes the transaction where they
differ, and brings its writes into the block's own working set. So the outcome is that of sequential execution, whatever
the speculation did.

A block that falls apart into groups of transactions that seem to share nothing runs in bins first, without speculation
(`_bins`). Transactions that are not final after that are executed speculatively.
"""
from libc.stdint cimport uint64_t
from evmcore._block_run cimport BlockRun, Executor, Sequence
from evmcore._block_steps cimport BlockFailure
from evmcore._stm_block cimport Block

cdef class ParallelExecutor(Executor):
    cdef readonly bint always     # speculate even where one thread, or one transaction, makes that pointless
    cdef public uint64_t delays   # for tests: seed of delays at the points where threads meet; 0: none
    # For tests: seed of the order in which workers take turns, one worker running at any time; 0: all run at once.
    # Nothing is timed then, so that what happens follows from the seed and from what was learnt before.
    cdef public uint64_t turns
    # For tests: treat every slot as one that other transactions write too, run everything ahead, and fill `learnt`.
    cdef public bint watch_all
    cdef public bint together     # for tests: no worker begins before everything is ready for all of them
    # Whether transactions run in bins (`_bins`). 0: never; 1: where bins are likely to pay; 2, for tests: whenever they
    # can be dealt out, which then happens before anything runs.
    cdef public int bins
    cdef public uint64_t bins_seed              # for tests: run in bins, dealt out at random by this seed; 0: do not
    cdef public bint recording    # record which worker does what and when, for `timeline`
    cdef readonly tuple timeline
    cdef readonly dict counters
    cdef readonly list learnt     # (transaction, address, slot, low, high): slot values that lead to the same run

    cdef bint may_bin(self, const Block* block) noexcept nogil
    cdef void set_up(self, Block* block, BlockRun run, const Sequence* sequence) noexcept nogil
    cdef void run_on_threads(self, Block* block, Sequence* sequence) noexcept nogil
    cdef BlockFailure transactions(self, BlockRun run, Sequence* sequence) noexcept nogil
