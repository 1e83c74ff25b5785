"""The state trie of a store, kept from one root to the next: each root costs only the changes since the previous one."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t
from evmcore._live_trie cimport LiveTrie
from evmcore.state._store cimport Store

cdef struct KeptTrie:             # all zero: none is kept
    LiveTrie accounts             # below each account's leaf the trie of its storage, if it has any
    bint asked                    # a root was requested before; further requests are then to be expected

# The 32-byte root of the store, on at most `threads` threads. The first root is computed from the store alone, and so is a
# root before which more has changed than could be noted. From the second root on the trie is kept. The caller prevents
# changes of the store, and other uses of the trie, meanwhile. False: no memory, or the flag `stop` was set.
cdef bint kept_root(KeptTrie* kept, Store* store, unsigned int threads, const uint32_t* stop, uint8_t* root) noexcept nogil

# Keeps the trie from now on and brings it up to date with the store. Conditions and result as for `kept_root`.
cdef bint kept_ready(KeptTrie* kept, Store* store, unsigned int threads, const uint32_t* stop) noexcept nogil
cdef void kept_free(KeptTrie* kept) noexcept nogil
