"""Whether a block is worth several threads, and how many: decided by how long earlier blocks took. Layer 5.

Nothing here changes a result. Times are nanoseconds.
"""
from libc.stdint cimport uint64_t
from evmcore._block_run cimport BlockRun, Decision, Executor, Reason, Sequence
from evmcore._block_steps cimport BlockFailure
from evmcore._forecast cimport Forecast
from evmcore.stm cimport ParallelExecutor

cdef class ChoosingExecutor(Executor):
    """Executes a block on as many threads as are expected to pay, up to a maximum; on one thread where several do not
    pay."""
    cdef Executor alone           # for blocks whose header already tells that threads do not pay
    cdef list choices             # ParallelExecutor of 2, 4, ... threads, the last one of the maximum
    cdef int choice_count
    cdef int[10] counts           # their threads

    cdef Executor prepare(self, BlockRun run, object block)
    cdef bint is_tiny(self, Decision* decision, size_t count) noexcept nogil
    cdef int best(self, const Forecast* seen, uint64_t* expected) noexcept nogil
    cdef Reason look(self, BlockRun run, const Sequence* sequence, Forecast* seen, int* choice, uint64_t* expected) noexcept nogil
    cdef BlockFailure transactions(self, BlockRun run, Sequence* sequence) noexcept nogil
    cdef BlockFailure run_alone(self, BlockRun run, Sequence* sequence, const Forecast* seen) noexcept nogil
    cdef BlockFailure run_parallel(self, BlockRun run, Sequence* sequence, const Forecast* seen, int choice) noexcept nogil
