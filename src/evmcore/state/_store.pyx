"""The native tables behind `MemoryState`. See `_store.pxd` for the invariants.

Accounts are rows in a dense array, found through an open-addressed index that, like all tables here, never shrinks
while in use: undoing a change therefore always finds the room it needs.
"""
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy, memset

from evmcore._code cimport Code, code_find, code_intern
from evmcore._empty_code cimport EMPTY_CODE_HASH
from evmcore._keyed_hash cimport HashKey, draw_key, hash_address
from evmcore._state cimport ABSENT, FOUND, LATER, AccountData, Ahead, Found, StateReader
from evmcore._u256 cimport u256, u_eq, u_is_zero, u_zero
from evmcore.state._tables cimport (
    BlockHash, Slot, SlotTable, StoredCode, codes_find, codes_free, codes_release, hashes_find, hashes_set,
    slot_find, slot_set, too_full,
)
from evmcore.state._touched cimport TOUCHED_ACCOUNT, TOUCHED_SLOT, TOUCHED_STORAGE, Touch, touch, touched_end

cdef extern from "../include/prefetch.h" namespace "evmcore" nogil:
    void prefetch(const void* at, size_t size)

cdef enum UndoKind:
    UNDO_ACCOUNT
    UNDO_SLOT
    UNDO_WIPE
    UNDO_BLOCK_HASH

cdef struct UndoAccount:
    bint existed
    uint64_t nonce
    u256 balance
    StoredCode* code              # an owned reference

cdef struct UndoBlockHash:
    bint known
    BlockHash entry

cdef union UndoPayload:
    UndoAccount account
    Slot slot
    SlotTable wiped               # owned: the table as it was
    UndoBlockHash block_hash

cdef struct Undo:
    UndoKind kind
    uint8_t[20] address
    UndoPayload old

cdef uint32_t NO_ROW = <uint32_t>0xffffffff
cdef uint32_t FIRST_CAPACITY = 8

cdef HashKey hash_key
draw_key(&hash_key)


# ---------------------------------------------------------------------------------------------- accounts

cdef inline bint same_address(const uint8_t* a, const uint8_t* b) noexcept nogil:
    return memcmp(a, b, 20) == 0


cdef inline uint64_t address_tag(const uint8_t* address) noexcept nogil:
    return hash_address(hash_key, address) >> 32


cdef Row* store_find(const Store* store, const uint8_t* address) noexcept nogil:
    cdef uint64_t tag = address_tag(address)
    cdef uint64_t at = tag & store.index_mask
    cdef uint64_t cell
    cdef Row* row
    while True:
        cell = store.index[at]
        if cell == 0:
            return NULL
        if cell >> 32 == tag:
            row = &store.rows[<uint32_t>cell - 1]
            if same_address(row.address, address):
                return row
        at = (at + 1) & store.index_mask


cdef void ask_for_account(void* self, const uint8_t* address, Ahead when) noexcept nogil:
    """Prefetches the index cell first; then the row that most likely belongs to the address."""
    cdef const Store* store = <const Store*>self
    cdef const uint64_t* cell = &store.index[address_tag(address) & store.index_mask]
    if when == LATER:
        prefetch(cell, sizeof(uint64_t))
    elif cell[0] != 0:
        prefetch(&store.rows[<uint32_t>cell[0] - 1], sizeof(Row))


cdef const uint8_t* row_code_hash(const Row* row) noexcept nogil:
    if row.code == NULL:
        return EMPTY_CODE_HASH
    return row.code.hash


cdef void index_insert(uint64_t* index, uint64_t mask, uint64_t cell) noexcept nogil:
    cdef uint64_t at = (cell >> 32) & mask
    while index[at] != 0:
        at = (at + 1) & mask
    index[at] = cell


cdef bint index_reserve(Store* store, uint64_t count) noexcept nogil:
    cdef uint64_t capacity = store.index_mask + 1
    cdef uint64_t at
    cdef uint64_t* index
    if not too_full(count, capacity):
        return True
    index = <uint64_t*>calloc(capacity * 2, sizeof(uint64_t))
    if index == NULL:
        return False
    for at in range(capacity):
        if store.index[at] != 0:
            index_insert(index, capacity * 2 - 1, store.index[at])
    free(store.index)
    store.index = index
    store.index_mask = capacity * 2 - 1
    return True


