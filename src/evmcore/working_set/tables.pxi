# Growing arrays, and hash tables from keys to entry numbers. Cells carry a stamp, so that one increment clears a table.
# They also carry a part of the hash, so that a lookup hardly ever touches another key's entry, which would be a cache
# miss.

cdef struct Cell:
    uint16_t stamp
    uint16_t tag                  # the highest bits of the key's hash
    uint32_t number

cdef struct Table:
    Cell* cells
    uint32_t mask
    uint32_t used
    uint16_t stamp                # cells with another stamp are free


cdef void out_of_memory(WorkingSet* ws) noexcept nogil:
    ws.failed = True
    ws.no_memory = True


cdef bint grow(WorkingSet* ws, void** items, uint32_t* capacity, size_t item_size) noexcept nogil:
    """Doubles an array. False: no memory; the working set has failed, and the old array stays."""
    cdef uint32_t wanted = capacity[0] * 2 if capacity[0] else 64
    cdef void* bigger
    if wanted > capacity[0]:
        bigger = realloc(items[0], wanted * item_size)
        if bigger != NULL:
            items[0] = bigger
            capacity[0] = wanted
            return True
    out_of_memory(ws)
    return False


cdef bint grow_accounts(WorkingSet* ws) noexcept nogil:
    """Makes room for more account entries, and for the list of changed ones, which may contain them all."""
    cdef uint32_t capacity = private(ws).account_capacity
    return grow(ws, <void**>&ws.changed_accounts, &capacity, sizeof(uint32_t)) and grow(
        ws, <void**>&ws.accounts, &private(ws).account_capacity, sizeof(AccountEntry)
    )


cdef bint grow_slots(WorkingSet* ws) noexcept nogil:
    cdef uint32_t capacity = private(ws).slot_capacity
    return grow(ws, <void**>&ws.changed_slots, &capacity, sizeof(uint32_t)) and grow(
        ws, <void**>&ws.slots, &private(ws).slot_capacity, sizeof(SlotEntry)
    )


cdef bint table_init(Table* table, uint32_t size) noexcept nogil:
    table.cells = <Cell*>calloc(size, sizeof(Cell))
    table.mask = size - 1
    table.stamp = 1
    table.used = 0
    return table.cells != NULL


cdef void table_clear(Table* table) noexcept nogil:
    table.used = 0
    table.stamp += 1
    if table.stamp == 0:
        memset(table.cells, 0, (<size_t>table.mask + 1) * sizeof(Cell))
        table.stamp = 1


cdef inline uint32_t free_cell(const Table* table, uint64_t key_hash) noexcept nogil:
    """The first free cell for a key that is not in the table."""
    cdef uint32_t at = <uint32_t>key_hash & table.mask
    while table.cells[at].stamp == table.stamp:
        at = (at + 1) & table.mask
    return at


cdef inline bint has_room(WorkingSet* ws, const Table* table) noexcept nogil:
    """Whether one more cell may be taken. It may not be the last: every search ends at a free one, also where memory for more
    has run out before and the working set goes on."""
    if table.used < table.mask:
        return True
    out_of_memory(ws)
    return False


cdef inline bint may_be(const Cell* cell, uint64_t key_hash) noexcept nogil:
    return cell.tag == <uint16_t>(key_hash >> 48)


cdef inline void take_cell(Table* table, uint32_t at, uint64_t key_hash, uint32_t number) noexcept nogil:
    table.cells[at].stamp = table.stamp
    table.cells[at].tag = <uint16_t>(key_hash >> 48)
    table.cells[at].number = number
    table.used += 1


cdef inline uint64_t hash_of_entry(WorkingSet* ws, const Table* table, uint32_t number) noexcept nogil:
    cdef Private* p = private(ws)
    if table == &p.accounts:
        return hash_address(hash_key, ws.accounts[number].address)
    if table == &p.slots:
        return hash_slot(hash_key, ws.slots[number].account, ws.slots[number].key.w)
    return hash_slot(hash_key, p.transient[number].account, p.transient[number].key.w)


cdef bint make_room(WorkingSet* ws, Table* table, uint32_t first, uint32_t stop) noexcept nogil:
    """Doubles a table if it is half full. It holds the entries from `first` to before `stop`, whose numbers stay.
    False: no memory; the working set has failed."""
    cdef uint32_t size = (table.mask + 1) * 2
    cdef uint32_t number
    cdef uint64_t key_hash
    cdef Table bigger
    if table.used * 2 <= table.mask:
        return True
    if size == 0 or not table_init(&bigger, size):
        out_of_memory(ws)
        return False
    for number in range(first, stop):
        key_hash = hash_of_entry(ws, table, number)
        take_cell(&bigger, free_cell(&bigger, key_hash), key_hash, number)
    free(table.cells)
    table[0] = bigger
    return True
