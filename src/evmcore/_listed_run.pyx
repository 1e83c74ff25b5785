"""Running, comparing and committing with a given access list; see `_listed_run.pxd`."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy
from libcpp cimport bool as cbool

from evmcore._access cimport access_end_part
from evmcore._block_steps cimport BLOCK_ENGINE_FAILED, block_keep
from evmcore._code cimport Code, code_intern, code_release
from evmcore._declared cimport (
    FIELD_BALANCE, FIELD_CODE, FIELD_NONCE, NONE, ChangeRange, Declared, DeclaredAccount, DeclaredChange, DeclaredSlot,
    change_at, change_before, declared_account, declared_slot,
)
from evmcore._interp cimport NO_MEMORY, STATE_FAILED, SUCCESS, Machine, Status
from evmcore._listed cimport ListedBlock, ListedRun, ListedWorker, is_kept, kDoubtful, kNotFinished, kStands, turns_work
from evmcore._listed_check cimport meet_slot
from evmcore._listed_read cimport is_empty, listed_reader_init, slot_base, slot_before
from evmcore._listed_told cimport tell_part
from evmcore._machines cimport FOR_WORKERS, arena_give, arena_take, machine_give, machine_take
from evmcore._run_kept cimport keep_logs
from evmcore._state cimport (
    AccountEntry, SlotEntry, WorkingSet, ws_adopt_account, ws_adopt_slot, ws_note_account, ws_note_slot,
    ws_put_code, ws_reset,
)
from evmcore._stm cimport EMPTY_CODE_HASH, wait_for_all
from evmcore._sync cimport atomic_add32
from evmcore._tx cimport GAS_PER_BLOB, TX_VALID, TxData, transaction_run
from evmcore._u256 cimport u256, u_eq, u_is_zero, u_set64, u_zero


cdef void listed_note_cleared(ListedBlock* block, const WorkingSet* ws) noexcept nogil:
    cdef const AccountEntry* entry
    cdef uint32_t i, number
    for i in range(1, ws.account_count):
        entry = &ws.accounts[i]
        if entry.loaded and entry.base_exists and not entry.exists and is_empty(&entry.base):
            number = declared_account(block.declared, entry.address)
            if number != NONE:
                block.declared.accounts[number].cleared = True


cdef uint32_t run_one(void* self, uint32_t index) noexcept nogil:
    """Runs a transaction and returns its verdict."""
    cdef ListedWorker* w = <ListedWorker*>self
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
        return kDoubtful
    if ws.failed or run.status >= STATE_FAILED:
        if run.status < STATE_FAILED:
            run.status = NO_MEMORY if ws.no_memory else STATE_FAILED
        return kNotFinished
    if run.result.invalid != TX_VALID:
        return kDoubtful
    if not keep_run(w, run):
        run.status = NO_MEMORY
        return kNotFinished
    return kStands if is_as_listed(w, run) else kDoubtful


cdef bint keep_run(ListedWorker* w, ListedRun* run) noexcept nogil:
    """Copies logs and output out of the machine, and makes room for the numbers of what was accessed. False: no
    memory."""
    cdef WorkingSet* ws = w.machine.ws
    run.accounts = <uint32_t*>w.arena.take(ws.account_count * sizeof(uint32_t))
    run.slots = <uint32_t*>w.arena.take(ws.slot_count * sizeof(uint32_t))
    run.wiped = <uint32_t*>w.arena.take((<size_t>ws.changed_account_count + 1) * sizeof(uint32_t))
    run.account_count = run.slot_count = run.wiped_count = 0
    return (
        run.accounts != NULL and run.slots != NULL and run.wiped != NULL
        and keep_logs(w.arena, ws, &run.result, &run.logs, &run.log_count, &run.log_data)
    )


cdef bint as_changed(const Declared* d, const ChangeRange* changes, uint32_t index, const u256* value) noexcept nogil:
    cdef const DeclaredChange* change = change_at(d, changes, index)
    return change != NULL and u_eq(&change.value, value)


cdef bint is_as_listed(ListedWorker* w, ListedRun* run) noexcept nogil:
    """Whether the run accessed only what is listed, and made exactly the changes that the list has for it."""
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
                return False                 # the list does not tell that its storage is gone
            run.wiped[run.wiped_count] = number
            run.wiped_count += 1
        if entry.base_exists and not entry.exists and is_empty(&entry.base):
            return False                     # an empty account was cleared (EIP-161); nor does the list tell that
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
        if slot.origin == NULL:              # never read: its account did not exist
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


cdef cbool commit(void* self, uint32_t index) noexcept nogil:
    """Commits the frontier's transaction. False: the block goes no further by its list."""
    cdef ListedBlock* block = (<ListedWorker*>self).block
    cdef ListedRun* run = &block.run_of[index]
    cdef const TxData* tx = block.txs[index - 1]
    cdef uint32_t i
    if block.turns.verdict_of[index] == kNotFinished:
        block.failure = BLOCK_ENGINE_FAILED
        block.status = run.status
        return False
    if (
        block.turns.verdict_of[index] == kDoubtful
        or tx.gas_limit > block.rules.env.gas_limit - block.output.gas_used
        or GAS_PER_BLOB * tx.blob_hash_count > block.rules.blob_gas_limit - block.output.blob_gas_used
    ):
        return False
    if (
        block.telling.notes != NULL
        and not tell_part(block.telling, run.accounts, run.account_count, run.slots, run.slot_count)
    ) or not block_keep(
        block.output, run.logs, run.log_count, run.log_data, tx, &run.result, &run.gas_price
    ):
        block.failure = BLOCK_ENGINE_FAILED
        block.status = NO_MEMORY
        return False
    for i in range(run.account_count):
        block.met.accounts[run.accounts[i]] |= 1
    for i in range(run.wiped_count):
        block.met.accounts[run.wiped[i]] |= 2
    for i in range(run.slot_count):
        meet_slot(block.met, run.slots[i])
    if not reads_are_payable(block):
        block.turns.frontier = index
        block.starved = True
        return False
    return True


