"""A connection to Redis whose socket is ours: requests and replies go through native code, without the GIL.

redis-py opens it (address, TLS, AUTH, Sentinel, database) and is not used after that. A connection with any error is
closed and never used again: the rest of an old reply would be taken for the next one.
"""
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libcpp.vector cimport vector

cdef extern from "include/cache/wire.h" namespace "evmcore::cache" nogil:
    cdef enum class Io:
        DONE
        TIMED_OUT
        CLOSED
        FAILED
        MALFORMED
        NO_MEMORY
        STOPPED
    cdef cppclass Bytes:
        const char* data() noexcept
        size_t size() noexcept
        bint failed() noexcept
        char* room(size_t more) noexcept
        void grew(size_t count) noexcept
        void add(const void* data, size_t count) noexcept
        void clear() noexcept
    cdef struct Node:
        char type
        int64_t number
        size_t at
    cdef cppclass Parser:
        vector[Node] nodes
        void start(size_t replies) noexcept
    cdef cppclass Wire:
        Bytes out
        Bytes in_ "in"
        Parser parser
        int error
        Io exchange(int fd, size_t replies, int64_t deadline, const uint32_t* stop) noexcept
        Io send_all(int fd, const char* data, size_t size, int64_t deadline, const uint32_t* stop) noexcept
        Io receive(int fd, size_t replies, int64_t deadline, const uint32_t* stop) noexcept
        Io parsed() noexcept
        @staticmethod
        bint make_patient(int fd) noexcept
    int64_t monotonic_now() noexcept

cdef class Connection:
    cdef Wire* wire
    cdef object owner             # redis-py's connection, which opened the socket; None when closed
    cdef object socket            # the Python socket that encrypts for TLS; None: no TLS
    cdef int fd
    cdef int process              # the process that opened it
    cdef readonly str peer        # for messages
    cdef public int64_t whole     # the server's counter of evicted keys as long as no key was lost; -1: not asked
    cdef public int era           # for the pool that keeps it
    cdef public bint replica      # the server is a replica: its counter does not include its primary's evictions
    cdef readonly uint64_t requests
    cdef readonly uint64_t bytes_out
    cdef readonly uint64_t bytes_in

    # Sends the bytes in `wire.out` and waits for the replies. `deadline` is monotonic, in nanoseconds. Closes the
    # connection and raises StateUnavailable on failure. -1 is raised; 0 done; 1 `stop` was set (the connection is closed).
    cdef int exchange(self, size_t replies, int64_t deadline, const uint32_t* stop) except -1
    # The two halves of it. The sent bytes need not be in `wire.out`.
    cdef int send(self, const char* data, size_t size, int64_t deadline) except -1
    cdef int receive(self, size_t replies, int64_t deadline) except -1
    # The same over a socket without TLS, without raising: pass the result to `outcome`.
    cdef Io send_plain(self, int64_t deadline) noexcept nogil
    cdef Io receive_plain(self, size_t replies, int64_t deadline) noexcept nogil
    cdef int opened(self) except -1
    cdef int outcome(self, Io outcome) except -1
    cdef Io send_tls(self, const char* data, size_t size, int64_t deadline, const uint32_t* stop)
    cdef Io receive_tls(self, size_t replies, int64_t deadline, const uint32_t* stop)
    cdef object wait_tls(self, int what, int64_t deadline, const uint32_t* stop)
    cdef object reply(self, size_t* at)

# The exception for an error reply of Redis; `doing` says during what.
cdef object refusal(str text, str doing)
