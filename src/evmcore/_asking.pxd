"""Lets a thread that works without Python poll a callback now and then, which may end the work. Layer 0: knows no callback."""
from libc.stdint cimport int64_t

cdef enum:
    ASK_EVERY_MS = 50             # also before the first time, so that brief work never waits for the GIL

# Work that polls. The callback ends it, if necessary, by the means of the work itself.
cdef struct Asking:
    void (*ask)(void* work) noexcept nogil
    void* work
    int64_t next                  # time of the next call of `ask`, CLOCK_MONOTONIC in ns
    Asking* outer                 # the work of this thread that encloses this one, or NULL

# `begin_asking` and `end_asking` are called on one thread and properly nested.
cdef void begin_asking(Asking* asking, void (*ask)(void* work) noexcept nogil, void* work) noexcept nogil
cdef void end_asking(Asking* asking) noexcept nogil

# Called regularly by long-running code: calls `ask` if it is time, and if this thread called `begin_asking`.
cdef void ask_in_time() noexcept nogil
