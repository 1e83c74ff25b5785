"""The parallel block executor; see ``stm.pxd`` for the idea and ``include/stm/`` for store and scheduler."""
import os

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset
from libcpp cimport bool as cbool

from evmcore._block cimport (
    BLOCK_ENGINE_FAILED, BLOCK_OK, BLOCK_TRANSACTION_INVALID, BlockFailure, BlockOutput, BlockRules, BlockRun, Executor,
    block_keep, block_transaction,
)
from evmcore._code cimport Code, code_release, code_retain
from evmcore._interp cimport NO_MEMORY, STATE_FAILED, SUCCESS, Machine, Status, machine_free, machine_new
from evmcore._state cimport (
    ABSENT, FOUND, PART_BALANCE, PART_CODE, PART_EXISTS, PART_NONCE, PART_WIPED, READ_FAILED, USE_BALANCE, USE_CODE,
    USE_EXISTS, USE_NONCE, USE_NONCE_SET, AccountData, AccountEntry, Found, LogEntry, SlotEntry, StateReader, WorkingSet,
    ws_adopt_account, ws_adopt_slot, ws_put_code, ws_reset, ws_wipe,
)
from evmcore._tx cimport GAS_PER_BLOB, TX_VALID, TxData, TxInvalid, TxResult, transaction_run
from evmcore._u256 cimport u256, u_add, u_eq, u_is_zero, u_lt, u_set64, u_sub, u_zero

from evmcore._hints cimport give_hints, note_outcome
from evmcore._stm cimport (
    Arena, Base, HashKey, Location, Scheduler, Seen, Store, Tally, Tasks, TxIndex, Value, Version, balance_before, delay_point,
    engine_work, is_estimate, is_written, kBalance, kCode, kLife, kNonce, kParts, latest, mark_estimate, publish, raise_flag,
    replace, wait_for_all, wiped_before, withdraw,
)

from evmcore.errors import InputError

cdef extern from "include/workers.h" namespace "evmcore" nogil:
    void run_on_workers(unsigned int count, void (*task)(void*) noexcept nogil, void* context)

cdef extern from "include/spares.h" namespace "evmcore" nogil:
    ctypedef struct Spares:
        pass
    void* spares_take(Spares* spares)
    bint spares_give(Spares* spares, void* item)

cdef extern from *:
    """
    static inline uint32_t stm_fetch_add(uint32_t* p) { return __atomic_fetch_add(p, 1, __ATOMIC_ACQ_REL); }
    """
    uint32_t stm_fetch_add(uint32_t* p) noexcept nogil

# ---------------------------------------------------------------------------------------------------- what a run leaves

# Where the values that a run was given came from; hung on the working set's entries while it goes on.
cdef struct AccountSource:
    Location* location
    const Value* nonce
    const Value* code

cdef struct SlotSource:
    Location* location
    Location* account
    const Value* value
    TxIndex writer

cdef struct AccountRead:
    AccountSource* source
    int uses
    bint exists
    bint has_storage
    uint64_t nonce
    u256 balance
    u256 floor
    uint8_t[32] code_hash

cdef struct SlotRead:
    SlotSource* source
    u256 value

cdef struct Write:
    Location* location
    Location* account             # of a slot
    int part
    Value* value
    Version* version

# The latest run of one transaction, in the arena of the worker that did it.
cdef struct Run:
    TxResult result
    u256 gas_price
    bint failed                   # the engine failed; nothing else holds
    bint ran_ahead                # a speculative run came before
    bint direct                   # run by the committer on the block's own working set: brought in already
    AccountRead* account_reads
    uint32_t account_read_count
    SlotRead* slot_reads
    uint32_t slot_read_count
    Write* writes
    uint32_t write_count
    LogEntry* logs
    uint32_t log_count
    uint8_t* log_data

cdef struct Worker:
    Machine* machine
    Arena* arena
    StateReader reader            # answers from the store, for the transaction this worker runs
    Block* block
    TxIndex tx
    TxIndex blocked_on            # the read met an estimate of this transaction
    bint full                     # the store has no room left
    Location* last_account
    uint64_t delays               # tests: state of the delays' random numbers, 0: none
    Code** codes                  # of published code cells, released after the block
    uint32_t code_count
    uint32_t code_capacity
    Tasks tasks
    Tally tally

