"""Running, comparing and committing with a given access list; see ``_listed.pxd``."""
from libc.stddef cimport size_t
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from evmcore._access cimport (
    CHANGED_BALANCE, CHANGED_CODE, CHANGED_NONCE, CHANGED_SLOT, AccessNotes, Change, access_end_part,
)
from evmcore._block_steps cimport BLOCK_ENGINE_FAILED, block_keep
from evmcore._code cimport Code, code_intern, code_release
from evmcore._declared cimport (
    FIELD_BALANCE, FIELD_CODE, FIELD_COUNT, FIELD_NONCE, NONE, ChangeRange, Declared, DeclaredAccount, DeclaredChange,
    DeclaredSlot, change_at, change_before, declared_account, declared_slot, wiped_before,
)
from evmcore._hash cimport keccak256
from evmcore._interp cimport NO_MEMORY, STATE_FAILED, SUCCESS, machine_free, machine_new
from evmcore._state cimport (
    ABSENT, FOUND, READ_FAILED, AccountData, AccountEntry, Found, SlotEntry, WorkingSet, ws_adopt_account, ws_adopt_slot,
    ws_note_account, ws_note_slot, ws_put_code, ws_reset,
)
from evmcore._tx cimport GAS_PER_BLOB, TX_VALID, transaction_run
from evmcore._u256 cimport u_eq, u_is_zero, u_set64, u_zero

cdef extern from "include/listed.h" namespace "evmcore" nogil:
    uint32_t listed_take(uint32_t* next)
    uint32_t listed_load(const uint32_t* word)
    void listed_store(uint32_t* word, uint32_t value)
    uint32_t listed_exchange(uint32_t* word, uint32_t value)
    void listed_lower(uint32_t* word, uint32_t value)
    bint listed_known(const int32_t* state)
    bint listed_may_keep(int32_t* state)
    void listed_kept(int32_t* state)

cdef extern from "include/spares.h" namespace "evmcore" nogil:
    ctypedef struct Spares:
        pass
    void* spares_take(Spares* spares)
    bint spares_give(Spares* spares, void* item)

cdef uint8_t[32] EMPTY_CODE_HASH
keccak256(EMPTY_CODE_HASH, 0, EMPTY_CODE_HASH)

cdef Spares spare_workers


# ---------------------------------------------------------------------------------------------------- reading

cdef bint is_empty(const AccountData* account) noexcept nogil:
    return (
        account.nonce == 0 and u_is_zero(&account.balance) and memcmp(account.code_hash, EMPTY_CODE_HASH, 32) == 0
    )


cdef Found account_base(ListedBlock* block, DeclaredAccount* account, AccountData* out) noexcept nogil:
    """The account before the block, which is read once for all workers. `out` is filled in also when it was absent."""
    cdef Found found
    if listed_known(&account.base_state):
        out[0] = account.base
        return FOUND if account.base_exists else ABSENT
    found = block.base.account(block.base.self, account.address, out)
    if found == READ_FAILED:
        return READ_FAILED
    if found == ABSENT:
        memset(out, 0, sizeof(AccountData))
        memcpy(out.code_hash, EMPTY_CODE_HASH, 32)
    if listed_may_keep(&account.base_state):
        account.base = out[0]
        account.base_exists = found == FOUND
        listed_kept(&account.base_state)
    return found


cdef Found read_account(void* self, const uint8_t* address, AccountData* out) noexcept nogil:
    cdef ListedWorker* w = <ListedWorker*>self
    cdef const Declared* d = w.block.declared
    cdef uint32_t number = declared_account(d, address)
    cdef DeclaredAccount* account
    cdef const DeclaredChange* balance
    cdef const DeclaredChange* nonce
    cdef const DeclaredChange* code
    cdef Found found
    if number == NONE:
        w.undeclared = True
        return READ_FAILED
    account = &d.accounts[number]
    found = account_base(w.block, account, out)
    if found == READ_FAILED:
        return READ_FAILED
    w.reader.origin = <void*>(<size_t>number + 1)
    balance = change_before(d, &account.fields[<int>FIELD_BALANCE], w.index)
    nonce = change_before(d, &account.fields[<int>FIELD_NONCE], w.index)
    code = change_before(d, &account.fields[<int>FIELD_CODE], w.index)
    if balance == NULL and nonce == NULL and code == NULL:
        return found
    if balance != NULL:
        out.balance = balance.value
    if nonce != NULL:
        out.nonce = nonce.value.w[0]
    if code != NULL:
        memcpy(out.code_hash, &code.value, 32)
        if wiped_before(d, account, w.index):
            out.has_storage = False
    return ABSENT if is_empty(out) else FOUND


