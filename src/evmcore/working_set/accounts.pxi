# Accounts: finding or making entries, loading them, reading with a note of how exact the read was, writing.

cdef inline void mark(WorkingSet* ws, uint32_t account, int parts) noexcept nogil:
    """Notes, before the write, that the running transaction writes parts of an account."""
    cdef AccountEntry* entry = &ws.accounts[account]
    if entry.changed != ws.epoch:
        if ws.keeps_past:
            keep_account(ws, account)
        entry.changed = ws.epoch
        entry.parts = 0
        ws.changed_accounts[ws.changed_account_count] = account
        ws.changed_account_count += 1
    entry.parts |= parts
    entry.all_parts |= parts


cdef inline uint32_t account_cell(WorkingSet* ws, uint64_t key_hash, const uint8_t* address) noexcept nogil:
    """The cell that holds the account's number, or the free cell where it would stand."""
    cdef const Table* table = &private(ws).accounts
    cdef uint32_t at = <uint32_t>key_hash & table.mask
    cdef const Cell* cell = &table.cells[at]
    while cell.stamp == table.stamp:
        if may_be(cell, key_hash) and memcmp(ws.accounts[cell.number].address, address, 20) == 0:
            break
        at = (at + 1) & table.mask
        cell = &table.cells[at]
    return at


cdef uint32_t ws_account_unloaded(WorkingSet* ws, const uint8_t* address) noexcept nogil:
    cdef Private* p = private(ws)
    cdef Table* table = &p.accounts
    cdef uint64_t key_hash = hash_address(hash_key, address)
    cdef uint32_t at = account_cell(ws, key_hash, address)
    cdef uint32_t number
    if table.cells[at].stamp == table.stamp:
        return table.cells[at].number
    number = ws.account_count
    if not has_room(ws, table) or (number == p.account_capacity and not grow_accounts(ws)):
        return 0
    set_zero(&ws.accounts[number])
    memcpy(ws.accounts[number].address, address, 20)
    take_cell(table, at, key_hash, number)
    ws.account_count += 1
    return number if make_room(ws, table, 1, ws.account_count) else 0


cdef void load_account(WorkingSet* ws, uint32_t account) noexcept nogil:
    cdef AccountEntry* entry = &ws.accounts[account]
    cdef Found found = ABSENT
    if ws.beside != NULL and account_from_beside(ws, account):
        return
    if ws.reader != NULL:
        found = ws.reader.account(ws.reader.self, entry.address, &entry.base)
        entry.origin = ws.reader.origin
        entry.rough = ws.reader.rough
        entry.code = ws.reader.known_code
    entry.loaded = found != READ_FAILED          # else it is read again, should the run be rolled back
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


cdef void raise_nonce(WorkingSet* ws, uint32_t account) noexcept nogil:
    """Not recorded in the journal: it happens before anything that can be reverted."""
    cdef AccountEntry* entry = &ws.accounts[account]
    if not entry.exists:
        mark(ws, account, PART_EXISTS)
        entry.exists = True
    mark(ws, account, PART_NONCE)
    entry.nonce += 1


cdef void see_account(WorkingSet* ws, uint32_t account) noexcept nogil:
    """The running transaction's first access to an account."""
    if not ws.accounts[account].loaded:
        load_account(ws, account)
    ws.accounts[account].seen = ws.epoch
    if ws.keeps_seen:
        ws_note_account(ws, account)
    if ws.raised and ws.raised == account:
        ws.raised = 0
        raise_nonce(ws, account)


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
    """Reads the exact balance from a reader that has only guessed it."""
    cdef AccountEntry* entry = &ws.accounts[account]
    cdef Private* p = private(ws)
    cdef u256 exact, off
    cdef uint32_t i
    entry.rough = False
    if entry.lifetime:
        return
    ws.reader.balance(ws.reader.self, entry.origin, &exact)
    # The guess allowed a payment of more than there is. This run is now useless: requiring both the floor and a lower
    # exact balance, it never stands.
    if u_lt(&exact, &entry.balance_floor):
        entry.uses |= USE_BALANCE
    u_sub(&off, &exact, &entry.base.balance)
    entry.base.balance = exact
    u_add(&entry.balance, &entry.balance, &off)
    for i in range(p.journal_count):
        if p.journal[i].kind == UNDO_BALANCE and p.journal[i].number == account:
            u_add(&p.journal[i].word, &p.journal[i].word, &off)


cdef inline void use_balance(WorkingSet* ws, uint32_t account) noexcept nogil:
    """Notes that the exact balance matters."""
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
    # The payment succeeds for every earlier balance of at least base - (balance - amount).
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
    """Reads no more than necessary: whether the balance has grown, then code, then nonce, and only then whether the
    balance is zero."""
    ws_load(ws, account)
    cdef AccountEntry* entry = &ws.accounts[account]
    cdef u256 one
    if entry.exists and u_lt(&entry.base.balance, &entry.balance):
        return False
    entry.uses |= USE_CODE
    if memcmp(entry.code_hash, EMPTY_CODE_HASH, 32) != 0:
        return False
    if entry.nonce:
        if entry.base.nonce:                     # else this transaction set it, whatever it had been
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


cdef inline Code* recent_code(WorkingSet* ws, const uint8_t* code_hash) noexcept nogil:
    """The code of another account, if it is the same; NULL: not known. Avoids contention of threads on the shared table
    and the reference count."""
    cdef const Private* p = private(ws)
    cdef uint32_t at = p.recent[code_hash[0] % RECENT_CODES]
    return p.codes[at] if at < p.code_count and memcmp(p.codes[at].hash, code_hash, 32) == 0 else NULL


cdef Code* ws_code(WorkingSet* ws, uint32_t account) noexcept nogil:
    ws_load(ws, account)
    ws.accounts[account].uses |= USE_CODE
    cdef AccountEntry* entry = &ws.accounts[account]
    cdef Code* code = entry.code
    if code != NULL:
        return code
    if memcmp(entry.code_hash, EMPTY_CODE_HASH, 32) == 0:
        entry.code = EMPTY_CODE                  # never freed, so not counted: threads would contend on its count
        return EMPTY_CODE
    code = recent_code(ws, entry.code_hash)
    if code != NULL:
        entry.code = code
        return code
    code = code_find(entry.code_hash)
    if code == NULL and ws.reader != NULL:
        code = ws.reader.code(ws.reader.self, entry.address, entry.code_hash)
    if code == NULL:
        ws.failed = True
        return NULL
    if not hold_code(ws, code):
        return NULL
    private(ws).recent[entry.code_hash[0] % RECENT_CODES] = private(ws).code_count - 1
    entry.code = code
    return code


cdef void set_exists(WorkingSet* ws, uint32_t account) noexcept nogil:
    cdef AccountEntry* entry = &ws.accounts[account]
    if ws.revision < SPURIOUS_DRAGON:
        entry.uses |= USE_EXISTS
    if not entry.exists:
        record(ws, UNDO_EXISTS, account).word.w[0] = 0
        mark(ws, account, PART_EXISTS)
        entry.exists = True


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
    mark(ws, account, PART_BALANCE)
    entry.balance = balance[0]


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
    mark(ws, account, PART_NONCE)
    entry.nonce = nonce


cdef void ws_raise_nonce(WorkingSet* ws, uint32_t account) noexcept nogil:
    if ws.accounts[account].seen == ws.epoch:
        raise_nonce(ws, account)
    else:
        ws.raised = account


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
    mark(ws, account, PART_CODE)
    memcpy(entry.code_hash, code_hash, 32)
    entry.code = code
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
