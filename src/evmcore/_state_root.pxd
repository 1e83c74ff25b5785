"""The root of the state trie (yellow paper, section 4.1), from all accounts and their storage, on several threads."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from evmcore._u256 cimport u256

# An account of a state trie; its pointers are borrowed.
cdef struct StateAccount:
    const uint8_t* address
    const u256* balance
    const uint8_t* code_hash
    const u256* slots             # pairs of key and value, in any order; pairs with a value of zero are skipped
    size_t slot_count
    uint64_t nonce

# A leaf of the state trie.
cdef struct StateLeaf:
    uint8_t[32] key               # hashed address
    uint8_t size
    uint8_t[119] value            # RLP: header 2, nonce 9, balance 33, two hashes of 33

# Writes the leaf's value. `storage_root`: of the account's storage, 32 bytes.
cdef void put_state_leaf(
    StateLeaf* leaf, uint64_t nonce, const u256* balance, const uint8_t* storage_root, const uint8_t* code_hash
) noexcept nogil

# The state root of accounts with distinct addresses, 32 bytes, on at most `threads` threads. False: memory ran out, or the flag
# `stop`, which may be NULL, was set.
cdef bint state_root_of(
    const StateAccount* accounts, size_t count, unsigned int threads, const uint32_t* stop, uint8_t* root
) noexcept nogil
