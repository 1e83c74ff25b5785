"""The working set: tables, journal, and what happens to accounts at the end of a transaction.

Two hash tables map keys to entry numbers. Their cells carry a stamp, so forgetting everything is one increment. Stamps that
name a transaction (`warm`, `touched`, ...) compare with `ws.epoch`, so a new transaction costs nothing either. Hashes are
keyed per process: the keys come from outside and must not be able to crowd a table.
"""
import os

from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

from evmcore._code cimport code_empty, code_find, code_intern, code_release, code_retain
from evmcore._hash cimport keccak256
from evmcore._rules cimport SPURIOUS_DRAGON
from evmcore._u256 cimport u_add, u_eq, u_is_zero, u_lt, u_set64, u_sub, u_sub_borrow, u_to_be

cdef enum UndoKind:
    UNDO_WARM_ACCOUNT
    UNDO_TOUCH
    UNDO_CREATED
    UNDO_DESTROYED
    UNDO_EXISTS
    UNDO_BALANCE
    UNDO_NONCE
    UNDO_CODE
    UNDO_WARM_SLOT
    UNDO_STORE
    UNDO_TSTORE

cdef struct Undo:
    UndoKind kind
    uint32_t number
    u256 word                     # the old value (of a code: its hash)
    Code* code

cdef struct TransientEntry:
    uint32_t account
    u256 key
    u256 value

cdef struct Cell:
    uint32_t stamp
    uint32_t number

cdef struct Table:
    Cell* cells
    uint32_t mask
    uint32_t stamp                # cells of another stamp are free
    uint32_t used

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
    uint32_t log_capacity
    size_t log_data_capacity
    Undo* journal
    uint32_t journal_count
    uint32_t journal_capacity
    Code** codes                  # every code this working set holds a reference to
    uint32_t code_count
    uint32_t code_capacity
    size_t log_data_size
    uint32_t ripemd               # == epoch: 0x03 was touched, which no revert takes back (mainnet block 2,675,119)

cdef extern from "include/keyed_hash.h" nogil:
    ctypedef struct HashKey:
        pass
    uint64_t hash_address(const HashKey& key, const uint8_t* address)
    uint64_t hash_slot(const HashKey& key, uint32_t account, const uint64_t* slot)

cdef HashKey hash_key
cdef bytes random_key = os.urandom(sizeof(HashKey))
memcpy(&hash_key, <const uint8_t*>random_key, sizeof(HashKey))

cdef uint8_t[32] EMPTY_CODE_HASH
keccak256(EMPTY_CODE_HASH, 0, EMPTY_CODE_HASH)
cdef Code* EMPTY_CODE = code_empty()


# ---------------------------------------------------------------------------------------------------- memory

cdef inline Private* private(WorkingSet* ws) noexcept nogil:
    return <Private*>ws.private


cdef void out_of_memory(WorkingSet* ws) noexcept nogil:
    ws.failed = True
    ws.no_memory = True


cdef bint grow(WorkingSet* ws, void** items, uint32_t* capacity, size_t item_size) noexcept nogil:
    """Doubles an array. False (and the working set failed) when there is no memory; the old array stays."""
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
    """More room for account entries, and for the list of all of them that a transaction may write."""
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


cdef WorkingSet* ws_new() noexcept nogil:
    cdef WorkingSet* ws = <WorkingSet*>calloc(1, sizeof(WorkingSet))
    cdef Private* p = <Private*>calloc(1, sizeof(Private))
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
    release_codes(p)
    table_clear(&p.accounts)
    table_clear(&p.slots)
    ws.reader = reader
    ws.revision = revision
    ws.epoch = 0
    ws.failed = False
    ws.logs_seen = 0
    ws.no_memory = False
    # Entry 0 of both kinds is a placeholder, handed out when memory is short and the run is lost anyway.
    memset(&ws.accounts[0], 0, sizeof(AccountEntry))
    memset(&ws.slots[0], 0, sizeof(SlotEntry))
    ws.accounts[0].loaded = True
    ws.slots[0].loaded = True
    ws.account_count = 1
    ws.slot_count = 1
    p.ripemd = 0
    ws.keeps_seen = False
    ws_forget_seen(ws)
    ws_begin(ws)


