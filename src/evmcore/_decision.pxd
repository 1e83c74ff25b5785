"""Whether a block is worth several threads, and how many: decided by what blocks before it took. Layer 5.

Nothing here changes a result. Times are nanoseconds.
"""
from libc.stddef cimport size_t
from libc.stdint cimport uint64_t
from evmcore._block cimport BlockFailure, BlockRun, Executor, Reason
from evmcore._forecast cimport Forecast
from evmcore._interp cimport Status
from evmcore._tx cimport TxData, TxInvalid
from evmcore.stm cimport ParallelExecutor

cdef class ChoosingExecutor(Executor):
    """Executes a block on as many threads as are expected to pay, up to a number; on one where none do."""
    cdef list choices             # ParallelExecutor of 2, 4, ... threads, the last of all that are allowed
    cdef int choice_count
    cdef int[10] counts           # their threads

    cdef int prepare(self, BlockRun run, object block) except -1
    cdef int best(self, const Forecast* seen, uint64_t* expected) noexcept nogil
    cdef Reason look(self, BlockRun run, TxData** txs, size_t count, Forecast* seen, int* choice, uint64_t* expected) noexcept nogil
    cdef BlockFailure transactions(self, BlockRun run, TxData** txs, size_t count, size_t* at, TxInvalid* invalid, Status* status) noexcept nogil
    cdef BlockFailure run_alone(self, BlockRun run, TxData** txs, size_t count, size_t* at, TxInvalid* invalid, Status* status, const Forecast* seen) noexcept nogil
    cdef BlockFailure run_parallel(self, BlockRun run, TxData** txs, size_t count, size_t* at, TxInvalid* invalid, Status* status, const Forecast* seen, int choice) noexcept nogil
