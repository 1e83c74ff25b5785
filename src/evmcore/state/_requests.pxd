"""Requests of many commands as bytes, sent over a connection of ours, and their replies.

Commands are written one behind the other, from Python or natively, and sent in one piece. Replies become Python objects,
or are read natively in their buffer, `Connection.wire`.
"""
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint64_t
from evmcore.state._wire cimport Bytes, Connection

cdef extern from "include/cache/resp.h" namespace "evmcore::cache" nogil:
    void write_size(Bytes& out, char mark, uint64_t size) noexcept
    void write_command(Bytes& out, size_t parts) noexcept
    void write_part(Bytes& out, const void* bytes, size_t size) noexcept
    void write_key "evmcore::cache::write_part"(
        Bytes& out, const void* prefix, size_t prefix_size, const void* rest, size_t rest_size
    ) noexcept

cdef class Request:
    cdef Bytes out
    cdef size_t count             # commands
    cdef size_t sent              # bytes
    cdef readonly size_t answered     # commands whose replies were taken
    cdef Bytes part               # scratch for a long part of a command, whose size must be written before it

    # Begins a command with this number of parts, which `write_part` adds.
    cdef void command(self, size_t parts) noexcept nogil
    cdef size_t number(self, size_t* at) noexcept
    cdef bytes word(self, size_t* at)
    cdef void skip(self, size_t* at) noexcept

# The deadline, in monotonic nanoseconds, of a request of `size` bytes if each reply may take `timeout` seconds.
cdef int64_t deadline(double timeout, size_t size) noexcept