# ---------------------------------------------------------------------------------------------------- life cycle

cdef void ws_begin(WorkingSet* ws) noexcept nogil:
    cdef Private* p = private(ws)
    ws.epoch += 1
    ws.changed_account_count = 0
    ws.changed_slot_count = 0
    ws.log_count = 0
    ws.refund = 0
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


cdef inline void mark(WorkingSet* ws, uint32_t account, int parts) noexcept nogil:
    """Notes that the running transaction writes parts of an account."""
    cdef AccountEntry* entry = &ws.accounts[account]
    if entry.changed != ws.epoch:
        entry.changed = ws.epoch
        entry.parts = 0
        ws.changed_accounts[ws.changed_account_count] = account
        ws.changed_account_count += 1
    entry.parts |= parts


cdef void ws_wipe(WorkingSet* ws, uint32_t account) noexcept nogil:
    cdef AccountEntry* entry = &ws.accounts[account]
    entry.exists = False
    entry.nonce = 0
    memset(&entry.balance, 0, sizeof(u256))
    memcpy(entry.code_hash, EMPTY_CODE_HASH, 32)
    entry.code = NULL
    entry.lifetime += 1
    mark(ws, account, PART_BALANCE | PART_NONCE | PART_CODE | PART_EXISTS | PART_WIPED)


cdef void clear_if_empty(WorkingSet* ws, uint32_t account) noexcept nogil:
    """EIP-161: an empty account that was touched ceases to exist, and with it what storage it has: without code none,
    but for the exceptions that EIP-7610 is about."""
    ws_load(ws, account)
    cdef AccountEntry* entry = &ws.accounts[account]
    if entry.exists and ws_is_empty(ws, account):
        entry.exists = False
        mark(ws, account, PART_EXISTS)
        if entry.base.has_storage and entry.lifetime == 0:
            entry.lifetime = 1
            mark(ws, account, PART_WIPED)


cdef Undo* record(WorkingSet* ws, UndoKind kind, uint32_t number) noexcept nogil:
    cdef Private* p = private(ws)
    if p.journal_count == p.journal_capacity:
        if not grow(ws, <void**>&p.journal, &p.journal_capacity, sizeof(Undo)):
            if p.journal_capacity == 0:
                return <Undo*>&spare_undo
            p.journal_count -= 1              # the run is lost; stay within bounds
    cdef Undo* undo = &p.journal[p.journal_count]
    p.journal_count += 1
    undo.kind = kind
    undo.number = number
    return undo

cdef Undo spare_undo                          # written to when there is no memory for a journal at all

cdef uint8_t[20] RIPEMD
memset(RIPEMD, 0, 20)
RIPEMD[19] = 3


cdef Checkpoint ws_checkpoint(WorkingSet* ws) noexcept nogil:
    cdef Checkpoint at
    at.journal = private(ws).journal_count
    at.logs = ws.log_count
    at.log_data = private(ws).log_data_size
    at.refund = ws.refund
    return at


cdef void ws_revert(WorkingSet* ws, const Checkpoint* to) noexcept nogil:
    cdef Private* p = private(ws)
    cdef Undo* undo
    cdef AccountEntry* entry
    while p.journal_count > to.journal:
        p.journal_count -= 1
        undo = &p.journal[p.journal_count]
        if undo.kind == UNDO_STORE:
            ws.slots[undo.number].current = undo.word
            continue
        if undo.kind == UNDO_WARM_SLOT:
            ws.slots[undo.number].warm = 0
            continue
        if undo.kind == UNDO_TSTORE:
            p.transient[undo.number].value = undo.word
            continue
        entry = &ws.accounts[undo.number]
        if undo.kind == UNDO_BALANCE:
            entry.balance = undo.word
        elif undo.kind == UNDO_NONCE:
            entry.nonce = undo.word.w[0]
        elif undo.kind == UNDO_CODE:
            memcpy(entry.code_hash, &undo.word, 32)
            entry.code = undo.code
        elif undo.kind == UNDO_EXISTS:
            entry.exists = undo.word.w[0] != 0
        elif undo.kind == UNDO_WARM_ACCOUNT:
            entry.warm = 0
        elif undo.kind == UNDO_TOUCH:
            entry.touched = 0
        elif undo.kind == UNDO_CREATED:
            entry.created = 0
        elif undo.kind == UNDO_DESTROYED:
            entry.destroyed = 0
    ws.log_count = to.logs
    p.log_data_size = to.log_data
    ws.refund = to.refund