cdef void index_remove(Store* store, uint64_t tag, uint32_t number) noexcept nogil:
    cdef uint64_t mask = store.index_mask
    cdef uint64_t cell = tag << 32 | (<uint64_t>number + 1)
    cdef uint64_t hole = tag & mask
    cdef uint64_t at
    while store.index[hole] != cell:
        hole = (hole + 1) & mask
    at = hole
    while True:
        at = (at + 1) & mask
        cell = store.index[at]
        if cell == 0:
            break
        if ((at - (cell >> 32)) & mask) >= ((at - hole) & mask):   # its probe passes over the hole
            store.index[hole] = cell
            hole = at
    store.index[hole] = 0


cdef Row* row_new(Store* store, const uint8_t* address) noexcept nogil:
    """Adds a row, with fields of zero, for an absent account, also to the index; NULL: no memory."""
    cdef Row* row
    cdef Row* rows
    cdef uint32_t number = store.free_row
    cdef uint64_t capacity
    if not index_reserve(store, <uint64_t>store.account_count + 1):
        return NULL
    if number != NO_ROW:
        row = &store.rows[number]
        store.free_row = <uint32_t>row.nonce
    else:
        if store.row_count == store.row_capacity:
            capacity = <uint64_t>store.row_capacity + store.row_capacity // 2 + FIRST_CAPACITY
            if capacity >= NO_ROW:
                return NULL
            rows = <Row*>realloc(store.rows, capacity * sizeof(Row))
            if rows == NULL:
                return NULL
            store.rows = rows
            store.row_capacity = <uint32_t>capacity
        number = store.row_count
        store.row_count += 1
        row = &store.rows[number]
    memset(row, 0, sizeof(Row))
    memcpy(row.address, address, 20)
    row.used = True
    store.account_count += 1
    index_insert(store.index, store.index_mask, address_tag(address) << 32 | (<uint64_t>number + 1))
    return row


cdef void row_free(Store* store, Row* row) noexcept nogil:
    """Removes an account. Its storage has been wiped before."""
    cdef uint32_t number = <uint32_t>(row - store.rows)
    index_remove(store, address_tag(row.address), number)
    codes_release(&store.codes, row.code)
    row.code = NULL
    row.used = False
    row.nonce = store.free_row
    store.free_row = number
    store.account_count -= 1


cdef void row_set(Store* store, Row* row, uint64_t nonce, const u256* balance, StoredCode* code) noexcept nogil:
    if code != NULL:
        code.refs += 1
    codes_release(&store.codes, row.code)
    row.nonce = nonce
    row.balance = balance[0]
    row.code = code


cdef bint record_account(Store* store, const uint8_t* address, const Row* row) noexcept nogil:
    cdef Undo* undo = record(store, UNDO_ACCOUNT, address)
    if undo == NULL:
        return store.recording == 0
    undo.old.account.existed = row != NULL
    undo.old.account.code = NULL
    if row != NULL:
        undo.old.account.nonce = row.nonce
        undo.old.account.balance = row.balance
        undo.old.account.code = row.code
        if row.code != NULL:
            row.code.refs += 1
    return True


cdef bint store_put(
    Store* store, const uint8_t* address, uint64_t nonce, const u256* balance, StoredCode* code,
) noexcept nogil:
    cdef Row* row = store_find(store, address)
    if not record_account(store, address, row):
        return False
    if row == NULL:
        row = row_new(store, address)
        if row == NULL:
            unrecord(store)
            return False
    row_set(store, row, nonce, balance, code)
    touch(&store.touched, TOUCHED_ACCOUNT, address, NULL)
    return True


cdef bint store_wipe(Store* store, const uint8_t* address) noexcept nogil:
    cdef Row* row = store_find(store, address)
    cdef Undo* undo
    if row == NULL or row.slots.cells == NULL:
        return True
    if store.recording:
        undo = record(store, UNDO_WIPE, address)
        if undo == NULL:
            return False
        undo.old.wiped = row.slots
    else:
        free(row.slots.cells)
    memset(&row.slots, 0, sizeof(SlotTable))
    touch(&store.touched, TOUCHED_STORAGE, address, NULL)
    return True


cdef bint store_remove(Store* store, const uint8_t* address) noexcept nogil:
    cdef size_t position = store.journal_count
    cdef Row* row = store_find(store, address)
    if row == NULL:
        return True
    if not store_wipe(store, address):
        return False
    if not record_account(store, address, row):
        store_rewind(store, position)
        return False
    row_free(store, row)
    touch(&store.touched, TOUCHED_ACCOUNT, address, NULL)
    return True


