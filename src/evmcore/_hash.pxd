"""Keccak-256, one copy for all compiled modules."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t

cdef void keccak256(const uint8_t* data, size_t size, uint8_t* digest) noexcept nogil   # digest: 32 bytes; may not alias data
cdef void keccak256_64(const uint8_t* data, uint8_t* digest) noexcept nogil             # exactly 64 bytes in: mapping slots