# ---------------------------------------------------------------------------------------------------- accounts

cdef void rehash(WorkingSet* ws, Table* table, bint of_accounts) noexcept nogil:
    """Doubles a table that is half full. Entry numbers do not change."""
    cdef uint32_t size = (table.mask + 1) * 2
    cdef uint32_t count = ws.account_count if of_accounts else ws.slot_count
    cdef uint32_t number, at
    cdef Table bigger
    if size == 0 or not table_init(&bigger, size):
        out_of_memory(ws)
        return
    for number in range(1, count):
        if of_accounts:
            at = <uint32_t>hash_address(hash_key, ws.accounts[number].address) & bigger.mask
        else:
            at = <uint32_t>hash_slot(hash_key, ws.slots[number].account, ws.slots[number].key.w) & bigger.mask
        while bigger.cells[at].stamp == bigger.stamp:
            at = (at + 1) & bigger.mask
        bigger.cells[at].stamp = bigger.stamp
        bigger.cells[at].number = number
    bigger.used = table.used
    free(table.cells)
    table[0] = bigger


cdef uint32_t ws_account_unloaded(WorkingSet* ws, const uint8_t* address) noexcept nogil:
    cdef Private* p = private(ws)
    cdef Table* table = &p.accounts
    cdef uint32_t at = <uint32_t>hash_address(hash_key, address) & table.mask
    cdef uint32_t number
    while table.cells[at].stamp == table.stamp:
        number = table.cells[at].number
        if memcmp(ws.accounts[number].address, address, 20) == 0:
            return number
        at = (at + 1) & table.mask
    number = ws.account_count
    if number == p.account_capacity and not grow_accounts(ws):
        return 0
    memset(&ws.accounts[number], 0, sizeof(AccountEntry))
    memcpy(ws.accounts[number].address, address, 20)
    table.cells[at].stamp = table.stamp
    table.cells[at].number = number
    table.used += 1
    ws.account_count += 1
    if table.used * 2 > table.mask:
        rehash(ws, table, True)
        if ws.failed:
            return 0
    return number


cdef void load_account(WorkingSet* ws, uint32_t account) noexcept nogil:
    cdef AccountEntry* entry = &ws.accounts[account]
    cdef Found found = ABSENT
    if ws.reader != NULL:
        found = ws.reader.account(ws.reader.self, entry.address, &entry.base)
        entry.origin = ws.reader.origin
        entry.rough = ws.reader.rough
        entry.code = ws.reader.known_code
    entry.loaded = True
    if found == FOUND:
        entry.exists = True
        entry.base_exists = True
        entry.nonce = entry.base.nonce
        entry.balance = entry.base.balance
        memcpy(entry.code_hash, entry.base.code_hash, 32)
        return
    memset(&entry.base, 0, sizeof(AccountData))
    memcpy(entry.base.code_hash, EMPTY_CODE_HASH, 32)
    memcpy(entry.code_hash, EMPTY_CODE_HASH, 32)
    if found == READ_FAILED:
        ws.failed = True


cdef void see_account(WorkingSet* ws, uint32_t account) noexcept nogil:
    """The running transaction's first access to an account."""
    if not ws.accounts[account].loaded:
        load_account(ws, account)
    ws.accounts[account].seen = ws.epoch
    if ws.keeps_seen:
        ws_note_account(ws, account)


cdef void ws_load(WorkingSet* ws, uint32_t account) noexcept nogil:
    if ws.accounts[account].seen != ws.epoch:
        see_account(ws, account)


cdef uint32_t ws_account(WorkingSet* ws, const uint8_t* address) noexcept nogil:
    cdef uint32_t account = ws_account_unloaded(ws, address)
    if ws.accounts[account].seen != ws.epoch:
        see_account(ws, account)
    return account