cdef struct Block:
    Store* store
    Scheduler* scheduler
    Worker** workers
    int worker_count
    uint32_t next_worker
    uint64_t delays               # tests: their seed
    uint32_t arrived              # tests: workers that have begun
    uint32_t stop
    uint32_t fallback             # go on without speculation from the frontier
    TxData** txs                  # txs[i] is transaction i + 1
    TxIndex count
    Run* run_of                   # by transaction, from 1
    const BlockRules* rules
    StateReader* base
    Machine* main
    BlockOutput* output
    BlockFailure failure
    TxInvalid invalid
    Status status


# ---------------------------------------------------------------------------------------------------- reading

cdef Location* account_location(Worker* w, const uint8_t* address) noexcept nogil:
    """The account's location with its base known; NULL when the store is full or the state cannot be read."""
    cdef Location* location = w.last_account
    cdef AccountData data
    cdef Base base
    cdef Found found
    if location != NULL and memcmp(location.address, address, 20) == 0:
        return location
    location = w.block.store.find(address, NULL)
    if location == NULL:
        w.full = True
        return NULL
    if not location.base_known():
        found = w.block.base.account(w.block.base.self, address, &data)
        if found == READ_FAILED:
            return NULL
        memset(&base, 0, sizeof(Base))
        memcpy(base.code_hash, EMPTY_CODE_HASH, 32)
        if found == FOUND:
            base.exists = True
            base.balance = data.balance
            base.nonce = data.nonce
            base.has_storage = data.has_storage
            memcpy(base.code_hash, data.code_hash, 32)
        location.set_base(base)
    w.last_account = location
    return location


cdef bint met_estimate(Worker* w, const Seen* seen) noexcept nogil:
    if seen.estimate:
        w.blocked_on = seen.writer
        return True
    return False


cdef void resolve_account(Location* location, TxIndex tx, AccountSource* source, AccountData* out, bint* exists) noexcept nogil:
    """What transaction `tx` finds of an account, and where it comes from."""
    cdef const Value* life
    out.has_storage = location.base.has_storage
    exists[0] = location.base.exists
    source.location = location
    if not is_written(location):
        source.nonce = source.code = NULL
        out.balance = location.base.balance
        out.nonce = location.base.nonce
        memcpy(out.code_hash, location.base.code_hash, 32)
        return
    source.nonce = latest(location.cells[<int>kNonce], tx).value
    source.code = latest(location.cells[<int>kCode], tx).value
    life = latest(location.cells[<int>kLife], tx).value
    balance_before(location[0], tx, &out.balance)
    out.nonce = source.nonce.word.w[0] if source.nonce != NULL else location.base.nonce
    memcpy(out.code_hash, <const uint8_t*>&source.code.word if source.code != NULL else <const uint8_t*>location.base.code_hash, 32)
    if life != NULL:
        exists[0] = life.word.w[0] != 0
        if wiped_before(location[0], tx):
            out.has_storage = False
    if not exists[0]:            # credited by transactions that saw it exist
        exists[0] = out.nonce != 0 or not u_is_zero(&out.balance) or memcmp(out.code_hash, EMPTY_CODE_HASH, 32) != 0


cdef Found read_account(void* self, const uint8_t* address, AccountData* out) noexcept nogil:
    cdef Worker* w = <Worker*>self
    cdef Location* location = account_location(w, address)
    cdef AccountSource* source
    cdef Seen seen
    cdef bint exists
    cdef int part
    if location == NULL:
        return READ_FAILED
    if is_written(location):
        for part in range(<int>kNonce, <int>kParts):
            seen = latest(location.cells[part], w.tx)
            if met_estimate(w, &seen):
                return READ_FAILED
    source = <AccountSource*>w.arena.take(sizeof(AccountSource))
    if source == NULL:
        return READ_FAILED
    resolve_account(location, w.tx, source, out, &exists)
    # The sender's nonce is taken to be what the transaction says: the committer checks it.
    if memcmp(address, w.block.txs[w.tx - 1].sender, 20) == 0:
        out.nonce = w.block.txs[w.tx - 1].nonce
        exists = True
    w.reader.origin = source
    delay_point(&w.delays)
    return FOUND if exists else ABSENT


cdef void resolve_slot(SlotSource* source, TxIndex tx, u256* value) noexcept nogil:
    """A write counts when it came after the last time the account's storage was wiped."""
    cdef Seen seen = latest(source.location.cells[0], tx)
    cdef TxIndex wiped = wiped_before(source.account[0], tx)
    if seen.value != NULL and (wiped == 0 or seen.writer > wiped):
        value[0] = seen.value.word
    elif wiped:
        u_zero(value)
    else:
        value[0] = source.location.base.balance


