"""Replies to a request where they lie: looked at natively, or given as Python objects one by one."""
from libc.stddef cimport size_t
from libcpp.vector cimport vector
from evmcore.state._wire cimport Connection, Node

cdef class Replies:
    cdef Connection connection
    cdef vector[size_t] starts    # of each reply, in the nodes

    cdef const Node* node(self, size_t reply) noexcept        # and its elements behind it, when it is an array
    cdef const char* bytes_of(self, const Node* node) noexcept