cdef bint ws_warm_account(WorkingSet* ws, uint32_t account) noexcept nogil:
    if ws.accounts[account].warm == ws.epoch:
        return False
    record(ws, UNDO_WARM_ACCOUNT, account)
    ws.accounts[account].warm = ws.epoch
    return True


cdef void ask_balance(WorkingSet* ws, uint32_t account) noexcept nogil:
    """Of a reader that has only guessed it."""
    cdef AccountEntry* entry = &ws.accounts[account]
    cdef Private* p = private(ws)
    cdef u256 exact, off
    cdef uint32_t i
    entry.rough = False
    if entry.lifetime:
        return
    ws.reader.balance(ws.reader.self, entry.origin, &exact)
    u_sub(&off, &exact, &entry.base.balance)
    entry.base.balance = exact
    u_add(&entry.balance, &entry.balance, &off)
    for i in range(p.journal_count):
        if p.journal[i].kind == UNDO_BALANCE and p.journal[i].number == account:
            u_add(&p.journal[i].word, &p.journal[i].word, &off)


cdef inline void use_balance(WorkingSet* ws, uint32_t account) noexcept nogil:
    """The exact balance counts."""
    if ws.accounts[account].rough:
        ask_balance(ws, account)
    ws.accounts[account].uses |= USE_BALANCE


cdef const u256* ws_balance(WorkingSet* ws, uint32_t account) noexcept nogil:
    ws_load(ws, account)
    use_balance(ws, account)
    return &ws.accounts[account].balance


cdef bint ws_can_pay(WorkingSet* ws, uint32_t account, const u256* amount) noexcept nogil:
    cdef AccountEntry* entry
    cdef u256 needed
    ws_load(ws, account)
    entry = &ws.accounts[account]
    if entry.rough and u_lt(&entry.balance, amount):
        ask_balance(ws, account)
    if u_lt(&entry.balance, amount):
        use_balance(ws, account)
        return False
    # The same is true of every earlier balance of at least base - (balance - amount).
    u_sub(&needed, &entry.balance, amount)
    if not u_sub_borrow(&needed, &entry.base.balance, &needed) and u_lt(&entry.balance_floor, &needed):
        entry.balance_floor = needed
    return True


cdef uint64_t ws_nonce(WorkingSet* ws, uint32_t account) noexcept nogil:
    ws_load(ws, account)
    ws.accounts[account].uses |= USE_NONCE
    return ws.accounts[account].nonce


cdef bint ws_exists(WorkingSet* ws, uint32_t account) noexcept nogil:
    ws_load(ws, account)
    ws.accounts[account].uses |= USE_EXISTS
    return ws.accounts[account].exists


cdef bint ws_is_empty(WorkingSet* ws, uint32_t account) noexcept nogil:
    """Asks for as little as tells: a balance that has grown, code, a nonce, and only then whether the balance is zero."""
    ws_load(ws, account)
    cdef AccountEntry* entry = &ws.accounts[account]
    cdef u256 one
    if entry.exists and u_lt(&entry.base.balance, &entry.balance):
        return False
    entry.uses |= USE_CODE
    if memcmp(entry.code_hash, EMPTY_CODE_HASH, 32) != 0:
        return False
    if entry.nonce:
        if entry.base.nonce:                     # else it was set meanwhile, whatever it had been
            entry.uses |= USE_NONCE_SET
        return False
    entry.uses |= USE_NONCE
    u_set64(&one, 1)
    return not ws_can_pay(ws, account, &one)


cdef bint hold_code(WorkingSet* ws, Code* code) noexcept nogil:
    """Takes over one reference to `code` until the next reset."""
    cdef Private* p = private(ws)
    if p.code_count == p.code_capacity and not grow(ws, <void**>&p.codes, &p.code_capacity, sizeof(Code*)):
        code_release(code)
        return False
    p.codes[p.code_count] = code
    p.code_count += 1
    return True


