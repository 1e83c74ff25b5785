"""The commands that bring the keys of a state from old to new, written as bytes behind a MULTI.

Of the commands that change fields of hashes it is kept how many fields they have to add or remove: where Redis says
another number, what was stored was not what was thought.
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
    cdef bytes accounts, storages     # what stands before addresses in keys
    cdef vector[Effect] effects

    # The commands for the storage hash of an account; `slots` are those of its change set.
    cdef int storage(self, const ChangedAccount* account, const ChangedSlot* slots) except -1
    cdef int unlink(self, const ChangedAccount* account) except -1
    cdef int fields(self, const ChangedAccount* account, const ChangedSlot* slots, bint put) except -1
    cdef int record(self, const ChangedAccount* account) except -1
