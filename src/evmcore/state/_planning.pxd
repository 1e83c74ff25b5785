"""What a block's state diff changes in Redis, natively: from the diff and what is stored, to a `ChangeSet`.

What is stored has to be what the diff starts from; where it is not, `StateError` says which account or slot differs, with
both values. Of every account the record and the number of slots are compared. Of slots, as many as are asked for, chosen
at random; of accounts that are known in part, and of those whose storage is destroyed, all.

Most accounts of a block stay, are known completely, and have the generation they had: what the feed says of their slots
follows from the diff alone. It is encoded while the server looks for what is compared (`foresee`); where it turns out
that an account is not such a one (`answered`), it is forgotten.
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

# How an account's storage was asked for.
cdef enum Asked:
    NOTHING
    COUNT                         # HLEN, and HMGET when some slots are chosen
    WHOLE                         # HGETALL

# An account of the diff: how it changes (NULL: only its slots do), its changed slots, and what is stored.
cdef struct Touched:
    const uint8_t* address
    const AccountChange* change
    size_t first_slot
    size_t slot_count
    bint tracked                  # it is there, or the state holds every account
    AccountRecord record
    Asked asked
    uint32_t asked_generation
    bint asked_all                # every changed slot
    size_t reply                  # the first one about its storage
    bint foreseen                 # its slots stand in the changes already
    size_t foreseen_slot
    size_t foreseen_count
    int64_t growth                # by how many slots it then has more

cdef class Plan:
    cdef StateDiff diff
    cdef bytes prefix
    cdef vector[Touched] touched
    cdef vector[uint8_t] chosen   # of the diff's slots: compare it
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
