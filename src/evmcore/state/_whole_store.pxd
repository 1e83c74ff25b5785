"""Operations that take time in proportion to a whole store: copy, root. The caller holds the required lock."""
from libc.stdint cimport uint8_t, uint32_t
from evmcore.state._store cimport Store

# `to` is initialised and empty; the journal is not copied. False: no memory.
cdef bint store_copy(Store* to, const Store* source) noexcept nogil

# The 32-byte state root, on at most `threads` threads. False: no memory, or the flag `stop`, which may be NULL, was set.
cdef bint store_root(const Store* store, unsigned int threads, const uint32_t* stop, uint8_t* root) noexcept nogil
