"""A batch of calls on native threads, and the machines that single calls share with it."""
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from evmcore._interp cimport Environment, Machine, Message, Outcome
from evmcore.state._reader cimport Backend, RunHooks
from evmcore._results cimport CallResult
from evmcore._state cimport LogEntry, StateReader
from evmcore._tx cimport TxChecks, TxData, TxResult
from evmcore._u256 cimport u256

# The settings that all calls of an EVM share.
cdef struct Settings:
    Environment env
    StateReader* reader
    RunHooks* hooks               # the backend's; may be NULL
    int revision
    bint unlimited_code_size
    bint switch_dispatch
    int max_blobs_per_tx
    uint64_t blob_gas_limit


# Runs one transaction on the machine's fresh working set.
cdef void settings_run(
    const Settings* settings, Machine* machine, const TxData* tx, const TxChecks* checks, uint64_t block_gas_left,
    TxResult* result,
) noexcept nogil

# Runs one message on the machine's fresh working set, without the rest of a transaction: no intrinsic gas, no fees.
cdef void settings_message(
    const Settings* settings, Machine* machine, Message* message, const u256* gas_price, Outcome* outcome,
) noexcept nogil

cdef struct Job:
    TxData tx                     # borrows from objects that the batch keeps alive
    TxResult result               # output is the job's own copy, or NULL
    LogEntry* logs                # own copy, or NULL
    uint32_t log_count
    uint8_t* log_data
    size_t log_size

cdef class Batch:
    cdef Settings settings
    cdef int64_t deadline_ns      # this and the flag as in `Machine`
    cdef const uint32_t* abort_flag
    cdef Job* jobs
    cdef size_t capacity
    cdef size_t count             # number of filled jobs
    cdef list kept                # owners of the memory that jobs borrow
    cdef uint32_t stop            # set: all jobs stop
    cdef Backend backend
    cdef dict failures            # by number of a job that could not read the state: the exception, or None

    cdef Job* add(self, object owner)             # the next job, zeroed
    # Polls (`ask_in_time` of `_asking`) meanwhile.
    cdef void run(self, unsigned int threads) noexcept nogil
    cdef CallResult result(self, size_t index)
    cdef void clear(self)                         # removes all jobs

cdef Batch batch_new(
    size_t capacity, Backend backend, const Settings* settings, int64_t deadline_ns, const uint32_t* abort_flag
)

# Stops all jobs of a batch that is being run. For `handle_signals`.
cdef void end_batch(void* batch) noexcept nogil
