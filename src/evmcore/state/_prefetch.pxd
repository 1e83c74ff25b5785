"""Predicts what calls will read, learnt from what similar calls have read (`include/cache/access.h`)."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t
from evmcore._interp cimport Machine
from evmcore.state._cache_native cimport AccessBook, Reader, StateKey

# Belongs to one state; all its readers share it.
cdef class CallBook:
    cdef AccessBook* book

# Called when a call misses a value: adds the known, or likely, reads of such calls to the values to fetch.
cdef void predict_call(
    AccessBook* book, Reader* view, Machine* machine, const uint8_t* target, const uint8_t* sender, const uint8_t* data,
    size_t size,
) noexcept nogil

# Called when a running call misses a value for the first time: whether the reads of such calls are known so well that all of
# them, which are then in `guesses`, should be fetched at once.
cdef bint predict_all(
    AccessBook* book, Reader* view, Machine* machine, const uint8_t* target, const uint8_t* sender, const uint8_t* data,
    size_t size, const StateKey& missed,
) noexcept nogil

# Called before a call: adds its known reads to the values to fetch.
cdef void foresee_call(
    AccessBook* book, Reader* view, const uint8_t* target, const uint8_t* sender, const uint8_t* data, size_t size,
) noexcept nogil

# Called after a call on complete state: its reads are in the machine's working set.
cdef void learn_call(
    AccessBook* book, Reader* view, Machine* machine, const uint8_t* target, const uint8_t* sender, const uint8_t* data,
    size_t size,
) noexcept nogil
