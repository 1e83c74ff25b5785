"""Transactions of a block whose access list is given (EIP-7928): each run once, by itself, on what the list says was before
it, and compared with what the list says of it.

Layer 5, beside ``_stm_*``. What the list cannot tell (that an empty account was cleared, that storage was wiped) makes a
transaction doubtful, like everything that is not as the list says. The first doubtful transaction ends the run by list;
it and what follows are run by the caller on the state that those before it left.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from evmcore._access cimport AccessNotes
from evmcore._block_steps cimport BlockFailure, BlockOutput, BlockRules
from evmcore._declared cimport Declared
from evmcore._interp cimport Machine, Status
from evmcore._state cimport LogEntry, StateReader
from evmcore._stm cimport Arena
from evmcore._tx cimport TxData, TxResult
from evmcore._u256 cimport u256

cdef enum RunState:
    NOT_RUN = 0
    STANDS
    DOUBTFUL
    NOT_FINISHED                  # the engine stopped: see the status

# One transaction's run, in the arena of the worker that did it.
cdef struct ListedRun:
    uint32_t state                # of RunState; written last
    Status status                 # of NOT_FINISHED
    TxResult result
    u256 gas_price
    LogEntry* logs
    uint32_t log_count
    uint8_t* log_data
    uint32_t* accounts            # numbers in the list of what it accessed
    uint32_t account_count
    uint32_t* slots
    uint32_t slot_count
    uint32_t* wiped               # accounts that it made and destroyed
    uint32_t wiped_count

cdef struct ListedWorker:
    Machine* machine
    Arena* arena
    StateReader reader            # answers from the list, for the transaction at `index`
    ListedBlock* block
    uint32_t index
    bint undeclared               # a read was not in the list

# What of the list has been met so far, in the order of the block.
cdef struct Met:
    uint8_t* accounts             # by number in the list: 1 accessed, 2 its storage was wiped too
    uint8_t* slots
    uint32_t reads_left           # slots only read, and not by now; those of request contracts do not count
    uint8_t* counted              # by slot: it counts among them

cdef struct ListedBlock:
    Declared* declared
    Met* met
    TxData** txs                  # txs[i] is transaction i + 1
    uint32_t count
    const BlockRules* rules
    StateReader* base
    BlockOutput* output
    ListedRun* run_of             # by transaction, from 1
    uint64_t gas_of_a_read        # least gas that a declared read takes of the block's limit; 0: cannot be told
    ListedWorker** workers
    int worker_count
    uint32_t next_worker
    uint32_t next                 # transactions taken
    uint32_t stop                 # no transaction after this one need be run
    uint32_t* halted              # raised: the frontier will not go on
    uint32_t frontier             # transactions that are final
    uint32_t committing           # somebody advances the frontier
    bint starved                  # there is not gas enough left for the reads that are declared
    BlockFailure failure
    Status status

cdef enum DoubtKind:
    NO_DOUBT = 0
    ACCOUNT_NOT_LISTED
    SLOT_NOT_LISTED
    CHANGE_NOT_LISTED
    CHANGE_DIFFERS
    CHANGE_NOT_MADE
    ACCOUNT_NOT_ACCESSED
    SLOT_NOT_ACCESSED
    READS_TOO_MANY

# The first thing in which block and list differ.
cdef struct Doubt:
    DoubtKind kind
    uint32_t index
    uint8_t[20] address
    int field                     # of _access.ChangeKind
    u256 slot
    u256 listed                   # values; of a code its hash
    u256 made
    uint64_t gas_left             # of READS_TOO_MANY
    uint32_t reads_left

# A worker's task (`context` is the block): takes transactions until there is none left to run.
cdef void listed_work(void* context) noexcept nogil

# Goes on with the frontier as far as the runs that are there allow.
cdef void listed_advance(ListedBlock* block) noexcept nogil

# Whether the gas that is left is enough for the reads that are declared and have not been made.
cdef bint reads_are_payable(const ListedBlock* block) noexcept nogil

# Brings what the list says was after the frontier into the block's own working set. SUCCESS, NO_MEMORY or STATE_FAILED.
cdef Status listed_adopt(ListedBlock* block, Machine* main) noexcept nogil

# Compares a part of what was noted with what the list says of a place in the block. False: `doubt` says in what they differ.
cdef bint check_part(const Declared* declared, Met* met, const AccessNotes* notes, uint32_t part, uint32_t index, Doubt* doubt) noexcept nogil

# Whether everything in the list has been met.
cdef bint check_all_met(const Declared* declared, const Met* met, Doubt* doubt) noexcept nogil

cdef ListedWorker* listed_worker_new() noexcept nogil
cdef void listed_worker_free(ListedWorker* w) noexcept nogil
