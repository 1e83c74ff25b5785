"""The cache of a chain's state in this process, with its recent history.

`include/cache/` has the implementation (state_cache.h says why it is exact); this is its Python interface.
"""
from libc.stdint cimport uint32_t
from evmcore.state._cache_native cimport Follower, StateCache

# Stops following a feed, from another thread.
cdef class Stop:
    cdef uint32_t flag

cdef class Cache:
    cdef StateCache* cache
    cdef Follower* follower
    cdef readonly bint complete                   # an account without a key does not exist
    cdef readonly bytes feed
    cdef object __weakref__
