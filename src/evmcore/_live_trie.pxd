"""A Merkle-Patricia trie that is kept and changed: its root costs what changed since it was asked for last.

Keys are of 32 bytes, as hashes are. Branches that have one way only are folded into the node below. Every node keeps what
its parent holds of it, until something below it changes. Nothing here touches Python objects; one thread at a time changes a
trie, `live_root` uses several.
"""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t
from evmcore._rlp cimport Buffer
from evmcore._trie_nodes cimport Reference

cdef struct LiveNode:
    Reference reference           # what the parent holds; of size 0: to be made anew
    uint8_t depth                 # nibbles that the keys below have in common; of a leaf: 64
    uint8_t[32] key               # of a leaf; of a branch: any that begins as those below do

cdef struct LiveTrie

cdef struct LiveLeaf:
    LiveNode node
    LiveTrie* below               # the trie of which the value names the root, where the caller hangs one; the leaf owns it
    uint8_t value_size
    uint8_t[1] value              # so many bytes as it has

cdef struct LiveBranch:
    LiveNode node
    LiveNode* children[16]

cdef struct LiveTrie:             # all zero: empty
    LiveNode* root
    size_t bytes                  # of its nodes, without tries below

cdef void live_free(LiveTrie* trie) noexcept nogil                       # what it holds, not the struct
cdef size_t live_bytes(const LiveTrie* trie) noexcept nogil              # with the tries below

cdef LiveLeaf* live_find(const LiveTrie* trie, const uint8_t* key) noexcept nogil        # NULL: not there

# `size`: from 1 to 255. NULL: no memory, and nothing has changed.
cdef LiveLeaf* live_put(LiveTrie* trie, const uint8_t* key, const uint8_t* value, size_t size) noexcept nogil
cdef void live_remove(LiveTrie* trie, const uint8_t* key) noexcept nogil

# The root, 32 bytes. False: no memory, or the flag `stop`, which may be NULL, was raised; it may be asked for again.
cdef bint live_root(LiveTrie* trie, unsigned int threads, const uint32_t* stop, uint8_t* root) noexcept nogil

# Adds to `record` (see `_trie_record`) the nodes that prove what is at the key or that nothing is, from the root on. False: as
# for the root.
cdef bint live_proof(LiveTrie* trie, const uint8_t* key, const uint32_t* stop, Buffer* record) noexcept nogil
