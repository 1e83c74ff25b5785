"""The data of a state diff. See `_diff_data.pxd`."""
from libc.string cimport memcpy
from libcpp.algorithm cimport sort as sort_range

from evmcore._growing cimport free_array, grow_array

from evmcore.errors import ResourceError


cdef bint account_before(const AccountChange& a, const AccountChange& b) noexcept nogil:
    return memcmp(a.address, b.address, 20) < 0


cdef class DiffData:
    """The changes of a state diff, without operations on them."""

    def __cinit__(self):
        self.codes = {}

    def __dealloc__(self):
        if not self.borrowed:
            free_array(self.accounts)
            free_array(self.slots)

    cdef bint reserve(self, size_t accounts, size_t slots) noexcept nogil:
        return grow_array(
            <void**>&self.accounts, &self.account_capacity, accounts, sizeof(AccountChange), False, NULL
        ) and grow_array(<void**>&self.slots, &self.slot_capacity, slots, sizeof(SlotChange), False, NULL)

    cdef AccountChange* add_account(self) noexcept nogil:
        if not self.reserve(self.account_count + 1, 0):
            return NULL
        self.account_count += 1
        return &self.accounts[self.account_count - 1]

    cdef SlotChange* add_slot(self) noexcept nogil:
        if not self.reserve(0, self.slot_count + 1):
            return NULL
        self.slot_count += 1
        return &self.slots[self.slot_count - 1]

    cdef void sort(self) noexcept nogil:
        if self.account_count > 1:
            sort_range(self.accounts, self.accounts + self.account_count, &account_before)
        if self.slot_count > 1:
            sort_range(self.slots, self.slots + self.slot_count, &slot_before)

    cdef size_t account_position(self, const uint8_t* address) noexcept nogil:
        return change_of_account(self.accounts, self.account_count, address)

    cdef void borrow(self, DiffData lender):
        self.borrowed = True
        self.lender = lender
        lender.lent = True
        self.accounts = lender.accounts
        self.account_count = lender.account_count
        self.slots = lender.slots
        self.slot_count = lender.slot_count
        self.codes = lender.codes

    cdef int copy_changes(self, DiffData other) except -1:
        if not self.reserve(other.account_count, other.slot_count):
            raise no_memory()
        if other.account_count:
            memcpy(self.accounts, other.accounts, other.account_count * sizeof(AccountChange))
        if other.slot_count:
            memcpy(self.slots, other.slots, other.slot_count * sizeof(SlotChange))
        self.account_count = other.account_count
        self.slot_count = other.slot_count
        self.codes = other.codes
        return 0

    cdef void replace_changes(self, DiffData other):
        self.borrowed, other.borrowed = other.borrowed, self.borrowed
        self.lender, other.lender = other.lender, self.lender
        self.accounts, other.accounts = other.accounts, self.accounts
        self.account_count, other.account_count = other.account_count, self.account_count
        self.account_capacity, other.account_capacity = other.account_capacity, self.account_capacity
        self.slots, other.slots = other.slots, self.slots
        self.slot_count, other.slot_count = other.slot_count, self.slot_count
        self.slot_capacity, other.slot_capacity = other.slot_capacity, self.slot_capacity
        if self.lent:
            self.lent = False
            self.former = [other] if self.former is None else [*self.former, other]


cdef object no_memory():
    return ResourceError("no memory for a state diff")


cdef AccountChange* checked_account(AccountChange* change) except NULL:
    if change == NULL:
        raise no_memory()
    return change


cdef SlotChange* checked_slot(SlotChange* change) except NULL:
    if change == NULL:
        raise no_memory()
    return change
