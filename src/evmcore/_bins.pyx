"""A block's transactions run directly in bins; see `_bins.pxd`."""
from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from libcpp cimport bool as cbool

from evmcore._asking cimport ask_in_time
from evmcore._bins_block cimport Bin, BinRun, Bins, BinTasks, Deal
from evmcore._bins_meetings cimport first_doubtful, look_up, meetings_open, prepare_looking_up
from evmcore._bins_outcome cimport bring_results, bring_state, settle_state, take_back
from evmcore._block_steps cimport (
    AHEAD_LATER, AHEAD_OF_LATER, AHEAD_SOON, BlockOutput, BlockRules, block_ask_for, block_ask_for_next, block_enter,
    block_keep_result, output_release,
)
from evmcore._grouping cimport Groups, group, group_at_random, groups_bytes, groups_free
from evmcore._growing cimport free_array, grow_array
from evmcore._hints cimport BRIEF_GAS, note_worth
from evmcore._interp cimport STATE_FAILED, Machine
from evmcore._machines cimport FOR_BINS, machine_give, machine_take
from evmcore._pace cimport Estimate
from evmcore._state cimport (
    PART_CODE, PART_WIPED, AccountData, AccountEntry, AccountImage, SlotEntry, SlotImage, StateReader, WorkingSet,
    ws_adopt_account, ws_adopt_slot, ws_forget_past, ws_forget_seen, ws_keep_past, ws_keep_seen, ws_reset,
)
from evmcore._stm cimport Events, Watch, do_meanwhile, ticks
from evmcore._sync cimport monotonic_ns
from evmcore._tx cimport TX_VALID, TxData, TxResult, transaction_run
from evmcore._u256 cimport u_eq

cdef enum:
    MOST_BEFORE = 16              # accounts and slots that the block may have changed before its first transaction
    RECORD_BYTES = 256            # of a record, without its bloom
    EVENTS_EACH = 4               # events of a timeline, by transaction
    ALONE_PART = 4                # the first thread runs at most one part in this of the block during dealing ...
    LEAST_BEGUN = 2               # ... and this many transactions at least

cdef Estimate dealing             # how long dealing out takes, in ticks per 16 transactions

cdef extern from "include/lines.h" namespace "evmcore" nogil:
    void* take_lines(size_t size)

cdef extern from "include/prefetch.h" namespace "evmcore" nogil:
    void prefetch_for_writing(void* at, size_t size)

cdef extern from "include/spares.h" namespace "evmcore" nogil:
    ctypedef struct Spares:
        pass
    void* spares_take(Spares* spares)
    bint spares_give(Spares* spares, void* item)

cdef Spares spare_bins

do_meanwhile(ask_in_time)


# ---------------------------------------------------------------------------------------------------- opening

cdef Bins* bins_take() noexcept nogil:
    cdef Bins* bins = <Bins*>spares_take(&spare_bins)
    return bins if bins != NULL else <Bins*>calloc(1, sizeof(Bins))


cdef void bins_give(void* given) noexcept nogil:
    cdef Bins* bins = <Bins*>given
    if bins == NULL:
        return
    bins_close(bins)
    if not spares_give(&spare_bins, bins):
        bins_free(bins)


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
    bins.first_slot = main.ws.slot_count
    bins.first_record = output.record_count
    bins.first_log = output.log_count
    bins.first_data = output.data_size
    bins.runs = bins.news = bins.bytes = 0
    bins.no_memory = bins.results_missing = bins.apart = False
    bins.groups.strange = False                  # may be left from an earlier block
    if not (
        bins.run.open(count, threads, deals_first, seed, stop) and meetings_open(bins)
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
    block_enter(bin.machine, bins.rules, main.abort_flag)
    ws_reset(bin.machine.ws, reader, bins.rules.revision)
    if not adopt_changes(main.ws, bin.machine.ws):
        return False
    ws_keep_past(bin.machine.ws)
    ws_keep_seen(bin.machine.ws)
    return True


cdef bint adopt_changes(const WorkingSet* main, WorkingSet* ws) noexcept nogil:
    """Copies what the block changed before its first transaction: its transactions begin from that. False: it is too
    much, or includes more than numbers."""
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


cdef void leave_main(Bins* bins) noexcept nogil:
    """The block's own working set is no longer that of a bin."""
    cdef WorkingSet* main = bins.bins[0].machine.ws
    ws_forget_past(main)
    main.keeps_seen = False
    ws_forget_seen(main)


cdef void bins_close(Bins* bins) noexcept nogil:
    cdef uint32_t b
    if bins.count:
        leave_main(bins)
        bins.bins[0].machine.ws.beside = NULL
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
    """Prefetches what the coming transactions will read, and where they will write: all of that may be in another
    core's caches."""
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
    """How many more transactions the first thread will have begun when dealing out ends, at its rate so far."""
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


cdef uint32_t judge_all(void* self, uint32_t limit) noexcept nogil:
    """Returns the transaction from which on nothing counts, and rolls back all transactions from there on."""
    cdef Bins* bins = <Bins*>self
    cdef WorkingSet* main = bins.bins[0].machine.ws
    cdef uint32_t b
    main.failed = main.no_memory = False         # nothing is kept of the transaction that failed
    bins.limit = first_doubtful(bins, limit)
    bins.whole = bins.limit == bins.tx_count
    for b in range(bins.count):
        bins.runs += bins.bins[b].done
        bins.bytes += bytes_of(&bins.bins[b])
        if bins.limit < bins.tx_count:
            take_back(bins, &bins.bins[b])
    return bins.limit


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
    settle_state(bins)
    if bins.no_memory or bins.results_missing:
        main.failed = main.no_memory = True
    leave_main(bins)
    main.epoch = bins.first_epoch + bins.tx_count       # rolled-back transactions' stamps never match again
    return bins.limit
