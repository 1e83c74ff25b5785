"""The parallel block executor; see `stm.pxd` for the idea and `include/stm/` for store and scheduler."""
import os

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset
from libcpp cimport bool as cbool

from evmcore._block_run cimport BlockRun, Executor, Pace, Sequence, run_sequence
from evmcore._block_steps cimport BLOCK_ENGINE_FAILED, BLOCK_OK, BLOCK_TRANSACTION_INVALID, BlockFailure
from evmcore._code cimport code_release
from evmcore._grouping cimport MOST_BINS, forget_bonds
from evmcore._hints cimport (
    BRIEF_GAS, MAY_SHARE, RAN_AGAIN, RAN_DIRECTLY, SHARES_NOTHING, SHARES_SLOTS, STOOD, STOOD_IN_LINE, STOOD_OUT_OF_LINE,
    STOOD_WITHOUT, Asked, Outcome, behind_by_now, give_hints, hint_tables_free, note_outcome, order_starts, takes_long,
)
from evmcore._interp cimport NO_MEMORY, SUCCESS, machine_make_symbolic
from evmcore._machines cimport FOR_WORKERS, arena_give, arena_take, machine_give, machine_take
from evmcore._pace cimport Estimate, Patience
from evmcore._stm_bins cimport Bins, bins_bytes, bins_close, bins_free, bins_help, bins_open, bins_run
from evmcore._stm cimport (
    Baton, Events, HashKey, Scheduler, Store, Tally, TxIndex, commit_alone, delay_point, engine_work, kCauses, kCommitting,
    kRunning, kWaiting, pause, raise_flag, run_on_fresh_threads, wait_for_all,
)
from evmcore._stm_block cimport Block, Run, Runs, SlotRead, Worker
from evmcore._stm_commit cimport bring_in, publish_beginning, run_directly, stands
from evmcore._stm_prefetch cimport ask_for_next, ask_for_runs
from evmcore._stm_read cimport reader_init
from evmcore._stm_run cimport give_up, run_ahead, run_begun, tried_without
from evmcore._stm_watch cimport clocks_close, clocks_open, phases_of, threads_of, timeline_of
from evmcore._sync cimport is_raised, monotonic_ns
from evmcore._u256 cimport u256_to_int
from evmcore._workers cimport run_on_workers

from evmcore.errors import InputError

cdef extern from "include/lines.h" namespace "evmcore" nogil:
    void* take_lines(size_t size)

cdef extern from "include/spares.h" namespace "evmcore" nogil:
    ctypedef struct Spares:
        pass
    void* spares_take(Spares* spares)
    bint spares_give(Spares* spares, void* item)

cdef extern from *:
    """
    static inline uint32_t stm_fetch_add(uint32_t* p) { return __atomic_fetch_add(p, 1, __ATOMIC_ACQ_REL); }
    static inline uint32_t stm_load(const uint32_t* p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
    static inline void stm_store(uint32_t* p, uint32_t value) { __atomic_store_n(p, value, __ATOMIC_RELEASE); }
    """
    uint32_t stm_fetch_add(uint32_t* p) noexcept nogil
    uint32_t stm_load(const uint32_t* p) noexcept nogil
    void stm_store(uint32_t* p, uint32_t value) noexcept nogil


cdef enum:
    NEAR = 8                      # transactions at once that are looked at before they begin
    EVENTS_EACH = 16              # of a picture, by transaction ...
    MOST_EVENTS = 1 << 20         # ... and in all, for each worker: 40 bytes each
    SIZES = 16                    # of blocks, by powers of two of transactions
    EVEN_PARTS = 4                # a thread may run one part in so many of all more than its share
    MOST_DOUBT = 6                # failures: one block in 64 is tried in bins
    DOUBT_WITH_NEWS = 3           # one in 8, where something was learnt by it

# By SIZES:
cdef Estimate[16] doubts          # how often bins have not done
cdef Estimate[16] passed_over     # blocks since the latest was tried
cdef Estimate[16] deal_first      # 1: blocks are dealt out before anything is run
cdef Patience[16] first_patience  # when to try that


# ---------------------------------------------------------------------------------------------------- a worker's tasks

