"""The accesses and changes of a block as a block access list (EIP-7928), made from the notes on first access. Layer 4."""
from libc.stddef cimport size_t
from libc.stdint cimport uint32_t
from evmcore._access cimport AccessNotes
from evmcore._sync cimport Mutex

cdef struct Places:               # index in a list by entry number; NONE: not in the list
    uint32_t* items
    size_t capacity

cdef class AccessRecord:
    """The accesses and changes of a block's execution."""
    cdef AccessNotes notes
    cdef Mutex making             # guards the following fields
    cdef Places accounts
    cdef Places slots
    cdef object whole             # the list of all parts, made on first access

    # The list of the parts from `first` to `last`, which must be complete; later parts may be recorded meanwhile.
    cdef object list_of(self, uint32_t first, uint32_t last)
