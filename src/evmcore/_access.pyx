"""Notes of what a block accesses; see `_access.pxd`.

The rules of EIP-7928: an account or slot counts as accessed once the gas of the accessing instruction was paid, whether or not
the frame was reverted (the working set's `seen`). A value counts as changed if it differs from its value before the part. A slot
that was written and has its old value again counts as read.
"""
from libc.string cimport memcmp, memcpy, memset

from evmcore._code cimport code_release, code_retain
from evmcore._growing cimport free_array, free_retired, grow_array
from evmcore._state cimport AccountEntry, SlotEntry, WorkingSet, ws_code, ws_forget_seen
from evmcore._u256 cimport u_eq, u_set64, u_zero


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
    """Wiping storage begins a new lifetime of the account: a slot's value from an older lifetime is zero."""
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
    free_array(notes.accounts)
    free_array(notes.slots)
    free_array(notes.touched_accounts)
    free_array(notes.touched_slots)
    free_array(notes.changes)
    free_array(notes.parts)
    free_retired(&notes.retired)
    memset(notes, 0, sizeof(AccessNotes))
