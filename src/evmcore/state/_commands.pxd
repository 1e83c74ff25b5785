"""The commands that bring the keys of a state from old to new, written as bytes behind a MULTI.

For each command that changes fields of a hash, the number of fields that it must add or remove is recorded: if Redis reports
another number, the stored state was not the expected one.
"""
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t
from libcpp.vector cimport vector
from evmcore.state._changes cimport ChangedAccount, ChangedSlot, ChangeSet
from evmcore.state._requests cimport Request

cdef struct Effect:
    size_t command
    int64_t count

cdef class Commands:
    cdef readonly Request request
    cdef bytes prefix             # of the chain's keys
    cdef bytes accounts, storages     # the prefixes of keys, before the address
    cdef vector[Effect] effects

    # The commands for the storage hash of an account; `slots` are those of its change set.
    cdef int storage(self, const ChangedAccount* account, const ChangedSlot* slots) except -1
    cdef int unlink(self, const ChangedAccount* account) except -1
    cdef int fields(self, const ChangedAccount* account, const ChangedSlot* slots, bint put) except -1
    cdef int record(self, const ChangedAccount* account) except -1