cdef Code* ws_code(WorkingSet* ws, uint32_t account) noexcept nogil:
    ws_load(ws, account)
    ws.accounts[account].uses |= USE_CODE
    cdef AccountEntry* entry = &ws.accounts[account]
    cdef Code* code = entry.code
    if code != NULL:
        return code
    if memcmp(entry.code_hash, EMPTY_CODE_HASH, 32) == 0:
        entry.code = EMPTY_CODE                  # never freed: no count of references, at which threads would meet
        return EMPTY_CODE
    code = code_find(entry.code_hash)
    if code == NULL and ws.reader != NULL:
        code = ws.reader.code(ws.reader.self, entry.address, entry.code_hash)
    if code == NULL:
        ws.failed = True
        return NULL
    if not hold_code(ws, code):
        return NULL
    entry.code = code
    return code


cdef void set_exists(WorkingSet* ws, uint32_t account) noexcept nogil:
    cdef AccountEntry* entry = &ws.accounts[account]
    if ws.revision < SPURIOUS_DRAGON:
        entry.uses |= USE_EXISTS
    if not entry.exists:
        record(ws, UNDO_EXISTS, account).word.w[0] = 0
        entry.exists = True
        mark(ws, account, PART_EXISTS)


cdef void ws_touch(WorkingSet* ws, uint32_t account) noexcept nogil:
    ws_load(ws, account)
    cdef AccountEntry* entry = &ws.accounts[account]
    if ws.revision < SPURIOUS_DRAGON:
        set_exists(ws, account)
    elif entry.touched != ws.epoch:
        record(ws, UNDO_TOUCH, account)
        entry.touched = ws.epoch
        if memcmp(entry.address, RIPEMD, 20) == 0:
            private(ws).ripemd = ws.epoch


cdef void change_balance(WorkingSet* ws, uint32_t account, const u256* balance) noexcept nogil:
    ws_touch(ws, account)
    cdef AccountEntry* entry = &ws.accounts[account]
    if u_eq(&entry.balance, balance):
        return
    if not u_is_zero(balance):
        set_exists(ws, account)
    record(ws, UNDO_BALANCE, account).word = entry.balance
    entry.balance = balance[0]
    mark(ws, account, PART_BALANCE)


cdef void ws_set_balance(WorkingSet* ws, uint32_t account, const u256* balance) noexcept nogil:
    ws_load(ws, account)
    use_balance(ws, account)
    change_balance(ws, account, balance)


cdef void ws_add_balance(WorkingSet* ws, uint32_t account, const u256* amount) noexcept nogil:
    cdef u256 balance
    ws_load(ws, account)
    u_add(&balance, &ws.accounts[account].balance, amount)
    change_balance(ws, account, &balance)


cdef bint ws_sub_balance(WorkingSet* ws, uint32_t account, const u256* amount) noexcept nogil:
    cdef u256 balance
    if not ws_can_pay(ws, account, amount):
        return False
    u_sub(&balance, &ws.accounts[account].balance, amount)
    change_balance(ws, account, &balance)
    return True


cdef void ws_set_nonce(WorkingSet* ws, uint32_t account, uint64_t nonce) noexcept nogil:
    ws_touch(ws, account)
    set_exists(ws, account)
    cdef AccountEntry* entry = &ws.accounts[account]
    record(ws, UNDO_NONCE, account).word.w[0] = entry.nonce
    entry.nonce = nonce
    mark(ws, account, PART_NONCE)


cdef bint ws_set_code(WorkingSet* ws, uint32_t account, const uint8_t* data, size_t size) noexcept nogil:
    cdef uint8_t[32] code_hash
    cdef Undo* undo
    cdef Code* code
    cdef AccountEntry* entry
    ws_touch(ws, account)
    keccak256(data, size, code_hash)
    code = code_intern(code_hash, data, size)
    if code == NULL or not hold_code(ws, code):
        out_of_memory(ws)
        return False
    if size:
        set_exists(ws, account)
    entry = &ws.accounts[account]
    undo = record(ws, UNDO_CODE, account)
    memcpy(&undo.word, entry.code_hash, 32)
    undo.code = entry.code
    memcpy(entry.code_hash, code_hash, 32)
    entry.code = code
    mark(ws, account, PART_CODE)
    return True