cdef TxIndex run_task(void* self, TxIndex tx, cbool final) noexcept nogil:
    cdef Worker* w = <Worker*>self
    cdef TxIndex behind
    delay_point(w.delays)
    ask_for_next(w.block, tx, final)
    if final:
        ask_for_runs(w.block, tx)
        if w.block.watch_all:
            run_ahead(w, tx)
            if not w.blocked_on and stands(w, tx):
                return 0
        run_directly(w, tx)
        return 0
    if w.block.worker_count > 1:
        behind = behind_by_now(&w.block.runs.hints, w.block.scheduler, w.block.sharing, w.block.txs, tx)
        if behind:
            return behind
    run_ahead(w, tx)
    delay_point(w.delays)
    return w.blocked_on


cdef cbool stands_task(void* self, TxIndex tx) noexcept nogil:
    cdef Worker* w = <Worker*>self
    delay_point(w.delays)
    ask_for_runs(w.block, tx)
    return stands(w, tx)


cdef Outcome outcome_of(const Block* block, TxIndex tx) noexcept nogil:
    cdef const Run* run = &block.run_of[tx]
    cdef TxIndex first, second
    if run.direct:
        return RAN_AGAIN if run.ran_ahead else RAN_DIRECTLY
    first = block.scheduler.hinted(tx, 0)
    second = block.scheduler.hinted(tx, 1)
    if first == 0 and second == 0:
        first = tried_without(block, tx)
        return STOOD_WITHOUT if first > run.leans_on else STOOD
    if first == 0 or (second != 0 and second < first):
        first = second
    return STOOD_IN_LINE if run.leans_on >= first else STOOD_OUT_OF_LINE


cdef cbool conclude_task(void* self, TxIndex tx) noexcept nogil:
    """Brings in the frontier's transaction. False: the block ends here, `failure` says how."""
    cdef Worker* w = <Worker*>self
    cdef Block* block = w.block
    delay_point(w.delays)
    if block.run_of[tx].direct:
        if block.failure != BLOCK_OK:
            return False
    elif not bring_in(w, tx):
        block.failure = BLOCK_ENGINE_FAILED
        block.status = NO_MEMORY
        return False
    note_outcome(
        block.txs[tx - 1], outcome_of(block, tx), block.output.gas_used - block.gas_used, block.run_of[tx].ticks
    )
    block.gas_used = block.output.gas_used
    if block.pace.at[block.pace.step] and block.pace.at[block.pace.step] <= block.before + tx:
        keep_pace(block, tx)
    return True


cdef void keep_pace(Block* block, TxIndex tx) noexcept nogil:
    """At a transaction by which the block should be so far: gives speculation up where it is not."""
    cdef Pace* pace = block.pace
    pace.seen_ns = monotonic_ns() - block.started
    if pace.seen_ns > pace.until[pace.step] and not makes_up(block, tx):
        pace.behind = True
        give_up(block)
    else:
        pace.step += 1


cdef bint makes_up(const Block* block, TxIndex tx) noexcept nogil:
    """Whether so much of what comes later has been done too that the rest is over sooner on threads, if it goes on like
    this, than alone."""
    cdef const Pace* pace = block.pace
    cdef uint64_t done = pace.work[pace.step], ahead = 0, left = pace.sequential - min(pace.sequential, done)
    cdef TxIndex later
    for later in range(tx + 1, block.count + 1):
        if block.scheduler.has_run(later):
            ahead += pace.costs[block.before + later - 1]
    # Some of that has been done in vain.
    done += <uint64_t>(<double>ahead * 3 / 4 * <double>pace.sequential / <double>max(pace.raw, <uint64_t>1))
    return <double>pace.seen_ns * <double>(pace.sequential - min(pace.sequential, done)) < <double>done * <double>left


cdef void pass_task(void* self, TxIndex tx) noexcept nogil:
    run_begun((<Worker*>self).block, tx).failed = True


cdef enum Opening:
    NOT_YET
    IN_BINS                       # the transactions are being run in bins; what remains of them comes after
    BEGUN                         # the first worker has; the next one makes ready what speculation needs
    OPEN
    REFUSED                       # what is left of the block, if anything, runs sequentially


