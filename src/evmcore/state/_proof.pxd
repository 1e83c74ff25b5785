"""Merkle proofs of an account and its slots (EIP-1186), from the kept trie of a store."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from evmcore._rlp cimport Buffer
from evmcore._u256 cimport u256
from evmcore.state._kept_trie cimport KeptTrie
from evmcore.state._store cimport Store

cdef struct SlotProof:
    u256 key
    u256 value
    Buffer nodes                  # see `_trie_record`

cdef struct AccountProof:
    uint8_t[20] address
    uint64_t nonce                # an absent account has the values of an empty one
    u256 balance
    uint8_t[32] code_hash
    uint8_t[32] storage_root
    Buffer nodes
    SlotProof* slots
    size_t slot_count

# Prepares a proof, which the caller frees by `proof_free`. `slots`: numbers below 2**256.
cdef int proof_init(AccountProof* proof, bytes address, list slots) except -1
cdef void proof_free(AccountProof* proof) noexcept nogil

# Conditions as for `kept_root`. False: no memory, or the flag `stop` was set.
cdef bint prove(KeptTrie* kept, Store* store, AccountProof* proof, const uint32_t* stop) noexcept nogil

# The answer of eth_getProof; keys as the shortest hexadecimal numbers.
cdef dict proof_json(const AccountProof* proof)
