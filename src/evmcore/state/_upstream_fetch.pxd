"""Asks a node for values that an incomplete state lacks. They hold at the reader's step, and are kept if the feed covers them."""
from libcpp.vector cimport vector
from evmcore.state._cache_native cimport StateKey
from evmcore.state._cache_reader cimport CacheReader, Fetcher

cdef class UpstreamFetcher(Fetcher):
    cdef int keep_codes_of(self, CacheReader view, object header, dict hashes) except -1
    cdef int keep_account(self, CacheReader view, StateKey& key, object account) except -1
    cdef int keep_slot(self, CacheReader view, StateKey& key, object given) except -1
