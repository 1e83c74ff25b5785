"""Notes of what a block accesses, and the block access list made of them; see ``_access.pxd``.

The rules of EIP-7928 are these: what an instruction looked at counts from the moment its gas was paid for, whether or not
its frame was reverted (the working set's `seen`); a value counts as changed when it differs from what it was before the
part; a slot that was written and has its old value again was read.
"""
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset
from cpython.bytes cimport PyBytes_FromStringAndSize

from evmcore._code cimport code_release, code_retain
from evmcore._growing cimport array_now, free_retired, grow_array
from evmcore._rlp cimport RLP_LIST, rlp_bytes_size, rlp_header_size, rlp_put_bytes, rlp_put_header, rlp_put_u256, rlp_put_uint
from evmcore._rlp cimport rlp_u256_size, rlp_uint_size
from evmcore._state cimport AccountEntry, SlotEntry, WorkingSet, ws_code, ws_forget_seen
from evmcore._sync cimport mutex_lock, mutex_unlock
from evmcore._u256 cimport u_eq, u_from_be_n, u_set64, u_zero

from evmcore.access_lists import BlockAccessList
from evmcore.errors import InputError, ResourceError

cdef extern from "include/access_order.h" namespace "evmcore" nogil:
    ctypedef struct Numbered:
        uint64_t[4] key
        uint32_t number
    void sort_numbered(Numbered* items, size_t count)

cdef enum:
    NONE = 0xffffffff


# ---------------------------------------------------------------------------------------------------- noting

cdef bint access_room(
    AccessNotes* notes, size_t account_numbers, size_t slot_numbers, size_t accounts, size_t slots, size_t changes
) noexcept nogil:
    cdef Retired* retired = &notes.retired
    return (
        grow_array(<void**>&notes.accounts, &notes.account_capacity, account_numbers, sizeof(AccountTrack), True, retired)
        and grow_array(<void**>&notes.slots, &notes.slot_capacity, slot_numbers, sizeof(SlotTrack), True, retired)
        and grow_array(
            <void**>&notes.touched_accounts, &notes.touched_account_capacity, notes.touched_account_count + accounts,
            sizeof(uint32_t), False, retired,
        )
        and grow_array(
            <void**>&notes.touched_slots, &notes.touched_slot_capacity, notes.touched_slot_count + slots,
            sizeof(uint32_t), False, retired,
        )
        and grow_array(
            <void**>&notes.changes, &notes.change_capacity, notes.change_count + changes, sizeof(Change), False, retired
        )
        and grow_array(
            <void**>&notes.parts, &notes.part_capacity, <size_t>notes.part_count + 1, sizeof(PartEnd), False, retired
        )
    )


cdef bint access_touch_account(AccessNotes* notes, uint32_t number) noexcept nogil:
    if notes.accounts[number].noted == notes.part_count + 1:
        return False
    notes.accounts[number].noted = notes.part_count + 1
    notes.touched_accounts[notes.touched_account_count] = number
    notes.touched_account_count += 1
    return True


cdef bint access_touch_slot(AccessNotes* notes, uint32_t number) noexcept nogil:
    if notes.slots[number].noted == notes.part_count + 1:
        return False
    notes.slots[number].noted = notes.part_count + 1
    notes.touched_slots[notes.touched_slot_count] = number
    notes.touched_slot_count += 1
    return True


cdef Change* access_change(AccessNotes* notes, ChangeKind kind, uint32_t number) noexcept nogil:
    cdef Change* change = &notes.changes[notes.change_count]
    notes.change_count += 1
    change.kind = kind
    change.number = number
    change.code = NULL
    return change


cdef void access_close_part(AccessNotes* notes) noexcept nogil:
    cdef PartEnd* end = &notes.parts[notes.part_count]
    end.accounts = notes.touched_account_count
    end.slots = notes.touched_slot_count
    end.changes = notes.change_count
    notes.part_count += 1


