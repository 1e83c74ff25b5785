"""The changes of one feed entry, natively: the counterpart of `layout.Changes`. What they are is said in `layout`.

From changes come the field `d` of the entry, and the commands that make them in Redis, written as bytes.
"""
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t
from libcpp cimport bool as cbool
from libcpp.vector cimport vector
from evmcore._u256 cimport u256
from evmcore.state._cache_native cimport AccountRecord
from evmcore.state._requests cimport Request
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

# How many fields a command has to add or remove: where Redis says another number, what was stored was not what was
# thought.
cdef struct Effect:
    size_t command
    int64_t count

cdef class ChangeSet:
    cdef vector[ChangedAccount] accounts      # addresses ascending
    cdef vector[ChangedSlot] slots            # of each account together, keys ascending
    cdef dict codes                           # hash -> code
    cdef vector[Effect] effects               # of the commands that were written last

    cdef void encode_into(self, Bytes& out) noexcept nogil      # all but the codes and the checksum
    cdef int encode_codes(self, Bytes& out) except -1
    cdef void write_storage(self, Request request, const ChangedAccount* account, bytes prefix)
    cdef void write_fields(self, Request request, const ChangedAccount* account, const uint8_t* key, size_t key_size)

cdef bint same_record(const AccountRecord* a, const AccountRecord* b) noexcept nogil
# The key of a storage hash behind the chain's prefix, `:s:<address><generation>`; gives its size. Room for 40 bytes.
cdef size_t storage_suffix(uint8_t* out, const uint8_t* address, unsigned int generation) noexcept nogil
