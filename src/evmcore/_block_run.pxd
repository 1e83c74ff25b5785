"""One execution of one block: its parts, and the executor that runs one transaction after the other. Layer 4: it knows
block rules, not threads.
"""
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint32_t, uint64_t
from evmcore._block_steps cimport BlockFailure, BlockOutput, BlockRules, Gate
from evmcore._diff cimport StateDiff
from evmcore._interp cimport Machine, Status
from evmcore._outcome cimport KeptOutput
from evmcore._overlay cimport Overlay
from evmcore._prepared cimport PreparedTransactions
from evmcore._senders cimport Pending, Recovery
from evmcore._tx cimport TxData, TxInvalid
from evmcore.state._reader cimport Backend
from evmcore.tracing._hooks cimport Tracer

cdef class BlockRun

# Why a block's transactions ran on one thread or several; `counters.ParallelCounters.decision` has the words.
cdef enum Reason:
    AS_ASKED
    TOO_SHORT
    PAYS_LITTLE
    CHAINED
    MEASURING
    TRYING
    PAYS

cdef struct Decision:             # nanoseconds expected
    Reason reason
    int threads                   # chosen, or the best number if threads were not chosen
    uint64_t sequential_ns
    uint64_t parallel_ns
    uint64_t path_ns              # of the longest chain of transactions that wait for each other
    uint64_t gas_used             # of the header; 0: unknown

# The phases of a block's time, in the order of `counters.PHASES`.
cdef enum:
    PREPARE
    SENDERS                       # recovered before anything was executed
    EXECUTE
    END
    CHECK
    STATE_ROOT                    # a part of CHECK
    PHASES

cdef enum:
    CHECKPOINTS = 3

# When parts of the block should be final: an executor that falls behind should continue sequentially. All zero: no
# limit.
cdef struct Pace:
    uint32_t[4] at                # number of transactions; 0 ends the list
    uint64_t[4] work              # ns of these transactions, one after the other
    int64_t[4] until              # ns from the start of the block
    const uint32_t* costs         # ns of each transaction as forecast, borrowed; their sum is `raw`, ...
    uint64_t raw
    uint64_t sequential           # ... which at the speed of `work` is this
    int step                      # the next checkpoint
    bint behind                   # the block fell behind at `step` ...
    int64_t seen_ns               # ... this long after its start

# The senders and authorities that are not yet in a block's transactions.
cdef struct Missing:
    Pending* pending              # NULL: none is missing
    size_t found                  # how many have been put into their transactions, in order

# A block's transactions, to be run without the GIL, and the progress. Pointers are borrowed from the run.
cdef struct Sequence:
    Machine* machine
    const BlockRules* rules
    BlockOutput* output
    const uint32_t* stop
    Missing* missing
    TxData** txs
    size_t count
    size_t at                     # the next transaction; at the end, the number of those begun
    TxInvalid invalid             # why the last transaction begun was invalid
    Status status                 # why the engine failed

# Runs one transaction after the other, up to the first that fails; each as soon as its sender is known.
cdef BlockFailure run_sequence(Sequence* sequence) noexcept nogil

cdef class Executor:
    cdef readonly int threads     # that it may use
    cdef bint finds_senders       # it recovers missing senders itself, or runs a `Sequence`, which does
    # Called before anything of the block runs. Returns the executor that is to run it: this one, or another.
    cdef Executor prepare(self, BlockRun run, object block)
    cdef BlockFailure transactions(self, BlockRun run, Sequence* sequence) noexcept nogil      # from `at` on
    cdef BlockFailure finish(self, BlockRun run, Status* status) noexcept nogil                # after all of the block
    cdef object access_list_error(self)           # for BLOCK_ACCESS_LIST_WRONG

cdef class BlockRun:
    """One execution of one block by the sequential executor."""
    cdef Machine* machine
    cdef BlockRules rules
    cdef KeptOutput kept
    cdef BlockOutput* output      # of `kept`
    cdef bint stepwise            # the transactions run one by one, not by the executor
    cdef dict counters            # what the executor counted; None: nothing
    cdef int64_t[6] phases        # ns, by phase
    cdef Backend backend
    cdef Overlay overlay
    cdef uint32_t stop            # raised: the block ends here, as aborted
    cdef uint32_t halt            # raised: speculative execution ends
    cdef Missing missing
    cdef Decision decision
    cdef Pace pace
    cdef object fork
    cdef PreparedTransactions prepared
    cdef Recovery recovery        # of the senders that were not in them
    cdef StateDiff diff
    cdef void* lent               # by the executor, until there is a diff: what stands beside the main working set ...
    cdef void (*reclaim)(void* lent) noexcept nogil      # ... and how to give it back to the executor
    cdef object given             # the BlockAccessList that the block was executed with, or None

    cdef void end_early(self) noexcept nogil      # from another thread
    # Recovers the missing senders on `threads` threads. False: the signature of a transaction has no signer.
    cdef bint find_senders(self, unsigned int threads) noexcept nogil
    cdef Sequence sequence(self, TxData** txs, size_t count) noexcept nogil        # of all, from the beginning
    cdef int prepare(self, object block, object chain, object fork, object block_hashes, object reward) except -1
    # In the main thread, Python's signal handlers run meanwhile; an exception from one ends the block and is raised.
    cdef int run(self, bint roots, Tracer tracer, Executor executor) except -1      # roots after every transaction
    cdef int run_through(self, bint roots, Tracer tracer, Executor executor) except -1
    cdef BlockFailure run_stepwise(self, Sequence* sequence, bint roots, Tracer tracer, Gate* gate) except *
    cdef object error_of(self, BlockFailure failure, const Sequence* sequence, Executor executor)
    cdef object without_sender(self)
    cdef BlockFailure begin(self, Status* status) noexcept nogil                   # all before the transactions ...
    cdef BlockFailure end(self, Executor executor, Status* status) noexcept nogil  # ... and all after the last
    cdef BlockFailure end_part(self, Status* status) noexcept nogil
    cdef int finish_trace(self, Tracer tracer, const TxData* tx) except -1
    cdef int note_root(self) except -1

# Converts a block's transactions for the run. Raises `InvalidBlock` for a transaction without a valid signature, if
# that shows at once.
cdef int prepare_transactions(BlockRun run, object block, object fork) except -1

# The backend's `state_root`; StateError when it has none.
cdef object root_function(Backend backend)
# The root after a diff (None: of the state as it is), on `threads` threads if the backend can use them.
cdef object root_after(Backend backend, StateDiff diff, unsigned int threads)

# The exception for a run that ended with a status of STATE_FAILED or above.
cdef object engine_error(Backend backend, Status status)
cdef object read_failure(object cause)
# The exception for a block that failed outside its transactions.
cdef object failure_error(Backend backend, BlockFailure failure, Status status, const BlockOutput* output)
