"""What a block accessed and changed, as a block access list (EIP-7928), made of the notes when somebody asks. Layer 4."""
from libc.stddef cimport size_t
from libc.stdint cimport uint32_t
from evmcore._access cimport AccessNotes
from evmcore._sync cimport Mutex

cdef struct Places:               # where in a list something stands, by its number; NONE where it does not
    uint32_t* items
    size_t capacity

cdef class AccessRecord:
    """What a block's execution accessed and changed."""
    cdef AccessNotes notes
    cdef Mutex making             # guards what follows
    cdef Places accounts
    cdef Places slots
    cdef object whole             # the list of all parts, made when asked for

    # The list of the parts from `first` to `last`, which are complete; also while others are being noted.
    cdef object list_of(self, uint32_t first, uint32_t last)
