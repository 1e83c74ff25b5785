"""Finds differences between a block and its access list, and puts them in words; see `_listed_check.pxd`."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp, memcpy, memset

from evmcore._access cimport CHANGED_BALANCE, CHANGED_CODE, CHANGED_NONCE, CHANGED_SLOT, AccessNotes, Change
from evmcore._declared cimport (
    FIELD_COUNT, NONE, ChangeRange, Declared, DeclaredAccount, DeclaredChange, change_at, declared_account,
    declared_slot,
)
from evmcore._listed cimport Met
from evmcore._u256 cimport u256, u256_to_int, u_eq

from evmcore.access_lists import ITEM_COST


cdef bint differ(Doubt* doubt, DoubtKind kind, uint32_t index, const uint8_t* address) noexcept nogil:
    memset(doubt, 0, sizeof(Doubt))
    doubt.kind = kind
    doubt.index = index
    memcpy(doubt.address, address, 20)
    return False


cdef void value_of(const Change* change, u256* value) noexcept nogil:
    value[0] = change.value
    if change.kind == CHANGED_CODE:
        memcpy(value, change.code.hash, 32)


cdef bint check_change(
    const Declared* d, const AccessNotes* notes, const Change* change, uint32_t index, Doubt* doubt
) noexcept nogil:
    cdef const uint8_t* address
    cdef const ChangeRange* changes
    cdef const DeclaredChange* listed
    cdef uint32_t account
    cdef u256 made
    value_of(change, &made)
    if change.kind == CHANGED_SLOT:
        address = notes.accounts[notes.slots[change.number].account].address
        account = declared_account(d, address)
        changes = &d.slots[declared_slot(d, account, &notes.slots[change.number].key)].changes
    else:
        address = notes.accounts[change.number].address
        changes = &d.accounts[declared_account(d, address)].fields[<int>change.kind]
    listed = change_at(d, changes, index)
    if listed != NULL and u_eq(&listed.value, &made):
        return True
    differ(doubt, CHANGE_NOT_LISTED if listed == NULL else CHANGE_DIFFERS, index, address)
    doubt.field = <int>change.kind
    doubt.made = made
    if listed != NULL:
        doubt.listed = listed.value
    if change.kind == CHANGED_SLOT:
        doubt.slot = notes.slots[change.number].key
    return False


cdef bint was_made(
    const AccessNotes* notes, size_t start, size_t end, int kind, const uint8_t* address, const u256* slot
) noexcept nogil:
    cdef const Change* change
    cdef uint32_t account
    cdef size_t i
    for i in range(start, end):
        change = &notes.changes[i]
        if <int>change.kind != kind:
            continue
        account = notes.slots[change.number].account if kind == <int>CHANGED_SLOT else change.number
        if memcmp(notes.accounts[account].address, address, 20) == 0:
            if kind != <int>CHANGED_SLOT or u_eq(&notes.slots[change.number].key, slot):
                return True
    return False


cdef bint find_not_made(
    const Declared* d, const AccessNotes* notes, size_t start, size_t end, uint32_t index, Doubt* doubt
) noexcept nogil:
    """Finds the first listed change of a place in the block that was not made. There is one."""
    cdef const DeclaredAccount* account
    cdef const DeclaredChange* change
    cdef uint32_t i, j
    cdef int field
    for i in range(d.account_count):
        account = &d.accounts[i]
        for j in range(account.first_slot, account.first_slot + account.slot_count):
            change = change_at(d, &d.slots[j].changes, index)
            if change != NULL and not was_made(notes, start, end, CHANGED_SLOT, account.address, &d.slots[j].key):
                differ(doubt, CHANGE_NOT_MADE, index, account.address)
                doubt.field = CHANGED_SLOT
                doubt.slot = d.slots[j].key
                doubt.listed = change.value
                return False
        for field in range(<int>FIELD_COUNT):
            change = change_at(d, &account.fields[field], index)
            if change != NULL and not was_made(notes, start, end, field, account.address, NULL):
                differ(doubt, CHANGE_NOT_MADE, index, account.address)
                doubt.field = field
                doubt.listed = change.value
                return False
    return False


cdef bint check_part(
    const Declared* declared, Met* met, const AccessNotes* notes, uint32_t part, uint32_t index, Doubt* doubt
) noexcept nogil:
    cdef size_t accounts = notes.parts[part - 1].accounts if part else 0
    cdef size_t slots = notes.parts[part - 1].slots if part else 0
    cdef size_t changes = notes.parts[part - 1].changes if part else 0
    cdef size_t end = notes.parts[part].changes
    cdef const uint8_t* address
    cdef uint32_t number
    cdef size_t i
    for i in range(accounts, notes.parts[part].accounts):
        address = notes.accounts[notes.touched_accounts[i]].address
        number = declared_account(declared, address)
        if number == NONE:
            return differ(doubt, ACCOUNT_NOT_LISTED, index, address)
        met.accounts[number] |= 1
    for i in range(slots, notes.parts[part].slots):
        address = notes.accounts[notes.slots[notes.touched_slots[i]].account].address
        number = declared_slot(declared, declared_account(declared, address), &notes.slots[notes.touched_slots[i]].key)
        if number == NONE:
            differ(doubt, SLOT_NOT_LISTED, index, address)
            doubt.slot = notes.slots[notes.touched_slots[i]].key
            return False
        meet_slot(met, number)
    for i in range(changes, end):
        if not check_change(declared, notes, &notes.changes[i], index, doubt):
            return False
    if end - changes != declared.changes_at[index]:
        return find_not_made(declared, notes, changes, end, index, doubt)
    return True


cdef bint check_all_met(const Declared* declared, const Met* met, Doubt* doubt) noexcept nogil:
    cdef const DeclaredAccount* account
    cdef uint32_t i, j
    for i in range(declared.account_count):
        account = &declared.accounts[i]
        if not met.accounts[i]:
            return differ(doubt, ACCOUNT_NOT_ACCESSED, declared.last, account.address)
        for j in range(account.first_slot, account.first_slot + account.slot_count):
            if not met.slots[j]:
                differ(doubt, SLOT_NOT_ACCESSED, declared.last, account.address)
                doubt.slot = declared.slots[j].key
                return False
    return True


# ---------------------------------------------------------------------------------------------------- words

cdef str shown(const Doubt* doubt, const u256* value):
    cdef uint8_t[32] word
    if doubt.field == <int>CHANGED_CODE:
        return "code of hash 0x" + (<const uint8_t*>value)[:32].hex()
    if doubt.field == <int>CHANGED_SLOT:
        return hex(u256_to_int(value))
    return str(u256_to_int(value))


cdef str describe(const Doubt* doubt, uint32_t last):
    cdef str address = "0x" + doubt.address[:20].hex()
    cdef str place = f"index {doubt.index}"
    cdef str what
    if doubt.kind == READS_TOO_MANY:
        return (
            f"after index {doubt.index} there are {doubt.reads_left} declared reads left and {doubt.gas_left} gas, "
            f"with which they cannot be made at {ITEM_COST} gas each"
        )
    if doubt.kind == ACCOUNT_NOT_LISTED:
        return f"{place} accesses account {address}, which is not listed"
    if doubt.kind == SLOT_NOT_LISTED:
        return f"{place} accesses slot {u256_to_int(&doubt.slot):#x} of {address}, which is not listed"
    if doubt.kind == ACCOUNT_NOT_ACCESSED:
        return f"account {address} is listed and never accessed, up to index {last}"
    if doubt.kind == SLOT_NOT_ACCESSED:
        return f"slot {u256_to_int(&doubt.slot):#x} of {address} is listed and never accessed, up to index {last}"
    what = {
        <int>CHANGED_BALANCE: "the balance", <int>CHANGED_NONCE: "the nonce", <int>CHANGED_CODE: "the code",
        <int>CHANGED_SLOT: f"slot {u256_to_int(&doubt.slot):#x}",
    }[doubt.field] + f" of {address}"
    if doubt.kind == CHANGE_NOT_LISTED:
        return f"{place} changes {what} to {shown(doubt, &doubt.made)}, which is not listed"
    if doubt.kind == CHANGE_DIFFERS:
        return f"{place} changes {what} to {shown(doubt, &doubt.made)}, listed is {shown(doubt, &doubt.listed)}"
    return f"{place} does not change {what}, listed is {shown(doubt, &doubt.listed)}"