# ----------------------------------------------------------------------------------------------- storage

cdef bint store_put_slot(Store* store, const uint8_t* address, const u256* key, const u256* value) noexcept nogil:
    cdef Row* row = store_find(store, address)
    cdef const u256* old = slot_find(&row.slots, key)
    cdef Undo* undo
    if u_is_zero(value) if old == NULL else u_eq(old, value):
        return True
    if store.recording:
        undo = record(store, UNDO_SLOT, address)
        if undo == NULL:
            return False
        undo.old.slot.key = key[0]
        if old == NULL:
            u_zero(&undo.old.slot.value)
        else:
            undo.old.slot.value = old[0]
    if slot_set(&row.slots, key, value):
        touch(&store.touched, TOUCHED_SLOT, address, key)
        return True
    unrecord(store)
    return False


# ------------------------------------------------------------------------------------------ block hashes

cdef bint store_put_block_hash(Store* store, uint64_t number, const uint8_t* hash) noexcept nogil:
    cdef const uint8_t* old = hashes_find(&store.block_hashes, number)
    cdef Undo* undo
    if store.recording:
        undo = record(store, UNDO_BLOCK_HASH, NULL)
        if undo == NULL:
            return False
        undo.old.block_hash.known = old != NULL
        undo.old.block_hash.entry.number = number
        if old != NULL:
            memcpy(undo.old.block_hash.entry.hash, old, 32)
    if hashes_set(&store.block_hashes, number, hash):
        return True
    unrecord(store)
    return False


# --------------------------------------------------------------------------------------------------- undo

cdef Undo* record(Store* store, UndoKind kind, const uint8_t* address) noexcept nogil:
    """A new journal entry to fill in; NULL: nothing is being recorded, or no memory."""
    cdef Undo* journal
    cdef size_t capacity
    if store.recording == 0:
        return NULL
    if store.journal_count == store.journal_capacity:
        capacity = store.journal_capacity + store.journal_capacity // 2 + 64
        journal = <Undo*>realloc(store.journal, capacity * sizeof(Undo))
        if journal == NULL:
            return NULL
        store.journal = journal
        store.journal_capacity = capacity
    journal = &store.journal[store.journal_count]
    store.journal_count += 1
    journal.kind = kind
    if address != NULL:
        memcpy(journal.address, address, 20)
    return journal


cdef void unrecord(Store* store) noexcept nogil:
    """Drops the last entry, because its change was not made."""
    if store.recording:
        store.journal_count -= 1
        drop(store, &store.journal[store.journal_count])


cdef void drop(Store* store, Undo* undo) noexcept nogil:
    if undo.kind == UNDO_ACCOUNT:
        codes_release(&store.codes, undo.old.account.code)
    elif undo.kind == UNDO_WIPE:
        free(undo.old.wiped.cells)


cdef void store_rewind(Store* store, size_t position) noexcept nogil:
    cdef Undo* undo
    cdef Row* row
    cdef uint8_t* hash
    while store.journal_count > position:
        store.journal_count -= 1
        undo = &store.journal[store.journal_count]
        if undo.kind == UNDO_BLOCK_HASH:
            hash = NULL
            if undo.old.block_hash.known:
                hash = undo.old.block_hash.entry.hash
            hashes_set(&store.block_hashes, undo.old.block_hash.entry.number, hash)
            continue
        row = store_find(store, undo.address)
        if undo.kind == UNDO_SLOT:
            slot_set(&row.slots, &undo.old.slot.key, &undo.old.slot.value)
            touch(&store.touched, TOUCHED_SLOT, undo.address, &undo.old.slot.key)
            continue
        if undo.kind == UNDO_WIPE:
            free(row.slots.cells)      # empty again: changes after the wipe have been undone
            row.slots = undo.old.wiped
            touch(&store.touched, TOUCHED_STORAGE, undo.address, NULL)
            continue
        touch(&store.touched, TOUCHED_ACCOUNT, undo.address, NULL)
        if undo.old.account.existed:
            if row == NULL:
                row = row_new(store, undo.address)
            row_set(store, row, undo.old.account.nonce, &undo.old.account.balance, undo.old.account.code)
            codes_release(&store.codes, undo.old.account.code)
        else:
            free(row.slots.cells)
            row.slots.cells = NULL
            row_free(store, row)


