"""Nodes of a trie on the path to a key, for a proof: one after the other in a buffer, each preceded by its size; inline."""
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stddef cimport size_t
from libc.string cimport memcpy
from evmcore._rlp cimport Buffer, buffer_reserve


cdef inline bint record_put(Buffer* record, const Buffer* node, bint is_root) noexcept nogil:
    """Records the node, unless it is inside its parent, as are all nodes shorter than a hash. False: no memory."""
    cdef size_t size = node.size
    if size < 32 and not is_root:
        return True
    at = buffer_reserve(record, sizeof(size_t) + size)
    if at == NULL:
        return False
    memcpy(at, &size, sizeof(size_t))
    memcpy(at + sizeof(size_t), node.data, size)
    record.size += sizeof(size_t) + size
    return True


cdef inline list record_nodes(const Buffer* record):
    cdef list nodes = []
    cdef size_t at = 0, size
    while at < record.size:
        memcpy(&size, record.data + at, sizeof(size_t))
        at += sizeof(size_t)
        nodes.append(PyBytes_FromStringAndSize(<const char*>record.data + at, size))
        at += size
    return nodes