cdef void ws_mark_created(WorkingSet* ws, uint32_t account) noexcept nogil:
    ws_touch(ws, account)
    set_exists(ws, account)
    if ws.accounts[account].created != ws.epoch:
        record(ws, UNDO_CREATED, account)
        ws.accounts[account].created = ws.epoch


cdef void ws_destroy(WorkingSet* ws, uint32_t account) noexcept nogil:
    if ws.accounts[account].destroyed != ws.epoch:
        record(ws, UNDO_DESTROYED, account)
        ws.accounts[account].destroyed = ws.epoch


cdef bint ws_has_storage(WorkingSet* ws, uint32_t account) noexcept nogil:
    ws_load(ws, account)
    return ws.accounts[account].base.has_storage and ws.accounts[account].lifetime == 0


# ---------------------------------------------------------------------------------------------------- storage

cdef uint32_t ws_slot_unloaded(WorkingSet* ws, uint32_t account, const u256* key) noexcept nogil:
    cdef Private* p = private(ws)
    cdef Table* table = &p.slots
    cdef uint32_t at = <uint32_t>hash_slot(hash_key, account, key.w) & table.mask
    cdef uint32_t number
    while table.cells[at].stamp == table.stamp:
        number = table.cells[at].number
        if ws.slots[number].account == account and u_eq(&ws.slots[number].key, key):
            return number
        at = (at + 1) & table.mask
    number = ws.slot_count
    if number == p.slot_capacity and not grow_slots(ws):
        return 0
    memset(&ws.slots[number], 0, sizeof(SlotEntry))
    ws.slots[number].account = account
    ws.slots[number].key = key[0]
    table.cells[at].stamp = table.stamp
    table.cells[at].number = number
    table.used += 1
    ws.slot_count += 1
    if table.used * 2 > table.mask:
        rehash(ws, table, False)
        if ws.failed:
            return 0
    return number


cdef void ws_load_slot(WorkingSet* ws, uint32_t slot) noexcept nogil:
    """Makes `current` and `original` valid for the running transaction."""
    cdef SlotEntry* entry = &ws.slots[slot]
    cdef AccountEntry* account = &ws.accounts[entry.account]
    cdef Found found
    if not entry.loaded:
        ws_load(ws, entry.account)
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
        entry.loaded = True
    if entry.seen != ws.epoch:
        if entry.lifetime != account.lifetime:
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
    entry.current = value[0]
    if entry.changed != ws.epoch:
        entry.changed = ws.epoch
        ws.changed_slots[ws.changed_slot_count] = slot
        ws.changed_slot_count += 1


cdef uint32_t transient_number(WorkingSet* ws, uint32_t account, const u256* key, bint create) noexcept nogil:
    """Number of a transient slot; UINT32_MAX when there is none and `create` is false, or no memory."""
    cdef Private* p = private(ws)
    cdef Table* table = &p.transients
    cdef uint32_t at = <uint32_t>hash_slot(hash_key, account, key.w) & table.mask
    cdef uint32_t number, i
    cdef Table bigger
    while table.cells[at].stamp == table.stamp:
        number = table.cells[at].number
        if p.transient[number].account == account and u_eq(&p.transient[number].key, key):
            return number
        at = (at + 1) & table.mask
    if not create:
        return <uint32_t>0xffffffff
    number = p.transient_count
    if number == p.transient_capacity and not grow(ws, <void**>&p.transient, &p.transient_capacity, sizeof(TransientEntry)):
        return <uint32_t>0xffffffff
    memset(&p.transient[number], 0, sizeof(TransientEntry))
    p.transient[number].account = account
    p.transient[number].key = key[0]
    table.cells[at].stamp = table.stamp
    table.cells[at].number = number
    p.transient_count += 1
    if p.transient_count * 2 > table.mask:
        if not table_init(&bigger, (table.mask + 1) * 2):
            out_of_memory(ws)
            return <uint32_t>0xffffffff
        for i in range(p.transient_count):
            at = <uint32_t>hash_slot(hash_key, p.transient[i].account, p.transient[i].key.w) & bigger.mask
            while bigger.cells[at].stamp == bigger.stamp:
                at = (at + 1) & bigger.mask
            bigger.cells[at].stamp = bigger.stamp
            bigger.cells[at].number = i
        free(table.cells)
        table[0] = bigger
    return number


