"""The accounts and slots a run accesses, as an EIP-2930 access list."""
from libc.stdint cimport uint8_t
from evmcore._u256 cimport u256
from evmcore.tracing._hooks cimport Tracer

cdef class AccessListTracer(Tracer):
    cdef frozenset warm           # addresses that need no entry of their own
    cdef object given             # pairs of address and slots that are in the list from the start
    cdef dict touched             # address -> set of slots

    cdef int touch(self, const uint8_t* address) except -1
