"""How nodes of Merkle-Patricia tries are encoded (yellow paper, appendices C and D)."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t
from evmcore._rlp cimport Buffer

cdef enum:
    MAX_KEY_SIZE = 64             # bytes
    EMPTY_NODE = 0x80             # the encoding of no node

# What a parent holds of a child: the child's encoding where it is shorter than 32 bytes, else the hash as a string.
cdef struct Reference:
    uint8_t size
    uint8_t[33] data


cdef inline uint8_t nibble(const uint8_t* key, uint32_t index) noexcept nogil:
    return key[index >> 1] & 15 if index & 1 else key[index >> 1] >> 4


cdef inline uint32_t common_nibbles(const uint8_t* a, const uint8_t* b, uint32_t first, uint32_t end) noexcept nogil:
    """Up to where two keys agree that do so up to `first`; `end` at most."""
    while first < end and nibble(a, first) == nibble(b, first):
        first += 1
    return first


# Each writes a node from the start of the buffer and sets its size; false: no memory. A leaf and an extension have the
# nibbles `first` to `end` of the key, which has at most MAX_KEY_SIZE bytes.
cdef bint put_leaf(
    Buffer* node, const uint8_t* key, uint32_t first, uint32_t end, const uint8_t* value, size_t size
) noexcept nogil
cdef bint put_extension(Buffer* node, const uint8_t* key, uint32_t first, uint32_t end, const Reference* child) noexcept nogil
# `children`: 16. `value`: of the key that ends there; `size` 0: none does.
cdef bint put_branch(Buffer* node, const Reference* children, const uint8_t* value, size_t size) noexcept nogil

cdef void refer(const Buffer* node, Reference* reference) noexcept nogil
cdef void no_children(Reference* children) noexcept nogil
