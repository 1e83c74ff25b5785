"""The native store behind `MemoryState`: accounts, their storage, codes, block hashes, and an undo journal.

Knows nothing of Python objects, threads or diffs: the caller holds the required lock. Invariants: a row exists if and only
if the account exists; only slots that are not zero are kept; a code is kept while a row or the journal refers to it.
A function that changes something returns false if memory ran out; nothing is then changed.
"""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from evmcore._state cimport StateReader
from evmcore._u256 cimport u256
from evmcore.state._tables cimport BlockHashes, CodeTable, SlotTable, StoredCode
from evmcore.state._touched cimport Touched

cdef struct Row:
    uint8_t[20] address
    bint used                     # false: on the free list
    uint64_t nonce                # of a free row: the number of the next free row
    u256 balance
    StoredCode* code              # NULL: no code
    SlotTable slots

cdef struct Undo                  # see _store.pyx

cdef struct Store:
    Row* rows                     # dense, in order of creation, except for reused rows
    uint32_t row_count            # rows ever used
    uint32_t row_capacity
    uint32_t free_row             # first of the free list, or NO_ROW
    uint32_t account_count        # rows in use
    uint64_t* index               # open-addressed: hash tag << 32 | row number + 1; zero: free
    uint64_t index_mask
    CodeTable codes               # references: one per row and per journal entry that has a code
    BlockHashes block_hashes
    Undo* journal
    size_t journal_count
    size_t journal_capacity
    uint32_t recording            # changes are journalled while this is not zero
    Touched touched               # accounts and slots that changed, for the kept trie

cdef bint store_init(Store* store) noexcept nogil
cdef void store_free(Store* store) noexcept nogil
cdef size_t store_memory(const Store* store) noexcept nogil              # bytes allocated
cdef void store_reader(Store* store, StateReader* reader) noexcept nogil # points the reader at the store

# ---- reading
# NULL: absent; valid until the next change
cdef Row* store_find(const Store* store, const uint8_t* address) noexcept nogil
cdef const uint8_t* row_code_hash(const Row* row) noexcept nogil                         # 32 bytes

# ---- changing
# creates the account if it is absent; takes its own reference to `code`
cdef bint store_put(
    Store* store, const uint8_t* address, uint64_t nonce, const u256* balance, StoredCode* code
) noexcept nogil
cdef bint store_remove(Store* store, const uint8_t* address) noexcept nogil               # with its storage
cdef bint store_wipe(Store* store, const uint8_t* address) noexcept nogil                 # its storage only
# the account must exist
cdef bint store_put_slot(Store* store, const uint8_t* address, const u256* key, const u256* value) noexcept nogil
# NULL: remove it
cdef bint store_put_block_hash(Store* store, uint64_t number, const uint8_t* hash) noexcept nogil

# ---- undo. Positions are lengths of the journal. Rewinding needs no memory and cannot fail.
cdef void store_rewind(Store* store, size_t position) noexcept nogil
cdef void store_keep_record(Store* store) noexcept nogil                  # journal changes from now on; nests
cdef void store_drop_record(Store* store) noexcept nogil                  # the last call clears the journal