cdef const DeclaredChange* slot_before(
    const Declared* d, const DeclaredAccount* account, const DeclaredSlot* slot, uint32_t index, u256* value
) noexcept nogil:
    """Makes of a slot's value before the block that before a place in it. The change that it comes from, NULL: none."""
    cdef const DeclaredChange* change = change_before(d, &slot.changes, index)
    cdef uint32_t wiped = wiped_before(d, account, index)
    if change != NULL and change.index + 1 > wiped:
        value[0] = change.value
        return change
    if wiped:
        u_zero(value)
    return NULL


cdef bint slot_base(ListedBlock* block, DeclaredAccount* account, DeclaredSlot* slot, u256* value) noexcept nogil:
    """The slot before the block, which is read once for all workers; zero where it was absent. False: it cannot be read."""
    cdef AccountData data
    cdef Found found
    if listed_known(&slot.base_state):
        value[0] = slot.base
        return True
    found = account_base(block, account, &data)
    if found == FOUND:
        found = block.base.storage(block.base.self, account.address, &slot.key, value)
    if found == READ_FAILED:
        return False
    if found == ABSENT:
        u_zero(value)
    if listed_may_keep(&slot.base_state):
        slot.base = value[0]
        listed_kept(&slot.base_state)
    return True


cdef Found read_storage(void* self, const uint8_t* address, const u256* key, u256* value) noexcept nogil:
    cdef ListedWorker* w = <ListedWorker*>self
    cdef const Declared* d = w.block.declared
    cdef uint32_t owner = declared_account(d, address)
    cdef uint32_t number = declared_slot(d, owner, key) if owner != NONE else NONE
    cdef DeclaredSlot* slot
    if number == NONE:
        w.undeclared = True
        return READ_FAILED
    slot = &d.slots[number]
    w.reader.origin = <void*>(<size_t>number + 1)
    if not slot_base(w.block, &d.accounts[owner], slot, value):
        return READ_FAILED
    slot_before(d, &d.accounts[owner], slot, w.index, value)
    return FOUND


cdef Code* read_code(void* self, const uint8_t* address, const uint8_t* code_hash) noexcept nogil:
    cdef ListedWorker* w = <ListedWorker*>self
    cdef const Declared* d = w.block.declared
    cdef uint32_t number = declared_account(d, address)
    cdef const DeclaredChange* change
    if number == NONE:
        w.undeclared = True
        return NULL
    change = change_before(d, &d.accounts[number].fields[<int>FIELD_CODE], w.index)
    if change != NULL and memcmp(&change.value, code_hash, 32) == 0:
        return code_intern(code_hash, change.code, change.code_size)
    return w.block.base.code(w.block.base.self, address, code_hash)


cdef Found read_block_hash(void* self, uint64_t number, uint8_t* out) noexcept nogil:
    cdef ListedWorker* w = <ListedWorker*>self
    if w.block.base.block_hash == NULL:
        return ABSENT
    return w.block.base.block_hash(w.block.base.self, number, out)


# ---------------------------------------------------------------------------------------------------- one transaction

cdef void run_one(ListedWorker* w, uint32_t index) noexcept nogil:
    cdef ListedBlock* block = w.block
    cdef ListedRun* run = &block.run_of[index]
    cdef WorkingSet* ws = w.machine.ws
    w.index = index
    w.undeclared = False
    ws_reset(ws, &w.reader, block.rules.revision)
    transaction_run(
        w.machine, block.txs[index - 1], &block.rules.checks, block.rules.env.gas_limit, block.rules.blob_gas_limit,
        block.rules.max_blobs_per_tx, &run.result,
    )
    run.gas_price = w.machine.env.gas_price
    run.status = run.result.status
    if w.undeclared:
        listed_store(&run.state, DOUBTFUL)
    elif ws.failed or run.status >= STATE_FAILED:
        if run.status < STATE_FAILED:
            run.status = NO_MEMORY if ws.no_memory else STATE_FAILED
        listed_store(&run.state, NOT_FINISHED)
    elif run.result.invalid != TX_VALID:
        listed_store(&run.state, DOUBTFUL)
    elif not keep_run(w, run):
        run.status = NO_MEMORY
        listed_store(&run.state, NOT_FINISHED)
    else:
        listed_store(&run.state, STANDS if is_as_listed(w, run) else DOUBTFUL)


