"""Times of a block's transactions, and which of them depend on each other through shared storage slots."""
from libc.stdint cimport int64_t, uint32_t
from evmcore.tracing._hooks cimport Tracer

cdef class DependencyTracer(Tracer):
    cdef int64_t begun            # ns, of the running transaction
    cdef int64_t took
    cdef int64_t* written_at      # by slot entry: time at which its last writer would end on any number of cores; 0: no writer
    cdef uint32_t capacity
    cdef readonly list times      # ns of each transaction
    cdef readonly int64_t critical_path   # ns

    cdef int make_room(self, uint32_t slots) except -1
