# Images of what transactions changed, oldest first, so that the latest transactions can be rolled back: the journal
# covers only the running transaction.

cdef void ws_keep_past(WorkingSet* ws) noexcept nogil:
    ws.keeps_past = True
    ws.past_account_count = 1
    ws.past_slot_count = 1


cdef void ws_forget_past(WorkingSet* ws) noexcept nogil:
    """The entries' `past` stays set; it is unused from now on, and gone with the next reset."""
    ws.keeps_past = False


cdef void keep_account(WorkingSet* ws, uint32_t account) noexcept nogil:
    """Called before the running transaction changes the account for the first time."""
    cdef AccountEntry* entry = &ws.accounts[account]
    cdef AccountImage* image
    cdef uint32_t number = ws.past_account_count
    if number >= private(ws).past_account_capacity and not grow(
        ws, <void**>&ws.past_accounts, &private(ws).past_account_capacity, sizeof(AccountImage)
    ):
        return
    ws.past_account_count += 1
    image = &ws.past_accounts[number]
    image.number = account
    image.epoch = ws.epoch
    image.first = ws.past_accounts[entry.past].first if entry.past else ws.epoch
    image.previous = entry.past
    image.lifetime = entry.lifetime
    image.exists = entry.exists
    image.nonce = entry.nonce
    image.balance = entry.balance
    memcpy(image.code_hash, entry.code_hash, 32)
    image.code = entry.code
    entry.past = number


cdef void keep_slot(WorkingSet* ws, uint32_t slot) noexcept nogil:
    cdef SlotEntry* entry = &ws.slots[slot]
    cdef SlotImage* image
    cdef uint32_t number = ws.past_slot_count
    if number >= private(ws).past_slot_capacity and not grow(
        ws, <void**>&ws.past_slots, &private(ws).past_slot_capacity, sizeof(SlotImage)
    ):
        return
    ws.past_slot_count += 1
    image = &ws.past_slots[number]
    image.number = slot
    image.epoch = ws.epoch
    image.first = ws.past_slots[entry.past].first if entry.past else ws.epoch
    image.previous = entry.past
    image.lifetime = entry.lifetime
    image.current = entry.current
    entry.past = number


cdef void ws_go_back(WorkingSet* ws, uint32_t epoch) noexcept nogil:
    cdef AccountImage* account
    cdef AccountEntry* entry
    cdef SlotImage* slot
    while ws.past_account_count > 1 and ws.past_accounts[ws.past_account_count - 1].epoch >= epoch:
        ws.past_account_count -= 1
        account = &ws.past_accounts[ws.past_account_count]
        entry = &ws.accounts[account.number]
        entry.lifetime = account.lifetime
        entry.exists = account.exists
        entry.nonce = account.nonce
        entry.balance = account.balance
        memcpy(entry.code_hash, account.code_hash, 32)
        entry.code = account.code
        entry.past = account.previous
    while ws.past_slot_count > 1 and ws.past_slots[ws.past_slot_count - 1].epoch >= epoch:
        ws.past_slot_count -= 1
        slot = &ws.past_slots[ws.past_slot_count]
        ws.slots[slot.number].lifetime = slot.lifetime
        ws.slots[slot.number].current = slot.current
        ws.slots[slot.number].past = slot.previous


cdef uint32_t ws_account_changed_first(const WorkingSet* ws, uint32_t account) noexcept nogil:
    cdef uint32_t past = ws.accounts[account].past
    return ws.past_accounts[past].first if past else 0


cdef uint32_t ws_slot_changed_first(const WorkingSet* ws, uint32_t slot) noexcept nogil:
    cdef uint32_t past = ws.slots[slot].past
    return ws.past_slots[past].first if past else 0


cdef u256 ws_least_balance(const WorkingSet* ws, uint32_t account) noexcept nogil:
    cdef u256 least = ws.accounts[account].balance
    cdef uint32_t past = ws.accounts[account].past
    while past:
        if u_lt(&ws.past_accounts[past].balance, &least):
            least = ws.past_accounts[past].balance
        past = ws.past_accounts[past].previous
    return least