cdef bint keep_run(ListedWorker* w, ListedRun* run) noexcept nogil:
    """Copies logs and output out of the machine, and makes room for what was accessed. False: no memory."""
    cdef WorkingSet* ws = w.machine.ws
    cdef size_t size = 0
    cdef uint32_t i
    cdef uint8_t* output
    for i in range(ws.log_count):
        size = max(size, ws.logs[i].data_offset + ws.logs[i].data_size)
    run.log_count = ws.log_count
    run.logs = <LogEntry*>w.arena.take(ws.log_count * sizeof(LogEntry) + 1)
    run.log_data = <uint8_t*>w.arena.take(size + 1)
    output = <uint8_t*>w.arena.take(run.result.output_size + 1)
    run.accounts = <uint32_t*>w.arena.take(ws.account_count * sizeof(uint32_t))
    run.slots = <uint32_t*>w.arena.take(ws.slot_count * sizeof(uint32_t))
    run.wiped = <uint32_t*>w.arena.take((<size_t>ws.changed_account_count + 1) * sizeof(uint32_t))
    run.account_count = run.slot_count = run.wiped_count = 0
    if (
        run.logs == NULL or run.log_data == NULL or output == NULL or run.accounts == NULL or run.slots == NULL
        or run.wiped == NULL
    ):
        return False
    if ws.log_count:
        memcpy(run.logs, ws.logs, ws.log_count * sizeof(LogEntry))
        memcpy(run.log_data, ws.log_data, size)
    if run.result.output_size:
        memcpy(output, run.result.output, run.result.output_size)
    run.result.output = output
    return True


cdef bint as_changed(const Declared* d, const ChangeRange* changes, uint32_t index, const u256* value) noexcept nogil:
    cdef const DeclaredChange* change = change_at(d, changes, index)
    return change != NULL and u_eq(&change.value, value)


cdef bint is_as_listed(ListedWorker* w, ListedRun* run) noexcept nogil:
    """Whether the run accessed nothing else and changed what the list says, all of it and nothing else."""
    cdef const Declared* d = w.block.declared
    cdef WorkingSet* ws = w.machine.ws
    cdef AccountEntry* entry
    cdef SlotEntry* slot
    cdef DeclaredAccount* account
    cdef u256 value
    cdef uint32_t made = 0
    cdef uint32_t i, number
    for i in range(1, ws.account_count):
        if ws.accounts[i].seen == ws.epoch:
            run.accounts[run.account_count] = <uint32_t>(<size_t>ws.accounts[i].origin - 1)
            run.account_count += 1
    for i in range(ws.changed_account_count):
        entry = &ws.accounts[ws.changed_accounts[i]]
        number = <uint32_t>(<size_t>entry.origin - 1)
        account = &d.accounts[number]
        if entry.lifetime:
            if not (entry.created == ws.epoch or (d.wipes and change_at(
                d, &account.fields[<int>FIELD_CODE], w.index
            ) != NULL and memcmp(entry.code_hash, EMPTY_CODE_HASH, 32) == 0)):
                return False                 # that its storage is gone the list does not tell
            run.wiped[run.wiped_count] = number
            run.wiped_count += 1
        elif entry.base_exists and not entry.exists and is_empty(&entry.base):
            return False                     # an empty account was cleared (EIP-161)
        if not u_eq(&entry.balance, &entry.base.balance):
            if not as_changed(d, &account.fields[<int>FIELD_BALANCE], w.index, &entry.balance):
                return False
            made += 1
        if entry.nonce != entry.base.nonce:
            u_set64(&value, entry.nonce)
            if not as_changed(d, &account.fields[<int>FIELD_NONCE], w.index, &value):
                return False
            made += 1
        if memcmp(entry.code_hash, entry.base.code_hash, 32) != 0:
            memcpy(&value, entry.code_hash, 32)
            if not as_changed(d, &account.fields[<int>FIELD_CODE], w.index, &value):
                return False
            made += 1
    for i in range(1, ws.slot_count):
        slot = &ws.slots[i]
        if slot.seen != ws.epoch:
            continue
        entry = &ws.accounts[slot.account]
        number = <uint32_t>(<size_t>slot.origin - 1)
        if slot.origin == NULL:              # not asked for: its account was not there
            number = declared_slot(d, <uint32_t>(<size_t>entry.origin - 1), &slot.key)
            if number == NONE:
                return False
        run.slots[run.slot_count] = number
        run.slot_count += 1
        value = slot.current
        if slot.lifetime != entry.lifetime:
            u_zero(&value)
        if not u_eq(&value, &slot.base):
            if not as_changed(d, &d.slots[number].changes, w.index, &value):
                return False
            made += 1
    return made == d.changes_at[w.index]


