"""A given block access list (EIP-7928) as native tables: the value of every changed account field and slot at every index of
the block, found by address and slot.

Layer 2: knows numbers and codes, nothing of transactions or blocks. Immutable once parsed, except for the values from before
the block: the first thread that reads one stores it here for the other threads.
"""
from libc.stddef cimport size_t
from libc.stdint cimport int32_t, uint8_t, uint32_t
from evmcore._state cimport AccountData
from evmcore._u256 cimport u256

cdef enum DeclaredField:
    FIELD_BALANCE = 0
    FIELD_NONCE = 1
    FIELD_CODE = 2
    FIELD_COUNT = 3

cdef struct DeclaredChange:
    uint32_t index                # 0, 1 to n, n + 1
    u256 value                    # after the index; for a code its Keccak-256, as 32 bytes
    const uint8_t* code           # borrowed from the encoding
    size_t code_size

cdef struct ChangeRange:          # in ascending order of index
    uint32_t first
    uint32_t count

cdef struct DeclaredAccount:
    uint8_t[20] address
    int32_t base_state            # 2: `base` and `base_exists` are valid
    ChangeRange[3] fields
    uint32_t first_slot           # first the changed slots, then the slots only read
    uint32_t slot_count
    bint base_exists
    bint cleared                  # existed, was empty, and was removed before the transactions (EIP-161): not in the list
    AccountData base              # before the block

cdef struct DeclaredSlot:
    uint32_t account
    int32_t base_state            # 2: `base` is valid
    ChangeRange changes           # empty: only read
    u256 key
    u256 base

cdef struct Declared:
    DeclaredAccount* accounts     # in the order of the list
    uint32_t account_count
    size_t account_capacity
    DeclaredSlot* slots
    uint32_t slot_count
    size_t slot_capacity
    DeclaredChange* changes
    size_t change_count
    size_t change_capacity
    uint32_t* changes_at          # number of changes by index
    uint32_t last                 # the block's last index, n + 1
    bint wipes                    # a code that becomes empty means that the storage was wiped (before EIP-6780)
    uint32_t* account_table       # open addressing; numbers, NONE where free
    uint32_t account_mask
    uint32_t* slot_table
    uint32_t slot_mask

cdef enum:
    NONE = 0xffffffff

cdef enum Parsed:
    PARSED = 0
    PARSED_WRONG                  # not RLP, not a list of the right shape, or not in canonical form
    PARSED_NO_MEMORY

cdef Parsed declared_parse(Declared* declared, const uint8_t* data, size_t size, uint32_t last) noexcept nogil
cdef void declared_release(Declared* declared) noexcept nogil

# By number; NONE: not in the list.
cdef uint32_t declared_account(const Declared* declared, const uint8_t* address) noexcept nogil
cdef uint32_t declared_slot(const Declared* declared, uint32_t account, const u256* key) noexcept nogil

# The last index before `index` at which the account's storage was wiped, plus one; 0: none.
cdef uint32_t wiped_before(const Declared* declared, const DeclaredAccount* account, uint32_t index) noexcept nogil


cdef inline const DeclaredChange* change_before(const Declared* declared, const ChangeRange* changes, uint32_t index) noexcept nogil:
    """The latest change before an index; NULL: there is none."""
    cdef const DeclaredChange* items = declared.changes + changes.first
    cdef uint32_t low = 0, high = changes.count, middle
    while low < high:                        # changes before `low` are before `index`, changes from `high` on are not
        middle = (low + high) >> 1
        if items[middle].index < index:
            low = middle + 1
        else:
            high = middle
    return items + (low - 1) if low else NULL


cdef inline const DeclaredChange* change_at(const Declared* declared, const ChangeRange* changes, uint32_t index) noexcept nogil:
    """The change at an index; NULL: there is none."""
    cdef const DeclaredChange* latest = change_before(declared, changes, index + 1)
    return latest if latest != NULL and latest.index == index else NULL
