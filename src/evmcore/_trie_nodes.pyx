"""Nodes of Merkle-Patricia tries; see `_trie_nodes.pxd`."""
from libc.string cimport memcpy

from evmcore._hash cimport keccak256
from evmcore._rlp cimport RLP_LIST, buffer_reserve, rlp_bytes_size, rlp_header_size, rlp_put_bytes, rlp_put_header

cdef uint8_t EXTENSION = 0, LEAF = 0x20, ODD = 0x10


cdef size_t hex_prefix(uint8_t* out, const uint8_t* key, uint32_t first, uint32_t end, uint8_t flag) noexcept nogil:
    """Appendix C: nibbles `first` to `end` with a flag in front. Returns the bytes written."""
    cdef size_t size = 1
    out[0] = flag
    if (end - first) & 1:
        out[0] |= ODD | nibble(key, first)
        first += 1
    while first < end:
        out[size] = <uint8_t>(nibble(key, first) << 4 | nibble(key, first + 1))
        size += 1
        first += 2
    return size


cdef uint8_t* begin_node(Buffer* node, size_t payload) noexcept nogil:
    """Writes the list header and returns the pointer for the payload, for which there is room; NULL: no memory."""
    cdef uint8_t* at
    node.size = 0
    at = buffer_reserve(node, rlp_header_size(payload) + payload)
    if at == NULL:
        return NULL
    node.size = rlp_header_size(payload) + payload
    return rlp_put_header(at, RLP_LIST, payload)


cdef bint put_leaf(
    Buffer* node, const uint8_t* key, uint32_t first, uint32_t end, const uint8_t* value, size_t size
) noexcept nogil:
    cdef uint8_t[MAX_KEY_SIZE + 1] path
    cdef size_t path_size = hex_prefix(path, key, first, end, LEAF)
    cdef uint8_t* at = begin_node(node, rlp_bytes_size(path, path_size) + rlp_bytes_size(value, size))
    if at == NULL:
        return False
    rlp_put_bytes(rlp_put_bytes(at, path, path_size), value, size)
    return True


cdef bint put_extension(Buffer* node, const uint8_t* key, uint32_t first, uint32_t end, const Reference* child) noexcept nogil:
    cdef uint8_t[MAX_KEY_SIZE + 1] path
    cdef size_t path_size = hex_prefix(path, key, first, end, EXTENSION)
    cdef uint8_t* at = begin_node(node, rlp_bytes_size(path, path_size) + child.size)
    if at == NULL:
        return False
    memcpy(rlp_put_bytes(at, path, path_size), child.data, child.size)
    return True


cdef bint put_branch(Buffer* node, const Reference* children, const uint8_t* value, size_t size) noexcept nogil:
    cdef size_t payload = rlp_bytes_size(value, size) if size else 1
    cdef int child
    cdef uint8_t* at
    for child in range(16):
        payload += children[child].size
    at = begin_node(node, payload)
    if at == NULL:
        return False
    for child in range(16):
        memcpy(at, children[child].data, children[child].size)
        at += children[child].size
    if size:
        rlp_put_bytes(at, value, size)
    else:
        at[0] = EMPTY_NODE
    return True


cdef void refer(const Buffer* node, Reference* reference) noexcept nogil:
    if node.size < 32:
        reference.size = <uint8_t>node.size
        memcpy(reference.data, node.data, node.size)
    else:
        reference.size = 33
        reference.data[0] = 0xa0
        keccak256(node.data, node.size, reference.data + 1)


cdef void no_children(Reference* children) noexcept nogil:
    cdef int child
    for child in range(16):
        children[child].size = 1
        children[child].data[0] = EMPTY_NODE
