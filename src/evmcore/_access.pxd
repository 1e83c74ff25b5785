"""The accesses and changes of each part of a block, recorded when the part is committed.

Layer 2: knows the working set, nothing of transactions or blocks. A block has the parts 0 (system calls before its
transactions), 1 to n (its transactions) and n + 1 (everything after them); the number of a part is the *index* of EIP-7928.
Accounts and slots are identified by their entry numbers in the block's working set.
"""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from evmcore._code cimport Code
from evmcore._growing cimport Retired
from evmcore._state cimport WorkingSet
from evmcore._u256 cimport u256

cdef struct AccountTrack:         # an account as the latest part left it
    uint8_t[20] address
    bint known                    # the fields below are set
    uint32_t noted                # number of parts noted when it was last accessed, that part included
    uint32_t lifetime             # times its storage has been wiped
    uint64_t nonce
    u256 balance
    uint8_t[32] code_hash

cdef struct SlotTrack:
    uint32_t account
    bint known
    uint32_t noted
    uint32_t lifetime             # of the account when the slot had `value`
    u256 key
    u256 value

cdef enum ChangeKind:
    CHANGED_BALANCE
    CHANGED_NONCE
    CHANGED_CODE
    CHANGED_SLOT

cdef struct Change:
    ChangeKind kind
    uint32_t number               # of the account or slot
    u256 value                    # after the part
    Code* code                    # of a CHANGED_CODE; an owned reference

cdef struct PartEnd:              # where a part's entries end
    size_t accounts
    size_t slots
    size_t changes

# With `retired.keeps`, another thread may read complete parts while later parts are recorded.
cdef struct AccessNotes:
    Retired retired               # old memory of the arrays
    AccountTrack* accounts        # by entry number
    size_t account_capacity
    SlotTrack* slots
    size_t slot_capacity
    uint32_t* touched_accounts    # part after part, every account once in each
    size_t touched_account_count
    size_t touched_account_capacity
    uint32_t* touched_slots
    size_t touched_slot_count
    size_t touched_slot_capacity
    Change* changes
    size_t change_count
    size_t change_capacity
    PartEnd* parts
    uint32_t part_count
    size_t part_capacity

# Ends a part: records the entries that the working set accessed since the last part, and their values. False: no memory.
cdef bint access_end_part(AccessNotes* notes, WorkingSet* ws) noexcept nogil

# Reserves room in `notes` for a part with the given numbers of accessed accounts and slots, and of changes.
# `account_numbers`, `slot_numbers`: of the working set in all. False: no memory.
cdef bint access_room(AccessNotes* notes, size_t account_numbers, size_t slot_numbers, size_t accounts, size_t slots, size_t changes) noexcept nogil

# The pieces of a part, in the reserved room: an account, a slot, a change, its end.
cdef bint access_touch_account(AccessNotes* notes, uint32_t number) noexcept nogil       # False: already recorded
cdef bint access_touch_slot(AccessNotes* notes, uint32_t number) noexcept nogil
cdef Change* access_change(AccessNotes* notes, ChangeKind kind, uint32_t number) noexcept nogil
cdef void access_close_part(AccessNotes* notes) noexcept nogil

cdef void access_release(AccessNotes* notes) noexcept nogil
