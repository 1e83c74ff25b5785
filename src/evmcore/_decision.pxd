"""Whether a block is worth several threads, and how many: decided by what blocks before it took. Layer 5.

Nothing here changes a result. Times are nanoseconds.
"""
from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t
from evmcore._block cimport BlockFailure, BlockRun, Executor, Reason
from evmcore._interp cimport Status
from evmcore._tx cimport TxData, TxInvalid
from evmcore.stm cimport ParallelExecutor

# What is thought of a block before it runs.
cdef struct Forecast:
    uint64_t sequential           # its transactions one after the other
    uint64_t longest              # of one transaction
    uint64_t path                 # of those that the hints line up; `longest` where there was no need to look
    uint32_t unknown              # transactions of kinds that were not seen before ...
    uint32_t unsure               # ... or not in several blocks

cdef class ChoosingExecutor(Executor):
    """Executes a block on as many threads as are expected to pay, up to a number; on one where none do."""
    cdef list choices             # ParallelExecutor of 2, 4, ... threads, the last of all that are allowed
    cdef int choice_count
    cdef int[10] counts           # their threads

    cdef int best(self, const Forecast* seen, size_t count, int length, uint64_t* expected) noexcept nogil
    cdef Reason look(self, TxData** txs, size_t count, Forecast* seen, int length, int* choice, uint64_t* expected) noexcept nogil
    cdef BlockFailure transactions(self, BlockRun run, TxData** txs, size_t count, size_t* at, TxInvalid* invalid, Status* status) noexcept nogil
    cdef BlockFailure run_parallel(self, BlockRun run, TxData** txs, size_t count, size_t* at, TxInvalid* invalid, Status* status, const Forecast* seen, int length, int choice) noexcept nogil
