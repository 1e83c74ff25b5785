"""The changes in Redis that a block's state diff makes, natively: from the diff and the stored values to a `ChangeSet`.

The stored values must be those that the diff starts from; otherwise `StateError` names the account or slot that differs,
with both values. For every account the record and the number of slots are compared. Slots are compared as many as
requested, chosen at random; all slots are compared for accounts known in part, and for those whose storage is destroyed.

Most accounts of a block stay, are known completely, and keep their generation: the feed entry for their slots then follows
from the diff alone. It is encoded while the server reads the values to compare (`foresee`). If an account turns out to
be different (`answered`), the encoding is discarded.
"""
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libcpp.vector cimport vector
from evmcore._diff cimport StateDiff
from evmcore._diff_data cimport AccountChange, SlotChange
from evmcore._u256 cimport u256
from evmcore.state._cache_native cimport AccountRecord
from evmcore.state._changes cimport ChangedAccount, ChangedSlot, ChangeSet, SlotValue
from evmcore.state._replies cimport Replies
from evmcore.state._requests cimport Request
from evmcore.state._wire cimport Node

# The way in which an account's storage was requested.
cdef enum Asked:
    NOTHING
    COUNT                         # HLEN, and HMGET if some slots are chosen
    WHOLE                         # HGETALL

# An account of the diff: its change (NULL: only slots change), its changed slots, and its stored values.
cdef struct Touched:
    const uint8_t* address
    const AccountChange* change
    size_t first_slot
    size_t slot_count
    bint tracked                  # it is stored, or the state holds every account
    AccountRecord record
    Asked asked
    uint32_t asked_generation
    bint asked_all                # every changed slot was requested
    size_t reply                  # the first reply about its storage
    bint foreseen                 # its slots are encoded in the changes already
    size_t foreseen_slot
    size_t foreseen_count
    int64_t growth                # by how many its number of slots grows

cdef class Plan:
    cdef StateDiff diff
    cdef bytes prefix
    cdef vector[Touched] touched
    cdef vector[uint8_t] chosen   # per slot of the diff: whether to compare it
    cdef bint complete            # the state holds every account
    cdef ChangeSet changes

    cdef int group(self) except -1
    cdef void choose(self, size_t count, uint64_t seed) noexcept
    cdef int check_fields(self, const Touched* account) except -1
    cdef int64_t slots_of_diff(self, const Touched* account) except? -1
    cdef const Node* stored_values(self, const Touched* account, Replies replies) except? NULL
    cdef int compare_chosen(self, const Touched* account, const Node* value, Replies replies) except -1
    cdef bint is_destroyed(self, const Touched* account) noexcept
    cdef int account(self, const Touched* account, Replies replies) except -1
    cdef int slots_changed(self, const Touched* account, Replies replies, ChangedAccount* changed) except -1
    cdef int slots_destroyed(self, const Touched* account, Replies replies, ChangedAccount* changed) except -1
    cdef int stored_value(
        self, const Touched* account, const u256* key, const Node* node, Replies replies, SlotValue* out
    ) except -1
    cdef int lost(self, const Touched* account, uint64_t count) except -1
    cdef int other_value(self, const Touched* account, const SlotChange* slot, const u256* found) except -1
    cdef bytes key(self, const Touched* account, uint32_t generation)
