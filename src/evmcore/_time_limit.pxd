"""When runs are to end. Layer 6, below the arguments of the facade."""
from libc.stdint cimport int64_t, uint32_t

cdef class TimeLimit:
    cdef readonly object seconds          # as given; None: without end
    cdef int64_t deadline_ns              # CLOCK_MONOTONIC; 0: none
    cdef uint32_t own                     # atomic; not zero: stopped
    cdef const uint32_t* stopped          # `own`, or that of `whole`: what machines look at
    cdef TimeLimit whole                  # what this is a part of, or None

# Seconds from now as CLOCK_MONOTONIC nanoseconds, not 0. InputError for anything but a number of seconds.
cdef int64_t deadline_after(object seconds) except -1
