"""Roots and proofs of Merkle-Patricia tries (yellow paper, appendix D), bottom-up from sorted keys.

No node is kept: a trie is a sorted array of items, and one pass over it gives the root. Nothing here touches Python
objects; `trie` is the room that takes and gives them.
"""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t
from evmcore._rlp cimport Buffer

# A key and what is stored under it, both borrowed. Sizes are those of the bytes they point at.
cdef struct TrieItem:
    const uint8_t* key
    const uint8_t* value          # at least one byte
    uint32_t key_size             # at most _trie_nodes.MAX_KEY_SIZE
    uint32_t value_size

# The root of the items, 32 bytes; that of the empty trie when there are none. The keys are distinct, in any order; the
# items are sorted in place. False when memory ran out, or the flag `stop`, which may be NULL, was raised.
cdef bint trie_root(TrieItem* items, size_t count, const uint32_t* stop, uint8_t* root) noexcept nogil
# ... with memory of the caller's for the nodes, for many tries one after the other.
cdef bint trie_root_with(
    TrieItem* items, size_t count, Buffer* scratch, const uint32_t* stop, uint8_t* root
) noexcept nogil

# The same on several threads: each child of the root by itself, or, of keys that are not spread evenly, each leaf first.
cdef bint trie_root_threaded(
    TrieItem* items, size_t count, unsigned int threads, const uint32_t* stop, uint8_t* root
) noexcept nogil

# The encoded nodes on the way to `key`, which need not be there, each after its size (a size_t), the deepest first;
# those that are inside their parents are left out. False when memory ran out.
cdef bint trie_proof(
    TrieItem* items, size_t count, const uint8_t* key, uint32_t key_size, Buffer* record
) noexcept nogil
