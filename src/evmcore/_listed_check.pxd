"""Compares what a part of a block did, as it was noted, with what the block's access list says of it."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from evmcore._access cimport AccessNotes
from evmcore._declared cimport Declared
from evmcore._listed cimport Met
from evmcore._u256 cimport u256

cdef enum DoubtKind:
    NO_DOUBT = 0
    ACCOUNT_NOT_LISTED
    SLOT_NOT_LISTED
    CHANGE_NOT_LISTED
    CHANGE_DIFFERS
    CHANGE_NOT_MADE
    ACCOUNT_NOT_ACCESSED
    SLOT_NOT_ACCESSED
    READS_TOO_MANY

# The first difference between block and list.
cdef struct Doubt:
    DoubtKind kind
    uint32_t index
    uint8_t[20] address
    int field                     # of _access.ChangeKind
    u256 slot
    u256 listed                   # values; of a code its hash
    u256 made
    uint64_t gas_left             # of READS_TOO_MANY
    uint32_t reads_left

# Compares a noted part with what the list says of a place in the block. False: `doubt` says how they differ.
cdef bint check_part(const Declared* declared, Met* met, const AccessNotes* notes, uint32_t part, uint32_t index, Doubt* doubt) noexcept nogil

# Whether everything in the list has been met.
cdef bint check_all_met(const Declared* declared, const Met* met, Doubt* doubt) noexcept nogil

# The doubt in words. `last`: the block's last index.
cdef str describe(const Doubt* doubt, uint32_t last)


cdef inline void meet_slot(Met* met, uint32_t slot) noexcept nogil:
    if met.slots[slot] == 0:
        met.slots[slot] = 1
        met.reads_left -= met.counted[slot]