cdef void listed_work(void* context) noexcept nogil:
    cdef ListedBlock* block = <ListedBlock*>context
    cdef int number = atomic_add32(&block.next_worker, 1) - 1
    if number >= block.worker_count:
        return
    if block.delays:
        wait_for_all(&block.arrived, block.worker_count)
    turns_work(block.turns, block.workers[number].tasks)


# --------------------------------------------------------------------------------------------------- after the frontier

cdef bint adopt_account(ListedBlock* block, WorkingSet* ws, uint32_t number) noexcept nogil:
    """Adopts an account that some transaction read, as it is after the frontier. False: no memory."""
    cdef const Declared* d = block.declared
    cdef DeclaredAccount* account = &d.accounts[number]
    cdef uint32_t place = ws_adopt_account(ws, account.address, &account.base, account.base_exists)
    cdef AccountEntry* entry = &ws.accounts[place]
    cdef uint32_t end = block.turns.frontier + 1
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
        if not block.met.accounts[i] or not is_kept(&account.base_state):
            continue                         # no transaction has accessed it, or only parts before the transactions
        if not adopt_account(block, ws, i):
            return NO_MEMORY
        owner = ws_adopt_account(ws, account.address, &account.base, account.base_exists)
        for j in range(account.first_slot, account.first_slot + account.slot_count):
            slot = &d.slots[j]
            if not block.met.slots[j]:
                continue
            # It may never have been read, if its account was gone by then; its value before the block was gone with the
            # account.
            if not slot_base(block, account, slot, &base):
                return STATE_FAILED
            place = ws_adopt_slot(ws, owner, &slot.key, &base)
            if slot_before(d, account, slot, block.turns.frontier + 1, &base) != NULL:
                ws.slots[place].current = base
                ws.slots[place].lifetime = ws.accounts[owner].lifetime
            ws_note_slot(ws, place)
    return NO_MEMORY if ws.failed or not access_end_part(block.output.notes, ws) else SUCCESS


# ---------------------------------------------------------------------------------------------------- workers

cdef ListedWorker* listed_worker_new() noexcept nogil:
    cdef ListedWorker* w = <ListedWorker*>calloc(1, sizeof(ListedWorker))
    if w == NULL:
        return NULL
    w.machine = machine_take(FOR_WORKERS)
    w.arena = arena_take()
    if w.machine == NULL or w.arena == NULL:
        listed_worker_free(w)
        return NULL
    listed_reader_init(w)
    w.tasks.self = w
    w.tasks.run = run_one
    w.tasks.commit = commit
    return w


cdef void listed_worker_free(ListedWorker* w) noexcept nogil:
    if w.machine != NULL:
        machine_give(w.machine, FOR_WORKERS)
    if w.arena != NULL:
        arena_give(w.arena)
    free(w)
