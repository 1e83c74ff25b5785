"""Limits of running time. Layer 6, below the arguments of the facade."""
from libc.stdint cimport int64_t, uint32_t

cdef class TimeLimit:
    cdef readonly object seconds          # as given; None: no deadline
    cdef int64_t deadline_ns              # CLOCK_MONOTONIC; 0: none
    cdef uint32_t own                     # atomic; not zero: stopped
    cdef const uint32_t* stopped          # `own`, or the flag of `whole`: the flag that machines check
    cdef TimeLimit whole                  # the limit that this one is a part of, or None

# Seconds from now as CLOCK_MONOTONIC nanoseconds, not 0. InputError for anything but a number of seconds.
cdef int64_t deadline_after(object seconds) except -1
