# Storage slots, and transient storage (EIP-1153).

cdef enum:
    NO_NUMBER = 0xffffffff


cdef struct TransientEntry:
    uint32_t account
    u256 key
    u256 value


cdef inline uint32_t slot_cell(WorkingSet* ws, uint64_t key_hash, uint32_t account, const u256* key) noexcept nogil:
    """The cell that holds the slot's number, or the free cell where it would stand."""
    cdef const Table* table = &private(ws).slots
    cdef uint32_t at = <uint32_t>key_hash & table.mask
    cdef const Cell* cell = &table.cells[at]
    cdef const SlotEntry* entry
    while cell.stamp == table.stamp:
        entry = &ws.slots[cell.number]
        if may_be(cell, key_hash) and entry.account == account and u_eq(&entry.key, key):
            break
        at = (at + 1) & table.mask
        cell = &table.cells[at]
    return at


cdef uint32_t ws_slot_unloaded(WorkingSet* ws, uint32_t account, const u256* key) noexcept nogil:
    cdef Private* p = private(ws)
    cdef Table* table = &p.slots
    cdef uint64_t key_hash = hash_slot(hash_key, account, key.w)
    cdef uint32_t at = slot_cell(ws, key_hash, account, key)
    cdef uint32_t number
    if table.cells[at].stamp == table.stamp:
        return table.cells[at].number
    number = ws.slot_count
    if not has_room(ws, table) or (number == p.slot_capacity and not grow_slots(ws)):
        return 0
    set_zero(&ws.slots[number])
    ws.slots[number].account = account
    ws.slots[number].key = key[0]
    take_cell(table, at, key_hash, number)
    ws.slot_count += 1
    return number if make_room(ws, table, 1, ws.slot_count) else 0


cdef void ws_load_slot(WorkingSet* ws, uint32_t slot) noexcept nogil:
    """Makes `current` and `original` valid for the running transaction."""
    cdef SlotEntry* entry = &ws.slots[slot]
    cdef AccountEntry* account = &ws.accounts[entry.account]
    cdef Found found
    if not entry.loaded:
        ws_load(ws, entry.account)
    if not entry.loaded and not (ws.beside != NULL and slot_from_beside(ws, slot)):
        found = ABSENT
        if account.base_exists and ws.reader != NULL:
            found = ws.reader.storage(ws.reader.self, account.address, &entry.key, &entry.base)
            entry.origin = ws.reader.origin
            entry.contended = ws.reader.contended
        if found != FOUND:
            memset(&entry.base, 0, sizeof(u256))
            if found == READ_FAILED:
                ws.failed = True
        entry.current = entry.base
        entry.loaded = found != READ_FAILED
    if entry.seen != ws.epoch:
        if entry.lifetime != account.lifetime:
            if ws.keeps_past:
                keep_slot(ws, slot)
            memset(&entry.current, 0, sizeof(u256))
            entry.lifetime = account.lifetime
        entry.original = entry.current
        entry.seen = ws.epoch
        if ws.keeps_seen:
            ws_note_slot(ws, slot)


cdef uint32_t ws_slot(WorkingSet* ws, uint32_t account, const u256* key) noexcept nogil:
    cdef uint32_t slot = ws_slot_unloaded(ws, account, key)
    if ws.slots[slot].seen != ws.epoch:
        ws_load_slot(ws, slot)
    return slot


cdef bint ws_warm_slot(WorkingSet* ws, uint32_t slot) noexcept nogil:
    if ws.slots[slot].warm == ws.epoch:
        return False
    record(ws, UNDO_WARM_SLOT, slot)
    ws.slots[slot].warm = ws.epoch
    return True


cdef void ws_store(WorkingSet* ws, uint32_t slot, const u256* value) noexcept nogil:
    cdef SlotEntry* entry = &ws.slots[slot]
    record(ws, UNDO_STORE, slot).word = entry.current
    if entry.changed != ws.epoch:
        if ws.keeps_past:
            keep_slot(ws, slot)
        entry.changed = ws.epoch
        ws.changed_slots[ws.changed_slot_count] = slot
        ws.changed_slot_count += 1
    entry.current = value[0]


cdef uint32_t transient_number(WorkingSet* ws, uint32_t account, const u256* key, bint create) noexcept nogil:
    """The number of a transient slot. NO_NUMBER: there is none and `create` is false, or no memory."""
    cdef Private* p = private(ws)
    cdef Table* table = &p.transients
    cdef uint64_t key_hash = hash_slot(hash_key, account, key.w)
    cdef uint32_t at = <uint32_t>key_hash & table.mask
    cdef uint32_t number
    while table.cells[at].stamp == table.stamp:
        number = table.cells[at].number
        if (
            may_be(&table.cells[at], key_hash)
            and p.transient[number].account == account and u_eq(&p.transient[number].key, key)
        ):
            return number
        at = (at + 1) & table.mask
    if not create:
        return NO_NUMBER
    number = p.transient_count
    if not has_room(ws, table) or (
        number == p.transient_capacity
        and not grow(ws, <void**>&p.transient, &p.transient_capacity, sizeof(TransientEntry))
    ):
        return NO_NUMBER
    memset(&p.transient[number], 0, sizeof(TransientEntry))
    p.transient[number].account = account
    p.transient[number].key = key[0]
    take_cell(table, at, key_hash, number)
    p.transient_count += 1
    return number if make_room(ws, table, 0, p.transient_count) else NO_NUMBER


cdef void ws_tload(WorkingSet* ws, uint32_t account, const u256* key, u256* value) noexcept nogil:
    cdef uint32_t number = transient_number(ws, account, key, False)
    if number == NO_NUMBER:
        memset(value, 0, sizeof(u256))
    else:
        value[0] = private(ws).transient[number].value


cdef void ws_tstore(WorkingSet* ws, uint32_t account, const u256* key, const u256* value) noexcept nogil:
    cdef uint32_t number = transient_number(ws, account, key, True)
    if number == NO_NUMBER:
        return
    record(ws, UNDO_TSTORE, number).word = private(ws).transient[number].value
    private(ws).transient[number].value = value[0]