cdef void ws_tload(WorkingSet* ws, uint32_t account, const u256* key, u256* value) noexcept nogil:
    cdef uint32_t number = transient_number(ws, account, key, False)
    if number == <uint32_t>0xffffffff:
        memset(value, 0, sizeof(u256))
    else:
        value[0] = private(ws).transient[number].value


cdef void ws_tstore(WorkingSet* ws, uint32_t account, const u256* key, const u256* value) noexcept nogil:
    cdef uint32_t number = transient_number(ws, account, key, True)
    if number == <uint32_t>0xffffffff:
        return
    record(ws, UNDO_TSTORE, number).word = private(ws).transient[number].value
    private(ws).transient[number].value = value[0]


# ---------------------------------------------------------------------------------------------------- what was accessed

cdef void ws_keep_seen(WorkingSet* ws) noexcept nogil:
    ws.keeps_seen = True


cdef void ws_forget_seen(WorkingSet* ws) noexcept nogil:
    ws.seen_account_count = 0
    ws.seen_slot_count = 0


cdef void ws_note_account(WorkingSet* ws, uint32_t account) noexcept nogil:
    cdef uint32_t* capacity = &private(ws).seen_account_capacity
    if ws.seen_account_count == capacity[0] and not grow(ws, <void**>&ws.seen_accounts, capacity, sizeof(uint32_t)):
        return
    ws.seen_accounts[ws.seen_account_count] = account
    ws.seen_account_count += 1


cdef void ws_note_slot(WorkingSet* ws, uint32_t slot) noexcept nogil:
    cdef uint32_t* capacity = &private(ws).seen_slot_capacity
    if ws.seen_slot_count == capacity[0] and not grow(ws, <void**>&ws.seen_slots, capacity, sizeof(uint32_t)):
        return
    ws.seen_slots[ws.seen_slot_count] = slot
    ws.seen_slot_count += 1


# ---------------------------------------------------------------------------------------------------- logs, block hashes

cdef bint ws_log(
    WorkingSet* ws, const uint8_t* address, uint32_t topic_count, const u256* top_topic, const uint8_t* data, size_t size
) noexcept nogil:
    """Appends a log whose first topic is on top of the stack, the next below it. False: no memory."""
    cdef Private* p = private(ws)
    cdef LogEntry* log
    cdef size_t capacity
    cdef uint8_t* bigger
    cdef uint32_t i
    if ws.log_count == p.log_capacity and not grow(ws, <void**>&ws.logs, &p.log_capacity, sizeof(LogEntry)):
        return False
    if p.log_data_capacity - p.log_data_size < size:
        capacity = max(p.log_data_capacity * 2, p.log_data_size + size + 4096)
        bigger = <uint8_t*>realloc(ws.log_data, capacity)
        if bigger == NULL:
            out_of_memory(ws)
            return False
        ws.log_data = bigger
        p.log_data_capacity = capacity
    log = &ws.logs[ws.log_count]
    ws.log_count += 1
    memcpy(log.address, address, 20)
    log.topic_count = topic_count
    log.serial = ws.logs_seen
    ws.logs_seen += 1
    log.is_transfer = False
    for i in range(topic_count):
        u_to_be(log.topics + 32 * i, top_topic - i)
    log.data_offset = p.log_data_size
    log.data_size = size
    if size:
        memcpy(ws.log_data + p.log_data_size, data, size)
    p.log_data_size += size
    return True


cdef Found ws_block_hash(WorkingSet* ws, uint64_t number, uint8_t* out) noexcept nogil:
    cdef Found found = ABSENT
    if ws.reader != NULL and ws.reader.block_hash != NULL:
        found = ws.reader.block_hash(ws.reader.self, number, out)
    if found == READ_FAILED:
        ws.failed = True
    return found


# ---------------------------------------------------------------------------------------------------- results from elsewhere

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
