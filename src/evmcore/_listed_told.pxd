"""Records what each part of a block accessed, from its given access list, for readers that may follow the execution.

The block's working set notes only the parts that did not run by the list. Here every part is recorded, in order, before
it is published: its accesses by their numbers in the list, and as its changes those that the list has at its place.
Layer 5.
"""
from libc.stddef cimport size_t
from libc.stdint cimport uint32_t
from evmcore._access cimport AccessNotes, ChangeKind
from evmcore._declared cimport Declared

cdef struct PlacedChange:
    ChangeKind kind
    uint32_t number               # of the account or slot in the list
    uint32_t change               # of Declared.changes

# All zero: nothing is recorded.
cdef struct Telling:
    AccessNotes* notes            # numbers are those of the list; NULL: nothing is recorded
    const Declared* declared
    PlacedChange* changes         # in block order
    size_t* first_of              # by place in the block, and one more for the end

# Begins recording. False: no memory.
cdef bint telling_open(Telling* telling, AccessNotes* notes, const Declared* declared) noexcept nogil
cdef void telling_close(Telling* telling) noexcept nogil

# Records the next part: its accesses, by numbers in the list. All changes that the list has at its place were made.
# False: no memory.
cdef bint tell_part(Telling* telling, const uint32_t* accounts, size_t account_count, const uint32_t* slots, size_t slot_count) noexcept nogil

# Records the next part, which was noted and checked against the list. False: no memory.
cdef bint tell_noted_part(Telling* telling, const AccessNotes* noted, uint32_t part) noexcept nogil
