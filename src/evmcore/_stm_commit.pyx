"""The committer; see `_stm_commit.pxd`.

Where an entry of the block's working set has been looked up in the store, its `origin` is its Location, and the store
keeps the entry's number as that Location's `main_number`. Other entries are looked up when they are needed.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from evmcore._access cimport access_end_part
from evmcore._block_steps cimport BLOCK_OK, block_keep, block_transaction
from evmcore._code cimport Code
from evmcore._hints cimport SHARES_NOTHING, note_met
from evmcore._meetings cimport READS, WRITES, note_meeting
from evmcore._state cimport (
    USE_BALANCE, USE_CODE, USE_EXISTS, USE_NONCE, USE_NONCE_SET, AccountData, AccountEntry, SlotEntry, WorkingSet,
    ws_adopt_account, ws_adopt_slot, ws_begin, ws_find_account, ws_find_slot, ws_note_account, ws_note_slot, ws_put_code, ws_wipe,
)
from evmcore._stm cimport (
    Base, Cause, Delays, Location, TxIndex, Value, Write, kBalanceChanged, kBalanceTooLow, kBlockGasGone, kCode,
    kCodeChanged, kEndedInvalid, kEngineFailed, kExistenceChanged, latest, kLife, kNonce, kNonceChanged, publish_writes,
    replace, kSlotChanged, kSlotOutOfBounds, kStands,
)
from evmcore._stm_block cimport Access, AccountRead, Block, Run, SlotRead, Worker
from evmcore._stm_read cimport slot_location
from evmcore._stm_run cimport (
    clock_of, drop_records, give_up, note_account, note_slot, parts_to_tell, parts_to_tell_first, room_for_writes, run_begun,
    run_clear,
)
from evmcore._tx cimport GAS_PER_BLOB, TX_VALID, TxData
from evmcore._u256 cimport u256, u_add, u_eq, u_is_zero, u_lt, u_zero

cdef u256 NOTHING
u_zero(&NOTHING)


# ---------------------------------------------------------------------------------------------------- validation

cdef inline bint stands_before_block(const AccountRead* read) noexcept nogil:
    """Whether the run read nothing that differs from the state before the block. False: perhaps it did."""
    cdef const Base* base = &read.location.base
    return (
        read.seen == NULL and read.nonce == base.nonce and read.exists == base.exists
        and read.has_storage == base.has_storage and not u_lt(&base.balance, &read.floor)
    )


cdef inline Cause account_stands(Block* block, const AccountRead* read) noexcept nogil:
    """Validates an account read against its final value: that of the block's working set, or else that before the
    block."""
    cdef uint32_t number = account_number(block, read.location)
    cdef const AccountEntry* entry
    cdef const uint8_t* code_hash
    cdef const u256* balance
    if number == 0:
        if stands_before_block(read):
            return kStands
        number = main_account(block, read.location)
    entry = &block.main.ws.accounts[number]
    if read.uses & USE_NONCE and entry.nonce != read.nonce:
        return kNonceChanged
    if read.uses & USE_NONCE_SET and entry.nonce == 0:
        return kNonceChanged
    if read.uses & USE_CODE:
        code_hash = <const uint8_t*>read.location.base.code_hash
        if read.seen != NULL:
            code_hash = <const uint8_t*>read.seen.code_hash
        if memcmp(entry.code_hash, code_hash, 32) != 0:
            return kCodeChanged
    if read.uses & USE_EXISTS and entry.exists != read.exists:
        return kExistenceChanged
    if read.uses & USE_BALANCE:
        balance = &read.location.base.balance if read.seen == NULL else &read.seen.balance
        if not u_eq(&entry.balance, balance):
            return kBalanceChanged
    if read.has_floor and u_lt(&entry.balance, &read.floor):
        return kBalanceTooLow
    return kStands if (entry.base.has_storage and entry.lifetime == 0) == read.has_storage else kExistenceChanged


cdef inline Cause slot_stands(const Block* block, const SlotRead* read) noexcept nogil:
    cdef const WorkingSet* ws = block.main.ws
    cdef uint32_t account = account_number(block, read.account)
    cdef uint32_t slot = slot_number(block, read.location, account)
    cdef const u256* value = &read.location.base.balance
    if slot:
        value = &ws.slots[slot].current
    if account and ws.accounts[account].lifetime != (ws.slots[slot].lifetime if slot else 0):
        value = &NOTHING
    if not u_lt(value, &read.low) and not u_lt(&read.high, value):
        return kStands
    return kSlotChanged if u_eq(&read.low, &read.high) else kSlotOutOfBounds


cdef Cause why_not(Block* block, TxIndex tx, const Location** met) noexcept nogil:
    """Why the latest run of a transaction does not stand. `met`: the account or slot that has changed, if that is
    why."""
    cdef Run* run = &block.run_of[tx]
    cdef TxData* data = block.txs[tx - 1]
    cdef Cause cause
    cdef uint32_t i
    if run.failed:
        return kEngineFailed
    if run.result.invalid != TX_VALID:
        return kEndedInvalid
    if data.gas_limit > block.rules.env.gas_limit - block.output.gas_used:
        return kBlockGasGone
    if GAS_PER_BLOB * data.blob_hash_count > block.rules.blob_gas_limit - block.output.blob_gas_used:
        return kBlockGasGone
    for i in range(run.account_read_count):
        cause = account_stands(block, &run.account_reads[i])
        if cause != kStands:
            met[0] = run.account_reads[i].location
            return cause
    for i in range(run.slot_read_count):
        cause = slot_stands(block, &run.slot_reads[i])
        if cause != kStands:
            met[0] = run.slot_reads[i].location
            return cause
    return kStands


cdef TxIndex last_writer(const Block* block, TxIndex tx, const Location* met) noexcept nogil:
    """The transaction that changed an account or slot last. 0: none in this block, or the account is the beneficiary,
    which every transaction pays."""
    cdef const WorkingSet* ws = block.main.ws
    cdef uint32_t number = block.store.main_number(met)
    cdef TxIndex writer
    if not met.is_slot and memcmp(met.address, block.rules.env.coinbase, 20) == 0:
        return 0
    writer = (ws.slots[number].changed if met.is_slot else ws.accounts[number].changed) - block.first_epoch
    return writer if writer < tx else 0


cdef void remember_meeting(Block* block, TxIndex tx, const Location* met) noexcept nogil:
    """Remembers for later blocks where a transaction conflicted, and with which writer."""
    cdef const Run* run = &block.run_of[tx]
    cdef uint64_t place = met.hash, roles = READS
    cdef TxIndex writer = last_writer(block, tx, met)
    cdef uint32_t i
    if met.apart:
        place = block.store.hash(met.address, &met.slot if met.is_slot else NULL)
    place &= ~<uint64_t>(READS | WRITES)
    for i in range(run.write_count):
        if run.writes[i].location == met:
            roles |= WRITES
    note_meeting(block.txs[tx - 1], place | roles)
    if writer:
        note_met(block.txs[writer - 1], place | WRITES)


cdef bint stands(Worker* w, TxIndex tx) noexcept nogil:
    cdef const Location* met = NULL
    cdef Cause cause = why_not(w.block, tx, &met)
    w.tally.aborts[<int>cause] += 1
    w.tally.cause = <uint32_t>cause
    if met != NULL:
        remember_meeting(w.block, tx, met)
    return cause == kStands


# ---------------------------------------------------------------------------------------------------- re-execution

cdef bint tell_account(Worker* w, uint32_t number, int parts, Run* run) noexcept nogil:
    """Adds parts of an account of the block's working set to the writes of `w.tx`. False: no memory, or the store is
    full."""
    return parts == 0 or (
        main_location(w, number) != NULL and note_account(w, &w.block.main.ws.accounts[number], parts, parts, False, run)
    )


cdef bint tell_slot(Worker* w, uint32_t number, Run* run) noexcept nogil:
    """The same for a slot."""
    cdef WorkingSet* ws = w.block.main.ws
    cdef SlotEntry* slot = &ws.slots[number]
    if main_location(w, slot.account) == NULL:
        return False
    if slot.origin == NULL:
        slot.origin = slot_location(w, ws.accounts[slot.account].address, &slot.key, &slot.base)
        if slot.origin == NULL:
            return False
        w.block.store.set_main_number(<Location*>slot.origin, number)
    # Values from before the account's storage was destroyed do not count.
    return slot.lifetime != ws.accounts[slot.account].lifetime or note_slot(w, ws, slot, run)


cdef bint note_direct_writes(Worker* w, Run* run) noexcept nogil:
    """Records what other transactions should know of the latest transaction's changes to the block's working set.
    False: no memory, or the store is full."""
    cdef WorkingSet* ws = w.block.main.ws
    cdef AccountEntry* entry
    cdef uint32_t i
    if not room_for_writes(w, ws.changed_account_count, ws.changed_slot_count, run):
        return False
    for i in range(ws.changed_account_count):
        entry = &ws.accounts[ws.changed_accounts[i]]
        if not tell_account(w, ws.changed_accounts[i], parts_to_tell(w.block, w.tx, entry, entry.parts), run):
            return False
    for i in range(ws.changed_slot_count):
        if not tell_slot(w, ws.changed_slots[i], run):
            return False
    return True


cdef bint publish_beginning(Block* block, TxIndex last) noexcept nogil:
    cdef WorkingSet* ws = block.main.ws
    cdef Worker* w = block.workers[0]
    cdef Run* run = run_begun(block, last)
    cdef Delays nobody_else                      # is at work yet
    cdef SlotEntry* slot
    cdef uint32_t i
    memset(&nobody_else, 0, sizeof(Delays))
    w.tx = last
    w.last_account = NULL
    w.apart = False
    if not room_for_writes(w, ws.account_count, ws.slot_count, run):
        return False
    for i in range(1, ws.account_count):
        if ws.accounts[i].lifetime and last == 0:
            return False                         # transaction 0 cannot say that storage was destroyed
        if ws.accounts[i].loaded and not tell_account(w, i, parts_to_tell_first(block, &ws.accounts[i]), run):
            return False
    for i in range(1, ws.slot_count):
        slot = &ws.slots[i]
        if slot.loaded and (slot.lifetime or not u_eq(&slot.current, &slot.base)) and not tell_slot(w, i, run):
            return False
    publish_writes(last, NULL, 0, run.writes, run.write_count, nobody_else)
    run.write_count = 0                          # final writes are never withdrawn
    return True


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
    w.block.store.set_main_number(location, account)
    return location


cdef void run_directly(Worker* w, TxIndex tx) noexcept nogil:
    cdef Block* block = w.block
    cdef Run* run = run_begun(block, tx)
    cdef Write* old = run.writes
    cdef uint32_t old_count = run.write_count
    cdef bint ran_ahead = run.ran_ahead
    cdef uint64_t began = clock_of(block, tx)
    block.failure = block_transaction(
        block.main, block.rules, block.txs[tx - 1], block.output, &block.invalid, &block.status
    )
    run_clear(run)
    run.ticks = clock_of(block, tx) - began
    run.direct = True
    run.ran_ahead = ran_ahead
    w.tx = tx
    if block.alone or block.sharing[tx] == SHARES_NOTHING:
        return
    drop_records(w)
    w.apart = False
    if block.failure == BLOCK_OK:
        if not note_direct_writes(w, run):
            # No room to publish: this transaction stands, and the rest of the block runs without speculation.
            run.write_count = 0
            give_up(block)
    publish_writes(tx, old, old_count, run.writes, run.write_count, w.delays)


# ---------------------------------------------------------------------------------------------------- committing

cdef inline void remember(const Block* block, Location* location, uint32_t number, void** origin) noexcept nogil:
    block.store.set_main_number(location, number)
    if not location.apart:
        origin[0] = location


cdef inline uint32_t account_number(const Block* block, Location* location) noexcept nogil:
    """The number of an account's entry in the block's working set; 0: there is none."""
    cdef uint32_t number = block.store.main_number(location)
    if number == 0:
        number = ws_find_account(block.main.ws, location.address)
        if number:
            remember(block, location, number, &block.main.ws.accounts[number].origin)
    return number


cdef inline uint32_t slot_number(const Block* block, Location* location, uint32_t account) noexcept nogil:
    """The same for a slot, given its account's number."""
    cdef uint32_t number = block.store.main_number(location)
    if number == 0 and account:
        number = ws_find_slot(block.main.ws, account, &location.slot)
        if number:
            remember(block, location, number, &block.main.ws.slots[number].origin)
    return number


