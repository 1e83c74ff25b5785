"""The tables of the native store: storage slots of one account, codes by hash, block hashes by number.

A zeroed table is empty. A function that adds something returns false (or NULL) if memory ran out; nothing is then
changed.
"""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from evmcore._u256 cimport u256

cdef inline bint too_full(uint64_t count, uint64_t capacity) noexcept nogil:
    return count * 4 > capacity * 3

# ---- storage: only slots that are not zero are kept
cdef struct Slot:
    u256 key
    u256 value                    # zero: the cell is free

cdef struct SlotTable:
    Slot* cells                   # open-addressed; NULL until the first slot is added
    uint32_t mask
    uint32_t count

cdef const u256* slot_find(const SlotTable* table, const u256* key) noexcept nogil       # NULL: zero
cdef bint slot_set(SlotTable* table, const u256* key, const u256* value) noexcept nogil

# ---- codes: kept while there are references
cdef struct StoredCode:
    uint32_t refs
    uint32_t size
    uint8_t* data                 # NULL: only the hash is known
    uint8_t[32] hash              # Keccak-256 of the data

cdef struct CodeTable:
    StoredCode** cells            # open-addressed by hash; NULL until the first code is added
    uint64_t mask
    uint64_t count

# borrowed; NULL: not in the table
cdef StoredCode* codes_find(const CodeTable* table, const uint8_t* code_hash) noexcept nogil
# new reference; data NULL: only the hash is known
cdef StoredCode* codes_add(CodeTable* table, const uint8_t* code_hash, const uint8_t* data, size_t size) noexcept nogil
cdef void codes_release(CodeTable* table, StoredCode* code) noexcept nogil               # NULL is allowed
cdef void codes_free(CodeTable* table) noexcept nogil

# ---- block hashes
cdef struct BlockHash:
    uint64_t number
    uint8_t[32] hash

cdef struct BlockHashes:
    BlockHash* entries            # sorted by number
    size_t count
    size_t capacity

cdef const uint8_t* hashes_find(const BlockHashes* hashes, uint64_t number) noexcept nogil    # NULL: not known
cdef bint hashes_set(BlockHashes* hashes, uint64_t number, const uint8_t* hash) noexcept nogil   # NULL: remove it
