"""Running ahead and recording; see `_stm_run.pxd`."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

from evmcore._code cimport Code, code_retain
from evmcore._hints cimport BRIEF_GAS, IN_LINE, SHARES_NOTHING
from evmcore._interp cimport STATE_FAILED, Machine
from evmcore._run_kept cimport keep_logs
from evmcore._state cimport (
    PART_BALANCE, PART_CODE, PART_EXISTS, PART_NONCE, PART_WIPED, USE_BALANCE, USE_CODE, USE_NONCE, USE_NONCE_SET, AccountEntry,
    SlotEntry, WorkingSet, ws_reset,
)
from evmcore._stm cimport (
    EMPTY_CODE_HASH, Location, TxIndex, Value, Version, Write, is_written, kBalance, kCode, kLife, kNonce, latest, new_version,
    publish_writes, raise_flag, ticks,
)
from evmcore._stm_block cimport RECENT_CODES, Access, AccountRead, AccountSeen, Block, Run, SlotRead, Worker
from evmcore._stm_read cimport slot_location
from evmcore._tx cimport TX_VALID, transaction_run
from evmcore._u256 cimport u256, u_eq, u_is_zero, u_lt, u_sub


cdef extern from "include/prefetch.h" namespace "evmcore" nogil:
    void prefetch_for_writing(void* at, size_t size)

cdef enum:
    RECORDS = 1 << 16             # bytes of records that stay in the caches; more only where runs stay unfinal for long
    MOST_KEPT = 2048              # bytes of a run's records that the committer prefetches
    MOST_ASKED = 1024             # ... and that the run itself prefetches: the committer has read what was there before


cdef void drop_records(Worker* w) noexcept nogil:
    """Two arenas alternate: a worker ahead of the frontier always has records that are not final, but no old ones."""
    cdef TxIndex frontier
    if w.records.taken() <= RECORDS or w.block.watch_all:
        return
    frontier = w.block.scheduler.frontier()
    if frontier > w.last:
        w.records.reset()
    elif frontier > w.older_last:
        w.records, w.older = w.older, w.records
        w.older_last = w.last
        w.last = 0
        w.records.reset()


cdef uint64_t clock_of(const Block* block, TxIndex tx) noexcept nogil:
    """Where workers take turns nothing is timed, so that nothing depends on time."""
    return ticks() if block.txs[tx - 1].gas_limit > BRIEF_GAS and block.baton == NULL else 0


cdef void run_ahead(Worker* w, TxIndex tx) noexcept nogil:
    cdef Block* block = w.block
    cdef Machine* machine = w.machine
    cdef Run* run = run_begun(block, tx)
    cdef Write* old = run.writes
    cdef uint32_t old_count = run.write_count
    cdef uint64_t began
    cdef const uint8_t* kept
    drop_records(w)
    kept = w.records.next()
    prefetch_for_writing(<void*>kept, MOST_ASKED)
    w.last = max(w.last, tx)
    w.tx = tx
    w.blocked_on = 0
    w.last_account = NULL
    w.apart = block.sharing[tx] == SHARES_NOTHING
    began = clock_of(block, tx)
    machine.symbol_count = 0
    ws_reset(machine.ws, &w.reader, block.rules.revision)
    transaction_run(
        machine, block.txs[tx - 1], &block.rules.checks, block.rules.env.gas_limit, block.rules.blob_gas_limit,
        block.rules.max_blobs_per_tx, &run.result,
    )
    if w.blocked_on:
        return
    if w.full:
        give_up(block)
    run_clear(run)
    run.ran_ahead = True
    run.ticks = clock_of(block, tx) - began
    run.gas_price = machine.env.gas_price
    run.failed = machine.ws.failed or run.result.status >= STATE_FAILED
    if not run.failed and not note_reads(w, run):
        run.failed = True
    if not run.failed and run.result.invalid == TX_VALID:
        run.failed = not (
            note_writes(w, run)
            and keep_logs(w.records, machine.ws, &run.result, &run.logs, &run.log_count, &run.log_data)
        )
    if not run.failed and (
        block.scheduler.hinted(tx, 0) or block.scheduler.hinted(tx, 1) or tried_without(block, tx)
    ):
        run.leans_on = leaned_on(run, tx)
    if w.block.output.notes != NULL and not run.failed and not note_accesses(w, run):
        run.failed = True
    if run.failed:
        run.write_count = 0
    run.kept = kept
    run.kept_size = kept_since(w, kept)
    publish_writes(tx, old, old_count, run.writes, run.write_count, w.delays)


cdef inline uint32_t kept_since(const Worker* w, const uint8_t* kept) noexcept nogil:
    """The size in bytes of the records from `kept` on; 0: they are large, or not side by side."""
    cdef const uint8_t* end = w.records.next()
    return <uint32_t>(end - kept) if kept != NULL and kept <= end <= kept + MOST_KEPT else 0


cdef TxIndex tried_without(const Block* block, TxIndex tx) noexcept nogil:
    return block.runs.hints.asked[tx - 1].tried_without if block.worker_count > 1 else 0


cdef Run* run_begun(Block* block, TxIndex tx) noexcept nogil:
    cdef Run* run = &block.run_of[tx]
    if run.block != block.runs.block:
        run.block = block.runs.block
        run_clear(run)
    return run


cdef void run_clear(Run* run) noexcept nogil:
    run.failed = run.ran_ahead = run.direct = False
    run.leans_on = run.kept_size = 0
    run.ticks = 0
    run.account_read_count = run.slot_read_count = run.write_count = run.log_count = run.access_count = 0


cdef void give_up(Block* block) noexcept nogil:
    raise_flag(&block.fallback)
    raise_flag(block.stop)


# ---------------------------------------------------------------------------------------------------- read set

cdef bint keep_code(Worker* w, const AccountEntry* account) noexcept nogil:
    """Keeps the code that an account has had since before the block, for transactions that read it later. False: no
    memory."""
    cdef Location* location = <Location*>account.origin
    cdef Code** recent
    if account.code == NULL or account.code.size == 0:
        return True
    if memcmp(account.code.hash, location.base.code_hash, 32) != 0:
        return True
    if location.apart:
        recent = &w.recent_codes[account.code.hash[0] % RECENT_CODES]
        if recent[0] != account.code:
            if not hold_code(w, account.code):
                return False
            recent[0] = account.code
    elif location.code() == NULL:
        if not hold_code(w, account.code):
            return False
        location.keep_code(account.code)
    return True


cdef bint note_account_read(Worker* w, const AccountEntry* account, AccountRead* read) noexcept nogil:
    cdef Location* location = <Location*>account.origin
    read.location = location
    read.uses = account.uses
    read.exists = account.base_exists
    read.has_storage = account.base.has_storage
    read.nonce = account.base.nonce
    read.has_floor = not u_is_zero(&account.balance_floor)
    read.floor = account.balance_floor
    read.seen = NULL
    if not (
        (account.uses & USE_BALANCE and not u_eq(&account.base.balance, &location.base.balance))
        or (account.uses & USE_CODE and memcmp(account.base.code_hash, location.base.code_hash, 32) != 0)
    ):
        return True
    read.seen = <AccountSeen*>w.records.take(sizeof(AccountSeen))
    if read.seen == NULL:
        return False
    read.seen.balance = account.base.balance
    memcpy(read.seen.code_hash, account.base.code_hash, 32)
    return True


cdef inline TxIndex writer_of(const Location* location, int part, TxIndex before) noexcept nogil:
    return latest(location.cells[part], before).writer if is_written(location) else 0


cdef TxIndex leaned_on(const Run* run, TxIndex tx) noexcept nogil:
    """The latest transaction whose writes a run used, or would use now."""
    cdef const AccountRead* account
    cdef const SlotRead* slot
    cdef TxIndex found = 0
    cdef uint32_t i
    for i in range(run.account_read_count):
        account = &run.account_reads[i]
        if account.uses & USE_BALANCE:
            found = max(found, writer_of(account.location, <int>kBalance, tx))
        if account.uses & (USE_NONCE | USE_NONCE_SET):
            found = max(found, writer_of(account.location, <int>kNonce, tx))
        if account.uses & USE_CODE:
            found = max(found, writer_of(account.location, <int>kCode, tx))
    for i in range(run.slot_read_count):
        slot = &run.slot_reads[i]
        if u_eq(&slot.low, &slot.high):
            found = max(found, writer_of(slot.location, 0, tx))
    return found


cdef bint note_reads(Worker* w, Run* run) noexcept nogil:
    """Records the read set: what the run learnt about values from before it. False: no memory."""
    cdef WorkingSet* ws = w.machine.ws
    cdef AccountEntry* account
    cdef SlotEntry* slot
    cdef SlotRead* slot_read
    cdef uint32_t i
    run.account_reads = <AccountRead*>w.records.take((ws.account_count - 1) * sizeof(AccountRead))
    run.slot_reads = <SlotRead*>w.records.take((ws.slot_count - 1) * sizeof(SlotRead))
    if run.account_reads == NULL or run.slot_reads == NULL:
        return False
    for i in range(1, ws.account_count):
        account = &ws.accounts[i]
        if not account.loaded or (account.uses == 0 and u_is_zero(&account.balance_floor)):
            continue
        if not note_account_read(w, account, &run.account_reads[run.account_read_count]):
            return False
        run.account_read_count += 1
        if account.uses & USE_CODE and not keep_code(w, account):
            return False
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
    """Records everything that the run accessed. False: no memory, or the store is full."""
    cdef WorkingSet* ws = w.machine.ws
    cdef Access* access
    cdef AccountEntry* account
    cdef SlotEntry* slot
    cdef uint32_t i
    run.accesses = <Access*>w.records.take((<size_t>ws.account_count + ws.slot_count) * sizeof(Access))
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


# ---------------------------------------------------------------------------------------------------- write set

cdef Value* add_write(Worker* w, Run* run, Location* location, Location* account, int part, bint told) noexcept nogil:
    """Room for a write to a cell; NULL: no memory. `account`: the slot's account, NULL for an account's own cell.
    `told`: the write is published before it is final."""
    cdef Write* write = &run.writes[run.write_count]
    cdef Version* version = NULL
    cdef Value* value
    if told:
        version = new_version(w.arena[0])
        if version == NULL:
            return NULL
        value = &version.first
    else:
        value = &write.own
        value.code = NULL
        value.delta = False
    write.location = location
    write.account = account
    write.version = version
    write.value = value
    write.part = part
    run.write_count += 1
    return value


cdef bint hold_code(Worker* w, Code* code) noexcept nogil:
    """Retains a code for as long as the block's versions may refer to it. False: no memory."""
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
    """The parts of an account that differ from the reader's answer."""
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


