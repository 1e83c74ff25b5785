"""Tracers of every instruction: EIP-3155 lines and struct logs."""
from libc.stdint cimport int64_t
from libcpp.string cimport string
from evmcore._interp cimport Step
from evmcore.tracing._hooks cimport Tracer

cdef class EIP3155Tracer(Tracer):
    cdef readonly object stream
    cdef bint with_memory, with_stack, with_return_data
    cdef tuple names              # of the 256 opcodes, as ASCII
    cdef string line
    cdef int64_t gas              # of the top message

cdef class StructLogTracer(Tracer):
    cdef bint with_memory, with_stack, with_storage, with_return_data
    cdef size_t most              # entries; 0: no limit
    cdef tuple names
    cdef list logs
    cdef dict storage             # address -> slots seen so far, as hex
    cdef readonly object result

    cdef dict seen(self, const Step* step)
