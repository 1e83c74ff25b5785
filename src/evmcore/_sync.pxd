"""Atomic words, flags, mutexes and the monotonic clock (`include/sync.h`). Layer 0."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

cdef extern from "include/sync.h" nogil:
    ctypedef struct Mutex:
        pass
    void mutex_lock(Mutex* m)
    void mutex_unlock(Mutex* m)

    int32_t atomic_add32(int32_t* p, int32_t v)           # the sum
    uint32_t atomic_load32(const uint32_t* p)             # relaxed
    int64_t atomic_load64(const int64_t* p)
    void atomic_store8(uint8_t* p, uint8_t v)
    uint32_t atomic_acquire32(const uint32_t* p)
    void atomic_release32(uint32_t* p, uint32_t v)

    bint is_raised(const uint32_t* flag)                  # if true, writes before `raise_flag` are visible too
    void raise_flag(uint32_t* flag)

    int64_t monotonic_ns()


cdef inline bint is_to_stop(const uint32_t* stop) noexcept nogil:
    """Whether the flag that stops a work is raised; NULL: there is no flag."""
    return stop != NULL and is_raised(stop)
