"""Roots and proofs of Merkle-Patricia tries (yellow paper, appendix D), bottom-up from sorted keys.

No node is kept: a trie is a sorted array of items, and one pass over it gives the root. Nothing here touches Python
objects; `trie` is the Python interface.
"""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t
from evmcore._rlp cimport Buffer

# A key and its value, both borrowed. Sizes are in bytes.
cdef struct TrieItem:
    const uint8_t* key
    const uint8_t* value          # at least one byte
    uint32_t key_size             # at most _trie_nodes.MAX_KEY_SIZE
    uint32_t value_size

# The root of the items, 32 bytes; without items the root of the empty trie. The keys are distinct, in any order; the items
# are sorted in place. False: memory ran out, or the flag `stop`, which may be NULL, was set.
cdef bint trie_root(TrieItem* items, size_t count, const uint32_t* stop, uint8_t* root) noexcept nogil
# The same, with the caller's buffer for the nodes, which can be reused for many tries.
cdef bint trie_root_with(
    TrieItem* items, size_t count, Buffer* scratch, const uint32_t* stop, uint8_t* root
) noexcept nogil

# The same on several threads, which each take one child of the root; if the keys are not spread evenly, single leaves first.
cdef bint trie_root_threaded(
    TrieItem* items, size_t count, unsigned int threads, const uint32_t* stop, uint8_t* root
) noexcept nogil

# The encoded nodes on the path to `key`, which need not be in the trie, each preceded by its size (a size_t), the deepest
# first. Nodes that are inside their parents are left out. False: memory ran out.
cdef bint trie_proof(
    TrieItem* items, size_t count, const uint8_t* key, uint32_t key_size, Buffer* record
) noexcept nogil
