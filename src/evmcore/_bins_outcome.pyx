"""Joins the results of bins in the block; see `_bins_outcome.pxd`."""
from libc.stddef cimport size_t
from libc.stdint cimport int32_t, uint32_t, uint64_t

from evmcore._bins_block cimport Bin, Bins, Meeting
from evmcore._block_steps cimport BlockOutput, BlockRules, TxRecord, block_append_logs, block_count
from evmcore._state cimport (
    WorkingSet, ws_find_account, ws_find_slot, ws_go_back, ws_join, ws_join_account, ws_join_slot, ws_put_beside,
)
from evmcore._stm cimport Watch, kMadeFinal
from evmcore._tx cimport GAS_PER_BLOB, TxData


cdef void count_gas(Bins* bins) noexcept nogil:
    """Adds gas up in order, as each transaction would have found the block. A transaction for which there is no room is
    invalid, whatever the state: it is the next to run, and the last."""
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
    """Brings logs and return data into the block's output. False: no memory."""
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


cdef bint join_shared_account(Bins* bins, uint32_t number, uint32_t account) noexcept nogil:
    """Joins an account that a bin changed, if another bin has it too: their changes add up. False: no memory."""
    cdef WorkingSet* main = bins.bins[0].machine.ws
    cdef WorkingSet* mine = bins.bins[number].machine.ws
    cdef WorkingSet* theirs
    cdef uint32_t b, twin
    cdef bint shared = False
    for b in range(number):
        twin = bins.bins[number].twins[b * mine.account_count + account]
        if twin == 0:
            continue
        shared = True
        theirs = bins.bins[b].machine.ws
        if b and theirs.accounts[twin].past and not ws_join_account(main, theirs, twin):
            return False
    return not shared or ws_join_account(main, mine, account)


cdef bint join_shared_accounts(Bins* bins) noexcept nogil:
    cdef const WorkingSet* ws
    cdef uint32_t b, i
    for b in range(1, bins.count):
        ws = bins.bins[b].machine.ws
        for i in range(1, ws.account_count):
            if ws.accounts[i].past and not join_shared_account(bins, b, i):
                return False
    return True


cdef bint join_slot_of_main(Bins* bins, uint32_t number) noexcept nogil:
    """Joins a bin's change of a slot that the block's own working set has loaded. False: no memory."""
    cdef WorkingSet* main = bins.bins[0].machine.ws
    cdef WorkingSet* ws
    cdef uint32_t b, account, slot
    for b in range(1, bins.count):
        ws = bins.bins[b].machine.ws
        account = ws_find_account(ws, main.accounts[main.slots[number].account].address)
        slot = ws_find_slot(ws, account, &main.slots[number].key) if account else 0
        if slot and ws.slots[slot].past:
            return ws_join_slot(main, ws, slot)
    return True


cdef bint join_shared_slots(Bins* bins) noexcept nogil:
    """Joins slots that the first bin read before another bin changed them, and slots from before the first
    transaction."""
    cdef const Meeting* meeting
    cdef int32_t i
    cdef uint32_t slot
    for i in range(bins.meeting_count):
        meeting = &bins.meetings[i]
        if meeting.is_slot and meeting.earlier == 0 and not join_slot_of_main(bins, meeting.in_earlier):
            return False
    for slot in range(1, bins.first_slot):
        if not join_slot_of_main(bins, slot):
            return False
    return True


cdef bint join_all(Bins* bins) noexcept nogil:
    cdef uint32_t b
    for b in range(1, bins.count):
        if not ws_join(bins.bins[0].machine.ws, bins.bins[b].machine.ws):
            return False
    return True


cdef bint has_ended_any(const Bins* bins) noexcept nogil:
    """Whether an account has ended: what one bin knows of its slots may then be untrue in another bin."""
    cdef uint32_t b
    for b in range(bins.count):
        if bins.bins[b].machine.ws.ended:
            return True
    return False


cdef void bring_state(void* self) noexcept nogil:
    cdef Bins* bins = <Bins*>self
    bins.apart = bins.whole and not has_ended_any(bins)
    if not (join_shared_accounts(bins) and join_shared_slots(bins) if bins.apart else join_all(bins)):
        bins.no_memory = True


cdef void settle_state(Bins* bins) noexcept nogil:
    cdef uint32_t b
    if not bins.apart:
        return
    if bins.limit < bins.tx_count:               # there was no room for one transaction
        bins.apart = False
        bins.no_memory = not join_all(bins) or bins.no_memory
        return
    for b in range(1, bins.count):
        ws_put_beside(bins.bins[0].machine.ws, bins.bins[b].machine.ws)


cdef void bring_results(void* self) noexcept nogil:
    cdef Bins* bins = <Bins*>self
    cdef uint32_t b
    count_gas(bins)
    for b in range(1, bins.count):
        if not bring_results_of(bins, &bins.bins[b]):
            bins.results_missing = True