# ---------------------------------------------------------------------------------------------------- the frontier

cdef bint reads_are_payable(const ListedBlock* block) noexcept nogil:
    cdef uint64_t left = block.rules.env.gas_limit - block.output.gas_used
    return block.gas_of_a_read == 0 or left // block.gas_of_a_read >= block.met.reads_left


cdef void meet(Met* met, uint32_t slot) noexcept nogil:
    if met.slots[slot] == 0:
        met.slots[slot] = 1
        met.reads_left -= met.counted[slot]


cdef bint commit(ListedBlock* block, uint32_t index) noexcept nogil:
    """Takes the frontier's transaction into the block's outcome. False: the frontier stays before it."""
    cdef ListedRun* run = &block.run_of[index]
    cdef const TxData* tx = block.txs[index - 1]
    cdef WorkingSet view
    cdef uint32_t i
    if run.state == NOT_FINISHED:
        block.failure = BLOCK_ENGINE_FAILED
        block.status = run.status
        return False
    if (
        run.state == DOUBTFUL
        or tx.gas_limit > block.rules.env.gas_limit - block.output.gas_used
        or GAS_PER_BLOB * tx.blob_hash_count > block.rules.blob_gas_limit - block.output.blob_gas_used
    ):
        return False
    memset(&view, 0, sizeof(WorkingSet))
    view.logs = run.logs
    view.log_count = run.log_count
    view.log_data = run.log_data
    if not block_keep(block.output, &view, tx, &run.result, &run.gas_price):
        block.failure = BLOCK_ENGINE_FAILED
        block.status = NO_MEMORY
        return False
    for i in range(run.account_count):
        block.met.accounts[run.accounts[i]] |= 1
    for i in range(run.wiped_count):
        block.met.accounts[run.wiped[i]] |= 2
    for i in range(run.slot_count):
        meet(block.met, run.slots[i])
    block.frontier = index
    if not reads_are_payable(block):
        block.starved = True
        return False
    return True


cdef void listed_advance(ListedBlock* block) noexcept nogil:
    cdef uint32_t index
    while not listed_load(block.halted):
        if listed_exchange(&block.committing, 1):
            return                           # who holds the office looks again after giving it up
        index = block.frontier + 1
        while index <= block.count and listed_load(&block.run_of[index].state) != NOT_RUN:
            if not commit(block, index):
                listed_store(block.halted, 1)
                break
            index += 1
        listed_store(&block.committing, 0)
        if index > block.count or listed_load(&block.run_of[index].state) == NOT_RUN:
            return


cdef void listed_work(void* context) noexcept nogil:
    cdef ListedBlock* block = <ListedBlock*>context
    cdef uint32_t number = listed_take(&block.next_worker)
    cdef ListedWorker* w
    cdef uint32_t index
    if number >= <uint32_t>block.worker_count:
        return
    w = block.workers[number]
    while not listed_load(block.halted):
        index = listed_take(&block.next) + 1
        if index > block.count or index > listed_load(&block.stop):
            break
        run_one(w, index)
        if block.run_of[index].state != STANDS:
            listed_lower(&block.stop, index)
        listed_advance(block)


# ---------------------------------------------------------------------------------------------------- after the frontier