cdef Location* slot_location(Worker* w, const uint8_t* address, const u256* key, const u256* known) noexcept nogil:
    """The location of a slot, with its base known: `known` or, where that is NULL, read. NULL: the store is full, or the
    state cannot be read."""
    cdef Location* location = w.block.store.find(address, key)
    cdef Location* account
    cdef Base base
    if location == NULL:
        w.full = True
    elif not location.base_known():
        memset(&base, 0, sizeof(Base))
        if known != NULL:
            base.balance = known[0]
        else:
            account = account_location(w, address)
            if account == NULL:
                return NULL
            if account.base.exists:
                if w.block.base.storage(w.block.base.self, address, key, &base.balance) == READ_FAILED:
                    return NULL
        location.set_base(base)
    return location


cdef Found read_storage(void* self, const uint8_t* address, const u256* key, u256* value) noexcept nogil:
    cdef Worker* w = <Worker*>self
    cdef Location* account = account_location(w, address)
    cdef Location* location
    cdef SlotSource* source
    cdef Base base
    cdef Seen seen
    if account == NULL:
        return READ_FAILED
    location = w.block.store.find(address, key)
    if location == NULL:
        w.full = True
        return READ_FAILED
    if not location.base_known():
        memset(&base, 0, sizeof(Base))
        if account.base.exists:
            if w.block.base.storage(w.block.base.self, address, key, &base.balance) == READ_FAILED:
                return READ_FAILED
        location.set_base(base)
    seen = latest(location.cells[0], w.tx)
    if met_estimate(w, &seen):
        return READ_FAILED
    seen = latest(account.cells[<int>kLife], w.tx)
    if met_estimate(w, &seen):
        return READ_FAILED
    source = <SlotSource*>w.arena.take(sizeof(SlotSource))
    if source == NULL:
        return READ_FAILED
    source.location = location
    source.account = account
    resolve_slot(source, w.tx, value)
    delay_point(&w.delays)
    w.reader.origin = source
    return FOUND


cdef Code* read_code(void* self, const uint8_t* address, const uint8_t* code_hash) noexcept nogil:
    cdef Worker* w = <Worker*>self
    cdef Location* location = account_location(w, address)
    cdef Seen seen
    if location == NULL:
        return NULL
    delay_point(&w.delays)
    seen = latest(location.cells[<int>kCode], w.tx)
    if seen.value != NULL and seen.value.code != NULL and memcmp(&seen.value.word, code_hash, 32) == 0:
        code_retain(<Code*>seen.value.code)
        return <Code*>seen.value.code
    if seen.value != NULL:
        w.blocked_on = seen.writer               # changed since the account was read; run again when it is settled
        return NULL
    return w.block.base.code(w.block.base.self, address, code_hash)


cdef Found read_block_hash(void* self, uint64_t number, uint8_t* out) noexcept nogil:
    cdef Worker* w = <Worker*>self
    if w.block.base.block_hash == NULL:
        return ABSENT
    return w.block.base.block_hash(w.block.base.self, number, out)


# ---------------------------------------------------------------------------------------------------- running

cdef TxIndex run_task(void* self, TxIndex tx, cbool final) noexcept nogil:
    cdef Worker* w = <Worker*>self
    delay_point(&w.delays)
    if final:
        run_directly(w, tx)
        return 0
    speculate(w, tx)
    delay_point(&w.delays)
    return w.blocked_on


cdef void speculate(Worker* w, TxIndex tx) noexcept nogil:
    """Runs a transaction on the worker's machine, ahead of time, and publishes what it wrote, unless it met an estimate."""
    cdef Block* block = w.block
    cdef Machine* machine = w.machine
    cdef Run fresh
    w.tx = tx
    w.blocked_on = 0
    w.last_account = NULL
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
    if not fresh.failed and fresh.result.invalid == TX_VALID and not (note_writes(w, &fresh) and note_logs(w, &fresh)):
        fresh.failed = True
    if fresh.failed:
        fresh.write_count = 0
    publish_writes(w, tx, &block.run_of[tx], &fresh)
    block.run_of[tx] = fresh


cdef void give_up(Block* block) noexcept nogil:
    """Ends speculation: what is not final yet will be run sequentially."""
    raise_flag(&block.fallback)
    raise_flag(&block.stop)