cdef void store_keep_record(Store* store) noexcept nogil:
    store.recording += 1


cdef void store_drop_record(Store* store) noexcept nogil:
    store.recording -= 1
    if store.recording == 0:
        clear_journal(store)


cdef void clear_journal(Store* store) noexcept nogil:
    cdef size_t i
    for i in range(store.journal_count):
        drop(store, &store.journal[i])
    store.journal_count = 0
    if store.journal_capacity > 4096:     # do not keep the memory that one large change needed
        free(store.journal)
        store.journal = NULL
        store.journal_capacity = 0


# ----------------------------------------------------------------------------------------- begin and end

cdef bint store_init(Store* store) noexcept nogil:
    memset(store, 0, sizeof(Store))
    store.free_row = NO_ROW
    store.index_mask = FIRST_CAPACITY - 1
    store.index = <uint64_t*>calloc(FIRST_CAPACITY, sizeof(uint64_t))
    return store.index != NULL


cdef void store_free(Store* store) noexcept nogil:
    cdef uint64_t i
    clear_journal(store)
    for i in range(store.row_count):
        if store.rows[i].used:
            free(store.rows[i].slots.cells)
    codes_free(&store.codes)
    free(store.rows)
    free(store.index)
    free(store.block_hashes.entries)
    free(store.journal)
    touched_end(&store.touched)
    memset(store, 0, sizeof(Store))


cdef size_t store_memory(const Store* store) noexcept nogil:
    cdef size_t total = sizeof(Store)
    cdef uint64_t i
    total += <size_t>store.row_capacity * sizeof(Row)
    total += <size_t>(store.index_mask + 1) * sizeof(uint64_t)
    total += store.block_hashes.capacity * sizeof(BlockHash)
    total += store.journal_capacity * sizeof(Undo) + store.touched.capacity * sizeof(Touch)
    for i in range(store.row_count):
        if store.rows[i].used and store.rows[i].slots.cells != NULL:
            total += (<size_t>store.rows[i].slots.mask + 1) * sizeof(Slot)
    if store.codes.cells != NULL:
        for i in range(store.codes.mask + 1):
            total += sizeof(StoredCode*)
            if store.codes.cells[i] != NULL:
                total += sizeof(StoredCode) + store.codes.cells[i].size
    return total


# -------------------------------------------------------------------------------------------- StateReader

cdef Found read_account(void* self, const uint8_t* address, AccountData* out) noexcept nogil:
    cdef const Row* row = store_find(<const Store*>self, address)
    if row == NULL:
        return ABSENT
    out.balance = row.balance
    out.nonce = row.nonce
    memcpy(out.code_hash, row_code_hash(row), 32)
    out.has_storage = row.slots.count != 0
    return FOUND


cdef Found read_storage(void* self, const uint8_t* address, const u256* slot, u256* value) noexcept nogil:
    cdef const Row* row = store_find(<const Store*>self, address)
    cdef const u256* found
    if row == NULL:
        return ABSENT
    found = slot_find(&row.slots, slot)
    if found == NULL:
        return ABSENT
    value[0] = found[0]
    return FOUND


cdef Code* read_code(void* self, const uint8_t* address, const uint8_t* code_hash) noexcept nogil:
    cdef Code* code = code_find(code_hash)
    cdef const StoredCode* stored
    if code != NULL:
        return code
    stored = codes_find(&(<const Store*>self).codes, code_hash)
    if stored != NULL and stored.data != NULL:
        return code_intern(code_hash, stored.data, stored.size)
    if memcmp(code_hash, EMPTY_CODE_HASH, 32) == 0:
        return code_intern(code_hash, NULL, 0)
    return NULL


cdef Found read_block_hash(void* self, uint64_t number, uint8_t* out) noexcept nogil:
    cdef const uint8_t* found = hashes_find(&(<const Store*>self).block_hashes, number)
    if found == NULL:
        return ABSENT
    memcpy(out, found, 32)
    return FOUND


cdef void store_reader(Store* store, StateReader* reader) noexcept nogil:
    reader.self = store
    reader.ask_for = ask_for_account
    reader.account = read_account
    reader.storage = read_storage
    reader.code = read_code
    reader.block_hash = read_block_hash