cdef void work(void* context) noexcept nogil:
    """One thread's part of a block. The first one opens it, while the others are still waking up."""
    cdef Block* block = <Block*>context
    cdef uint32_t number = stm_fetch_add(&block.next_worker)
    cdef Worker* w
    if block.delays and not block.turns:
        wait_for_all(&block.arrived, block.threads)
    if number == 0:
        run_in_bins(block)
        stm_store(&block.opening, OPEN if block.count and open_block(block) else REFUSED)
    wait_while(block, NOT_YET)
    if stm_load(&block.opening) == IN_BINS:
        bins_help(block.bins, number)
        wait_while(block, IN_BINS)
    if number >= <uint32_t>block.worker_count:
        if block.binned and block.bins.watches[number].since == 0:
            block.bins.watches[number].start()   # whoever comes too late came, too
        return
    w = block.workers[number]
    if number and block.opened and stm_load(&block.opening) != OPEN:
        w.tally.watch.start()                    # the same
    if stm_load(&block.opening) == BEGUN:
        make_ready(block)
        wait_while(block, BEGUN)
    if stm_load(&block.opening) == REFUSED:
        return
    if block.baton != NULL:
        block.baton.take(number)
    engine_work(block.scheduler[0], w.tasks, w.arena[0], block.stop, w.tally, w.delays)
    if block.baton != NULL:
        block.baton.leave(number)


cdef bint deals_first(const Block* block) noexcept nogil:
    if block.bins_seed:
        return (block.bins_seed & 4) != 0
    return block.bins_always or deal_first[size_class(block.count)].value() != 0


cdef void run_in_bins(Block* block) noexcept nogil:
    """Where that is likely to do: all of the block, or up to where it has not done."""
    cdef uint32_t final
    if block.bins == NULL or not bins_open(
        block.bins, block.main, block.rules, block.output, block.base, block.stop, block.txs, block.count,
        <uint32_t>block.threads, block.bins_seed, deals_first(block), block.watched,
    ):
        return
    block.binned = True
    stm_store(&block.opening, IN_BINS)
    final = bins_run(block.bins)
    block.before = final
    if block.bins.run.was_dealt() and final < block.count:
        block.pace.at[block.pace.step] = 0       # what came of the bins says nothing of what comes now
    block.txs += final
    block.count -= final
    block.gas_used = block.output.gas_used


cdef void wait_while(const Block* block, Opening now) noexcept nogil:
    cdef unsigned int turn = 0
    while stm_load(&block.opening) == <uint32_t>now:
        turn = pause(turn)


cdef bint open_block(Block* block) noexcept nogil:
    """Makes all ready that the workers need. What takes longest another worker does as soon as it is awake: until then the
    first one makes transactions final, as sequential execution would. False: what is left runs sequentially, if anything is."""
    if not furnish_block(block):
        return False
    clocks_open(block)
    if block.worker_count == 1 or block.together:
        make_ready(block)
    else:
        begin_alone(block, block.workers[0])
    if is_raised(block.stop) or block.scheduler.finished() or not block.ready:
        return False
    offer_work(block, block.scheduler.frontier())
    if publish_beginning(block, block.scheduler.frontier() - 1):
        return True
    raise_flag(&block.fallback)
    return False


cdef bint long_one_is_near(const Block* block, TxIndex first) noexcept nogil:
    cdef TxIndex tx
    for tx in range(first, min(first + NEAR, block.count + 1)):
        if block.txs[tx - 1].gas_limit > BRIEF_GAS and takes_long(block.txs[tx - 1]):
            return True
    return False


cdef void begin_alone(Block* block, Worker* w) noexcept nogil:
    """Until all is ready for the others, or the block is final. Before a long one begins all is made ready."""
    cdef TxIndex looked_at = 1, tx
    cdef unsigned int turn = 0
    block.alone = True
    stm_store(&block.opening, BEGUN)
    w.tally.watch.start()
    w.tally.watch.turn_to(kCommitting)
    while not (is_raised(&block.made_ready) or is_raised(block.stop) or block.scheduler.finished()):
        tx = block.scheduler.frontier()
        if tx == looked_at:
            if long_one_is_near(block, tx):
                w.tally.watch.turn_to(kWaiting)
                make_ready(block)
                turn = pause(turn)
                continue
            looked_at = tx + NEAR
        commit_alone(block.scheduler[0], w.tasks, block.stop, w.tally)
    w.tally.watch.turn_to(kCommitting)
    block.alone = False