cdef void run_directly(Worker* w, TxIndex tx) noexcept nogil:
    """The committer's way, when all before is final: on the block's own working set, as sequential execution does it. What
    was written is then published for those who run ahead."""
    cdef Block* block = w.block
    cdef Run* run = &block.run_of[tx]
    cdef Run fresh
    memset(&fresh, 0, sizeof(Run))
    fresh.direct = True
    fresh.ran_ahead = run.account_reads != NULL
    block.failure = block_transaction(
        block.main, block.rules, block.txs[tx - 1], block.output, &block.invalid, &block.status
    )
    w.tx = tx
    if block.failure == BLOCK_OK and block.worker_count > 1 and not note_direct_writes(w, &fresh):
        # No room to tell the others: this transaction stands, the rest goes on without speculation.
        fresh.write_count = 0
        give_up(block)
    publish_writes(w, tx, run, &fresh)
    run[0] = fresh


cdef bint note_reads(Worker* w, Run* run) noexcept nogil:
    """What the run learnt of values from before it. False: no memory."""
    cdef WorkingSet* ws = w.machine.ws
    cdef AccountEntry* account
    cdef SlotEntry* slot
    cdef AccountRead* read
    cdef uint32_t i
    run.account_reads = <AccountRead*>w.arena.take(ws.account_count * sizeof(AccountRead))
    run.slot_reads = <SlotRead*>w.arena.take(ws.slot_count * sizeof(SlotRead))
    if run.account_reads == NULL or run.slot_reads == NULL:
        return False
    for i in range(1, ws.account_count):
        account = &ws.accounts[i]
        if not account.loaded or (account.uses == 0 and u_is_zero(&account.balance_floor)):
            continue
        read = &run.account_reads[run.account_read_count]
        run.account_read_count += 1
        read.source = <AccountSource*>account.origin
        read.uses = account.uses
        read.exists = account.base_exists
        read.has_storage = account.base.has_storage
        read.nonce = account.base.nonce
        read.balance = account.base.balance
        read.floor = account.balance_floor
        memcpy(read.code_hash, account.base.code_hash, 32)
    for i in range(1, ws.slot_count):
        slot = &ws.slots[i]
        if slot.loaded and slot.origin != NULL:
            run.slot_reads[run.slot_read_count].source = <SlotSource*>slot.origin
            run.slot_reads[run.slot_read_count].value = slot.base
            run.slot_read_count += 1
    return True


cdef Value* add_write(Worker* w, Run* run, Location* location, Location* account, int part) noexcept nogil:
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


cdef bint room_for_writes(Worker* w, const WorkingSet* ws, Run* run) noexcept nogil:
    run.writes = <Write*>w.arena.take((4 * <size_t>ws.changed_account_count + ws.changed_slot_count + 1) * sizeof(Write))
    return run.writes != NULL


cdef bint note_writes(Worker* w, Run* run) noexcept nogil:
    """What a speculative run changed. A balance that was never looked at exactly becomes a delta."""
    cdef WorkingSet* ws = w.machine.ws
    cdef AccountEntry* entry
    cdef SlotEntry* slot
    cdef Location* location
    cdef Value* value
    cdef uint32_t i
    if not room_for_writes(w, ws, run):
        return False
    for i in range(ws.changed_account_count):
        entry = &ws.accounts[ws.changed_accounts[i]]
        location = (<AccountSource*>entry.origin).location
        if entry.exists != entry.base_exists or entry.lifetime:
            value = add_write(w, run, location, NULL, <int>kLife)
            if value == NULL:
                return False
            value.word.w[0] = entry.exists
            value.word.w[1] = w.tx if entry.lifetime else 0
        if entry.nonce != entry.base.nonce or entry.lifetime:
            value = add_write(w, run, location, NULL, <int>kNonce)
            if value == NULL:
                return False
            value.word.w[0] = entry.nonce
        if entry.lifetime or not u_eq(&entry.balance, &entry.base.balance):
            value = add_write(w, run, location, NULL, <int>kBalance)
            if value == NULL:
                return False
            if entry.uses & USE_BALANCE or entry.lifetime:
                value.word = entry.balance
            else:
                u_sub(&value.word, &entry.balance, &entry.base.balance)
                value.delta = True
        if entry.lifetime or memcmp(entry.code_hash, entry.base.code_hash, 32) != 0:
            value = add_write(w, run, location, NULL, <int>kCode)
            if value == NULL:
                return False
            memcpy(&value.word, entry.code_hash, 32)
            value.code = entry.code
            if entry.code != NULL and not hold_code(w, entry.code):
                return False
    for i in range(ws.changed_slot_count):
        slot = &ws.slots[ws.changed_slots[i]]
        entry = &ws.accounts[slot.account]
        if slot.lifetime == entry.lifetime and not u_eq(&slot.current, &slot.base):
            if slot.origin != NULL:
                location = (<SlotSource*>slot.origin).location
            else:
                # Storage of an account that did not exist just before: never asked for.
                location = slot_location(w, entry.address, &slot.key, NULL)
                if location == NULL:
                    return False
            value = add_write(w, run, location, (<AccountSource*>entry.origin).location, 0)
            if value == NULL:
                return False
            value.word = slot.current
    return True


