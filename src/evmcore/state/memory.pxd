"""State in this process's memory: native tables behind a reader-writer lock, with snapshots."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t
from libcpp cimport bool as cbool
from evmcore._u256 cimport u256
from evmcore.state._reader cimport Backend
from evmcore.state._store cimport Row, Store
from evmcore.state._tables cimport Slot

cdef extern from "include/shared_lock.h" namespace "evmcore" nogil:
    cdef cppclass SharedLock:
        SharedLock() except +
        void begin_read() noexcept
        void end_read() noexcept
        cbool begin_write() noexcept
        void end_write() noexcept

# One change to make under the write lock, with everything it needs as C data.
cdef enum EditKind:
    EDIT_ACCOUNT
    EDIT_REMOVE
    EDIT_BLOCK_HASH
    EDIT_SNAPSHOT
    EDIT_REVERT
    EDIT_DISCARD

cdef struct Edit:
    EditKind kind
    const uint8_t* address
    bint set_nonce                # EDIT_ACCOUNT: which fields; the others stay, or are empty when the account is new
    bint set_balance
    bint set_code
    bint wipe
    uint64_t nonce
    u256 balance
    const uint8_t* code_hash      # NULL: no code
    const uint8_t* code           # NULL: only the hash is known
    size_t code_size
    const Slot* slots
    size_t slot_count
    uint64_t number               # of the block, or of the snapshot
    const uint8_t* hash           # NULL: forget it

# Snapshots first to last that stand for the same state: the one at this length of the journal.
cdef struct SnapshotRange:
    uint64_t first
    uint64_t last
    size_t position

cdef enum EditOutcome:
    EDIT_DONE
    EDIT_INSIDE_READ
    EDIT_NO_MEMORY
    EDIT_NO_SNAPSHOT

cdef class MemoryState(Backend):
    cdef Store store
    cdef SharedLock* lock
    cdef SnapshotRange* snapshots
    cdef size_t snapshot_count
    cdef size_t snapshot_capacity
    cdef uint64_t next_snapshot

    cdef int edit(self, Edit* edit) except -1
    cdef EditOutcome edit_locked(self, Edit* edit) noexcept nogil
    cdef bint edit_account(self, const Edit* edit) noexcept nogil
    cdef EditOutcome take_snapshot(self, Edit* edit) noexcept nogil
    cdef EditOutcome return_to(self, const Edit* edit) noexcept nogil
    cdef int put_account(self, bytes address, object entry) except -1
    cdef int apply_direction(self, object diff, bint backward, uint8_t* root_meanwhile, unsigned int threads) except -1
    cdef object row_account(self, const Row* row)
