"""A Merkle-Patricia trie that is kept and changed: computing its root costs only what changed since the last root.

Keys are hashes of 32 bytes. A branch with one child is folded into the node below. Every node keeps its reference, the part
that its parent contains, until something below the node changes. Nothing here touches Python objects. Only one thread at a
time may change a trie; `live_root` uses several.
"""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t
from evmcore._rlp cimport Buffer
from evmcore._trie_nodes cimport Reference

cdef struct LiveNode:
    Reference reference           # the part that the parent contains; of size 0: must be computed again
    uint8_t depth                 # number of nibbles that the keys below have in common; leaf: 64
    uint8_t[32] key               # leaf: its key; branch: any key with the common nibbles of the keys below

cdef struct LiveTrie

cdef struct LiveLeaf:
    LiveNode node
    LiveTrie* below               # the trie whose root is part of the value, if the caller sets one; owned by the leaf
    uint8_t value_size
    uint8_t[1] value              # `value_size` bytes

cdef struct LiveBranch:
    LiveNode node
    LiveNode* children[16]

cdef struct LiveTrie:             # all zero: empty
    LiveNode* root
    size_t bytes                  # of its nodes, without the tries below leaves

cdef void live_free(LiveTrie* trie) noexcept nogil                       # frees the nodes, not the struct
cdef size_t live_bytes(const LiveTrie* trie) noexcept nogil              # with the tries below

cdef LiveLeaf* live_find(const LiveTrie* trie, const uint8_t* key) noexcept nogil        # NULL: the key is not in the trie

# `size`: from 1 to 255. NULL: no memory, and nothing has changed.
cdef LiveLeaf* live_put(LiveTrie* trie, const uint8_t* key, const uint8_t* value, size_t size) noexcept nogil
cdef void live_remove(LiveTrie* trie, const uint8_t* key) noexcept nogil

# The root, 32 bytes. False: no memory, or the flag `stop`, which may be NULL, was set; the call may be repeated.
cdef bint live_root(LiveTrie* trie, unsigned int threads, const uint32_t* stop, uint8_t* root) noexcept nogil

# Adds to `record` (see `_trie_record`) the nodes, from the root on, that prove the value at the key or its absence. False: as
# for `live_root`.
cdef bint live_proof(LiveTrie* trie, const uint8_t* key, const uint32_t* stop, Buffer* record) noexcept nogil