cdef bint note_direct_writes(Worker* w, Run* run) noexcept nogil:
    """What the latest transaction changed in the block's own working set: all of it absolute. False: the store is full."""
    cdef WorkingSet* ws = w.block.main.ws
    cdef AccountEntry* entry
    cdef SlotEntry* slot
    cdef Location* location
    cdef Value* value
    cdef uint32_t i
    if not room_for_writes(w, ws, run):
        return False
    for i in range(ws.changed_account_count):
        entry = &ws.accounts[ws.changed_accounts[i]]
        location = main_location(w, ws.changed_accounts[i])
        if location == NULL:
            return False
        if entry.parts & (PART_EXISTS | PART_WIPED):
            value = add_write(w, run, location, NULL, <int>kLife)
            if value == NULL:
                return False
            value.word.w[0] = entry.exists
            value.word.w[1] = w.tx if entry.parts & PART_WIPED else 0
        if entry.parts & PART_NONCE:
            value = add_write(w, run, location, NULL, <int>kNonce)
            if value == NULL:
                return False
            value.word.w[0] = entry.nonce
        if entry.parts & PART_BALANCE:
            value = add_write(w, run, location, NULL, <int>kBalance)
            if value == NULL:
                return False
            value.word = entry.balance
        if entry.parts & PART_CODE:
            value = add_write(w, run, location, NULL, <int>kCode)
            if value == NULL:
                return False
            memcpy(&value.word, entry.code_hash, 32)
            value.code = entry.code
            if entry.code != NULL and not hold_code(w, entry.code):
                return False
    for i in range(ws.changed_slot_count):
        slot = &ws.slots[ws.changed_slots[i]]
        if slot.lifetime != ws.accounts[slot.account].lifetime:
            continue
        location = <Location*>slot.origin
        if location == NULL:
            location = slot_location(w, ws.accounts[slot.account].address, &slot.key, &slot.base)
            if location == NULL:
                return False
            slot.origin = location
            location.main_number = ws.changed_slots[i]
        value = add_write(w, run, location, main_location(w, slot.account), 0)
        if value == NULL:
            return False
        value.word = slot.current
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


cdef void publish_writes(Worker* w, TxIndex tx, Run* before, Run* fresh) noexcept nogil:
    """Puts the writes into the store. What the run before wrote and this one did not is withdrawn."""
    cdef Write* write
    cdef uint32_t i
    for i in range(before.write_count):
        if before.writes[i].version != NULL:
            mark_estimate(before.writes[i].version)
            delay_point(&w.delays)
    for i in range(fresh.write_count):
        write = &fresh.writes[i]
        delay_point(&w.delays)
        write.version = publish(write.location[0], write.part, tx, write.value, w.arena[0])
        if write.version == NULL:
            fresh.failed = True
    for i in range(before.write_count):
        if before.writes[i].version != NULL and is_estimate(before.writes[i].version):
            delay_point(&w.delays)
            withdraw(before.writes[i].version)


# ---------------------------------------------------------------------------------------------------- the committer

cdef cbool stands_task(void* self, TxIndex tx) noexcept nogil:
    """Whether all that the latest run learnt is so, now that everything before it is final."""
    cdef Worker* w = <Worker*>self
    cdef Block* block = w.block
    cdef Run* run = &block.run_of[tx]
    cdef TxData* data = block.txs[tx - 1]
    cdef AccountRead* read
    cdef AccountSource now
    cdef SlotSource slot_now
    cdef AccountData account
    cdef Location* location
    cdef bint exists
    cdef u256 value
    cdef uint32_t i
    delay_point(&w.delays)
    if run.failed or run.result.invalid != TX_VALID:
        return False
    if data.gas_limit > block.rules.env.gas_limit - block.output.gas_used:
        return False
    if GAS_PER_BLOB * data.blob_hash_count > block.rules.blob_gas_limit - block.output.blob_gas_used:
        return False
    for i in range(run.account_read_count):
        read = &run.account_reads[i]
        location = read.source.location
        resolve_account(location, tx, &now, &account, &exists)
        if read.uses & USE_NONCE and account.nonce != read.nonce:
            return False
        if read.uses & USE_NONCE_SET and account.nonce == 0:
            return False
        if read.uses & USE_CODE and now.code != read.source.code:
            if memcmp(account.code_hash, read.code_hash, 32) != 0:
                return False
        if read.uses & USE_EXISTS and exists != read.exists:
            return False
        if read.uses & USE_BALANCE and not u_eq(&account.balance, &read.balance):
            return False
        if u_lt(&account.balance, &read.floor) or account.has_storage != read.has_storage:
            return False
    for i in range(run.slot_read_count):
        if is_written(run.slot_reads[i].source.location) or is_written(run.slot_reads[i].source.account):
            slot_now = run.slot_reads[i].source[0]
            resolve_slot(&slot_now, tx, &value)
            if not u_eq(&value, &run.slot_reads[i].value):
                return False
    return True


