"""Arrays that grow, also while another thread reads what is in them. Layer 0."""
from libc.stddef cimport size_t

cdef extern from "include/growing.h" namespace "evmcore" nogil:
    ctypedef struct Retired:      # the old memory of arrays that have grown
        bint keeps                # somebody may be reading it

    # Room for so many items; with `zeroed`, those that are new are zero. False: no memory, nothing changed. `retired` may be
    # NULL.
    bint grow_array(void** items, size_t* capacity, size_t wanted, size_t item_size, bint zeroed, Retired* retired)

    # Where an array is now, for whoever does not write it.
    void* array_now(void** items)
    void free_retired(Retired* retired)
