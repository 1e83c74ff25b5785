"""The data of a state diff: old and new value of every changed account field and slot, in canonical order.

Canonical order: accounts by address, slots by address then key (both as big-endian numbers), no address or slot twice.
A change is listed if old and new differ. An account is also listed if `wiped`, and a slot of a wiped account also if it is
not zero and was written back to its old value. After a diff is applied, a wiped account therefore has only listed slots.
"""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp, memcpy, memset
from evmcore._empty_code cimport EMPTY_CODE_HASH
from evmcore._u256 cimport u256, u_eq, u_lt

cdef struct AccountState:
    bint exists                   # if false, the other fields are those of an absent account (0, 0, hash of no code)
    uint64_t nonce
    u256 balance
    uint8_t[32] code_hash

cdef struct AccountChange:
    uint8_t[20] address
    bint wiped                    # its storage was destroyed; applying the diff adds the slots that the run did not read
    AccountState old
    AccountState new

cdef struct SlotChange:
    uint8_t[20] address
    u256 key
    u256 old
    u256 new

cdef inline bint same_account(const AccountState* a, const AccountState* b) noexcept nogil:
    return (
        a.exists == b.exists and a.nonce == b.nonce and u_eq(&a.balance, &b.balance)
        and memcmp(a.code_hash, b.code_hash, 32) == 0
    )


# Fills in the fields of an account that does not exist.
cdef inline void absent_account(AccountState* account) noexcept nogil:
    memset(account, 0, sizeof(AccountState))
    memcpy(account.code_hash, EMPTY_CODE_HASH, 32)


cdef inline bint slot_before(const SlotChange& a, const SlotChange& b) noexcept nogil:
    cdef int order = memcmp(a.address, b.address, 20)
    return order < 0 or (order == 0 and u_lt(&a.key, &b.key))


# The index of an account's change, or the index at which it would be inserted.
cdef inline size_t change_of_account(const AccountChange* changes, size_t count, const uint8_t* address) noexcept nogil:
    cdef size_t low = 0, high = count, middle
    while low < high:
        middle = (low + high) // 2
        if memcmp(changes[middle].address, address, 20) < 0:
            low = middle + 1
        else:
            high = middle
    return low


# The index of a slot's change, or the index at which it would be inserted.
cdef inline size_t change_of_slot(
    const SlotChange* changes, size_t count, const uint8_t* address, const u256* key
) noexcept nogil:
    cdef size_t low = 0, high = count, middle
    cdef int order
    while low < high:
        middle = (low + high) // 2
        order = memcmp(changes[middle].address, address, 20)
        if order < 0 or (order == 0 and u_lt(&changes[middle].key, key)):
            low = middle + 1
        else:
            high = middle
    return low


cdef class DiffData:
    cdef AccountChange* accounts
    cdef size_t account_count
    cdef SlotChange* slots
    cdef size_t slot_count
    # Code hash (bytes) -> code (bytes): every code that `new` names and `old` does not. Applying the diff adds the codes
    # that the diff removes.
    cdef readonly dict codes
    cdef size_t account_capacity
    cdef size_t slot_capacity
    cdef bint borrowed            # the arrays are those of `lender`
    cdef DiffData lender
    cdef bint lent                # others may be reading the arrays
    cdef list former              # diffs that keep the arrays that were lent before

    cdef bint reserve(self, size_t accounts, size_t slots) noexcept nogil        # total capacity; False: no memory
    # The next entry, to be filled in completely; NULL: no memory. Call `sort` after the last one.
    cdef AccountChange* add_account(self) noexcept nogil
    cdef SlotChange* add_slot(self) noexcept nogil
    cdef void sort(self) noexcept nogil
    cdef size_t account_position(self, const uint8_t* address) noexcept nogil    # as `change_of_account`

    # Arrays that may be lent are never changed in place, but replaced by those of another diff.
    cdef void borrow(self, DiffData lender)                  # into an empty diff: the present changes of `lender`
    cdef int copy_changes(self, DiffData other) except -1    # into an empty diff
    cdef void replace_changes(self, DiffData other)          # by those of `other`, which is not used any more

# The result of `add_account` or `add_slot`; `ResourceError` if it is NULL.
cdef AccountChange* checked_account(AccountChange* change) except NULL
cdef SlotChange* checked_slot(SlotChange* change) except NULL

cdef object no_memory()                                   # the exception
