"""The cache of a chain's state in this process, with its recent history.

`include/cache/` holds the mechanics (state_cache.h says why it is exact); here they get a Python face.
"""
from evmcore.state._cache_native cimport Follower, StateCache

# Ends the following of a feed from another thread.
cdef class Stop:
    cdef int flag

cdef class Cache:
    cdef StateCache* cache
    cdef Follower* follower
    cdef readonly bint complete                   # an account without a key does not exist
    cdef readonly bytes feed
    cdef object __weakref__
