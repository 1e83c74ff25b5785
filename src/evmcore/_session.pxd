"""Blocks made step by step on one working set. Layer 7, beside the facade."""
from libc.stdint cimport uint32_t
from evmcore._block_run cimport BlockRun
from evmcore._interp cimport Machine
from evmcore._overlay cimport MovedPrecompiles
from evmcore.state._reader cimport Backend

cdef class Session:
    cdef BlockRun making          # rules and output of the current block; owns the machine
    cdef Machine* machine
    cdef Backend backend
    cdef object chain             # ChainConfig
    cdef object limit             # owns the machine's abort flag, if there is one
    cdef object fork              # of the current block; None between blocks
    cdef MovedPrecompiles precompiles     # owns the machine's `moves`

    cdef uint32_t load(self, bytes address) except? 0         # number of an account's entry
    cdef int new_output(self) except -1
    cdef int check_read(self) except -1                       # raises the error that made the working set fail
    cdef int override_account(self, bytes address, dict fields) except -1
