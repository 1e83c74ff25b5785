"""The native half of a block. Layer 4: it knows transactions, system contracts and rewards, not threads.

The three steps of a block are functions of their own (`block_begin`, `block_transaction`, `block_end`), so that another
executor can run the transactions its own way and hand their results, in order, to `block_keep`.
"""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from evmcore._access cimport AccessNotes
from evmcore._growing cimport Retired
from evmcore._interp cimport Environment, Machine, Status
from evmcore._state cimport LogEntry, StateReader, WorkingSet
from evmcore._tx cimport TxChecks, TxData, TxInvalid, TxResult
from evmcore._u256 cimport u256

cdef struct Credit:               # a withdrawal or a reward
    uint8_t[20] address
    u256 amount                   # wei

# What fork and header fix for the whole block. Pointers are borrowed.
cdef struct BlockRules:
    Environment env
    int revision
    uint64_t blob_gas_limit
    int max_blobs_per_tx          # 0: no limit of its own
    TxChecks checks
    uint8_t[32] parent_hash
    uint8_t[32] beacon_root
    const uint8_t* drained        # the DAO fork: 20-byte addresses whose balances move ...
    size_t drained_count
    uint8_t[20] recovery          # ... to this account
    bint lax_requests             # a request contract without code makes no requests, instead of the block invalid
    Credit* credits               # at the end of the block, in order
    size_t credit_count

# One executed transaction; offsets are into the BlockOutput's arenas.
cdef struct TxRecord:
    TxResult result               # its `output` pointer is not valid; use output_offset
    int type
    uint64_t cumulative_gas_used
    u256 gas_price                # effective, wei per gas
    size_t first_log
    size_t log_count
    size_t data_start             # of its logs' data
    size_t output_offset
    bint has_state_root           # receipts before Byzantium
    uint8_t[32] state_root
    uint8_t[256] bloom            # set by `output_blooms`

cdef extern from "include/gate.h" namespace "evmcore" nogil:
    cppclass Gate:
        Gate() except +
        void publish(uint64_t count)
        void close()
        uint64_t published()
        bint closed()
        void wait(uint64_t count, unsigned int microseconds)

# If `retired.keeps`, another thread reads what is published at the gate while more is written.
cdef struct BlockOutput:
    TxRecord* records
    size_t record_count
    size_t record_capacity
    LogEntry* logs                # data_offset is into `data`
    size_t log_count
    size_t log_capacity
    uint8_t* data
    size_t data_size
    size_t data_capacity
    uint64_t gas_used
    uint64_t blob_gas_used
    bint has_blooms               # `bloom`, and those of the records
    uint8_t[256] bloom
    Gate* gate                    # NULL: nothing is published
    Retired retired               # old memory of the arrays
    size_t[2] request_offset      # EIP-7002 withdrawals and EIP-7251 consolidations, in `data`
    size_t[2] request_size
    uint64_t account_nonce        # nonce of the sender, if the nonce of a transaction made the block invalid
    const uint8_t* failed_contract        # the request contract that ended the block, one of those below ...
    Status failed_status          # ... and how its call ended
    AccessNotes* notes            # borrowed; receives what each transaction accessed; NULL: not noted

cdef enum BlockFailure:
    BLOCK_OK = 0
    BLOCK_ENGINE_FAILED           # state not readable, no memory, or aborted: see the status
    BLOCK_TRANSACTION_INVALID     # the out-parameter `invalid` says why
    BLOCK_SYSTEM_CONTRACT_EMPTY
    BLOCK_SYSTEM_CALL_FAILED
    BLOCK_ACCESS_LIST_WRONG       # the executor says why
    BLOCK_NO_SENDER               # a signature has no signer

cdef uint8_t[20] WITHDRAWAL_REQUESTS      # EIP-7002
cdef uint8_t[20] CONSOLIDATION_REQUESTS   # EIP-7251

# Prepares a machine that was just taken to run the block's transactions until `stop` is raised.
cdef void block_enter(Machine* machine, const BlockRules* rules, const uint32_t* stop) noexcept nogil

# The DAO fork's change and the system calls of EIP-4788 and EIP-2935, on a machine that has entered the block.
cdef BlockFailure block_begin(Machine* machine, const BlockRules* rules, Status* status) noexcept nogil

# Runs one transaction on the block's working set. BLOCK_TRANSACTION_INVALID: `invalid` says why.
cdef BlockFailure block_transaction(Machine* machine, const BlockRules* rules, const TxData* tx, BlockOutput* output, TxInvalid* invalid, Status* status) noexcept nogil

cdef enum:
    AHEAD_SOON = 2                # the accounts of a transaction this far ahead are prefetched ...
    AHEAD_LATER = 4               # ... this far ahead, the places where the accounts lie ...
    AHEAD_OF_LATER = 6            # ... and this far ahead, the transaction itself

# Prefetches what later transactions will look at first in a state, and in a block's working set if one is given.
# `soon`, `later` and `after` are as far ahead as the names above say; NULL: there is none.
cdef void block_ask_for(
    const StateReader* reader, WorkingSet* ws, const TxData* soon, const TxData* later, const TxData* after
) noexcept nogil

# The same for the transactions after `at` (from 0).
cdef void block_ask_for_next(
    const StateReader* reader, WorkingSet* ws, TxData** txs, size_t at, size_t count
) noexcept nogil

# Adds a transaction's result, with its logs, to the output. False: no memory.
cdef bint block_keep(
    BlockOutput* output, const LogEntry* logs, uint32_t log_count, const uint8_t* log_data, const TxData* tx,
    const TxResult* result, const u256* gas_price,
) noexcept nogil

# The same for a transaction whose place among the others is not known yet: its record stands elsewhere, and gets no
# cumulative gas. False: no memory.
cdef bint block_keep_result(
    BlockOutput* output, TxRecord* record, const LogEntry* logs, uint32_t log_count, const uint8_t* log_data,
    const TxData* tx, const TxResult* result, const u256* gas_price,
) noexcept nogil

# Counts the record that stands behind the last one of the output.
cdef void block_count(BlockOutput* output, const TxData* tx, TxRecord* record) noexcept nogil

# Appends another output's logs and their data. False: no memory.
cdef bint block_append_logs(BlockOutput* output, const BlockOutput* other) noexcept nogil

# Withdrawals or rewards, then the system calls of EIP-7002 and EIP-7251.
cdef BlockFailure block_end(Machine* machine, const BlockRules* rules, BlockOutput* output, Status* status) noexcept nogil

# Room for the records of all transactions, so that records do not move. False: no memory.
cdef bint output_reserve(BlockOutput* output, size_t transactions) noexcept nogil
cdef void output_release(BlockOutput* output) noexcept nogil
