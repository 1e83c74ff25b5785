"""A block's transactions run directly in bins; see `_stm_bins.pxd`."""
from libc.stddef cimport size_t
from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcmp, memset
from libcpp cimport bool as cbool
from libcpp.algorithm cimport sort

from evmcore._block_steps cimport (
    AHEAD_LATER, AHEAD_OF_LATER, AHEAD_SOON, BlockOutput, BlockRules, TxRecord, block_append_logs, block_ask_for,
    block_ask_for_next, block_count, block_keep_result, output_release,
)
from evmcore._grouping cimport Groups, group, group_at_random, groups_bytes, groups_free, note_bond
from evmcore._growing cimport free_array, grow_array
from evmcore._hints cimport BRIEF_GAS, note_worth
from evmcore._interp cimport STATE_FAILED, Machine
from evmcore._machines cimport FOR_BINS, machine_give, machine_take
from evmcore._pace cimport Estimate
from evmcore._state cimport (
    PART_BALANCE, PART_CODE, PART_EXISTS, PART_NONCE, PART_WIPED, USE_BALANCE, USE_CODE, USE_EXISTS, USE_NONCE, USE_NONCE_SET,
    AccountData, AccountEntry, AccountImage, SlotEntry, SlotImage, StateReader, WorkingSet, ws_account_changed_first,
    ws_adopt_account, ws_adopt_slot, ws_ask_for_account, ws_find_account, ws_find_slot, ws_forget_past, ws_forget_seen,
    ws_go_back, ws_keep_past, ws_keep_seen, ws_least_balance, ws_put_code, ws_reset, ws_slot_changed_first,
)
from evmcore._stm cimport Events, Watch, kMadeFinal, ticks
from evmcore._sync cimport atomic_add32, monotonic_ns
from evmcore._tx cimport GAS_PER_BLOB, TX_VALID, TxData, TxResult, transaction_run
from evmcore._u256 cimport u256, u_add, u_eq, u_is_zero, u_lt, u_sub

cdef enum:
    MOST_BEFORE = 16              # accounts and slots that the block itself may have changed before its first transaction
    MOST_MEETINGS = 256           # that are looked into
    PIECE = 128                   # accounts or slots that are looked up at once
    AHEAD = 8                     # so much later ones are asked for
    RECORD_BYTES = 256            # of a record, but for the bloom
    EVENTS_EACH = 4               # of a picture, by transaction
    ALONE_PART = 4                # one part in so many of the block at most the first thread runs while another deals out ...
    LEAST_BEGUN = 2               # ... and so many transactions at least
    NOBODY = 0xffffffff

cdef Estimate dealing             # what it takes, in ticks of 16 transactions

cdef extern from "include/lines.h" namespace "evmcore" nogil:
    void* take_lines(size_t size)

cdef extern from "include/prefetch.h" namespace "evmcore" nogil:
    void prefetch_for_writing(void* at, size_t size)


# ---------------------------------------------------------------------------------------------------- opening

cdef bint bins_open(
    Bins* bins, Machine* main, const BlockRules* rules, BlockOutput* output, StateReader* reader, const uint32_t* stop,
    TxData** txs, uint32_t count, uint32_t threads, uint64_t seed, bint deals_first, bint watched,
) noexcept nogil:
    bins.count = 0
    if bins.run == NULL:
        bins.run = new BinRun()
    bins.txs = txs
    bins.tx_count = count
    bins.rules = rules
    bins.output = output
    bins.seed = seed
    bins.first_epoch = main.ws.epoch
    bins.first_record = output.record_count
    bins.first_log = output.log_count
    bins.first_data = output.data_size
    bins.runs = bins.news = bins.bytes = 0
    bins.no_memory = bins.results_missing = False
    bins.may_know = True
    bins.meeting_count = 0
    if not (
        bins.run.open(count, threads, deals_first, seed, stop)
        and make_bins(bins, main, reader, threads) and make_watches(bins, threads, watched)
    ):
        bins_close(bins)
        return False
    bins.opened_ns = monotonic_ns()
    bins.opened = ticks()
    return True


