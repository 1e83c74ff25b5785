"""The state trie of a store, kept from one root to the next: each costs what changed since the one before."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t
from evmcore._live_trie cimport LiveTrie
from evmcore.state._store cimport Store

cdef struct KeptTrie:             # all zero: none is kept
    LiveTrie accounts             # below each account's leaf the trie of its storage, if it has any
    bint asked                    # for a root, once; whoever asks again will go on asking

# The 32-byte root of the store, on at most so many threads. The first is computed from the store alone, as is one before
# which more has changed than could be noted; from the second on the trie is kept. The caller keeps the store from changing,
# and others away from the trie. False: no memory, or the flag `stop` was raised.
cdef bint kept_root(KeptTrie* kept, Store* store, unsigned int threads, const uint32_t* stop, uint8_t* root) noexcept nogil

# Keeps the trie from now on, where it was not kept already, and brings it to where the store is. As above.
cdef bint kept_ready(KeptTrie* kept, Store* store, unsigned int threads, const uint32_t* stop) noexcept nogil
cdef void kept_free(KeptTrie* kept) noexcept nogil