cdef inline bint is_beneficiary(const Block* block, const AccountEntry* entry) noexcept nogil:
    return memcmp(entry.address, block.rules.env.coinbase, 20) == 0


cdef inline bint suffices_as_it_was(const AccountEntry* entry) noexcept nogil:
    """Whether it matters little that other transactions see the balance from before the block: it is at least half of
    the balance now."""
    cdef u256 half
    cdef int i
    for i in range(3):
        half.w[i] = entry.balance.w[i] >> 1 | entry.balance.w[i + 1] << 63
    half.w[3] = entry.balance.w[3] >> 1
    return not u_lt(&entry.base.balance, &half)


cdef int parts_to_tell(const Block* block, TxIndex tx, const AccountEntry* entry, int parts) noexcept nogil:
    if block.sharing[tx] == SHARES_NOTHING:
        return 0
    if parts & (PART_EXISTS | PART_WIPED | PART_CODE):
        return parts
    if parts & PART_NONCE and memcmp(entry.address, block.txs[tx - 1].sender, 20) == 0:
        parts &= ~PART_NONCE
    if parts & PART_BALANCE:
        if is_beneficiary(block, entry) or (block.sharing[tx] != IN_LINE and suffices_as_it_was(entry)):
            parts &= ~PART_BALANCE
    return parts


