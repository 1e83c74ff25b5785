"""What a thread asks now and then while it works without Python: whether to go on. Layer 0: knows nothing of whom it asks."""
from libc.stdint cimport int64_t

cdef enum:
    ASK_EVERY_MS = 50             # and no earlier than that for the first time: who is brief does not wait for the GIL

# A work that asks. Whoever is asked ends it, by whatever means the work has.
cdef struct Asking:
    void (*ask)(void* work) noexcept nogil
    void* work
    int64_t next                  # CLOCK_MONOTONIC, when to ask
    Asking* outer                 # what this thread works at around it, or NULL

# From here to the end, on one thread and properly nested.
cdef void begin_asking(Asking* asking, void (*ask)(void* work) noexcept nogil, void* work) noexcept nogil
cdef void end_asking(Asking* asking) noexcept nogil

# For whoever does a part of a work that may take long: asks, if it is time and this is the thread that began to.
cdef void ask_in_time() noexcept nogil
