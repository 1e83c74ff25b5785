"""What counts of bins, brought into the block; see `_bins_outcome.pxd`."""
from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp

from evmcore._bins_block cimport Bin, Bins
from evmcore._block_steps cimport BlockOutput, BlockRules, TxRecord, block_append_logs, block_count
from evmcore._state cimport (
    AccountEntry, SlotEntry, WorkingSet, ws_adopt_account, ws_adopt_slot, ws_go_back, ws_put_code,
)
from evmcore._stm cimport Watch, kMadeFinal
from evmcore._tx cimport GAS_PER_BLOB, TxData
from evmcore._u256 cimport u256, u_add, u_sub


cdef void count_gas(Bins* bins) noexcept nogil:
    """In order, as each transaction would have found the block. One for which there was no room is invalid, whatever the state:
    it is the next to be run, and the last."""
    cdef const BlockRules* rules = bins.rules
    cdef BlockOutput* output = bins.output
    cdef const TxData* tx
    cdef Watch* watch = &bins.watches[0]
    cdef uint32_t place
    watch.begin()
    for place in range(bins.limit):
        tx = bins.txs[place]
        if (
            (rules.checks.gas_cap and tx.gas_limit > rules.env.gas_limit - output.gas_used)
            or GAS_PER_BLOB * <uint64_t>tx.blob_hash_count > rules.blob_gas_limit - output.blob_gas_used
        ):
            bins.limit = place
            return
        block_count(output, tx, &output.records[bins.first_record + place])
        watch.end(kMadeFinal, place + 1)


cdef void take_back(Bins* bins, Bin* bin) noexcept nogil:
    cdef const TxRecord* last
    ws_go_back(bin.machine.ws, bins.first_epoch + 1 + bins.limit)
    while bin.done and bin.places[bin.done - 1] >= bins.limit:
        bin.done -= 1
    if bin.done:
        last = &bins.output.records[bins.first_record + bin.places[bin.done - 1]]
        bin.output.log_count = last.first_log + last.log_count
        bin.output.data_size = last.output_offset + last.result.output_size
    else:
        bin.output.log_count = bins.first_log if bin.output == bins.output else 0
        bin.output.data_size = bins.first_data if bin.output == bins.output else 0


cdef bint bring_results_of(Bins* bins, Bin* bin) noexcept nogil:
    """Logs and what was returned, into the block's output. False: no memory."""
    cdef size_t logs = bins.output.log_count, data = bins.output.data_size
    cdef TxRecord* record
    cdef uint32_t i
    if not block_append_logs(bins.output, bin.output):
        return False
    for i in range(bin.done):
        record = &bins.output.records[bins.first_record + bin.places[i]]
        record.first_log += logs
        record.data_start += data
        record.output_offset += data
    return True


cdef bint bring_account(WorkingSet* main, const AccountEntry* entry) noexcept nogil:
    """What a bin changed in an account, into the block's working set. False: no memory."""
    cdef uint32_t number = ws_adopt_account(main, entry.address, &entry.base, entry.base_exists)
    cdef AccountEntry* into = &main.accounts[number]
    cdef u256 more
    if entry.lifetime:
        into.lifetime += entry.lifetime
        into.nonce = entry.nonce
        into.balance = entry.balance
    else:
        if entry.nonce != entry.base.nonce:
            into.nonce = entry.nonce
        u_sub(&more, &entry.balance, &entry.base.balance)
        u_add(&into.balance, &into.balance, &more)
    if entry.exists != entry.base_exists or entry.lifetime:
        into.exists = entry.exists
    if memcmp(entry.code_hash, entry.base.code_hash, 32) != 0 or entry.lifetime:
        return ws_put_code(main, number, entry.code_hash, entry.code)
    return True


cdef bint bring_state_of(Bins* bins, const WorkingSet* ws) noexcept nogil:
    """False: no memory."""
    cdef WorkingSet* main = bins.bins[0].machine.ws
    cdef const AccountEntry* account
    cdef const SlotEntry* slot
    cdef SlotEntry* into
    cdef uint32_t i, number
    for i in range(1, ws.account_count):
        if ws.accounts[i].past and not bring_account(main, &ws.accounts[i]):
            return False
    for i in range(1, ws.slot_count):
        slot = &ws.slots[i]
        if slot.past == 0:
            continue
        account = &ws.accounts[slot.account]
        number = ws_adopt_account(main, account.address, &account.base, account.base_exists)
        number = ws_adopt_slot(main, number, &slot.key, &slot.base)
        into = &main.slots[number]
        into.current = slot.current
        into.lifetime = slot.lifetime
    return not main.failed


cdef void bring_state(void* self) noexcept nogil:
    cdef Bins* bins = <Bins*>self
    cdef uint32_t b
    for b in range(1, bins.count):
        if not bring_state_of(bins, bins.bins[b].machine.ws):
            bins.no_memory = True


cdef void bring_results(void* self) noexcept nogil:
    cdef Bins* bins = <Bins*>self
    cdef uint32_t b
    count_gas(bins)
    for b in range(1, bins.count):
        if not bring_results_of(bins, &bins.bins[b]):
            bins.results_missing = True
