"""Records what each part of a block accessed, from its given access list; see `_listed_told.pxd`."""
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from evmcore._access cimport (
    CHANGED_SLOT, Change, access_change, access_close_part, access_room, access_touch_account, access_touch_slot,
)
from evmcore._code cimport code_intern
from evmcore._declared cimport (
    FIELD_CODE, FIELD_COUNT, ChangeRange, DeclaredChange, declared_account, declared_slot,
)


cdef void place(Telling* telling, size_t* next_of, int kind, uint32_t number, const ChangeRange* changes) noexcept nogil:
    cdef PlacedChange* placed
    cdef uint32_t i
    for i in range(changes.first, changes.first + changes.count):
        placed = &telling.changes[next_of[telling.declared.changes[i].index]]
        next_of[telling.declared.changes[i].index] += 1
        placed.kind = <ChangeKind>kind
        placed.number = number
        placed.change = i


cdef bint telling_open(Telling* telling, AccessNotes* notes, const Declared* declared) noexcept nogil:
    cdef size_t places = <size_t>declared.last + 1
    cdef size_t* next_of = <size_t*>malloc(places * sizeof(size_t))
    cdef size_t i
    cdef int field
    telling.declared = declared
    telling.changes = <PlacedChange*>malloc((declared.change_count + 1) * sizeof(PlacedChange))
    telling.first_of = <size_t*>calloc(places + 1, sizeof(size_t))
    if (
        next_of == NULL or telling.changes == NULL or telling.first_of == NULL
        or not access_room(notes, declared.account_count, declared.slot_count, 0, 0, 0)
    ):
        free(next_of)
        return False
    for i in range(places):
        telling.first_of[i + 1] = telling.first_of[i] + declared.changes_at[i]
    memcpy(next_of, telling.first_of, places * sizeof(size_t))
    for i in range(declared.account_count):
        memcpy(notes.accounts[i].address, declared.accounts[i].address, 20)
        for field in range(<int>FIELD_COUNT):
            place(telling, next_of, field, <uint32_t>i, &declared.accounts[i].fields[field])
    for i in range(declared.slot_count):
        notes.slots[i].account = declared.slots[i].account
        notes.slots[i].key = declared.slots[i].key
        place(telling, next_of, CHANGED_SLOT, <uint32_t>i, &declared.slots[i].changes)
    free(next_of)
    telling.notes = notes
    return True


cdef void telling_close(Telling* telling) noexcept nogil:
    free(telling.changes)
    free(telling.first_of)
    memset(telling, 0, sizeof(Telling))


cdef bint tell_changes(Telling* telling) noexcept nogil:
    """Records the changes at the place of the current part, and then ends the part."""
    cdef const Declared* d = telling.declared
    cdef const PlacedChange* placed
    cdef const DeclaredChange* listed
    cdef Change* change
    cdef size_t i
    for i in range(telling.first_of[telling.notes.part_count], telling.first_of[telling.notes.part_count + 1]):
        placed = &telling.changes[i]
        listed = &d.changes[placed.change]
        change = access_change(telling.notes, placed.kind, placed.number)
        change.value = listed.value
        if <int>placed.kind == <int>FIELD_CODE:
            change.code = code_intern(<const unsigned char*>&listed.value, listed.code, listed.code_size)
            if change.code == NULL:
                return False
    access_close_part(telling.notes)
    return True


cdef bint room_for(Telling* telling, size_t accounts, size_t slots) noexcept nogil:
    cdef uint32_t part = telling.notes.part_count
    return access_room(
        telling.notes, telling.declared.account_count, telling.declared.slot_count, accounts + slots, slots,
        telling.first_of[part + 1] - telling.first_of[part],
    )


cdef bint tell_part(
    Telling* telling, const uint32_t* accounts, size_t account_count, const uint32_t* slots, size_t slot_count
) noexcept nogil:
    cdef size_t i
    if not room_for(telling, account_count, slot_count):
        return False
    for i in range(account_count):
        access_touch_account(telling.notes, accounts[i])
    for i in range(slot_count):
        access_touch_slot(telling.notes, slots[i])
        access_touch_account(telling.notes, telling.declared.slots[slots[i]].account)
    return tell_changes(telling)


cdef bint tell_noted_part(Telling* telling, const AccessNotes* noted, uint32_t part) noexcept nogil:
    cdef const Declared* d = telling.declared
    cdef size_t accounts = noted.parts[part - 1].accounts if part else 0
    cdef size_t slots = noted.parts[part - 1].slots if part else 0
    cdef uint32_t number, account
    cdef size_t i
    if not room_for(telling, noted.parts[part].accounts - accounts, noted.parts[part].slots - slots):
        return False
    for i in range(accounts, noted.parts[part].accounts):
        account = declared_account(d, noted.accounts[noted.touched_accounts[i]].address)
        access_touch_account(telling.notes, account)
    for i in range(slots, noted.parts[part].slots):
        number = noted.touched_slots[i]
        account = declared_account(d, noted.accounts[noted.slots[number].account].address)
        access_touch_slot(telling.notes, declared_slot(d, account, &noted.slots[number].key))
    return tell_changes(telling)
