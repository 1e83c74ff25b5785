"""Blocks made step by step on one working set. Layer 7, beside the facade."""
from libc.stdint cimport uint32_t
from evmcore._block_run cimport BlockRun
from evmcore._interp cimport Machine
from evmcore._overlay cimport MovedPrecompiles
from evmcore.state._reader cimport Backend

cdef class Session:
    cdef BlockRun making          # rules and output of the block that is being made; owns the machine
    cdef Machine* machine
    cdef Backend backend
    cdef object chain             # ChainConfig
    cdef object limit             # owns the machine's abort flag, where it has one
    cdef object fork              # of the block that is being made; None between blocks
    cdef MovedPrecompiles precompiles     # what the machine's `moves` point into

    cdef uint32_t load(self, bytes address) except? 0         # number of an account's entry
    cdef int new_output(self) except -1
    cdef int check_read(self) except -1                       # raises what made the working set fail
    cdef int override_account(self, bytes address, dict fields) except -1
