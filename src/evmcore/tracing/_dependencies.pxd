"""Times of a block's transactions and which of them wait for which, through the storage slots they share."""
from libc.stdint cimport int64_t, uint32_t
from evmcore.tracing._hooks cimport Tracer

cdef class DependencyTracer(Tracer):
    cdef int64_t begun            # ns, of the running transaction
    cdef int64_t took
    cdef int64_t* written_at      # by slot entry: when its last writer would be done on any number of cores; 0: nobody
    cdef uint32_t capacity
    cdef readonly list times      # ns of each transaction
    cdef readonly int64_t critical_path   # ns

    cdef int make_room(self, uint32_t slots) except -1
