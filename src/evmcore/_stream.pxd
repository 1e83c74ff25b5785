"""A block's transactions one after the other as they become final, while later ones still run. Layer 7."""
from libc.stdint cimport uint64_t
from evmcore._block_result cimport BlockResult
from evmcore._block_run cimport BlockRun, Executor
from evmcore._outcome cimport KeptOutput

# One execution in a thread of its own; it knows nothing of who reads it, so that it can be left alone.
cdef class Execution:
    cdef BlockRun run
    cdef KeptOutput kept
    cdef object request           # BlockRequest
    cdef Executor executor
    cdef BlockResult result
    cdef object error

cdef class BlockStream:
    cdef Execution execution
    cdef object thread            # None before the first result is asked for, and when it has ended
    cdef object block
    cdef object fork
    cdef uint64_t next
    cdef bint commit
    cdef bint ended
    cdef readonly BlockResult result

    cdef object wait(self)
    cdef object finish(self)
