"""Lets compiled code read a state that is written in Python."""
from libc.stdint cimport uint8_t
from evmcore._code cimport Code
from evmcore._state cimport AccountData
from evmcore._u256 cimport u256
from evmcore.state._reader cimport Backend, ReadErrors

cdef class PythonBackend(Backend):
    cdef readonly object state
    cdef ReadErrors errors

    cdef int fill_account(self, bytes address, AccountData* out) except -2
    cdef int fill_storage(self, bytes address, const u256* slot, u256* value) except -2
    cdef Code* find_code(self, bytes address, bytes code_hash) except NULL
    cdef int fill_block_hash(self, object number, uint8_t* out) except -2

cpdef Backend as_backend(object state)
