"""Arrays that grow, also while another thread reads what is in them, and the memory they take. Layer 0."""
from libc.stddef cimport size_t

cdef extern from "include/growing.h" namespace "evmcore" nogil:
    ctypedef struct Retired:      # the old memory of arrays that have grown
        bint keeps                # somebody may be reading it

    # Memory for an array of so many bytes, not cleared; NULL: none. What is large is kept for the next one.
    void* new_array(size_t bytes)
    void free_array(void* array)

    # Room for so many items; with `zeroed`, those that are new are zero. False: no memory, nothing changed. `retired` may be
    # NULL. `free_array` gives it back.
    bint grow_array(void** items, size_t* capacity, size_t wanted, size_t item_size, bint zeroed, Retired* retired)

    # Where an array is now, for whoever does not write it.
    void* array_now(void** items)
    void free_retired(Retired* retired)
