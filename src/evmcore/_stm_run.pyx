"""Running ahead and recording; see ``_stm_run.pxd``."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

from evmcore._code cimport Code, code_retain
from evmcore._interp cimport STATE_FAILED, Machine
from evmcore._state cimport (
    PART_BALANCE, PART_CODE, PART_EXISTS, PART_NONCE, PART_WIPED, USE_BALANCE, AccountEntry, LogEntry, SlotEntry,
    WorkingSet, ws_reset,
)
from evmcore._stm cimport (
    Location, TxIndex, Value, Write, kBalance, kCode, kLife, kNonce, publish_writes, raise_flag,
)
from evmcore._stm_block cimport Access, AccountRead, Block, Run, SlotRead, Worker
from evmcore._stm_read cimport slot_location
from evmcore._tx cimport TX_VALID, transaction_run
from evmcore._u256 cimport u_eq, u_is_zero, u_sub


cdef void run_ahead(Worker* w, TxIndex tx) noexcept nogil:
    cdef Block* block = w.block
    cdef Machine* machine = w.machine
    cdef Run* before = &block.run_of[tx]
    cdef Run fresh
    w.tx = tx
    w.blocked_on = 0
    w.last_account = NULL
    machine.symbol_count = 0
    ws_reset(machine.ws, &w.reader, block.rules.revision)
    memset(&fresh, 0, sizeof(Run))
    transaction_run(
        machine, block.txs[tx - 1], &block.rules.checks, block.rules.env.gas_limit, block.rules.blob_gas_limit,
        block.rules.max_blobs_per_tx, &fresh.result,
    )
    if w.blocked_on:
        return
    if w.full:
        give_up(block)
    fresh.gas_price = machine.env.gas_price
    fresh.failed = machine.ws.failed or fresh.result.status >= STATE_FAILED
    if not fresh.failed and not note_reads(w, &fresh):
        fresh.failed = True
    if not fresh.failed and fresh.result.invalid == TX_VALID:
        fresh.failed = not (note_writes(w, machine.ws, True, &fresh) and note_logs(w, &fresh))
    if w.block.output.notes != NULL and not fresh.failed and not note_accesses(w, &fresh):
        fresh.failed = True
    if fresh.failed:
        fresh.write_count = 0
    if not publish_writes(
        tx, before.writes, before.write_count, fresh.writes, fresh.write_count, w.arena[0], &w.delays
    ):
        fresh.failed = True
    before[0] = fresh


cdef void give_up(Block* block) noexcept nogil:
    raise_flag(&block.fallback)
    raise_flag(block.stop)


# ---------------------------------------------------------------------------------------------------- what it learnt

cdef bint note_reads(Worker* w, Run* run) noexcept nogil:
    """What the run learnt of values from before it. False: no memory."""
    cdef WorkingSet* ws = w.machine.ws
    cdef AccountEntry* account
    cdef SlotEntry* slot
    cdef AccountRead* account_read
    cdef SlotRead* slot_read
    cdef uint32_t i
    run.account_reads = <AccountRead*>w.arena.take(ws.account_count * sizeof(AccountRead))
    run.slot_reads = <SlotRead*>w.arena.take(ws.slot_count * sizeof(SlotRead))
    if run.account_reads == NULL or run.slot_reads == NULL:
        return False
    for i in range(1, ws.account_count):
        account = &ws.accounts[i]
        if not account.loaded or (account.uses == 0 and u_is_zero(&account.balance_floor)):
            continue
        account_read = &run.account_reads[run.account_read_count]
        run.account_read_count += 1
        account_read.location = <Location*>account.origin
        account_read.uses = account.uses
        account_read.exists = account.base_exists
        account_read.has_storage = account.base.has_storage
        account_read.nonce = account.base.nonce
        account_read.balance = account.base.balance
        account_read.floor = account.balance_floor
        memcpy(account_read.code_hash, account.base.code_hash, 32)
    for i in range(1, ws.slot_count):
        slot = &ws.slots[i]
        if slot.loaded and slot.origin != NULL:
            slot_read = &run.slot_reads[run.slot_read_count]
            run.slot_read_count += 1
            slot_read.location = <Location*>slot.origin
            slot_read.account = <Location*>ws.accounts[slot.account].origin
            if slot.symbol:
                slot_read.low = w.machine.symbols[slot.symbol].low
                slot_read.high = w.machine.symbols[slot.symbol].high
            else:
                slot_read.low = slot.base
                slot_read.high = slot.base
    return True


cdef bint note_accesses(Worker* w, Run* run) noexcept nogil:
    """All that the run accessed. False: no memory, or the store is full."""
    cdef WorkingSet* ws = w.machine.ws
    cdef Access* access
    cdef AccountEntry* account
    cdef SlotEntry* slot
    cdef uint32_t i
    run.accesses = <Access*>w.arena.take((<size_t>ws.account_count + ws.slot_count) * sizeof(Access))
    if run.accesses == NULL:
        return False
    for i in range(1, ws.account_count):
        if ws.accounts[i].seen == ws.epoch:
            access = &run.accesses[run.access_count]
            run.access_count += 1
            access.location = <Location*>ws.accounts[i].origin
            access.account = NULL
    for i in range(1, ws.slot_count):
        slot = &ws.slots[i]
        if slot.seen == ws.epoch:
            account = &ws.accounts[slot.account]
            if slot.origin == NULL:
                slot.origin = slot_location(w, account.address, &slot.key, NULL)     # the account did not exist
                if slot.origin == NULL:
                    return False
            access = &run.accesses[run.access_count]
            run.access_count += 1
            access.location = <Location*>slot.origin
            access.account = <Location*>account.origin
    return True


# ---------------------------------------------------------------------------------------------------- what it wrote

cdef Value* add_write(Worker* w, Run* run, Location* location, Location* account, int part) noexcept nogil:
    """Room for what is written to a cell; NULL: no memory. `account`: whose slot it is, NULL for an account's own cell."""
    cdef Value* value = <Value*>w.arena.take(sizeof(Value))
    cdef Write* write = &run.writes[run.write_count]
    if value == NULL:
        return NULL
    memset(value, 0, sizeof(Value))
    write.location = location
    write.account = account
    write.part = part
    write.value = value
    write.version = NULL
    run.write_count += 1
    return value


