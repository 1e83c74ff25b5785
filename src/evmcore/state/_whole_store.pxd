"""What takes time in proportion to a whole store: its copy, its root. The caller holds whatever lock is needed."""
from libc.stdint cimport uint8_t, uint32_t
from evmcore.state._store cimport Store

# `to` is initialised and empty; the journal is not copied. False: no memory.
cdef bint store_copy(Store* to, const Store* source) noexcept nogil

# The 32-byte state root, on at most so many threads. False: no memory, or the flag `stop`, which may be NULL, was raised.
cdef bint store_root(const Store* store, unsigned int threads, const uint32_t* stop, uint8_t* root) noexcept nogil
