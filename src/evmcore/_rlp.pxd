"""RLP for native code: sizes first, then one pass that writes; all inline, no module of its own.

A writer takes a pointer to write at and returns the pointer after the written bytes. Callers reserve room by the sizes.
"""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy
from evmcore._u256 cimport u256, u_byte_len, u_to_be

cdef enum RlpBase:
    RLP_STRING = 0x80
    RLP_LIST = 0xc0


cdef inline size_t uint_byte_len(uint64_t value) noexcept nogil:
    """Bytes of a number without leading zeros; 0 for zero."""
    cdef size_t size = 0
    while value:
        size += 1
        value >>= 8
    return size


cdef inline size_t rlp_header_size(size_t payload) noexcept nogil:
    """The header size of a list, or of a string that is not its own encoding."""
    return 1 if payload < 56 else 1 + uint_byte_len(payload)


cdef inline uint8_t* rlp_put_header(uint8_t* at, RlpBase base, size_t payload) noexcept nogil:
    cdef size_t size, i
    if payload < 56:
        at[0] = <uint8_t>(<size_t>base + payload)
        return at + 1
    size = uint_byte_len(payload)
    at[0] = <uint8_t>(<size_t>base + 55 + size)
    for i in range(size):
        at[1 + i] = <uint8_t>(payload >> (8 * (size - 1 - i)))
    return at + 1 + size


cdef inline size_t rlp_bytes_size(const uint8_t* data, size_t size) noexcept nogil:
    return 1 if size == 1 and data[0] < 0x80 else rlp_header_size(size) + size


cdef inline uint8_t* rlp_put_bytes(uint8_t* at, const uint8_t* data, size_t size) noexcept nogil:
    if size == 1 and data[0] < 0x80:
        at[0] = data[0]
        return at + 1
    at = rlp_put_header(at, RLP_STRING, size)
    if size:
        memcpy(at, data, size)
    return at + size


cdef inline size_t rlp_uint_size(uint64_t value) noexcept nogil:
    return 1 if value < 0x80 else 1 + uint_byte_len(value)


cdef inline uint8_t* rlp_put_uint(uint8_t* at, uint64_t value) noexcept nogil:
    cdef size_t size, i
    if value != 0 and value < 0x80:
        at[0] = <uint8_t>value
        return at + 1
    size = uint_byte_len(value)
    at[0] = <uint8_t>(0x80 + size)
    for i in range(size):
        at[1 + i] = <uint8_t>(value >> (8 * (size - 1 - i)))
    return at + 1 + size


cdef inline size_t rlp_u256_size(const u256* value) noexcept nogil:
    cdef size_t size = <size_t>u_byte_len(value)
    return 1 if size == 0 or (size == 1 and value.w[0] < 0x80) else 1 + size


cdef inline uint8_t* rlp_put_u256(uint8_t* at, const u256* value) noexcept nogil:
    cdef uint8_t[32] word
    cdef size_t size = <size_t>u_byte_len(value)
    u_to_be(word, value)
    return rlp_put_bytes(at, word + 32 - size, size)


# A growable byte buffer. A zeroed one is empty.
cdef struct Buffer:
    uint8_t* data
    size_t size
    size_t capacity


cdef inline uint8_t* buffer_reserve(Buffer* buffer, size_t size) noexcept nogil:
    """A pointer for the next `size` bytes, valid until the next call; NULL: memory ran out. Does not change the size."""
    cdef size_t capacity
    cdef uint8_t* data
    if size > buffer.capacity - buffer.size:
        capacity = buffer.size + size
        capacity += capacity // 2 + 64
        data = <uint8_t*>realloc(buffer.data, capacity)
        if data == NULL:
            return NULL
        buffer.data = data
        buffer.capacity = capacity
    return buffer.data + buffer.size


cdef inline void buffer_free(Buffer* buffer) noexcept nogil:
    free(buffer.data)
    buffer.data = NULL
    buffer.size = 0
    buffer.capacity = 0
