"""Several tracers of one run."""
from evmcore.tracing._hooks cimport Tracer

cdef class MuxTracer(Tracer):
    cdef readonly tuple tracers