cdef void make_ready(Block* block) noexcept nogil:
    """The store, and what transactions say of themselves; unless somebody else is at it. `ready` says that there was memory."""
    if stm_fetch_add(&block.came):
        return
    if block.store.prepare(expected_locations(block), store_key):
        block.ready = block.worker_count == 1 or give_hints(
            &block.runs.hints, block.scheduler, block.sharing, block.txs, block.count
        )
    if block.ready and block.worker_count > 1:
        order_starts(&block.runs.hints, block.scheduler, block.count, block.worker_count)
    raise_flag(&block.made_ready)


# ---------------------------------------------------------------------------------------------------- a block

cdef HashKey store_key
cdef bytes random_key = os.urandom(sizeof(HashKey))
memcpy(&store_key, <const uint8_t*>random_key, sizeof(HashKey))

cdef Spares spare_stores
cdef Spares spare_schedulers
cdef Spares spare_runs
cdef Spares spare_bins


cdef Worker* worker_new() noexcept nogil:
    cdef Worker* w = <Worker*>take_lines(sizeof(Worker))
    if w == NULL:
        return NULL
    w.machine = machine_take(FOR_WORKERS)
    w.arena = arena_take()
    w.records = arena_take()
    w.older = arena_take()
    if w.machine == NULL or w.arena == NULL or w.records == NULL or w.older == NULL:
        worker_free(w)
        return NULL
    reader_init(w)
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
    free(w.codes)
    if w.machine != NULL:
        machine_give(w.machine, FOR_WORKERS)
    if w.arena != NULL:
        arena_give(w.arena)
    if w.records != NULL:
        arena_give(w.records)
    if w.older != NULL:
        arena_give(w.older)
    free(w)


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
    """Executes a block's transactions on `threads` native threads, with the outcome of sequential execution: in bins where they
    fall apart into groups that share nothing (`_stm_bins`), by speculation else.

    Pass one as `executor` to `execute_block`. `always`: speculate even where one thread, or one transaction, makes that
    pointless (measurements). Speculation is given up, and the rest of the block run sequentially from the last final
    transaction, when the store is full.

    `counters` tells of the last block: how many `threads` took part, `runs` of transactions begun, of which `runs_in_bins`
    without speculation, so that `in_bins` transactions became final; `reruns` by the committer because a run did not stand,
    `waits` for an unfinished transaction, `validations`, `aborts` by what a validation found, `lazies` settled (sums that were
    not looked at before they were final), `bytes` of store and versions, `phases` (see `ParallelCounters`), and whether there
    was a `fallback` to sequential execution (why) and from which transaction on (`fallback_at`).

    With `recording`, `timeline` tells what the workers of the last block did: nanoseconds in all, events for which there was
    no room, and a list of events: (worker, what, index of the transaction or None, begin, end, detail), with begin and end
    in nanoseconds from the start. What they did is one of `_stm_watch.DEEDS` or `woke`; the detail is the index of the
    transaction whose estimate was met, or the cause (of `CAUSES`) why a run did not stand.
    """

    def __init__(self, int threads, bint always=False):
        if threads < 1:
            raise InputError(f"threads: expected at least 1, got {threads}")
        self.threads = threads
        self.always = always
        self.bins = 1
        self.counters = {}
        self.learnt = []
        self.timeline = (0, 0, [])

    cdef bint may_bin(self, const Block* block) noexcept nogil:
        """Whether the block may be run in bins: who wants to know more than the outcome, or to see it early, does without."""
        return (
            self.bins and 1 < self.threads <= MOST_BINS and block.count > 1 and not block.together
            and block.output.notes == NULL and block.output.gate == NULL
            and (self.bins > 1 or self.bins_seed != 0 or is_time_for_bins(block.count))
        )

    cdef BlockFailure transactions(self, BlockRun run, Sequence* sequence) noexcept nogil:
        cdef Block* block = <Block*>take_lines(sizeof(Block))
        cdef BlockFailure failure
        cdef size_t from_here
        cdef int64_t alone
        if block == NULL:
            return run_sequence(sequence)
        block.txs = sequence.txs
        block.count = <TxIndex>sequence.count
        block.rules = &run.rules
        block.base = &run.overlay.reader
        block.main = run.machine
        block.turns = self.turns
        block.delays = self.turns or self.delays
        block.watch_all = self.watch_all
        block.together = self.together or self.turns or self.watch_all
        block.output = run.output
        block.gas_used = run.output.gas_used
        block.stop = &run.halt
        block.pace = &run.pace
        block.bins_seed = self.bins_seed
        block.bins_always = self.bins > 1
        if self.may_bin(block):
            block.bins = <Bins*>spares_take(&spare_bins)
            if block.bins == NULL:
                block.bins = <Bins*>calloc(1, sizeof(Bins))
        block.watched = self.recording
        block.started = monotonic_ns()
        block.failure = BLOCK_OK
        block.status = SUCCESS
        if self.always or (self.threads > 1 and sequence.count > 1):
            block.threads = <int>min(<size_t>self.threads, sequence.count)
            if self.turns:
                run_on_fresh_threads(block.threads, work, block)
            else:
                run_on_workers(block.threads, work, block)
            if block.opened or block.binned:
                clocks_close(block)
            if block.binned:
                note_binned(block, sequence.count)
            sequence.at += block.before
            if block.opened:
                sequence.at += block.scheduler.frontier() - 1
            block.refused = block.opening == REFUSED and sequence.at < sequence.count and not is_raised(block.stop)
        failure = block.failure
        sequence.invalid = block.invalid
        sequence.status = block.status
        if failure == BLOCK_TRANSACTION_INVALID:
            sequence.at += 1
        with gil:
            self.counters = run.counters = counters_of(block, sequence.at)
            self.timeline = timeline_of(block)
            self.learnt = learnt_of(block) if self.watch_all and block.worker_count else []
        close_block(block)
        free(block)
        if failure == BLOCK_OK and sequence.at < sequence.count:
            from_here = sequence.at
            alone = monotonic_ns()
            failure = run_sequence(sequence)
            alone = monotonic_ns() - alone
            with gil:
                run.counters["runs"] += sequence.at - from_here
                run.counters["phases"]["sequential"] = alone
        return failure


