# Changes of other working sets, as a part of this one: joined when they are needed, or all at once.

cdef bint ws_join_account(WorkingSet* ws, WorkingSet* other, uint32_t account) noexcept nogil:
    cdef AccountEntry* changed = &other.accounts[account]
    cdef uint32_t number = ws_adopt_account(ws, changed.address, &changed.base, changed.base_exists)
    cdef AccountEntry* entry = &ws.accounts[number]
    cdef u256 more
    changed.past = 0
    if changed.lifetime:
        entry.lifetime += changed.lifetime
        entry.nonce = changed.nonce
        entry.balance = changed.balance
    else:
        if changed.nonce != changed.base.nonce:
            entry.nonce = changed.nonce
        u_sub(&more, &changed.balance, &changed.base.balance)
        u_add(&entry.balance, &entry.balance, &more)
    if changed.exists != changed.base_exists or changed.lifetime:
        entry.exists = changed.exists
    if memcmp(changed.code_hash, changed.base.code_hash, 32) != 0 or changed.lifetime:
        return ws_put_code(ws, number, changed.code_hash, changed.code)
    return not ws.failed


cdef bint ws_join_slot(WorkingSet* ws, WorkingSet* other, uint32_t slot) noexcept nogil:
    cdef SlotEntry* changed = &other.slots[slot]
    cdef const AccountEntry* account = &other.accounts[changed.account]
    cdef uint32_t number = ws_adopt_account(ws, account.address, &account.base, account.base_exists)
    cdef SlotEntry* entry = &ws.slots[ws_adopt_slot(ws, number, &changed.key, &changed.base)]
    changed.past = 0
    entry.current = changed.current
    entry.lifetime = changed.lifetime
    return not ws.failed


cdef bint ws_join(WorkingSet* ws, WorkingSet* other) noexcept nogil:
    cdef uint32_t i
    for i in range(1, other.account_count):
        if other.accounts[i].past and not ws_join_account(ws, other, i):
            return False
    for i in range(1, other.slot_count):
        if other.slots[i].past and not ws_join_slot(ws, other, i):
            return False
    return True


cdef void ws_put_beside(WorkingSet* ws, WorkingSet* other) noexcept nogil:
    other.beside = ws.beside
    ws.beside = other


cdef bint account_from_beside(WorkingSet* ws, uint32_t account) noexcept nogil:
    """Loads an account, if another working set changed it."""
    cdef WorkingSet* other = ws.beside
    cdef uint32_t number
    while other != NULL:
        number = ws_find_account(other, ws.accounts[account].address)
        if number and other.accounts[number].past:
            ws_join_account(ws, other, number)
            return True
        other = other.beside
    return False


cdef bint slot_from_beside(WorkingSet* ws, uint32_t slot) noexcept nogil:
    """The same for a slot."""
    cdef WorkingSet* other = ws.beside
    cdef const uint8_t* address = ws.accounts[ws.slots[slot].account].address
    cdef uint32_t number
    while other != NULL:
        number = ws_find_account(other, address)
        number = ws_find_slot(other, number, &ws.slots[slot].key) if number else 0
        if number and other.slots[number].past:
            ws_join_slot(ws, other, number)
            return True
        other = other.beside
    return False