cdef int parts_to_tell_first(const Block* block, const AccountEntry* entry) noexcept nogil:
    cdef int parts = parts_changed(entry)
    if parts & (PART_EXISTS | PART_WIPED | PART_CODE):
        return parts
    if parts & PART_NONCE and memcmp(entry.code_hash, EMPTY_CODE_HASH, 32) == 0:
        parts &= ~PART_NONCE
    if parts & PART_BALANCE and (is_beneficiary(block, entry) or suffices_as_it_was(entry)):
        parts &= ~PART_BALANCE
    return parts


cdef bint note_account(Worker* w, const AccountEntry* entry, int parts, int told, bint ahead, Run* run) noexcept nogil:
    cdef Location* location = <Location*>entry.origin
    cdef Value* value
    if parts & (PART_EXISTS | PART_WIPED):
        value = add_write(w, run, location, NULL, <int>kLife, told & (PART_EXISTS | PART_WIPED))
        if value == NULL:
            return False
        value.word.w[0] = entry.exists
        value.word.w[1] = w.tx if parts & PART_WIPED else 0
    if parts & PART_NONCE:
        value = add_write(w, run, location, NULL, <int>kNonce, told & PART_NONCE)
        if value == NULL:
            return False
        value.word.w[0] = entry.nonce
    if parts & PART_BALANCE:
        value = add_write(w, run, location, NULL, <int>kBalance, told & PART_BALANCE)
        if value == NULL:
            return False
        value.word = entry.balance
        if ahead and not (entry.uses & USE_BALANCE or entry.lifetime):
            u_sub(&value.word, &entry.balance, &entry.base.balance)
            value.delta = True
    if parts & PART_CODE:
        value = add_write(w, run, location, NULL, <int>kCode, told & PART_CODE)
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
        # It was never read: the account did not exist just before, or was created in this block.
        slot.origin = slot_location(w, account.address, &slot.key, NULL)
        if slot.origin == NULL:
            return False
    value = add_write(w, run, <Location*>slot.origin, <Location*>account.origin, 0, not w.apart)
    if value == NULL:
        return False
    value.word = slot.current
    if slot.symbol:
        u_sub(&value.word, &slot.current, &slot.base)
        value.delta = True
    return True