cdef inline int size_class(size_t count) noexcept nogil:
    cdef int size = 0
    while count >> size > 1 and size < SIZES - 1:
        size += 1
    return size


cdef bint is_time_for_bins(size_t count) noexcept nogil:
    """The more often bins did not do for blocks of about so many transactions, the more of those are not tried in any."""
    cdef int size = size_class(count)
    passed_over[size].set(passed_over[size].value() + 1)
    return passed_over[size].value() >> doubts[size].value() != 0


cdef bint were_even(const Block* block) noexcept nogil:
    """Whether no thread had much more to run than the others: what few large groups take may have been known too badly."""
    cdef uint64_t all_ = 0, most = 0, spent
    cdef int i
    for i in range(block.threads):
        spent = block.bins.watches[i].spent[<int>kRunning]
        all_ += spent
        most = max(most, spent)
    return most * EVEN_PARTS * block.threads <= all_ * (EVEN_PARTS + block.threads)


cdef void note_binned(const Block* block, size_t count) noexcept nogil:
    cdef int size = size_class(count)
    cdef uint32_t doubt = doubts[size].value()
    if not block.bins.run.was_dealt():
        # What was begun meanwhile, and so has to stay together, may be why.
        if block.bins.run.deals_first():
            first_patience[size].begin()
            first_patience[size].judge(False)
        deal_first[size].set(not block.bins.run.deals_first() and first_patience[size].passed_over())
        return
    if block.bins.run.deals_first():
        first_patience[size].judge(True)
    passed_over[size].set(0)
    if block.before == count and were_even(block):
        doubts[size].set(doubt // 2)
    elif doubt < <uint32_t>(DOUBT_WITH_NEWS if block.bins.news else MOST_DOUBT):
        doubts[size].set(doubt + 1)


cdef void forget_bins() noexcept nogil:
    cdef int size
    forget_bonds()
    for size in range(SIZES):
        doubts[size].set(0)
        passed_over[size].set(0)
        deal_first[size].set(0)
        first_patience[size].forget()


cdef str fallback_words(const Block* block):
    if not block.fallback:
        return "speculation could not begin" if block.refused else ""
    return "behind its forecast" if block.pace.behind else "no room in the store"


CAUSES = (                        # of `_stm.Cause`
    "stands", "nonce", "balance", "floor", "code", "exists", "slot", "interval", "block_gas", "invalid", "failed"
)
assert len(CAUSES) == <int>kCauses


cdef dict counters_of(const Block* block, size_t at):
    """What `ParallelExecutor.counters` holds; see there."""
    cdef dict aborts = dict.fromkeys(CAUSES[1:], 0)
    cdef dict counters
    cdef const Tally* tally
    cdef int i, cause
    counters = dict.fromkeys(("runs", "reruns", "waits", "validations", "lazies", "bytes", "runs_in_bins", "in_bins"), 0)
    for i in range(block.worker_count):
        tally = &block.workers[i].tally
        counters["runs"] += tally.runs
        counters["reruns"] += tally.reruns
        counters["waits"] += tally.waits
        counters["validations"] += tally.validations
        counters["lazies"] += tally.settled
        counters["bytes"] += block.workers[i].arena.taken() + block.workers[i].records.taken() + block.workers[i].older.taken()
        for cause in range(1, <int>kCauses):
            aborts[CAUSES[cause]] += tally.aborts[cause]
    if block.store != NULL:
        counters["bytes"] += block.store.bytes_used()
    if block.binned:
        counters["runs"] += block.bins.runs
        counters["runs_in_bins"] = block.bins.runs
        counters["in_bins"] = block.before
        counters["bytes"] += bins_bytes(block.bins)
    counters["threads"] = max(threads_of(block), 1)
    counters["fallback"] = fallback_words(block)
    counters["fallback_at"] = at if counters["fallback"] else None
    return counters | {"aborts": aborts, "phases": phases_of(block)}


cdef list learnt_of(const Block* block):
    """What `ParallelExecutor.learnt` holds; see there."""
    cdef const Run* run
    cdef const SlotRead* read
    cdef list learnt = []
    cdef size_t tx
    cdef uint32_t i
    for tx in range(1, <size_t>block.count + 1):
        run = &block.run_of[tx]
        if run.block != block.runs.block:
            continue
        for i in range(run.slot_read_count):
            read = &run.slot_reads[i]
            learnt.append((
                tx - 1, (<const uint8_t*>read.location.address)[:20], u256_to_int(&read.location.slot),
                u256_to_int(&read.low), u256_to_int(&read.high),
            ))
    return learnt


cdef void runs_free(Runs* runs) noexcept nogil:
    if runs != NULL:
        free(runs.run_of)
        free(runs.sharing)
        hint_tables_free(&runs.hints)
        free(runs)


cdef Runs* runs_for(size_t count) noexcept nogil:
    """Room for the runs of so many transactions, none of which has run. NULL: no memory."""
    cdef Runs* runs = <Runs*>spares_take(&spare_runs)
    if runs == NULL:
        runs = <Runs*>calloc(1, sizeof(Runs))
    if runs == NULL:
        return NULL
    if count + 1 > runs.capacity:
        free(runs.run_of)
        free(runs.sharing)
        runs.run_of = <Run*>calloc(count + 1, sizeof(Run))
        runs.sharing = <uint8_t*>malloc(count + 1)
        runs.capacity = count + 1
        if runs.run_of == NULL or runs.sharing == NULL:
            runs_free(runs)
            return NULL
    runs.block += 1
    return runs


cdef enum:
    LEAD = 4                      # stretches of brief transactions that are left to the committer first: close behind others
                                  # it waits for each of them, and for what they still have in their caches
    STRETCH = 16                  # such transactions that one worker runs one after the other
    STRETCH_GAS = 400000


cdef inline void offer_early(Block* block, TxIndex before) noexcept nogil:
    """Those that begin just before a transaction, before their own turn."""
    cdef const Asked* asked = block.runs.hints.asked
    cdef TxIndex tx = asked[before - 1].early
    while tx:
        if tx >= block.scheduler.frontier():
            block.scheduler.offer(tx, tx + 1, False)
        tx = asked[tx - 1].next_early


cdef void offer_work(Block* block, TxIndex first) noexcept nogil:
    """Says what to run ahead of time, from `first` on: neighbours that are brief together, others one by one. Of as many
    stretches that are brief as there are workers one is left to the committer, and of transactions that share nothing as well:
    nobody waits for them, and to run them directly costs less."""
    cdef Scheduler* scheduler = block.scheduler
    cdef const Asked* asked = NULL
    cdef TxIndex end, most, tx
    cdef uint64_t gas
    cdef uint32_t brief = 0       # stretches
    cdef uint32_t apart = 0       # transactions
    cdef bint left
    if block.worker_count > 1:
        asked = block.runs.hints.asked
        for tx in range(1, first):
            offer_early(block, tx)
    most = max(<TxIndex>1, min(<TxIndex>STRETCH, block.count // (8 * block.worker_count)))
    while first <= block.count:
        end = first
        gas = 0
        while end <= block.count and end - first < most and (asked == NULL or not asked[end - 1].is_early):
            gas += block.txs[end - 1].gas_limit
            if block.txs[end - 1].gas_limit > BRIEF_GAS or gas > STRETCH_GAS:
                break
            end += 1
        if asked != NULL:
            for tx in range(first, max(end, first + 1)):
                offer_early(block, tx)
        if end - first > 1:
            if brief > LEAD and (brief - LEAD) % <uint32_t>block.worker_count:
                scheduler.offer(first, end, True)
            brief += 1
        else:
            end = first + 1
            left = block.sharing[first] == SHARES_NOTHING and not takes_long(block.txs[first - 1])
            apart += left
            left = left and apart % <uint32_t>block.worker_count == 0
            if not left and (asked == NULL or not asked[first - 1].is_early):
                scheduler.offer(first, end, False)
        first = end


cdef bint furnish_block(Block* block) noexcept nogil:
    """Takes what a parallel block needs. False: something is missing; the block then runs sequentially."""
    cdef Worker* w
    cdef int i, threads = block.threads
    block.store = <Store*>spares_take(&spare_stores)
    if block.store == NULL:
        block.store = new Store()
    block.scheduler = <Scheduler*>spares_take(&spare_schedulers)
    if block.scheduler == NULL:
        block.scheduler = new Scheduler()
    block.workers = <Worker**>calloc(threads, sizeof(Worker*))
    block.runs = runs_for(block.count)
    if block.workers == NULL or block.runs == NULL:
        return False
    block.run_of = block.runs.run_of
    block.sharing = block.runs.sharing
    block.alone = threads == 1 and not block.watch_all
    memset(block.sharing, <int>SHARES_SLOTS if block.watch_all else <int>MAY_SHARE, <size_t>block.count + 1)
    for i in range(threads):
        w = worker_new()
        if w == NULL:
            break
        w.block = block
        w.full = False
        w.last = w.older_last = 0
        w.machine.symbolic = False
        w.watches = (threads > 1 or block.watch_all) and machine_make_symbolic(w.machine)
        w.delays.random = block.delays * (i + 1)
        w.delays.worker = <uint32_t>i
        memset(&w.tally, 0, sizeof(Tally))
        if block.watched:
            w.tally.watch.events = new Events(min(EVENTS_EACH * <size_t>block.count + 4096, <size_t>MOST_EVENTS))
        w.machine.env = block.rules.env
        w.machine.revision = block.rules.revision
        w.machine.abort_flag = block.stop
        w.machine.deadline_ns = 0
        w.machine.tracer = NULL
        w.machine.unlimited_code_size = block.main.unlimited_code_size
        block.workers[i] = w
        block.worker_count += 1
    if block.turns:
        block.baton = new Baton(<uint32_t>block.worker_count, block.turns)
        for i in range(block.worker_count):
            block.workers[i].delays.baton = block.baton
    block.first_epoch = block.main.ws.epoch
    return block.worker_count != 0 and block.scheduler.prepare(block.count)


cdef void close_block(Block* block) noexcept nogil:
    cdef int i
    for i in range(block.worker_count):
        del block.workers[i].tally.watch.events
        worker_free(block.workers[i])
    free(block.workers)
    if block.bins != NULL:
        bins_close(block.bins)
        if not spares_give(&spare_bins, block.bins):
            bins_free(block.bins)
    del block.baton
    if block.runs != NULL and not spares_give(&spare_runs, block.runs):
        runs_free(block.runs)
    if block.store != NULL and not spares_give(&spare_stores, block.store):
        del block.store
    if block.scheduler != NULL and not spares_give(&spare_schedulers, block.scheduler):
        del block.scheduler
