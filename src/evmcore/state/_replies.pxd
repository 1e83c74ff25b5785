"""Replies to a request in their buffer: read natively, or converted to Python objects one by one."""
from libc.stddef cimport size_t
from libcpp.vector cimport vector
from evmcore.state._wire cimport Connection, Node

cdef class Replies:
    cdef Connection connection
    cdef vector[size_t] starts    # the index of each reply in the nodes

    cdef const Node* node(self, size_t reply) noexcept        # followed by its elements if it is an array
    cdef const char* bytes_of(self, const Node* node) noexcept
