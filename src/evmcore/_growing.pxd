"""Growable arrays, which may grow while another thread reads them, and their memory. Layer 0."""
from libc.stddef cimport size_t

cdef extern from "include/growing.h" namespace "evmcore" nogil:
    ctypedef struct Retired:      # the old memory of arrays that have grown
        bint keeps                # another thread may be reading it

    # Memory for an array of `bytes` bytes, not cleared; NULL: no memory. Large memory is kept for the next array when freed.
    void* new_array(size_t bytes)
    void free_array(void* array)

    # Makes room for `wanted` items; with `zeroed`, new items are zero. False: no memory, nothing changed. `retired` may be
    # NULL. The array is freed by `free_array`.
    bint grow_array(void** items, size_t* capacity, size_t wanted, size_t item_size, bint zeroed, Retired* retired)

    # The present address of an array, for threads that only read it.
    void* array_now(void** items)
    void free_retired(Retired* retired)
