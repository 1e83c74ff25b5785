"""The code hash of accounts without code; no module of its own."""
from libc.stdint cimport uint8_t

cdef extern from "include/empty_code.h" namespace "evmcore" nogil:
    const uint8_t* EMPTY_CODE_HASH            # 32 bytes
