"""A block whose access list is given (EIP-7928), as C data: its workers, and the records of each transaction's run.

Layer 5, beside `_stm_*`. Each module of the executor has one job: `_listed_read` answers reads from the list,
`_listed_run` runs transactions and makes them final, `_listed_check` compares the notes with the list, `listed` opens
and closes the block.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libcpp cimport bool as cbool
from evmcore._block_steps cimport BlockFailure, BlockOutput, BlockRules
from evmcore._declared cimport Declared
from evmcore._interp cimport Machine, Status
from evmcore._listed_told cimport Telling
from evmcore._state cimport LogEntry, StateReader
from evmcore._machines cimport Arena
from evmcore._stm cimport Delays, Watch
from evmcore._tx cimport TxData, TxResult
from evmcore._u256 cimport u256

cdef extern from "include/listed.h" namespace "evmcore::listed" nogil:
    enum Verdict:
        kNotRun, kStands, kDoubtful, kNotFinished
    ctypedef struct Turns:
        uint32_t* verdict_of      # by transaction, from 1
        uint32_t* halted
        uint32_t frontier         # transactions that are final
    ctypedef struct Tasks:
        void* self
        Delays delays
        uint32_t (*run)(void* self, uint32_t tx) noexcept nogil
        cbool (*commit)(void* self, uint32_t tx) noexcept nogil
        Watch watch
    void open_turns(Turns& turns, uint32_t count, uint32_t* verdict_of, uint32_t* halted)
    void turns_work "evmcore::listed::work"(Turns& turns, Tasks& tasks)
    bint is_kept(const int32_t* once)
    bint may_keep(int32_t* once)
    void keep(int32_t* once)

# One transaction's run, in the arena of the worker that executed it.
cdef struct ListedRun:
    Status status                 # of a run that did not finish
    TxResult result
    u256 gas_price
    LogEntry* logs
    uint32_t log_count
    uint8_t* log_data
    uint32_t* accounts            # numbers in the list of the accounts that it accessed
    uint32_t account_count
    uint32_t* slots
    uint32_t slot_count
    uint32_t* wiped               # accounts that it created and destroyed
    uint32_t wiped_count

cdef struct ListedWorker:
    Machine* machine
    Arena* arena
    StateReader reader            # answers from the list, for the transaction at `index`
    ListedBlock* block
    uint32_t index
    bint undeclared               # a read was not in the list
    Tasks tasks

# Which parts of the list have been met so far, in block order.
cdef struct Met:
    uint8_t* accounts             # by number in the list: 1: accessed; 3: and its storage was wiped
    uint8_t* slots
    uint32_t reads_left           # slots only read, and not met yet; those of request contracts do not count
    uint8_t* counted              # by slot: 1 if it counts among them

cdef struct ListedBlock:
    Declared* declared
    Met* met
    TxData** txs                  # txs[i] is transaction i + 1
    uint32_t count
    const BlockRules* rules
    StateReader* base
    BlockOutput* output
    Telling* telling
    ListedRun* run_of             # by transaction, from 1
    Turns turns
    uint64_t gas_of_a_read        # least gas that a declared read takes of the block's limit; 0: unknown
    ListedWorker** workers
    int worker_count
    int32_t next_worker
    int64_t started               # ns: when preparation began ...
    int64_t opened_ns             # ... when it ended ...
    int64_t took                  # ... and how long the workers ran; 0: they were not started
    uint64_t opened               # the same two times of the workers in ticks
    uint64_t closed
    uint32_t arrived              # tests: workers that have begun
    bint delays                   # tests: delays are on
    bint starved                  # too little gas is left for the declared reads
    BlockFailure failure
    Status status