cdef bint hold_code(Worker* w, Code* code) noexcept nogil:
    """Keeps a code for as long as the block's versions may name it. False: no memory."""
    cdef Code** bigger
    cdef uint32_t capacity
    if w.code_count == w.code_capacity:
        capacity = 2 * w.code_capacity if w.code_capacity else 64
        bigger = <Code**>malloc(capacity * sizeof(Code*))
        if bigger == NULL:
            return False
        if w.code_count:
            memcpy(bigger, w.codes, w.code_count * sizeof(Code*))
        free(w.codes)
        w.codes = bigger
        w.code_capacity = capacity
    code_retain(code)
    w.codes[w.code_count] = code
    w.code_count += 1
    return True


cdef int parts_changed(const AccountEntry* entry) noexcept nogil:
    """Which parts of an account differ from what the reader said."""
    cdef int parts = 0
    if entry.lifetime:
        return PART_BALANCE | PART_NONCE | PART_CODE | PART_EXISTS | PART_WIPED
    if entry.exists != entry.base_exists:
        parts |= PART_EXISTS
    if entry.nonce != entry.base.nonce:
        parts |= PART_NONCE
    if not u_eq(&entry.balance, &entry.base.balance):
        parts |= PART_BALANCE
    if memcmp(entry.code_hash, entry.base.code_hash, 32) != 0:
        parts |= PART_CODE
    return parts


