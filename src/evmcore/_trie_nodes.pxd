"""The encoding of nodes of Merkle-Patricia tries (yellow paper, appendices C and D)."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t
from evmcore._rlp cimport Buffer

cdef enum:
    MAX_KEY_SIZE = 64             # bytes
    EMPTY_NODE = 0x80             # the encoding of no node

# A parent's reference to a child: the child's encoding if it is shorter than 32 bytes, else its hash as a string.
cdef struct Reference:
    uint8_t size
    uint8_t[33] data


cdef inline uint8_t nibble(const uint8_t* key, uint32_t index) noexcept nogil:
    return key[index >> 1] & 15 if index & 1 else key[index >> 1] >> 4


cdef inline uint32_t common_nibbles(const uint8_t* a, const uint8_t* b, uint32_t first, uint32_t end) noexcept nogil:
    """The number of nibbles, at most `end`, in which two keys agree; they are known to agree in the first `first`."""
    while first < end and nibble(a, first) == nibble(b, first):
        first += 1
    return first


# Each function writes a node to the start of the buffer and sets its size; false: no memory. A leaf and an extension have
# the nibbles `first` to `end` of the key, which has at most MAX_KEY_SIZE bytes.
cdef bint put_leaf(
    Buffer* node, const uint8_t* key, uint32_t first, uint32_t end, const uint8_t* value, size_t size
) noexcept nogil
cdef bint put_extension(Buffer* node, const uint8_t* key, uint32_t first, uint32_t end, const Reference* child) noexcept nogil
# `children`: 16 references. `value`: of the key that ends at the branch; `size` 0: no key does.
cdef bint put_branch(Buffer* node, const Reference* children, const uint8_t* value, size_t size) noexcept nogil

cdef void refer(const Buffer* node, Reference* reference) noexcept nogil
cdef void no_children(Reference* children) noexcept nogil
