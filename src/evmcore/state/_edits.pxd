"""Changes of a native store that users ask for one by one, and its snapshots. The caller holds the write lock."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t
from evmcore._u256 cimport u256
from evmcore.state._store cimport Store
from evmcore.state._tables cimport Slot

# One change, with all its arguments as C data, borrowed.
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
    bint set_nonce                # EDIT_ACCOUNT: the fields to set; others stay, or are empty if the account is new
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
    uint64_t number               # of the block, or of the snapshot: set by EDIT_SNAPSHOT, given for the others
    const uint8_t* hash           # NULL: remove it

cdef enum EditOutcome:
    EDIT_DONE = 0
    EDIT_INSIDE_READ              # the lock was refused
    EDIT_NO_MEMORY
    EDIT_NO_SNAPSHOT

# Snapshots first to last that represent the same state: the one at this length of the journal.
cdef struct SnapshotRange:
    uint64_t first
    uint64_t last
    size_t position

# All snapshots of a store, oldest first. They nest: reverting to one drops the later ones. Numbers are never used again.
cdef struct Snapshots:
    SnapshotRange* ranges
    size_t count
    size_t capacity
    uint64_t next                 # number; not zero

# Makes the change, or nothing if it cannot be made.
cdef EditOutcome edit_store(Store* store, Snapshots* snapshots, Edit* edit) noexcept nogil
