"""Roots and proofs of Merkle-Patricia tries (yellow paper, appendix D), bottom-up from sorted keys.

No node is kept: a trie is a sorted array of items, and one pass over it gives the root. Nothing here touches Python
objects but the functions for Python at the end of the module.
"""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from evmcore._rlp cimport Buffer
from evmcore._u256 cimport u256

cdef enum:
    MAX_KEY_SIZE = 64             # bytes; bounds the recursion to twice that many levels

# A key and what is stored under it, both borrowed. Sizes are those of the bytes they point at.
cdef struct TrieItem:
    const uint8_t* key
    const uint8_t* value          # at least one byte
    uint32_t key_size             # at most MAX_KEY_SIZE
    uint32_t value_size

# The root of the items, 32 bytes; that of the empty trie when there are none. The keys are distinct, in any order; the
# items are sorted in place. False when memory ran out.
cdef bint trie_root(TrieItem* items, size_t count, uint8_t* root) noexcept nogil

# The same on several threads: the leaves, where most of the hashing is, are made first, each by itself.
cdef bint trie_root_threaded(TrieItem* items, size_t count, unsigned int threads, uint8_t* root) noexcept nogil

# Collects accounts, then gives their state root. All zero is an empty one.
cdef struct StateTrie:
    Buffer leaves                 # per account: hashed address, then size and bytes of its RLP
    Buffer items                  # TrieItem: first the account's slots, in the end the accounts
    Buffer slots                  # per slot of the account at hand: hashed key, RLP of the value
    Buffer scratch
    size_t count

# Adds an account. `slots` are pairs of key and value, one after the other, in any order; pairs whose value is zero are
# passed over. False when memory ran out. The address must not have been added before.
cdef bint state_trie_add(StateTrie* trie, const uint8_t* address, uint64_t nonce, const u256* balance, const uint8_t* code_hash, const u256* slots, size_t slot_count) noexcept nogil

# The state root, 32 bytes. False when memory ran out.
cdef bint state_trie_root(StateTrie* trie, uint8_t* root) noexcept nogil

cdef void state_trie_free(StateTrie* trie) noexcept nogil
