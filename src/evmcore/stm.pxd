"""The parallel block executor: Block-STM with a commit frontier. Layer 5: knows transactions and blocks, nothing of opcodes.

Worker threads run transactions speculatively, each on a machine and a working set of its own whose reader answers from the
multi-version store (`include/stm/store.h`). The committer, whichever worker holds that office, goes through the
transactions in order, checks what each one learnt against what is now final, runs it again where that differs, and brings
its writes into the block's own working set. So the outcome is that of sequential execution whatever the speculation did.

Where a block falls apart into groups of transactions that seem to share nothing, those run first, without any of this
(`_bins`); what does not come out of that as final is speculated on.
"""
from libc.stdint cimport uint64_t
from evmcore._block_run cimport BlockRun, Executor, Sequence
from evmcore._block_steps cimport BlockFailure
from evmcore._stm_block cimport Block

cdef class ParallelExecutor(Executor):
    cdef readonly bint always     # speculate even where one thread, or one transaction, makes that pointless
    cdef public uint64_t delays   # for tests: seed of delays at the points where threads meet; 0: none
    # For tests: seed of whose turn it is, one worker being at work at any time; 0: all are. Nothing is timed then, so that
    # what happens follows from the seed and from what was learnt before.
    cdef public uint64_t turns
    # For tests: take every slot for one that other transactions write too, run everything ahead, and fill `learnt`.
    cdef public bint watch_all
    cdef public bint together     # for tests: nobody begins before all is ready for everybody
    # Whether transactions run in bins (`_bins`): 0 never, 1 where that is likely to do; 2, for tests, whenever they can be
    # dealt out, which is done before anything is run.
    cdef public int bins
    cdef public uint64_t bins_seed              # for tests: always do, dealing out at random; 0: do not
    cdef public bint recording    # note who does what and when, for `timeline`
    cdef readonly tuple timeline
    cdef readonly dict counters
    cdef readonly list learnt     # (transaction, address, slot, low, high): a slot's values that would have changed nothing

    cdef bint may_bin(self, const Block* block) noexcept nogil
    cdef void set_up(self, Block* block, BlockRun run, const Sequence* sequence) noexcept nogil
    cdef void run_on_threads(self, Block* block, Sequence* sequence) noexcept nogil
    cdef BlockFailure transactions(self, BlockRun run, Sequence* sequence) noexcept nogil