cdef uint32_t main_account(Block* block, Location* location) noexcept nogil:
    cdef AccountData data
    if location.main_number == 0:
        data.balance = location.base.balance
        data.nonce = location.base.nonce
        memcpy(data.code_hash, location.base.code_hash, 32)
        data.has_storage = location.base.has_storage
        location.main_number = ws_adopt_account(block.main.ws, location.address, &data, location.base.exists)
        block.main.ws.accounts[location.main_number].origin = location
    return location.main_number


cdef Location* main_location(Worker* w, uint32_t account) noexcept nogil:
    """The location of an account of the block's working set. NULL: the store is full."""
    cdef AccountEntry* entry = &w.block.main.ws.accounts[account]
    cdef Location* location = <Location*>entry.origin
    cdef Base base
    if location != NULL:
        return location
    location = w.block.store.find(entry.address, NULL)
    if location == NULL:
        w.full = True
        return NULL
    if not location.base_known():
        memset(&base, 0, sizeof(Base))
        base.exists = entry.base_exists
        base.balance = entry.base.balance
        base.nonce = entry.base.nonce
        base.has_storage = entry.base.has_storage
        memcpy(base.code_hash, entry.base.code_hash, 32)
        location.set_base(base)
    entry.origin = location
    location.main_number = account
    return location


cdef bint bring_in(Worker* w, TxIndex tx) noexcept nogil:
    """Settles the deltas of a transaction that stands and writes its changes to the block's working set. False: no memory."""
    cdef Block* block = w.block
    cdef Run* run = &block.run_of[tx]
    cdef WorkingSet* ws = block.main.ws
    cdef WorkingSet view
    cdef AccountEntry* entry
    cdef Write* write
    cdef Value* settled
    cdef uint32_t i, number, slot
    for i in range(run.write_count):
        write = &run.writes[i]
        if write.account != NULL:
            number = main_account(block, write.account)
            slot = write.location.main_number
            if slot == 0:
                slot = ws_adopt_slot(ws, number, &write.location.slot, &write.location.base.balance)
                write.location.main_number = slot
                ws.slots[slot].origin = write.location
            ws.slots[slot].current = write.value.word
            ws.slots[slot].lifetime = ws.accounts[number].lifetime
            continue
        number = main_account(block, write.location)
        if write.part == <int>kLife:
            if write.value.word.w[1] == tx:
                ws_wipe(ws, number)
            ws.accounts[number].exists = write.value.word.w[0] != 0
        elif write.part == <int>kNonce:
            ws.accounts[number].nonce = write.value.word.w[0]
        elif write.part == <int>kCode:
            if not ws_put_code(ws, number, <const uint8_t*>&write.value.word, <Code*>write.value.code):
                return False
        else:
            if write.value.delta:
                settled = <Value*>w.arena.take(sizeof(Value))
                if settled == NULL:
                    return False
                memset(settled, 0, sizeof(Value))
                u_add(&settled.word, &ws.accounts[number].balance, &write.value.word)
                replace(write.version, settled)
                write.value = settled
            ws.accounts[number].balance = write.value.word
        entry = &ws.accounts[number]
        if write.part != <int>kLife and not entry.exists and (entry.nonce or not u_is_zero(&entry.balance)):
            entry.exists = True
    memset(&view, 0, sizeof(WorkingSet))
    view.logs = run.logs
    view.log_count = run.log_count
    view.log_data = run.log_data
    return block_keep(block.output, &view, block.txs[tx - 1], &run.result, &run.gas_price) and not ws.failed