cdef inline uint32_t main_account(Block* block, Location* location) noexcept nogil:
    """The number of an account's entry in the block's working set; a missing entry is made."""
    cdef AccountData data
    cdef uint32_t number = block.store.main_number(location)
    if number == 0:
        data.balance = location.base.balance
        data.nonce = location.base.nonce
        memcpy(data.code_hash, location.base.code_hash, 32)
        data.has_storage = location.base.has_storage
        number = ws_adopt_account(block.main.ws, location.address, &data, location.base.exists)
        remember(block, location, number, &block.main.ws.accounts[number].origin)
    return number


cdef uint32_t main_slot(Block* block, Location* location, Location* account) noexcept nogil:
    """The number of a slot's entry in the block's working set; a missing entry is made."""
    cdef WorkingSet* ws = block.main.ws
    cdef uint32_t number = block.store.main_number(location)
    if number == 0:
        number = ws_adopt_slot(ws, main_account(block, account), &location.slot, &location.base.balance)
        remember(block, location, number, &ws.slots[number].origin)
    return number


cdef bint settle(Worker* w, Write* write, u256* now) noexcept nogil:
    """The written value; a delta becomes the absolute value that it leads to. False: no memory."""
    cdef Value* settled
    if not write.value.delta:
        now[0] = write.value.word
        return True
    u_add(now, now, &write.value.word)
    w.tally.settled += 1
    if write.version == NULL:
        return True
    settled = <Value*>w.arena.take(sizeof(Value))
    if settled == NULL:
        return False
    settled.word = now[0]
    settled.code = NULL
    settled.delta = False
    replace(write.version, settled)
    return True


