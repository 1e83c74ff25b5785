"""What each part of a block accessed, told from its given access list: for readers, who may follow the execution.

The block's working set notes only what did not run by the list. Here every part is told, in order, before it is published:
what it accessed by its numbers in the list, and its changes are those that the list has at its place. Layer 5.
"""
from libc.stddef cimport size_t
from libc.stdint cimport uint32_t
from evmcore._access cimport AccessNotes, ChangeKind
from evmcore._declared cimport Declared

cdef struct PlacedChange:
    ChangeKind kind
    uint32_t number               # of the account or slot in the list
    uint32_t change               # of Declared.changes

# All zero: nobody wants to know.
cdef struct Telling:
    AccessNotes* notes            # numbers are those of the list; NULL: nobody wants to know
    const Declared* declared
    PlacedChange* changes         # in the order of the block
    size_t* first_of              # by place in the block, and behind the last

# Begins to tell. False: no memory.
cdef bint telling_open(Telling* telling, AccessNotes* notes, const Declared* declared) noexcept nogil
cdef void telling_close(Telling* telling) noexcept nogil

# The next part: what it accessed, by numbers in the list. The changes at its place were all made. False: no memory.
cdef bint tell_part(Telling* telling, const uint32_t* accounts, size_t account_count, const uint32_t* slots, size_t slot_count) noexcept nogil

# The next part is one that was noted, and checked against the list. False: no memory.
cdef bint tell_noted_part(Telling* telling, const AccessNotes* noted, uint32_t part) noexcept nogil
