"""The accounts and slots that a run read and changed, in the shape of geth's prestateTracer."""
from libc.stdint cimport uint8_t
from evmcore._state cimport AccountData, AccountEntry, WorkingSet
from evmcore.tracing._hooks cimport Tracer

cdef class PrestateTracer(Tracer):
    cdef bint diff_mode, with_code, with_storage, include_empty
    cdef readonly object result

    cdef dict fields(self, WorkingSet* ws, const uint8_t* address, const AccountData* data)
    cdef dict new_fields(self, WorkingSet* ws, const AccountEntry* account, dict before)
    cdef str code_of(self, WorkingSet* ws, const uint8_t* address, const uint8_t* code_hash)