cdef bint note_account(Worker* w, const AccountEntry* entry, int parts, bint ahead, Run* run) noexcept nogil:
    cdef Location* location = <Location*>entry.origin
    cdef Value* value
    if parts & (PART_EXISTS | PART_WIPED):
        value = add_write(w, run, location, NULL, <int>kLife)
        if value == NULL:
            return False
        value.word.w[0] = entry.exists
        value.word.w[1] = w.tx if parts & PART_WIPED else 0
    if parts & PART_NONCE:
        value = add_write(w, run, location, NULL, <int>kNonce)
        if value == NULL:
            return False
        value.word.w[0] = entry.nonce
    if parts & PART_BALANCE:
        value = add_write(w, run, location, NULL, <int>kBalance)
        if value == NULL:
            return False
        value.word = entry.balance
        if ahead and not (entry.uses & USE_BALANCE or entry.lifetime):
            u_sub(&value.word, &entry.balance, &entry.base.balance)
            value.delta = True
    if parts & PART_CODE:
        value = add_write(w, run, location, NULL, <int>kCode)
        if value == NULL:
            return False
        memcpy(&value.word, entry.code_hash, 32)
        value.code = entry.code
        return entry.code == NULL or hold_code(w, entry.code)
    return True


cdef bint note_slot(Worker* w, WorkingSet* ws, SlotEntry* slot, Run* run) noexcept nogil:
    cdef AccountEntry* account = &ws.accounts[slot.account]
    cdef Value* value
    if slot.origin == NULL:
        # Never asked for: storage of an account that did not exist just before, or was created in this block.
        slot.origin = slot_location(w, account.address, &slot.key, NULL)
        if slot.origin == NULL:
            return False
    value = add_write(w, run, <Location*>slot.origin, <Location*>account.origin, 0)
    if value == NULL:
        return False
    value.word = slot.current
    if slot.symbol:
        u_sub(&value.word, &slot.current, &slot.base)
        value.delta = True
    return True


cdef bint note_writes(Worker* w, WorkingSet* ws, bint ahead, Run* run) noexcept nogil:
    cdef size_t most = 4 * <size_t>ws.changed_account_count + ws.changed_slot_count
    cdef AccountEntry* entry
    cdef SlotEntry* slot
    cdef uint32_t i
    run.writes = <Write*>w.arena.take((most + 1) * sizeof(Write))
    if run.writes == NULL:
        return False
    for i in range(ws.changed_account_count):
        entry = &ws.accounts[ws.changed_accounts[i]]
        if not note_account(w, entry, parts_changed(entry) if ahead else entry.parts, ahead, run):
            return False
    for i in range(ws.changed_slot_count):
        slot = &ws.slots[ws.changed_slots[i]]
        if slot.lifetime != ws.accounts[slot.account].lifetime or (ahead and u_eq(&slot.current, &slot.base)):
            continue
        if not note_slot(w, ws, slot, run):
            return False
    return True


cdef bint note_logs(Worker* w, Run* run) noexcept nogil:
    """Copies logs and output out of the machine. False: no memory."""
    cdef WorkingSet* ws = w.machine.ws
    cdef size_t size = 0
    cdef uint32_t i
    cdef uint8_t* output
    for i in range(ws.log_count):
        size = max(size, ws.logs[i].data_offset + ws.logs[i].data_size)
    run.log_count = ws.log_count
    if ws.log_count:
        run.logs = <LogEntry*>w.arena.take(ws.log_count * sizeof(LogEntry))
        run.log_data = <uint8_t*>w.arena.take(size + 1)
        if run.logs == NULL or run.log_data == NULL:
            return False
        memcpy(run.logs, ws.logs, ws.log_count * sizeof(LogEntry))
        memcpy(run.log_data, ws.log_data, size)
    if run.result.output_size:
        output = <uint8_t*>w.arena.take(run.result.output_size)
        if output == NULL:
            return False
        memcpy(output, run.result.output, run.result.output_size)
        run.result.output = output
    return True
