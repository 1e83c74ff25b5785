"""A block in bins, as C data: which transactions each bin ran, and which bins met.

Each module has one job: `_bins` opens, runs and closes it, `_bins_meetings` finds out which transactions count,
`_bins_outcome` joins their results, and `_bins_trial` decides when bins are tried.
"""
from libc.stddef cimport size_t
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libcpp cimport bool as cbool
from evmcore._block_steps cimport BlockOutput, BlockRules
from evmcore._grouping cimport Groups, Portion
from evmcore._interp cimport Machine
from evmcore._stm cimport Watch
from evmcore._tx cimport TxData

cdef extern from "include/stm/bins.h" namespace "evmcore::stm" nogil:
    ctypedef struct Deal:
        const uint32_t* worth
        const uint32_t* order
        const uint32_t* first
        const uint32_t* loose
        Portion* portions
        uint32_t portion_count
    ctypedef struct BinTasks:
        void* self
        cbool (*run)(void* self, uint32_t bin, uint32_t place) noexcept nogil
        void (*ask)(void* self, uint32_t bin, const uint32_t* places, uint32_t count) noexcept nogil
        uint32_t (*foresee)(void* self, uint32_t begun) noexcept nogil
        cbool (*deal)(void* self, uint32_t begun, Deal* deal) noexcept nogil
        void (*prepare)(void* self, uint32_t* accounts, uint32_t* slots) noexcept nogil
        void (*look_up)(void* self, uint32_t piece, cbool slots) noexcept nogil
        uint32_t (*judge)(void* self, uint32_t limit) noexcept nogil
        void (*bring_results)(void* self) noexcept nogil
        void (*bring_state)(void* self) noexcept nogil
    cppclass BinRun:
        BinRun() except +
        bint open(uint32_t transactions, uint32_t bins, bint deals_first, uint64_t seed, const uint32_t* stop)
        uint32_t lead(const BinTasks& tasks, Watch& watch)
        void help(const BinTasks& tasks, Watch& watch)
        bint was_dealt() const
        bint deals_first() const

cdef struct Bin:
    Machine* machine              # of the first bin: the block's own
    BlockOutput* output           # for logs and data; of the first bin: the block's own
    BlockOutput own_output
    uint32_t* places              # places in the block of the transactions that it ran, ascending, ...
    uint32_t done                 # ... this many of them, ...
    uint32_t* account_ends        # ... and how many accounts and slots the working set had noted as seen after each
    uint32_t* slot_ends
    uint32_t* twins               # by account number, for each earlier bin: number of the same account there; 0: none
    uint8_t[64] aside

cdef struct Meeting:              # an account or a slot that two bins touched and at least one of them changed
    uint32_t earlier              # the bins
    uint32_t later
    uint32_t in_earlier           # the entry's numbers there
    uint32_t in_later
    bint is_slot

# One block on several threads. Begins as zeros; its memory is kept from block to block.
cdef struct Bins:
    BinRun* run                   # distributes the work
    Groups groups
    Bin* bins
    uint32_t count                # of them
    size_t capacity
    uint32_t* numbers             # storage of the bins' per-transaction arrays
    size_t numbers_count
    uint32_t* twins
    size_t twins_count
    bint may_know                 # there was memory to look up meetings
    Meeting* meetings
    size_t meetings_count
    uint32_t* met                 # room for the transactions of one meeting
    size_t met_count
    TxData** txs
    uint32_t tx_count
    const BlockRules* rules
    BlockOutput* output
    uint64_t seed
    Watch* watches                # by thread
    uint32_t watch_count
    uint64_t opened               # in ticks, and in ns of the monotonic clock
    int64_t opened_ns
    uint32_t first_slot           # the first slot loaded by transactions; the block itself loaded earlier ones
    uint32_t first_epoch          # of the block's working set; a transaction's epoch is this plus its place plus 1
    uint32_t limit                # transactions from this one on do not count
    uint32_t news                 # bonds that were not known before
    size_t bytes                  # that the bins kept by transaction
    uint64_t runs                 # executions, including those rolled back
    size_t first_record
    size_t first_log
    size_t first_data
    bint whole                    # all of the block counts, unless there was no room for some transactions
    bint results_missing          # there was no memory to bring all results that count into the block
    uint8_t[64] aside
    bint no_memory                # for the state, which another thread joins ...
    bint apart                    # ... only as far as it must; the rest stays beside the block's working set
    int32_t meeting_count         # updated by all threads
