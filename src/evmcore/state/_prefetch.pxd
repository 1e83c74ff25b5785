"""What calls are likely to read: learnt from what calls like them have read (`include/cache/access.h`)."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t
from evmcore._interp cimport Machine
from evmcore.state._cache_native cimport AccessBook, Reader, StateKey

# Of one state, shared by all its readers.
cdef class CallBook:
    cdef AccessBook* book

# A call has missed something: adds what such calls are known to read, or what it is likely to, to what will be fetched.
cdef void predict_call(
    AccessBook* book, Reader* view, Machine* machine, const uint8_t* target, const uint8_t* sender, const uint8_t* data,
    size_t size,
) noexcept nogil

# A call that is running misses something for the first time: whether it is known so well what such calls read that all of
# it, which is then in `guesses`, should be fetched at once.
cdef bint predict_all(
    AccessBook* book, Reader* view, Machine* machine, const uint8_t* target, const uint8_t* sender, const uint8_t* data,
    size_t size, const StateKey& missed,
) noexcept nogil

# A call is going to run: adds what it is known to read to what will be fetched.
cdef void foresee_call(
    AccessBook* book, Reader* view, const uint8_t* target, const uint8_t* sender, const uint8_t* data, size_t size,
) noexcept nogil

# A call has run on complete state: what it has read is in the machine's working set.
cdef void learn_call(
    AccessBook* book, Reader* view, Machine* machine, const uint8_t* target, const uint8_t* sender, const uint8_t* data,
    size_t size,
) noexcept nogil