cdef cbool conclude_task(void* self, TxIndex tx) noexcept nogil:
    """Brings in the frontier's transaction. False: the block ends here, `failure` says how."""
    cdef Worker* w = <Worker*>self
    cdef Block* block = w.block
    delay_point(&w.delays)
    note_outcome(block.txs[tx - 1], block.run_of[tx].direct and block.run_of[tx].ran_ahead)
    if block.run_of[tx].direct:
        return block.failure == BLOCK_OK
    if not bring_in(w, tx):
        block.failure = BLOCK_ENGINE_FAILED
        block.status = NO_MEMORY
        return False
    return True


cdef void pass_task(void* self, TxIndex tx) noexcept nogil:
    (<Worker*>self).block.run_of[tx].failed = True


cdef void work(void* context) noexcept nogil:
    cdef Block* block = <Block*>context
    cdef uint32_t number = stm_fetch_add(&block.next_worker)
    cdef Worker* w
    if number >= <uint32_t>block.worker_count:
        return
    w = block.workers[number]
    if block.delays:
        wait_for_all(&block.arrived, block.worker_count)
    engine_work(block.scheduler[0], w.tasks, w.arena[0], &block.stop, w.tally)


# ---------------------------------------------------------------------------------------------------- a block

cdef uint8_t[32] EMPTY_CODE_HASH
cdef Base NO_BASE
cdef HashKey store_key
cdef bytes random_key = os.urandom(sizeof(HashKey))
memcpy(&store_key, <const uint8_t*>random_key, sizeof(HashKey))
memset(&NO_BASE, 0, sizeof(Base))

from evmcore._hash cimport keccak256
keccak256(EMPTY_CODE_HASH, 0, EMPTY_CODE_HASH)
memcpy(NO_BASE.code_hash, EMPTY_CODE_HASH, 32)

cdef Spares spare_workers
cdef Spares spare_stores
cdef Spares spare_schedulers


cdef Worker* worker_new() noexcept nogil:
    cdef Worker* w = <Worker*>spares_take(&spare_workers)
    if w != NULL:
        return w
    w = <Worker*>calloc(1, sizeof(Worker))
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
    w.tasks.self = w
    w.tasks.run = run_task
    w.tasks.stands = stands_task
    w.tasks.conclude = conclude_task
    w.tasks.skip = pass_task
    return w


cdef void worker_free(Worker* w) noexcept nogil:
    cdef uint32_t i
    for i in range(w.code_count):
        code_release(w.codes[i])
    w.code_count = 0
    ws_reset(w.machine.ws, NULL, 0)
    w.arena.reset()
    if spares_give(&spare_workers, w):
        return
    machine_free(w.machine)
    del w.arena
    free(w.codes)
    free(w)


cdef bint publish_beginning(Block* block) noexcept nogil:
    """Puts what the block did before its transactions (system calls) into the store, as transaction 0."""
    cdef WorkingSet* ws = block.main.ws
    cdef Worker* w = block.workers[0]
    cdef AccountEntry* entry
    cdef SlotEntry* slot
    cdef Location* location
    cdef Value* value
    cdef uint32_t i
    w.last_account = NULL
    for i in range(1, ws.account_count):
        entry = &ws.accounts[i]
        if not entry.loaded:
            continue
        location = account_location(w, entry.address)
        if location == NULL or entry.lifetime:
            return False
        location.main_number = i
        entry.origin = location
        if not u_eq(&entry.balance, &entry.base.balance) or entry.nonce != entry.base.nonce or entry.exists != entry.base_exists:
            value = <Value*>w.arena.take(3 * sizeof(Value))
            if value == NULL:
                return False
            memset(value, 0, 3 * sizeof(Value))
            value[0].word = entry.balance
            value[1].word.w[0] = entry.nonce
            value[2].word.w[0] = entry.exists
            publish(location[0], <int>kBalance, 0, &value[0], w.arena[0])
            publish(location[0], <int>kNonce, 0, &value[1], w.arena[0])
            publish(location[0], <int>kLife, 0, &value[2], w.arena[0])
        if memcmp(entry.code_hash, entry.base.code_hash, 32) != 0:
            return False
    for i in range(1, ws.slot_count):
        slot = &ws.slots[i]
        if not slot.loaded:
            continue
        location = slot_location(w, ws.accounts[slot.account].address, &slot.key, &slot.base)
        if location == NULL:
            return False
        location.main_number = i
        slot.origin = location
        if not u_eq(&slot.current, &slot.base):
            value = <Value*>w.arena.take(sizeof(Value))
            if value == NULL:
                return False
            memset(value, 0, sizeof(Value))
            value.word = slot.current
            publish(location[0], 0, 0, value, w.arena[0])
    return True


