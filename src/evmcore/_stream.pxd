"""A block's transactions one after the other as they become final, while later transactions still run. Layer 7."""
from libc.stdint cimport uint64_t
from evmcore._block_result cimport BlockResult
from evmcore._block_run cimport BlockRun, Executor
from evmcore._outcome cimport KeptOutput

# One execution in a separate thread. It does not refer to its reader, so the reader may be dropped meanwhile.
cdef class Execution:
    cdef BlockRun run
    cdef KeptOutput kept
    cdef object request           # BlockRequest
    cdef Executor executor
    cdef BlockResult result
    cdef object error

cdef class BlockStream:
    cdef Execution execution
    cdef object thread            # None before the first result is requested, and after the thread has ended
    cdef object block
    cdef object fork
    cdef uint64_t next
    cdef bint commit
    cdef bint ended
    cdef readonly BlockResult result

    cdef object wait(self)
    cdef object finish(self)
