"""Open-addressed tables with linear probing, and a sorted list of block hashes. See `_tables.pxd`.

Tables are never more than three quarters full, and close the gap after a removal, so there are no tombstones. They
never shrink while in use: putting an entry back always finds room.
"""
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy, memmove, memset

from evmcore._keyed_hash cimport HashKey, draw_key, hash_bytes32, hash_words4
from evmcore._u256 cimport u256, u_eq, u_is_zero, u_zero

cdef uint32_t FIRST_CAPACITY = 8

cdef HashKey hash_key
draw_key(&hash_key)


# ----------------------------------------------------------------------------------------------- storage

cdef inline uint64_t slot_home(const u256* key, uint32_t mask) noexcept nogil:
    return hash_words4(hash_key, key.w) & mask


cdef inline Slot* slot_cell(const SlotTable* table, const u256* key) noexcept nogil:
    """The cell of the key, or the free cell for it. The table must have cells."""
    cdef uint64_t at = slot_home(key, table.mask)
    cdef Slot* cell = &table.cells[at]
    while not u_is_zero(&cell.value) and not u_eq(&cell.key, key):
        at = (at + 1) & table.mask
        cell = &table.cells[at]
    return cell


cdef const u256* slot_find(const SlotTable* table, const u256* key) noexcept nogil:
    cdef Slot* cell
    if table.cells == NULL:
        return NULL
    cell = slot_cell(table, key)
    if u_is_zero(&cell.value):
        return NULL
    return &cell.value


cdef bint slots_reserve(SlotTable* table, uint64_t count) noexcept nogil:
    cdef uint64_t capacity = <uint64_t>table.mask + 1
    cdef uint64_t at
    cdef SlotTable bigger
    if table.cells == NULL:
        table.cells = <Slot*>calloc(FIRST_CAPACITY, sizeof(Slot))
        table.mask = FIRST_CAPACITY - 1
        return table.cells != NULL
    if not too_full(count, capacity):
        return True
    if capacity > 0x7fffffff:
        return False
    bigger.cells = <Slot*>calloc(capacity * 2, sizeof(Slot))
    bigger.mask = <uint32_t>(capacity * 2 - 1)
    bigger.count = table.count
    if bigger.cells == NULL:
        return False
    for at in range(capacity):
        if not u_is_zero(&table.cells[at].value):
            slot_cell(&bigger, &table.cells[at].key)[0] = table.cells[at]
    free(table.cells)
    table[0] = bigger
    return True


cdef void slot_remove(SlotTable* table, Slot* cell) noexcept nogil:
    cdef uint64_t hole = <uint64_t>(cell - table.cells)
    cdef uint64_t at = hole
    while True:
        at = (at + 1) & table.mask
        cell = &table.cells[at]
        if u_is_zero(&cell.value):
            break
        if ((at - slot_home(&cell.key, table.mask)) & table.mask) >= ((at - hole) & table.mask):
            table.cells[hole] = cell[0]
            hole = at
    u_zero(&table.cells[hole].value)
    table.count -= 1


cdef bint slot_set(SlotTable* table, const u256* key, const u256* value) noexcept nogil:
    cdef Slot* cell
    if table.cells != NULL:
        cell = slot_cell(table, key)
        if not u_is_zero(&cell.value):
            if u_is_zero(value):
                slot_remove(table, cell)
            else:
                cell.value = value[0]
            return True
    if u_is_zero(value):
        return True
    if not slots_reserve(table, <uint64_t>table.count + 1):
        return False
    cell = slot_cell(table, key)
    cell.key = key[0]
    cell.value = value[0]
    table.count += 1
    return True


# ------------------------------------------------------------------------------------------------- codes

cdef inline StoredCode** code_cell(const CodeTable* table, const uint8_t* code_hash) noexcept nogil:
    """The cell of the code, or the free cell for it."""
    cdef uint64_t at = hash_bytes32(hash_key, code_hash) & table.mask
    while table.cells[at] != NULL and memcmp(table.cells[at].hash, code_hash, 32) != 0:
        at = (at + 1) & table.mask
    return &table.cells[at]


cdef StoredCode* codes_find(const CodeTable* table, const uint8_t* code_hash) noexcept nogil:
    if table.cells == NULL:
        return NULL
    return code_cell(table, code_hash)[0]