cdef bint make_bins(Bins* bins, Machine* main, StateReader* reader, uint32_t threads) noexcept nogil:
    cdef size_t count = bins.tx_count
    cdef uint32_t b
    cdef Bin* bin
    if not (
        grow_array(<void**>&bins.bins, &bins.capacity, threads, sizeof(Bin), False, NULL)
        and grow_array(<void**>&bins.numbers, &bins.numbers_count, 3 * threads * count, sizeof(uint32_t), False, NULL)
        and grow_array(<void**>&bins.meetings, &bins.meetings_count, MOST_MEETINGS, sizeof(Meeting), False, NULL)
        and grow_array(<void**>&bins.met, &bins.met_count, count, sizeof(uint32_t), False, NULL)
    ):
        return False
    for b in range(threads):
        bin = &bins.bins[b]
        memset(bin, 0, sizeof(Bin))
        bins.count += 1
        bin.places = bins.numbers + 3 * b * count
        bin.account_ends = bin.places + count
        bin.slot_ends = bin.account_ends + count
        if b == 0:
            bin.machine = main
            bin.output = bins.output
            ws_keep_past(main.ws)
            ws_keep_seen(main.ws)
        elif not furnish(bins, bin, main, reader):
            return False
    return True


cdef bint make_watches(Bins* bins, uint32_t threads, bint watched) noexcept nogil:
    cdef uint32_t i
    if bins.watch_count < threads:
        free(bins.watches)
        bins.watches = <Watch*>take_lines(threads * sizeof(Watch))
        bins.watch_count = threads if bins.watches != NULL else 0
    if bins.watches == NULL:
        return False
    memset(bins.watches, 0, bins.watch_count * sizeof(Watch))
    for i in range(threads if watched else 0):
        bins.watches[i].events = new Events(EVENTS_EACH * <size_t>bins.tx_count + 16)
    return True


cdef bint furnish(Bins* bins, Bin* bin, Machine* main, StateReader* reader) noexcept nogil:
    bin.output = &bin.own_output
    bin.machine = machine_take(FOR_BINS)
    if bin.machine == NULL:
        return False
    bin.machine.env = bins.rules.env
    bin.machine.revision = bins.rules.revision
    bin.machine.abort_flag = main.abort_flag
    bin.machine.deadline_ns = 0
    bin.machine.tracer = NULL
    bin.machine.unlimited_code_size = main.unlimited_code_size
    ws_reset(bin.machine.ws, reader, bins.rules.revision)
    if not adopt_changes(main.ws, bin.machine.ws):
        return False
    ws_keep_past(bin.machine.ws)
    ws_keep_seen(bin.machine.ws)
    return True


cdef bint adopt_changes(const WorkingSet* main, WorkingSet* ws) noexcept nogil:
    """What the block changed before its first transaction is what its transactions begin from. False: that is too much, or
    more than numbers."""
    cdef const AccountEntry* account
    cdef const SlotEntry* slot
    cdef AccountData data
    cdef uint32_t i, adopted = 0
    for i in range(1, main.account_count):
        account = &main.accounts[i]
        if account.all_parts == 0:
            continue
        if account.all_parts & (PART_CODE | PART_WIPED) or adopted == MOST_BEFORE:
            return False
        data = account.base
        data.balance = account.balance
        data.nonce = account.nonce
        ws_adopt_account(ws, account.address, &data, account.exists)
        adopted += 1
    for i in range(1, main.slot_count):
        slot = &main.slots[i]
        if not slot.loaded or u_eq(&slot.base, &slot.current):
            continue
        if adopted == MOST_BEFORE:
            return False
        account = &main.accounts[slot.account]
        ws_adopt_slot(
            ws, ws_adopt_account(ws, account.address, &account.base, account.exists), &slot.key, &slot.current
        )
        adopted += 1
    return not ws.failed


cdef void bins_close(Bins* bins) noexcept nogil:
    cdef WorkingSet* main
    cdef uint32_t b
    if bins.count:
        main = bins.bins[0].machine.ws
        ws_forget_past(main)
        main.keeps_seen = False
        ws_forget_seen(main)
    for b in range(1, bins.count):
        if bins.bins[b].machine != NULL:
            machine_give(bins.bins[b].machine, FOR_BINS)
        output_release(&bins.bins[b].own_output)
    bins.count = 0
    for b in range(bins.watch_count):
        del bins.watches[b].events
        bins.watches[b].events = NULL