cdef size_t expected_locations(const Block* block) noexcept nogil:
    """Room for the accounts and slots that most blocks reach: four for each transaction, and one for every 4,000 gas of what
    they may use together. A block that reaches more goes on without speculation."""
    cdef uint64_t gas = 0
    cdef size_t i
    for i in range(block.count):
        gas += min(block.txs[i].gas_limit, block.rules.env.gas_limit)
    gas = min(gas, block.rules.env.gas_limit)
    return min(<size_t>(gas // 4000), <size_t>1 << 21) + 4 * <size_t>block.count + 1024


cdef class ParallelExecutor(Executor):
    """Executes a block's transactions on ``threads`` native threads, with the outcome of sequential execution.

    Speculation is given up, and the rest of the block run sequentially from the last final transaction, when the store is
    full. `counters` tells of the last block.
    """

    def __init__(self, int threads, bint always=False):
        if threads < 1:
            raise InputError(f"threads: expected at least 1, got {threads}")
        self.threads = threads
        self.always = always
        self.counters = {}

    cdef BlockFailure transactions(
        self, BlockRun run, TxData** txs, size_t count, size_t* at, TxInvalid* invalid, Status* status
    ) noexcept nogil:
        cdef Block block
        cdef BlockFailure failure
        cdef int i
        memset(&block, 0, sizeof(Block))
        block.txs = txs
        block.count = <TxIndex>count
        block.rules = &run.rules
        block.base = &run.overlay.reader
        block.main = run.machine
        block.delays = self.delays
        block.output = &run.output
        block.failure = BLOCK_OK
        block.status = SUCCESS
        if (self.always or (self.threads > 1 and count > 1)) and open_block(&block, min(<size_t>self.threads, count)):
            run_on_workers(block.worker_count, work, &block)
            at[0] = block.scheduler.frontier() - 1
        failure = block.failure
        invalid[0] = block.invalid
        status[0] = block.status
        if failure == BLOCK_TRANSACTION_INVALID:
            at[0] += 1
        with gil:
            self.counters = counters_of(&block)
        close_block(&block)
        while at[0] < count and failure == BLOCK_OK:
            failure = block_transaction(run.machine, &run.rules, txs[at[0]], &run.output, invalid, status)
            at[0] += 1
        return failure


cdef dict counters_of(const Block* block):
    cdef int i
    counters = {"threads": block.worker_count, "runs": 0, "reruns": 0, "waits": 0, "fallback": bool(block.fallback)}
    for i in range(block.worker_count):
        counters["runs"] += block.workers[i].tally.runs
        counters["reruns"] += block.workers[i].tally.reruns
        counters["waits"] += block.workers[i].tally.waits
    return counters


cdef bint open_block(Block* block, int threads) noexcept nogil:
    """Takes what a parallel block needs. False: something is missing; the block then runs sequentially."""
    cdef Worker* w
    cdef int i
    block.store = <Store*>spares_take(&spare_stores)
    if block.store == NULL:
        block.store = new Store()
    block.scheduler = <Scheduler*>spares_take(&spare_schedulers)
    if block.scheduler == NULL:
        block.scheduler = new Scheduler()
    block.workers = <Worker**>calloc(threads, sizeof(Worker*))
    block.run_of = <Run*>calloc(<size_t>block.count + 1, sizeof(Run))
    if block.workers == NULL or block.run_of == NULL:
        return False
    for i in range(threads):
        w = worker_new()
        if w == NULL:
            break
        w.block = block
        w.full = False
        w.delays = block.delays * (i + 1)
        memset(&w.tally, 0, sizeof(Tally))
        w.machine.env = block.rules.env
        w.machine.revision = block.rules.revision
        w.machine.abort_flag = &block.stop
        w.machine.deadline_ns = 0
        w.machine.tracer = NULL
        w.machine.unlimited_code_size = block.main.unlimited_code_size
        block.workers[i] = w
        block.worker_count += 1
    return (
        block.worker_count > 0
        and block.store.prepare(expected_locations(block), store_key)
        and block.scheduler.prepare(block.count)
        and (block.worker_count == 1 or give_hints(block.scheduler, block.txs, block.count))
        and publish_beginning(block)
    )


cdef void close_block(Block* block) noexcept nogil:
    cdef int i
    for i in range(block.worker_count):
        worker_free(block.workers[i])
    free(block.workers)
    free(block.run_of)
    if block.store != NULL and not spares_give(&spare_stores, block.store):
        del block.store
    if block.scheduler != NULL and not spares_give(&spare_schedulers, block.scheduler):
        del block.scheduler
