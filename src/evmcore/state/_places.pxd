"""The places for connections that a process may have open at once: which are idle, and which are not open yet."""
from libc.stddef cimport size_t
from libc.stdint cimport int64_t
from libcpp cimport bool as cbool

cdef extern from "include/cache/places.h" namespace "evmcore::cache" nogil:
    cdef cppclass PlaceList:
        PlaceList(size_t most) except +
        void* take_open() noexcept
        cbool take(void** connection, int64_t deadline) noexcept
        cbool give(void* connection) noexcept
        void close() noexcept
        cbool closed() noexcept
        size_t free() noexcept
        size_t waiting() noexcept

cdef class Places:
    cdef PlaceList* places        # of references to `Connection`s
    cdef int process              # that made them
    cdef public int era           # connections of another one are not used any more
    cdef public bint barred       # the short way is closed: something is wrong with the server

    # The short way, which most requests go: a `Connection` that is open, or NULL where the long way has to be gone; and
    # whether it was taken back, so that nothing is left to do. The caller has the reference meanwhile.
    cdef void* take_open(self) noexcept nogil
    cdef bint give_open(self, void* connection) noexcept nogil
    cdef void close_idle(self) noexcept
