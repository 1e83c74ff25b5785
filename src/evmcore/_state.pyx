"""The working set: what it is made of, and the life of a transaction in it.

Hash tables map keys to entry numbers. Stamps that name a transaction (`warm`, `touched`, ...) compare with `ws.epoch`, so a
new transaction costs nothing. Hashes are keyed per process: the keys come from outside and must not be able to crowd a table.
The rooms in `working_set/` are compiled into this module, so that its functions can be inlined into each other.
"""
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy, memset

from evmcore._code cimport code_empty, code_find, code_intern, code_release, code_retain
from evmcore._empty_code cimport EMPTY_CODE_HASH
from evmcore._hash cimport keccak256
from evmcore._keyed_hash cimport HashKey, draw_key, hash_address, hash_slot
from evmcore._rules cimport SPURIOUS_DRAGON
from evmcore._u256 cimport u_add, u_eq, u_is_zero, u_lt, u_set64, u_sub, u_sub_borrow, u_to_be

cdef extern from "include/lines.h" namespace "evmcore" nogil:
    void* take_lines(size_t size)

cdef extern from "include/prefetch.h" namespace "evmcore" nogil:
    void prefetch(const void* at, size_t size)

cdef extern from "include/zero.h" namespace "evmcore" nogil:
    void set_zero[T](T* item)

cdef enum:
    RECENT_CODES = 64             # a power of two

cdef HashKey hash_key
draw_key(&hash_key)

cdef Code* EMPTY_CODE = code_empty()

cdef uint8_t[20] RIPEMD            # the precompile 0x03
memset(RIPEMD, 0, 20)
RIPEMD[19] = 3

include "working_set/tables.pxi"
include "working_set/journal.pxi"
include "working_set/past.pxi"
include "working_set/storage.pxi"
include "working_set/accounts.pxi"
include "working_set/notes.pxi"
include "working_set/beside.pxi"

cdef struct Private:
    Table accounts
    Table slots
    Table transients
    TransientEntry* transient
    uint32_t transient_count
    uint32_t transient_capacity
    uint32_t account_capacity
    uint32_t slot_capacity
    uint32_t seen_account_capacity
    uint32_t seen_slot_capacity
    uint32_t past_account_capacity
    uint32_t past_slot_capacity
    uint32_t log_capacity
    size_t log_data_capacity
    Undo* journal
    uint32_t journal_count
    uint32_t journal_capacity
    Code** codes                  # every code this working set holds a reference to
    uint32_t code_count
    uint32_t code_capacity
    uint32_t[RECENT_CODES] recent # where in `codes` that of a hash may be, by its first byte
    size_t log_data_size
    uint32_t ripemd               # == epoch: 0x03 was touched, which no revert takes back (mainnet block 2,675,119)


cdef inline Private* private(WorkingSet* ws) noexcept nogil:
    return <Private*>ws.private


# ---------------------------------------------------------------------------------------------------- a working set

cdef WorkingSet* ws_new() noexcept nogil:
    cdef WorkingSet* ws = <WorkingSet*>take_lines(sizeof(WorkingSet))
    cdef Private* p = <Private*>take_lines(sizeof(Private))
    if ws == NULL or p == NULL:
        free(ws)
        free(p)
        return NULL
    ws.private = p
    if not (
        table_init(&p.accounts, 256) and table_init(&p.slots, 1024) and table_init(&p.transients, 64)
        and grow_accounts(ws) and grow_slots(ws)
    ):
        ws_free(ws)
        return NULL
    ws_reset(ws, NULL, 0)
    return ws


cdef void ws_free(WorkingSet* ws) noexcept nogil:
    if ws == NULL:
        return
    cdef Private* p = private(ws)
    release_codes(p)
    free(p.accounts.cells)
    free(p.slots.cells)
    free(p.transients.cells)
    free(p.transient)
    free(p.journal)
    free(p.codes)
    free(ws.accounts)
    free(ws.slots)
    free(ws.changed_accounts)
    free(ws.changed_slots)
    free(ws.seen_accounts)
    free(ws.seen_slots)
    free(ws.past_accounts)
    free(ws.past_slots)
    free(ws.logs)
    free(ws.log_data)
    free(p)
    free(ws)


cdef void release_codes(Private* p) noexcept nogil:
    cdef uint32_t i
    for i in range(p.code_count):
        code_release(p.codes[i])
    p.code_count = 0


cdef void ws_reset(WorkingSet* ws, StateReader* reader, int revision) noexcept nogil:
    cdef Private* p = private(ws)
    cdef bint no_memory = ws.no_memory
    release_codes(p)
    table_clear(&p.accounts)
    table_clear(&p.slots)
    ws.reader = reader
    ws.revision = revision
    ws.epoch = 0
    ws.failed = False
    ws.logs_seen = 0
    ws.no_memory = False
    ws.ended = False
    ws.beside = NULL
    # Entry 0 of both kinds is a placeholder, handed out when memory is short and the run is lost anyway.
    if ws.account_count == 0 or no_memory:
        memset(&ws.accounts[0], 0, sizeof(AccountEntry))
        memset(&ws.slots[0], 0, sizeof(SlotEntry))
        ws.accounts[0].loaded = True
        ws.slots[0].loaded = True
    ws.account_count = 1
    ws.slot_count = 1
    p.ripemd = 0
    ws.keeps_seen = False
    ws_forget_seen(ws)
    ws_forget_past(ws)
    ws_begin(ws)


# ---------------------------------------------------------------------------------------------------- life cycle