cdef void end_slot(AccessNotes* notes, const WorkingSet* ws, uint32_t number) noexcept nogil:
    """Storage is wiped by lifetimes: a value of an older one is zero."""
    cdef const SlotEntry* entry = &ws.slots[number]
    cdef const AccountEntry* owner = &ws.accounts[entry.account]
    cdef SlotTrack* track = &notes.slots[number]
    cdef uint32_t lifetime_before = notes.accounts[entry.account].lifetime
    cdef u256 before, after
    if not access_touch_slot(notes, number):
        return
    if not track.known:
        track.known = True
        track.account = entry.account
        track.key = entry.key
        track.value = entry.base
    u_zero(&before)
    u_zero(&after)
    if track.lifetime == lifetime_before:
        before = track.value
    if entry.lifetime == owner.lifetime:
        after = entry.current
    if not u_eq(&before, &after):
        access_change(notes, CHANGED_SLOT, number).value = after
    track.value = after
    track.lifetime = owner.lifetime


cdef bint end_account(AccessNotes* notes, WorkingSet* ws, uint32_t number) noexcept nogil:
    cdef AccountEntry* entry = &ws.accounts[number]
    cdef AccountTrack* track = &notes.accounts[number]
    cdef Change* change
    if not access_touch_account(notes, number):
        return True
    if not track.known:
        track.known = True
        memcpy(track.address, entry.address, 20)
        track.nonce = entry.base.nonce
        track.balance = entry.base.balance
        memcpy(track.code_hash, entry.base.code_hash, 32)
    track.lifetime = entry.lifetime
    if not u_eq(&entry.balance, &track.balance):
        access_change(notes, CHANGED_BALANCE, number).value = entry.balance
        track.balance = entry.balance
    if entry.nonce != track.nonce:
        u_set64(&access_change(notes, CHANGED_NONCE, number).value, entry.nonce)
        track.nonce = entry.nonce
    if memcmp(entry.code_hash, track.code_hash, 32) != 0:
        change = access_change(notes, CHANGED_CODE, number)
        change.code = ws_code(ws, number)
        if change.code == NULL:
            notes.change_count -= 1
            return False
        code_retain(change.code)
        memcpy(track.code_hash, entry.code_hash, 32)
    return True


cdef bint access_end_part(AccessNotes* notes, WorkingSet* ws) noexcept nogil:
    cdef size_t slots = ws.seen_slot_count
    cdef size_t accounts = ws.seen_account_count + slots
    cdef uint32_t i
    if not access_room(notes, ws.account_count, ws.slot_count, accounts, slots, 3 * accounts + slots):
        return False
    # Slots first: they need their accounts' lifetimes from before this part.
    for i in range(ws.seen_slot_count):
        end_slot(notes, ws, ws.seen_slots[i])
    for i in range(ws.seen_account_count):
        if not end_account(notes, ws, ws.seen_accounts[i]):
            return False
    for i in range(ws.seen_slot_count):
        if not end_account(notes, ws, ws.slots[ws.seen_slots[i]].account):
            return False
    ws_forget_seen(ws)
    access_close_part(notes)
    return True


cdef void access_release(AccessNotes* notes) noexcept nogil:
    cdef size_t i
    for i in range(notes.change_count):
        code_release(notes.changes[i].code)
    free(notes.accounts)
    free(notes.slots)
    free(notes.touched_accounts)
    free(notes.touched_slots)
    free(notes.changes)
    free(notes.parts)
    free_retired(&notes.retired)
    memset(notes, 0, sizeof(AccessNotes))


# ---------------------------------------------------------------------------------------------------- the list

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
    """Makes sure that all of the numbers have a place. False: no memory."""
    cdef size_t i, before = places.capacity, wanted = 0
    for i in range(count):
        wanted = max(wanted, <size_t>numbers[i] + 1)
    if not grow_array(<void**>&places.items, &places.capacity, wanted, sizeof(uint32_t), False, NULL):
        return False
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
    # Counted by account, then put behind the ones before, then sorted within their account.
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
    """Everything about the list but its bytes. False: no memory."""
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
    """The arrays as they are now; of their counts only what the parts say holds."""
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
    """What a block's execution accessed and changed, part by part (see ``_access.pyi``)."""

    def __dealloc__(self):
        access_release(&self.notes)
        free(self.accounts.items)
        free(self.slots.items)

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
        if self.whole is None:
            self.whole = self.list_of(0, self.notes.part_count - 1)
        return self.whole

    def part(self, uint32_t index):
        """What one part accessed and changed, as a `BlockAccessList` of that part alone."""
        if index >= self.notes.part_count:
            raise InputError(f"index: expected 0 to {<int>self.notes.part_count - 1}, got {index}")
        return self.list_of(index, index)
