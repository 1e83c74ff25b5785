"""The places for connections that a process may have open at once: idle connections, and places not opened yet."""
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
    cdef int process              # the process that made them
    cdef public int era           # connections of another era are not used any more
    cdef public bint barred       # the fast path is closed: there is a problem with the server

    # The fast path of most requests: an open `Connection`, or NULL if the slow path is needed; and whether the connection
    # was taken back, so that nothing is left to do. The caller owns the reference meanwhile.
    cdef void* take_open(self) noexcept nogil
    cdef bint give_open(self, void* connection) noexcept nogil
    cdef void close_idle(self) noexcept