cdef void ws_begin(WorkingSet* ws) noexcept nogil:
    cdef Private* p = private(ws)
    ws.epoch += 1
    ws.changed_account_count = 0
    ws.changed_slot_count = 0
    ws.log_count = 0
    ws.refund = 0
    ws.raised = 0
    p.log_data_size = 0
    p.journal_count = 0
    if p.transient_count:
        p.transient_count = 0
        table_clear(&p.transients)


cdef void ws_finish(WorkingSet* ws) noexcept nogil:
    cdef Private* p = private(ws)
    cdef uint32_t i
    cdef Undo* undo
    for i in range(p.journal_count):
        undo = &p.journal[i]
        if undo.kind == UNDO_DESTROYED:
            if ws.accounts[undo.number].destroyed == ws.epoch:
                ws_wipe(ws, undo.number)
                ws.accounts[undo.number].destroyed = 0
    if ws.revision >= SPURIOUS_DRAGON:
        for i in range(p.journal_count):
            if p.journal[i].kind == UNDO_TOUCH:
                clear_if_empty(ws, p.journal[i].number)
        if p.ripemd == ws.epoch:
            clear_if_empty(ws, ws_account(ws, RIPEMD))
    p.journal_count = 0
    if p.transient_count:
        p.transient_count = 0
        table_clear(&p.transients)


cdef void ws_wipe(WorkingSet* ws, uint32_t account) noexcept nogil:
    cdef AccountEntry* entry = &ws.accounts[account]
    mark(ws, account, PART_BALANCE | PART_NONCE | PART_CODE | PART_EXISTS | PART_WIPED)
    entry.exists = False
    entry.nonce = 0
    memset(&entry.balance, 0, sizeof(u256))
    memcpy(entry.code_hash, EMPTY_CODE_HASH, 32)
    entry.code = NULL
    entry.lifetime += 1
    ws.ended = True


cdef void clear_if_empty(WorkingSet* ws, uint32_t account) noexcept nogil:
    """EIP-161: an empty account that was touched ceases to exist, and with it what storage it has: without code none,
    but for the exceptions that EIP-7610 is about."""
    ws_load(ws, account)
    cdef AccountEntry* entry = &ws.accounts[account]
    if entry.exists and ws_is_empty(ws, account):
        mark(ws, account, PART_EXISTS)
        entry.exists = False
        ws.ended = True
        if entry.base.has_storage and entry.lifetime == 0:
            mark(ws, account, PART_WIPED)
            entry.lifetime = 1


cdef Found ws_block_hash(WorkingSet* ws, uint64_t number, uint8_t* out) noexcept nogil:
    cdef Found found = ABSENT
    if ws.reader != NULL and ws.reader.block_hash != NULL:
        found = ws.reader.block_hash(ws.reader.self, number, out)
    if found == READ_FAILED:
        ws.failed = True
    return found


# ---------------------------------------------------------------------------------------------------- results from elsewhere

cdef uint32_t ws_find_account(WorkingSet* ws, const uint8_t* address) noexcept nogil:
    cdef const Table* table = &private(ws).accounts
    cdef const Cell* cell = &table.cells[account_cell(ws, hash_address(hash_key, address), address)]
    return cell.number if cell.stamp == table.stamp and ws.accounts[cell.number].loaded else 0


cdef void ws_ask_for_account(WorkingSet* ws, const uint8_t* address) noexcept nogil:
    cdef const Table* table = &private(ws).accounts
    prefetch(&table.cells[<uint32_t>hash_address(hash_key, address) & table.mask], sizeof(Cell))


cdef uint32_t ws_find_slot(WorkingSet* ws, uint32_t account, const u256* key) noexcept nogil:
    cdef const Table* table = &private(ws).slots
    cdef const Cell* cell = &table.cells[slot_cell(ws, hash_slot(hash_key, account, key.w), account, key)]
    return cell.number if cell.stamp == table.stamp and ws.slots[cell.number].loaded else 0


cdef void ws_ask_for_slot(WorkingSet* ws, uint32_t account, const u256* key) noexcept nogil:
    cdef const Table* table = &private(ws).slots
    prefetch(&table.cells[<uint32_t>hash_slot(hash_key, account, key.w) & table.mask], sizeof(Cell))


cdef uint32_t ws_adopt_account(WorkingSet* ws, const uint8_t* address, const AccountData* base, bint exists) noexcept nogil:
    """The account's entry, loaded with what the caller knows the reader would say unless it is loaded already."""
    cdef uint32_t account = ws_account_unloaded(ws, address)
    cdef AccountEntry* entry = &ws.accounts[account]
    if not entry.loaded:
        entry.loaded = True
        entry.base = base[0]
        entry.exists = exists
        entry.base_exists = exists
        entry.nonce = base.nonce
        entry.balance = base.balance
        memcpy(entry.code_hash, base.code_hash, 32)
    return account


cdef uint32_t ws_adopt_slot(WorkingSet* ws, uint32_t account, const u256* key, const u256* base) noexcept nogil:
    cdef uint32_t slot = ws_slot_unloaded(ws, account, key)
    cdef SlotEntry* entry = &ws.slots[slot]
    if not entry.loaded:
        entry.loaded = True
        entry.base = base[0]
        entry.current = base[0]
    return slot


cdef bint ws_put_code(WorkingSet* ws, uint32_t account, const uint8_t* code_hash, Code* code) noexcept nogil:
    if code != NULL:
        code_retain(code)
        if not hold_code(ws, code):
            return False
    memcpy(ws.accounts[account].code_hash, code_hash, 32)
    ws.accounts[account].code = code
    return True
