"""What a run read and changed, in the shape of geth's prestateTracer."""
from evmcore.tracing._hooks cimport Tracer

cdef class PrestateTracer(Tracer):
    cdef bint diff_mode
    cdef readonly object result