cdef bint codes_reserve(CodeTable* table, uint64_t count) noexcept nogil:
    cdef uint64_t capacity = table.mask + 1
    cdef uint64_t at
    cdef CodeTable bigger
    if table.cells != NULL and not too_full(count, capacity):
        return True
    bigger.mask = FIRST_CAPACITY - 1 if table.cells == NULL else capacity * 2 - 1
    bigger.count = table.count
    bigger.cells = <StoredCode**>calloc(bigger.mask + 1, sizeof(StoredCode*))
    if bigger.cells == NULL:
        return False
    if table.cells != NULL:
        for at in range(capacity):
            if table.cells[at] != NULL:
                code_cell(&bigger, table.cells[at].hash)[0] = table.cells[at]
        free(table.cells)
    table[0] = bigger
    return True


cdef StoredCode* codes_add(CodeTable* table, const uint8_t* code_hash, const uint8_t* data, size_t size) noexcept nogil:
    cdef StoredCode** cell
    cdef StoredCode* code
    cdef uint8_t* copied = NULL
    if size > 0x7fffffff or not codes_reserve(table, table.count + 1):
        return NULL
    cell = code_cell(table, code_hash)
    code = cell[0]
    if data != NULL and (code == NULL or code.data == NULL):
        copied = <uint8_t*>malloc(size if size else 1)
        if copied == NULL:
            return NULL
        memcpy(copied, data, size)
    if code == NULL:
        code = <StoredCode*>malloc(sizeof(StoredCode))
        if code == NULL:
            free(copied)
            return NULL
        memset(code, 0, sizeof(StoredCode))
        memcpy(code.hash, code_hash, 32)
        cell[0] = code
        table.count += 1
    if copied != NULL:
        code.data = copied
        code.size = <uint32_t>size
    code.refs += 1
    return code


cdef void codes_release(CodeTable* table, StoredCode* code) noexcept nogil:
    cdef uint64_t mask = table.mask
    cdef uint64_t hole
    cdef uint64_t at
    if code == NULL:
        return
    code.refs -= 1
    if code.refs != 0:
        return
    hole = <uint64_t>(code_cell(table, code.hash) - table.cells)
    at = hole
    while True:
        at = (at + 1) & mask
        if table.cells[at] == NULL:
            break
        if ((at - hash_bytes32(hash_key, table.cells[at].hash)) & mask) >= ((at - hole) & mask):
            table.cells[hole] = table.cells[at]
            hole = at
    table.cells[hole] = NULL
    table.count -= 1
    code_free(code)


cdef void code_free(StoredCode* code) noexcept nogil:
    if code != NULL:
        free(code.data)
        free(code)


cdef void codes_free(CodeTable* table) noexcept nogil:
    cdef uint64_t at
    if table.cells != NULL:
        for at in range(table.mask + 1):
            code_free(table.cells[at])
    free(table.cells)


# ------------------------------------------------------------------------------------------ block hashes

cdef size_t block_hash_position(const BlockHashes* hashes, uint64_t number) noexcept nogil:
    """The index of the number, or the index at which it would be inserted."""
    cdef size_t low = 0
    cdef size_t high = hashes.count
    cdef size_t middle
    if high and hashes.entries[high - 1].number < number:
        return high
    while low < high:
        middle = (low + high) // 2
        if hashes.entries[middle].number < number:
            low = middle + 1
        else:
            high = middle
    return low


cdef const uint8_t* hashes_find(const BlockHashes* hashes, uint64_t number) noexcept nogil:
    cdef size_t at = block_hash_position(hashes, number)
    if at < hashes.count and hashes.entries[at].number == number:
        return hashes.entries[at].hash
    return NULL


cdef bint hashes_set(BlockHashes* hashes, uint64_t number, const uint8_t* hash) noexcept nogil:
    cdef size_t at = block_hash_position(hashes, number)
    cdef bint known = at < hashes.count and hashes.entries[at].number == number
    cdef BlockHash* bigger
    cdef size_t capacity
    if hash == NULL:
        if known:
            hashes.count -= 1
            memmove(&hashes.entries[at], &hashes.entries[at + 1],
                    (hashes.count - at) * sizeof(BlockHash))
        return True
    if not known:
        if hashes.count == hashes.capacity:
            capacity = hashes.capacity * 2 + FIRST_CAPACITY
            bigger = <BlockHash*>realloc(hashes.entries, capacity * sizeof(BlockHash))
            if bigger == NULL:
                return False
            hashes.entries = bigger
            hashes.capacity = capacity
        memmove(&hashes.entries[at + 1], &hashes.entries[at],
                (hashes.count - at) * sizeof(BlockHash))
        hashes.count += 1
    hashes.entries[at].number = number
    memcpy(hashes.entries[at].hash, hash, 32)
    return True