cdef bint adopt_account(ListedBlock* block, WorkingSet* ws, uint32_t number) noexcept nogil:
    """An account that somebody read, as it is after the frontier. False: no memory."""
    cdef const Declared* d = block.declared
    cdef DeclaredAccount* account = &d.accounts[number]
    cdef uint32_t place = ws_adopt_account(ws, account.address, &account.base, account.base_exists)
    cdef AccountEntry* entry = &ws.accounts[place]
    cdef uint32_t end = block.frontier + 1
    cdef const DeclaredChange* balance = change_before(d, &account.fields[<int>FIELD_BALANCE], end)
    cdef const DeclaredChange* nonce = change_before(d, &account.fields[<int>FIELD_NONCE], end)
    cdef const DeclaredChange* changed = change_before(d, &account.fields[<int>FIELD_CODE], end)
    cdef Code* code
    cdef bint put
    ws_note_account(ws, place)
    if block.met.accounts[number] & 2:
        entry.lifetime += 1
    if balance != NULL:
        entry.balance = balance.value
    if nonce != NULL:
        entry.nonce = nonce.value.w[0]
    if changed != NULL and memcmp(&changed.value, entry.code_hash, 32) != 0:
        code = code_intern(<const uint8_t*>&changed.value, changed.code, changed.code_size)
        put = code != NULL and ws_put_code(ws, place, <const uint8_t*>&changed.value, code)
        code_release(code)
        if not put:
            return False
    if balance != NULL or nonce != NULL or changed != NULL:
        entry.exists = (
            entry.nonce != 0 or not u_is_zero(&entry.balance) or memcmp(entry.code_hash, EMPTY_CODE_HASH, 32) != 0
        )
    return True


cdef Status listed_adopt(ListedBlock* block, Machine* main) noexcept nogil:
    cdef const Declared* d = block.declared
    cdef WorkingSet* ws = main.ws
    cdef DeclaredAccount* account
    cdef DeclaredSlot* slot
    cdef u256 base
    cdef uint32_t i, j, owner, place
    for i in range(d.account_count):
        account = &d.accounts[i]
        if not block.met.accounts[i] or not listed_known(&account.base_state):
            continue                         # nobody was there yet, or only what came before the transactions
        if not adopt_account(block, ws, i):
            return NO_MEMORY
        owner = ws_adopt_account(ws, account.address, &account.base, account.base_exists)
        for j in range(account.first_slot, account.first_slot + account.slot_count):
            slot = &d.slots[j]
            if not block.met.slots[j]:
                continue
            # Nobody asked for its value where its account was gone by then; what is there before the block goes with it.
            if not slot_base(block, account, slot, &base):
                return STATE_FAILED
            place = ws_adopt_slot(ws, owner, &slot.key, &base)
            if slot_before(d, account, slot, block.frontier + 1, &base) != NULL:
                ws.slots[place].current = base
                ws.slots[place].lifetime = ws.accounts[owner].lifetime
            ws_note_slot(ws, place)
    return NO_MEMORY if ws.failed or not access_end_part(block.output.notes, ws) else SUCCESS


# ---------------------------------------------------------------------------------------------------- comparing notes

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
    """The first listed change of a place in the block that was not made. There is one."""
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
        meet(met, number)
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


# ---------------------------------------------------------------------------------------------------- workers

cdef ListedWorker* listed_worker_new() noexcept nogil:
    cdef ListedWorker* w = <ListedWorker*>spares_take(&spare_workers)
    if w != NULL:
        return w
    w = <ListedWorker*>calloc(1, sizeof(ListedWorker))
    if w == NULL:
        return NULL
    w.machine = machine_new()
    w.arena = new Arena()
    if w.machine == NULL:
        del w.arena
        free(w)
        return NULL
    w.reader.self = w
    w.reader.account = read_account
    w.reader.storage = read_storage
    w.reader.code = read_code
    w.reader.block_hash = read_block_hash
    return w


cdef void listed_worker_free(ListedWorker* w) noexcept nogil:
    ws_reset(w.machine.ws, NULL, 0)
    w.arena.reset()
    if spares_give(&spare_workers, w):
        return
    machine_free(w.machine)
    del w.arena
    free(w)