cdef size_t bytes_of(const Bin* bin) noexcept nogil:
    cdef const WorkingSet* ws = bin.machine.ws
    return (
        ws.past_account_count * sizeof(AccountImage) + ws.past_slot_count * sizeof(SlotImage)
        + (<size_t>ws.seen_account_count + ws.seen_slot_count + 3 * <size_t>bin.done) * sizeof(uint32_t)
    )


cdef size_t bins_bytes(const Bins* bins) noexcept nogil:
    return bins.bytes + groups_bytes(&bins.groups, bins.tx_count)


cdef void bins_free(Bins* bins) noexcept nogil:
    if bins != NULL:
        groups_free(&bins.groups)
        free_array(bins.bins)
        free_array(bins.numbers)
        free_array(bins.twins)
        free_array(bins.meetings)
        free_array(bins.met)
        free(bins.watches)
        del bins.run
        free(bins)


# ---------------------------------------------------------------------------------------------------- running

cdef cbool run_one(void* self, uint32_t number, uint32_t place) noexcept nogil:
    cdef Bins* bins = <Bins*>self
    cdef Bin* bin = &bins.bins[number]
    cdef Machine* machine = bin.machine
    cdef WorkingSet* ws = machine.ws
    cdef TxData* tx = bins.txs[place]
    cdef uint64_t began = ticks() if tx.gas_limit > BRIEF_GAS else 0
    cdef TxResult result
    ws.epoch = bins.first_epoch + place
    transaction_run(
        machine, tx, &bins.rules.checks, bins.rules.env.gas_limit, bins.rules.blob_gas_limit, bins.rules.max_blobs_per_tx,
        &result,
    )
    if result.invalid != TX_VALID or result.status >= STATE_FAILED or ws.failed:
        return False
    if began:
        note_worth(tx, <uint64_t>result.gas_used, ticks() - began)
    if not block_keep_result(
        bin.output, &bins.output.records[bins.first_record + place], ws.logs, ws.log_count, ws.log_data, tx, &result,
        &machine.env.gas_price,
    ):
        return False
    bin.places[bin.done] = place
    bin.account_ends[bin.done] = ws.seen_account_count
    bin.slot_ends[bin.done] = ws.seen_slot_count
    bin.done += 1
    return True


cdef inline const TxData* coming(const Bins* bins, const uint32_t* places, uint32_t count, uint32_t ahead) noexcept nogil:
    return bins.txs[places[ahead]] if count > ahead else NULL


cdef void ask_for_next(void* self, uint32_t number, const uint32_t* places, uint32_t count) noexcept nogil:
    """What they will read, and where they will write: another thread may have had all that in its caches."""
    cdef const Bins* bins = <const Bins*>self
    cdef WorkingSet* ws = bins.bins[number].machine.ws
    if places == NULL:
        block_ask_for_next(ws.reader, ws, bins.txs, count, bins.tx_count)
        return
    block_ask_for(
        ws.reader, ws, coming(bins, places, count, AHEAD_SOON), coming(bins, places, count, AHEAD_LATER),
        coming(bins, places, count, AHEAD_OF_LATER),
    )
    prefetch_for_writing(&ws.accounts[ws.account_count + 4], 2 * sizeof(AccountEntry))
    prefetch_for_writing(&ws.slots[ws.slot_count + 4], 2 * sizeof(SlotEntry))
    prefetch_for_writing(&ws.past_accounts[ws.past_account_count + 6], 3 * sizeof(AccountImage))
    prefetch_for_writing(&ws.past_slots[ws.past_slot_count + 6], 3 * sizeof(SlotImage))
    if count > AHEAD_SOON:
        prefetch_for_writing(&bins.output.records[bins.first_record + places[AHEAD_SOON]], RECORD_BYTES)


cdef uint32_t begun_by_then(void* self, uint32_t begun) noexcept nogil:
    """If the first thread goes on as it has."""
    cdef const Bins* bins = <const Bins*>self
    cdef uint64_t took = ticks() - bins.opened
    return LEAST_BEGUN + <uint32_t>min(
        dealing.value() * <uint64_t>bins.tx_count // 16 * begun // max(took, <uint64_t>1),
        <uint64_t>bins.tx_count // ALONE_PART,
    )


