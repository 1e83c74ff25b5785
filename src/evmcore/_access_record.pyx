"""Makes block access lists from the notes of a block; see `_access_record.pxd`."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset
from cpython.bytes cimport PyBytes_FromStringAndSize

from evmcore._access cimport (
    CHANGED_CODE, CHANGED_SLOT, AccountTrack, Change, PartEnd, SlotTrack, access_release,
)
from evmcore._growing cimport array_now, free_array, grow_array
from evmcore._rlp cimport (
    RLP_LIST, rlp_bytes_size, rlp_header_size, rlp_put_bytes, rlp_put_header, rlp_put_u256, rlp_put_uint, rlp_u256_size,
    rlp_uint_size,
)
from evmcore._sync cimport mutex_lock, mutex_unlock
from evmcore._u256 cimport u256, u_from_be_n

from evmcore.access_lists import BlockAccessList
from evmcore.errors import InputError, ResourceError, not_copied

cdef extern from "include/access_order.h" namespace "evmcore" nogil:
    ctypedef struct Numbered:
        uint64_t[4] key
        uint32_t number
    void sort_numbered(Numbered* items, size_t count)

cdef enum:
    NONE = 0xffffffff

cdef struct SlotForm:
    uint32_t number
    uint32_t first                # of its changes; NONE: it was only read
    size_t payload                # of the list of its changes, in bytes

cdef struct AccountForm:
    uint32_t number
    uint32_t slot_start           # into Form.slots
    uint32_t slot_count
    uint32_t[3] first             # of its changes, by kind
    size_t[3] payload             # of their lists
    size_t written                # payload of the list of its written slots
    size_t read                   # ... of those only read
    size_t whole                  # ... of the account

cdef struct Form:
    const AccessNotes* notes
    AccountForm* accounts         # in the order of the list
    size_t account_count
    SlotForm* slots
    size_t slot_count
    Places* place_of_account      # by entry number: index into `accounts`; NONE: not among them
    Places* place_of_slot
    uint32_t* following           # the change that follows in its chain, by number of change from the first part's first
    size_t first_change
    size_t payload


cdef bint places_for(Places* places, const uint32_t* numbers, size_t count) noexcept nogil:
    """Makes room for all the numbers. False: no memory."""
    cdef size_t i, before = places.capacity, wanted = 0
    for i in range(count):
        wanted = max(wanted, <size_t>numbers[i] + 1)
    if not grow_array(<void**>&places.items, &places.capacity, wanted, sizeof(uint32_t), False, NULL):
        return False
    if places.capacity > before:
        memset(places.items + before, 0xff, (places.capacity - before) * sizeof(uint32_t))
    return True


cdef void places_clear(Places* places, const uint32_t* numbers, size_t count) noexcept nogil:
    cdef size_t i
    for i in range(count):
        if numbers[i] < places.capacity:
            places.items[numbers[i]] = NONE


cdef void form_free(Form* form) noexcept nogil:
    free(form.accounts)
    free(form.slots)
    free(form.following)


cdef void key_of(Numbered* item, const u256* value, uint32_t number) noexcept nogil:
    cdef int i
    for i in range(4):
        item.key[i] = value.w[3 - i]
    item.number = number


cdef bint order_accounts(Form* form, size_t start, size_t end) noexcept nogil:
    cdef const AccessNotes* notes = form.notes
    cdef Numbered* order = <Numbered*>malloc((end - start + 1) * sizeof(Numbered))
    cdef uint32_t number
    cdef u256 address
    cdef size_t i
    if order == NULL or not places_for(form.place_of_account, notes.touched_accounts + start, end - start):
        free(order)
        return False
    for i in range(start, end):
        number = notes.touched_accounts[i]
        if form.place_of_account.items[number] == NONE:
            form.place_of_account.items[number] = 0
            u_from_be_n(&address, notes.accounts[number].address, 20)
            key_of(&order[form.account_count], &address, number)
            form.account_count += 1
    sort_numbered(order, form.account_count)
    form.accounts = <AccountForm*>calloc(form.account_count + 1, sizeof(AccountForm))
    if form.accounts != NULL:
        for i in range(form.account_count):
            form.accounts[i].number = order[i].number
            memset(form.accounts[i].first, 0xff, sizeof(form.accounts[i].first))
            form.place_of_account.items[order[i].number] = <uint32_t>i
    free(order)
    return form.accounts != NULL


cdef bint order_slots(Form* form, size_t start, size_t end) noexcept nogil:
    cdef const AccessNotes* notes = form.notes
    cdef Numbered* order = <Numbered*>malloc((end - start + 1) * sizeof(Numbered))
    cdef AccountForm* account
    cdef uint32_t number
    cdef size_t i, at
    if order == NULL or not places_for(form.place_of_slot, notes.touched_slots + start, end - start):
        free(order)
        return False
    # A counting sort by account, then a sort within each account.
    for i in range(start, end):
        number = notes.touched_slots[i]
        if form.place_of_slot.items[number] == NONE:
            form.place_of_slot.items[number] = 0
            form.accounts[form.place_of_account.items[notes.slots[number].account]].slot_count += 1
            form.slot_count += 1
    at = 0
    for i in range(form.account_count):
        form.accounts[i].slot_start = <uint32_t>at
        at += form.accounts[i].slot_count
        form.accounts[i].slot_count = 0
    for i in range(start, end):
        number = notes.touched_slots[i]
        if form.place_of_slot.items[number] == 0:
            form.place_of_slot.items[number] = 1
            account = &form.accounts[form.place_of_account.items[notes.slots[number].account]]
            key_of(&order[account.slot_start + account.slot_count], &notes.slots[number].key, number)
            account.slot_count += 1
    for i in range(form.account_count):
        sort_numbered(order + form.accounts[i].slot_start, form.accounts[i].slot_count)
    form.slots = <SlotForm*>calloc(form.slot_count + 1, sizeof(SlotForm))
    if form.slots != NULL:
        for i in range(form.slot_count):
            form.slots[i].number = order[i].number
            form.slots[i].first = NONE
            form.place_of_slot.items[order[i].number] = <uint32_t>i
    free(order)
    return form.slots != NULL


cdef size_t change_size(const Change* change, uint32_t part) noexcept nogil:
    """Payload of one [index, value]."""
    cdef size_t size = rlp_uint_size(part)
    if change.kind == CHANGED_CODE:
        return size + rlp_bytes_size(change.code.raw, change.code.size)
    return size + rlp_u256_size(&change.value)


cdef bint chain_changes(Form* form, uint32_t first, uint32_t last) noexcept nogil:
    """Chains of changes, from the last to the first, so that each chain begins with the earliest; and their sizes."""
    cdef const AccessNotes* notes = form.notes
    cdef const Change* change
    cdef uint32_t* head
    cdef size_t* payload
    cdef size_t size, at, start
    cdef uint32_t part = last
    form.following = <uint32_t*>malloc((notes.parts[last].changes - form.first_change + 1) * sizeof(uint32_t))
    if form.following == NULL:
        return False
    at = notes.parts[last].changes
    while True:
        start = notes.parts[part - 1].changes if part else 0
        while at > start:
            at -= 1
            change = &notes.changes[at]
            if change.kind == CHANGED_SLOT:
                head = &form.slots[form.place_of_slot.items[change.number]].first
                payload = &form.slots[form.place_of_slot.items[change.number]].payload
            else:
                head = &form.accounts[form.place_of_account.items[change.number]].first[<int>change.kind]
                payload = &form.accounts[form.place_of_account.items[change.number]].payload[<int>change.kind]
            form.following[at - form.first_change] = head[0]
            head[0] = <uint32_t>at
            size = change_size(change, part)
            payload[0] += rlp_header_size(size) + size
        if part == first:
            return True
        part -= 1


cdef inline size_t listed(size_t payload) noexcept nogil:
    return rlp_header_size(payload) + payload


cdef void measure(Form* form) noexcept nogil:
    cdef AccountForm* account
    cdef SlotForm* slot
    cdef size_t key
    cdef size_t i, j
    cdef int kind
    for i in range(form.account_count):
        account = &form.accounts[i]
        for j in range(account.slot_start, account.slot_start + account.slot_count):
            slot = &form.slots[j]
            key = rlp_u256_size(&form.notes.slots[slot.number].key)
            if slot.first == NONE:
                account.read += key
            else:
                account.written += listed(key + listed(slot.payload))
        account.whole = 21 + listed(account.written) + listed(account.read)
        for kind in range(3):
            account.whole += listed(account.payload[kind])
        form.payload += listed(account.whole)


cdef uint8_t* put_changes(uint8_t* at, const Form* form, uint32_t first_part, uint32_t chain, size_t payload) noexcept nogil:
    cdef const Change* change
    cdef uint32_t part = first_part
    at = rlp_put_header(at, RLP_LIST, payload)
    while chain != NONE:
        change = &form.notes.changes[chain]
        while form.notes.parts[part].changes <= chain:
            part += 1
        at = rlp_put_header(at, RLP_LIST, change_size(change, part))
        at = rlp_put_uint(at, part)
        if change.kind == CHANGED_CODE:
            at = rlp_put_bytes(at, change.code.raw, change.code.size)
        else:
            at = rlp_put_u256(at, &change.value)
        chain = form.following[chain - form.first_change]
    return at


cdef uint8_t* put_account(uint8_t* at, const Form* form, uint32_t first_part, const AccountForm* account) noexcept nogil:
    cdef const AccessNotes* notes = form.notes
    cdef const SlotForm* slot
    cdef const u256* key
    cdef size_t i
    cdef size_t end = account.slot_start + account.slot_count
    cdef int kind
    at = rlp_put_header(at, RLP_LIST, account.whole)
    at = rlp_put_bytes(at, notes.accounts[account.number].address, 20)
    at = rlp_put_header(at, RLP_LIST, account.written)
    for i in range(account.slot_start, end):
        slot = &form.slots[i]
        if slot.first != NONE:
            key = &notes.slots[slot.number].key
            at = rlp_put_header(at, RLP_LIST, rlp_u256_size(key) + listed(slot.payload))
            at = rlp_put_u256(at, key)
            at = put_changes(at, form, first_part, slot.first, slot.payload)
    at = rlp_put_header(at, RLP_LIST, account.read)
    for i in range(account.slot_start, end):
        slot = &form.slots[i]
        if slot.first == NONE:
            at = rlp_put_u256(at, &notes.slots[slot.number].key)
    for kind in range(3):
        at = put_changes(at, form, first_part, account.first[kind], account.payload[kind])
    return at


cdef bint make_form(Form* form, uint32_t first, uint32_t last) noexcept nogil:
    """Determines everything about the list except its bytes. False: no memory."""
    cdef const AccessNotes* notes = form.notes
    cdef PartEnd start
    cdef bint made
    memset(&start, 0, sizeof(PartEnd))
    if first:
        start = notes.parts[first - 1]
    form.first_change = start.changes
    made = (
        order_accounts(form, start.accounts, notes.parts[last].accounts)
        and order_slots(form, start.slots, notes.parts[last].slots)
        and chain_changes(form, first, last)
    )
    places_clear(
        form.place_of_account, notes.touched_accounts + start.accounts, notes.parts[last].accounts - start.accounts
    )
    places_clear(form.place_of_slot, notes.touched_slots + start.slots, notes.parts[last].slots - start.slots)
    if made:
        measure(form)
    return made


cdef void look_at(AccessNotes* notes, AccessNotes* seen) noexcept nogil:
    """Copies the present arrays; their valid lengths are those that the parts say."""
    memset(seen, 0, sizeof(AccessNotes))
    seen.accounts = <AccountTrack*>array_now(<void**>&notes.accounts)
    seen.slots = <SlotTrack*>array_now(<void**>&notes.slots)
    seen.touched_accounts = <uint32_t*>array_now(<void**>&notes.touched_accounts)
    seen.touched_slots = <uint32_t*>array_now(<void**>&notes.touched_slots)
    seen.changes = <Change*>array_now(<void**>&notes.changes)
    seen.parts = <PartEnd*>array_now(<void**>&notes.parts)


cdef bytes encoded(const Form* form, uint32_t first):
    cdef bytes made = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>listed(form.payload))
    cdef uint8_t* at = <uint8_t*>made
    cdef size_t i
    at = rlp_put_header(at, RLP_LIST, form.payload)
    for i in range(form.account_count):
        at = put_account(at, form, first, &form.accounts[i])
    return made


cdef class AccessRecord:
    """The accesses and changes of a block's execution, part by part (see `_access_record.pyi`)."""

    def __dealloc__(self):
        access_release(&self.notes)
        free_array(self.accounts.items)
        free_array(self.slots.items)

    def __reduce__(self):
        raise not_copied(self, "pickle the encoding of its access_list or of a part, `to_rlp()`")

    cdef object list_of(self, uint32_t first, uint32_t last):
        cdef AccessNotes seen
        cdef Form form
        cdef bint made
        memset(&form, 0, sizeof(Form))
        form.notes = &seen
        form.place_of_account = &self.accounts
        form.place_of_slot = &self.slots
        with nogil:
            look_at(&self.notes, &seen)
            mutex_lock(&self.making)
            made = make_form(&form, first, last)
            mutex_unlock(&self.making)
        try:
            if not made:
                raise ResourceError("no memory for the block access list")
            return BlockAccessList._of_rlp(encoded(&form, first))
        finally:
            form_free(&form)

    @property
    def access_list(self):
        """The `BlockAccessList` of the whole block."""
        if self.notes.part_count == 0:
            return BlockAccessList()
        if self.whole is None:
            self.whole = self.list_of(0, self.notes.part_count - 1)
        return self.whole

    def part(self, uint32_t index):
        """The `BlockAccessList` of one part alone."""
        if index >= self.notes.part_count:
            raise InputError(f"index: there are {self.notes.part_count} parts, counted from 0, got {index}")
        return self.list_of(index, index)