cdef bint bring_in_slot(Worker* w, Write* write) noexcept nogil:
    cdef WorkingSet* ws = w.block.main.ws
    cdef uint32_t slot = main_slot(w.block, write.location, write.account)
    cdef uint32_t account = ws.slots[slot].account
    cdef SlotEntry* entry = &ws.slots[slot]
    if entry.lifetime != ws.accounts[account].lifetime:
        u_zero(&entry.current)
        entry.lifetime = ws.accounts[account].lifetime
    entry.changed = ws.epoch
    return settle(w, write, &entry.current)


cdef bint bring_in_account(Worker* w, TxIndex tx, Write* write) noexcept nogil:
    cdef WorkingSet* ws = w.block.main.ws
    cdef uint32_t number = main_account(w.block, write.location)
    cdef AccountEntry* entry = &ws.accounts[number]
    entry.changed = ws.epoch
    if write.part == <int>kLife:
        if write.value.word.w[1] == tx:
            ws_wipe(ws, number)
        entry.exists = write.value.word.w[0] != 0
        return True
    if write.part == <int>kNonce:
        entry.nonce = write.value.word.w[0]
    elif write.part == <int>kCode:
        if not ws_put_code(ws, number, <const unsigned char*>&write.value.word, <Code*>write.value.code):
            return False
    elif not settle(w, write, &entry.balance):
        return False
    if not entry.exists and (entry.nonce or not u_is_zero(&entry.balance)):
        entry.exists = True
    return True


cdef bint bring_in_accesses(Block* block, const Run* run) noexcept nogil:
    """Notes what the run accessed and which values it changed, now that its writes are in. False: no memory."""
    cdef WorkingSet* ws = block.main.ws
    cdef const Access* access
    cdef uint32_t i
    for i in range(run.access_count):
        access = &run.accesses[i]
        if access.account == NULL:
            ws_note_account(ws, main_account(block, access.location))
        else:
            ws_note_slot(ws, main_slot(block, access.location, access.account))
    return not ws.failed and access_end_part(block.output.notes, ws)


cdef bint bring_in(Worker* w, TxIndex tx) noexcept nogil:
    cdef Block* block = w.block
    cdef Run* run = &block.run_of[tx]
    cdef uint32_t i
    ws_begin(block.main.ws)
    for i in range(run.write_count):
        if not (bring_in_slot(w, &run.writes[i]) if run.writes[i].account != NULL else bring_in_account(w, tx, &run.writes[i])):
            return False
    if block.output.notes != NULL and not bring_in_accesses(block, run):
        return False
    return not block.main.ws.failed and block_keep(
        block.output, run.logs, run.log_count, run.log_data, block.txs[tx - 1], &run.result, &run.gas_price
    )