cdef cbool deal(void* self, uint32_t begun, Deal* dealt) noexcept nogil:
    cdef Bins* bins = <Bins*>self
    cdef Groups* groups = &bins.groups
    cdef uint64_t began = ticks()
    cdef bint pays = (
        group_at_random(groups, bins.tx_count, bins.count, begun, bins.seed) if bins.seed
        else group(groups, bins.txs, bins.tx_count, bins.count, begun)
    )
    dealt.worth = groups.worth
    dealt.order = groups.order
    dealt.first = groups.first
    dealt.loose = groups.loose
    dealt.portions = groups.portions
    dealt.portion_count = groups.portion_count
    dealing.step((ticks() - began) * 16 // bins.tx_count, 8)
    return pays


cdef BinTasks tasks_of(Bins* bins) noexcept nogil:
    cdef BinTasks tasks
    tasks.self = bins
    tasks.run = run_one
    tasks.ask = ask_for_next
    tasks.foresee = begun_by_then
    tasks.deal = deal
    tasks.prepare = prepare_looking_up
    tasks.look_up = look_up
    tasks.judge = judge_all
    tasks.bring_results = bring_results
    tasks.bring_state = bring_state
    return tasks


cdef void bins_help(Bins* bins, uint32_t number) noexcept nogil:
    bins.run.help(tasks_of(bins), bins.watches[number])


cdef uint32_t bins_run(Bins* bins) noexcept nogil:
    cdef WorkingSet* main = bins.bins[0].machine.ws
    bins.run.lead(tasks_of(bins), bins.watches[0])
    if bins.no_memory or bins.results_missing:
        main.failed = main.no_memory = True
    main.epoch = bins.first_epoch + bins.tx_count       # stamps of those that were taken back are never met again
    return bins.limit


# ---------------------------------------------------------------------------------------------------- looking up who met

cdef inline bint was_touched(const Bins* bins, uint32_t seen) noexcept nogil:
    return seen > bins.first_epoch


cdef inline bint paid_too_much(const Bins* bins, const WorkingSet* one, uint32_t a, const AccountEntry* other) noexcept nogil:
    """Whether what one bin takes from an account may be what another one relied on, if each bin took as much."""
    cdef u256 start, least, spare, paid
    cdef uint32_t past = one.accounts[a].past, i
    if u_is_zero(&other.balance_floor):
        return False
    while one.past_accounts[past].previous:
        past = one.past_accounts[past].previous
    start = one.past_accounts[past].balance
    least = ws_least_balance(one, a)
    u_sub(&paid, &start, &least)
    u_sub(&spare, &other.base.balance, &other.balance_floor)
    for i in range(1, bins.count):
        if u_lt(&spare, &paid):
            return True
        u_sub(&spare, &spare, &paid)
    return False


cdef bint disturbs(const Bins* bins, const WorkingSet* one, uint32_t a, const AccountEntry* other) noexcept nogil:
    """Whether what a bin changed in an account mattered, or may have mattered, in another bin that touched it."""
    cdef const AccountEntry* entry = &one.accounts[a]
    cdef int parts = entry.all_parts
    if entry.past == 0:
        return False
    if parts & PART_WIPED:
        return True
    if parts & PART_NONCE and (
        other.uses & USE_NONCE or (other.past and other.all_parts & PART_NONCE)
        or (other.uses & USE_NONCE_SET and entry.base.nonce == 0)
    ):
        return True
    if parts & PART_CODE and (other.uses & USE_CODE or (other.past and other.all_parts & PART_CODE)):
        return True
    if parts & PART_EXISTS and (other.uses & USE_EXISTS or not entry.exists):
        return True
    return parts & PART_BALANCE and (other.uses & USE_BALANCE or paid_too_much(bins, one, a, other))


cdef void note_who_met(
    Bins* bins, uint32_t earlier, uint32_t later, uint32_t in_earlier, uint32_t in_later, bint is_slot
) noexcept nogil:
    cdef int32_t number = atomic_add32(&bins.meeting_count, 1) - 1
    cdef Meeting* meeting
    if number < <int32_t>MOST_MEETINGS:
        meeting = &bins.meetings[number]
        meeting.earlier = earlier
        meeting.later = later
        meeting.in_earlier = in_earlier
        meeting.in_later = in_later
        meeting.is_slot = is_slot


cdef void look_up_account(Bins* bins, uint32_t later, uint32_t number) noexcept nogil:
    cdef const WorkingSet* mine = bins.bins[later].machine.ws
    cdef WorkingSet* theirs
    cdef const AccountEntry* entry = &mine.accounts[number]
    cdef uint32_t b, twin
    for b in range(later):
        theirs = bins.bins[b].machine.ws
        if number + AHEAD < mine.account_count:
            ws_ask_for_account(theirs, mine.accounts[number + AHEAD].address)
        twin = ws_find_account(theirs, entry.address)
        bins.bins[later].twins[b * mine.account_count + number] = twin
        if twin and was_touched(bins, entry.seen) and was_touched(bins, theirs.accounts[twin].seen) and (
            disturbs(bins, mine, number, &theirs.accounts[twin]) or disturbs(bins, theirs, twin, entry)
        ):
            note_who_met(bins, b, later, twin, number, False)


cdef void look_up_slot(Bins* bins, uint32_t later, uint32_t number) noexcept nogil:
    cdef const WorkingSet* mine = bins.bins[later].machine.ws
    cdef const SlotEntry* slot = &mine.slots[number]
    cdef WorkingSet* theirs
    cdef uint32_t b, account, twin
    if not was_touched(bins, slot.seen):
        return
    for b in range(later):
        account = bins.bins[later].twins[b * mine.account_count + slot.account]
        if account == 0:
            continue
        theirs = bins.bins[b].machine.ws
        twin = ws_find_slot(theirs, account, &slot.key)
        if twin and was_touched(bins, theirs.slots[twin].seen) and (slot.past or theirs.slots[twin].past):
            note_who_met(bins, b, later, twin, number, True)


cdef inline uint32_t pieces_of(const WorkingSet* ws, bint slots) noexcept nogil:
    return ((ws.slot_count if slots else ws.account_count) + PIECE - 1) // PIECE


cdef void prepare_looking_up(void* self, uint32_t* accounts, uint32_t* slots) noexcept nogil:
    cdef Bins* bins = <Bins*>self
    cdef WorkingSet* ws
    cdef size_t wanted = 0
    cdef uint32_t b
    for b in range(1, bins.count):
        wanted += <size_t>b * bins.bins[b].machine.ws.account_count
    bins.may_know = grow_array(<void**>&bins.twins, &bins.twins_count, wanted, sizeof(uint32_t), False, NULL)
    accounts[0] = slots[0] = 0
    if not bins.may_know:
        return
    wanted = 0
    for b in range(1, bins.count):
        ws = bins.bins[b].machine.ws
        bins.bins[b].twins = bins.twins + wanted
        wanted += <size_t>b * ws.account_count
        accounts[0] += pieces_of(ws, False)
        slots[0] += pieces_of(ws, True)


cdef void look_up(void* self, uint32_t piece, cbool slots) noexcept nogil:
    """Finds each account or slot of this piece that another bin has in common, where that matters."""
    cdef Bins* bins = <Bins*>self
    cdef const WorkingSet* ws
    cdef uint32_t b = 1, number, end
    while piece >= pieces_of(bins.bins[b].machine.ws, slots):
        piece -= pieces_of(bins.bins[b].machine.ws, slots)
        b += 1
    ws = bins.bins[b].machine.ws
    end = min((piece + 1) * PIECE, ws.slot_count if slots else ws.account_count)
    for number in range(max(piece * PIECE, <uint32_t>1), end):
        if slots:
            look_up_slot(bins, b, number)
        else:
            look_up_account(bins, b, number)


# ---------------------------------------------------------------------------------------------------- what came first

cdef uint32_t touching(const Bin* bin, uint32_t number, bint is_slot, uint32_t* places) noexcept nogil:
    """The places of the transactions of a bin that touched an account or slot, ascending. How many there are."""
    cdef const WorkingSet* ws = bin.machine.ws
    cdef const uint32_t* seen = ws.seen_slots if is_slot else ws.seen_accounts
    cdef const uint32_t* ends = bin.slot_ends if is_slot else bin.account_ends
    cdef uint32_t tx, at = 0, found = 0
    for tx in range(bin.done):
        while at < ends[tx]:
            if seen[at] == number and (found == 0 or places[found - 1] != bin.places[tx]):
                places[found] = bin.places[tx]
                found += 1
            at += 1
    return found


cdef uint32_t changed_first(const Bins* bins, const WorkingSet* ws, uint32_t number, bint is_slot) noexcept nogil:
    """The place of the first transaction that changed it, NOBODY: none did."""
    cdef uint32_t epoch = ws_slot_changed_first(ws, number) if is_slot else ws_account_changed_first(ws, number)
    return epoch - bins.first_epoch - 1 if epoch else <uint32_t>NOBODY


cdef uint32_t first_after(const uint32_t* places, uint32_t count, uint32_t changed) noexcept nogil:
    cdef uint32_t i
    for i in range(count):
        if places[i] > changed:
            return places[i]
    return NOBODY


cdef void judge(Bins* bins, const Meeting* meeting) noexcept nogil:
    """From which transaction on a meeting makes the outcome doubtful."""
    cdef const Bin* earlier = &bins.bins[meeting.earlier]
    cdef const Bin* later = &bins.bins[meeting.later]
    cdef const WorkingSet* ws = later.machine.ws
    cdef uint32_t* met = bins.met
    cdef uint32_t in_earlier = touching(earlier, meeting.in_earlier, meeting.is_slot, met)
    cdef uint32_t in_later = touching(later, meeting.in_later, meeting.is_slot, met + in_earlier)
    cdef uint32_t doubtful = min(
        first_after(
            met + in_earlier, in_later, changed_first(bins, earlier.machine.ws, meeting.in_earlier, meeting.is_slot)
        ),
        first_after(met, in_earlier, changed_first(bins, ws, meeting.in_later, meeting.is_slot)),
    )
    if doubtful == NOBODY:
        return
    bins.limit = min(bins.limit, doubtful)
    sort(met, met + in_earlier + in_later)
    if meeting.is_slot:
        bins.news += note_bond(
            &bins.groups, bins.txs, met, in_earlier + in_later, ws.accounts[ws.slots[meeting.in_later].account].address,
            &ws.slots[meeting.in_later].key,
        )
    else:
        bins.news += note_bond(
            &bins.groups, bins.txs, met, in_earlier + in_later, ws.accounts[meeting.in_later].address, NULL
        )


cdef uint32_t judge_all(void* self, uint32_t limit) noexcept nogil:
    """From where on nothing counts; all of that is taken back."""
    cdef Bins* bins = <Bins*>self
    cdef WorkingSet* main = bins.bins[0].machine.ws
    cdef int32_t i
    cdef uint32_t b
    main.failed = main.no_memory = False         # of what made it so nothing is kept
    bins.limit = limit
    if not bins.may_know or bins.meeting_count > <int32_t>MOST_MEETINGS:
        bins.limit = 0
    for i in range(min(bins.meeting_count, <int32_t>MOST_MEETINGS)):
        judge(bins, &bins.meetings[i])
    for b in range(bins.count):
        bins.runs += bins.bins[b].done
        bins.bytes += bytes_of(&bins.bins[b])
        if bins.limit < bins.tx_count:
            take_back(bins, &bins.bins[b])
    return bins.limit


# ---------------------------------------------------------------------------------------------------- bringing together

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
    """What a bin did from the limit on."""
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
    """What all bins changed, into the block's working set."""
    cdef Bins* bins = <Bins*>self
    cdef uint32_t b
    for b in range(1, bins.count):
        if not bring_state_of(bins, bins.bins[b].machine.ws):
            bins.no_memory = True


cdef void bring_results(void* self) noexcept nogil:
    """Everything else."""
    cdef Bins* bins = <Bins*>self
    cdef uint32_t b
    count_gas(bins)
    for b in range(1, bins.count):
        if not bring_results_of(bins, &bins.bins[b]):
            bins.results_missing = True
