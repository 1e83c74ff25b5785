"""The changes of one feed entry, natively: the counterpart of `layout.Changes`, which `layout` documents.

Changes are encoded as field `d` of the entry; `_commands` writes the commands that make them in Redis.
"""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t
from libcpp cimport bool as cbool
from libcpp.vector cimport vector
from evmcore._u256 cimport u256
from evmcore.state._cache_native cimport AccountRecord
from evmcore.state._wire cimport Bytes

cdef extern from "include/cache/state_cache.h" namespace "evmcore::cache" nogil:
    cdef struct SlotValue:
        u256 value
        cbool known
    cdef struct ChangedAccount "evmcore::cache::AccountChange":
        uint8_t[20] address
        AccountRecord before
        AccountRecord after
        cbool wiped
        size_t first_slot
        size_t slot_count
    cdef struct ChangedSlot "evmcore::cache::SlotChange":
        u256 key
        SlotValue before
        SlotValue after

# Slots that were encoded before the rest was known: the position of their encoding.
cdef struct Section:
    size_t first_slot
    size_t at
    size_t size

cdef class ChangeSet:
    cdef vector[ChangedAccount] accounts      # addresses ascending
    cdef vector[ChangedSlot] slots            # of each account together, keys ascending
    cdef dict codes                           # hash -> code
    # Slots below `ahead` were foreseen (see `_planning`): their encoding is here.
    cdef size_t ahead
    cdef Bytes text
    cdef vector[Section] sections

    cdef void encode_ahead(self, size_t first_slot, size_t count) noexcept nogil
    cdef bint is_ahead(self, const ChangedAccount* account) noexcept nogil
    cdef int encode_into(self, Bytes& out) except -1
    cdef void encode_accounts(self, Bytes& out) noexcept nogil

cdef bint same_record(const AccountRecord* a, const AccountRecord* b) noexcept nogil
cdef void record_value(Bytes& out, const AccountRecord* record) noexcept nogil     # the value of an account's key
cdef void put_value(Bytes& out, const u256* value) noexcept nogil                  # a slot's value, as a part of a command
cdef enum:
    MOST_NAME = 40                # bytes
# The key of a storage hash; `prefix`: of the chain's keys. The second: the part behind `<prefix>:s:`, with its size.
cdef bytes storage_key(bytes prefix, const uint8_t* address, unsigned int generation)
cdef size_t storage_name(uint8_t* out, const uint8_t* address, unsigned int generation) noexcept nogil