cdef bint room_for_writes(Worker* w, size_t accounts, size_t slots, Run* run) noexcept nogil:
    run.writes = <Write*>w.records.take((4 * accounts + slots + 1) * sizeof(Write))
    return run.writes != NULL


cdef bint note_writes(Worker* w, Run* run) noexcept nogil:
    """Records the write set of the run; its working set holds nothing else. Balances and slots that were never read
    exactly become deltas. False: no memory, or the store is full."""
    cdef WorkingSet* ws = w.machine.ws
    cdef AccountEntry* entry
    cdef SlotEntry* slot
    cdef int parts
    cdef const uint8_t* end
    cdef uint32_t i
    if not room_for_writes(w, ws.changed_account_count, ws.changed_slot_count, run):
        return False
    end = w.records.next()
    for i in range(ws.changed_account_count):
        entry = &ws.accounts[ws.changed_accounts[i]]
        parts = parts_changed(entry)
        if parts and not note_account(w, entry, parts, parts_to_tell(w.block, w.tx, entry, parts), True, run):
            return False
    for i in range(ws.changed_slot_count):
        slot = &ws.slots[ws.changed_slots[i]]
        if slot.lifetime != ws.accounts[slot.account].lifetime or u_eq(&slot.current, &slot.base):
            continue
        if not note_slot(w, ws, slot, run):
            return False
    if w.records.next() == end:                  # else a location that had not been read was taken meanwhile
        w.records.trim(run.writes, run.write_count * sizeof(Write))
    return True
