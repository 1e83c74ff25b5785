"""The parallel block executor; see `stm.pxd` for the design and `include/stm/` for store and scheduler."""
cimport cython
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport free

from evmcore._asking cimport ask_in_time
from evmcore._bins cimport bins_give, bins_help, bins_open, bins_run, bins_take
from evmcore._bins_trial cimport deals_out_first, is_time_for_bins, note_trial
from evmcore._block_run cimport BlockRun, Executor, Sequence, run_sequence
from evmcore._block_steps cimport BLOCK_OK, BLOCK_TRANSACTION_INVALID, BlockFailure
from evmcore._grouping cimport MOST_BINS
from evmcore._hints cimport BRIEF_GAS, give_hints, order_starts, takes_long
from evmcore._interp cimport SUCCESS
from evmcore._stm cimport (
    TxIndex, commit_alone, do_meanwhile, engine_work, kCommitting, kWaiting, pause, raise_flag, run_on_fresh_threads, wait_for_all,
)
from evmcore._stm_block cimport Block, Worker
from evmcore._stm_commit cimport publish_beginning
from evmcore._stm_furnish cimport close_block, furnish_block, prepare_store
from evmcore._stm_offer cimport offer_work
from evmcore._stm_told cimport counters_of, learnt_of
from evmcore._stm_watch cimport clocks_close, clocks_open, timeline_of
from evmcore._sync cimport is_raised, monotonic_ns
from evmcore._workers cimport run_on_workers

from evmcore.errors import InputError
from evmcore.threads import thread_count

cdef extern from "include/lines.h" namespace "evmcore" nogil:
    void* take_lines(size_t size)

cdef extern from *:
    """
    static inline uint32_t stm_fetch_add(uint32_t* p) { return __atomic_fetch_add(p, 1, __ATOMIC_ACQ_REL); }
    static inline uint32_t stm_load(const uint32_t* p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
    static inline void stm_store(uint32_t* p, uint32_t value) { __atomic_store_n(p, value, __ATOMIC_RELEASE); }
    """
    uint32_t stm_fetch_add(uint32_t* p) noexcept nogil
    uint32_t stm_load(const uint32_t* p) noexcept nogil
    void stm_store(uint32_t* p, uint32_t value) noexcept nogil


do_meanwhile(ask_in_time)

cdef enum:
    NEAR = 8                      # transactions that are examined for long ones before they begin


# ---------------------------------------------------------------------------------------------------- a thread's part

cdef enum Opening:
    NOT_YET
    IN_BINS                       # transactions run in bins; what remains of the block comes after
    BEGUN                         # the first worker has begun alone; the next one prepares what speculation needs
    OPEN
    REFUSED                       # the rest of the block, if any, runs sequentially


cdef void work(void* context) noexcept nogil:
    """One thread's part of a block. The first thread opens the block while the others are still waking up."""
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
            block.bins.watches[number].start()   # a thread that comes too late for the bins counts as having come
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
    return block.bins_always or deals_out_first(block.count)


cdef void run_in_bins(Block* block) noexcept nogil:
    """Runs the block in bins if they are likely to pay. What becomes final is the whole block, or the part before the
    first transaction that is not known to be right."""
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
        block.pace.at[block.pace.step] = 0       # the pace in bins says nothing about the pace from here on
    block.txs += final
    block.count -= final
    block.gas_used = block.output.gas_used


cdef void wait_while(const Block* block, Opening now) noexcept nogil:
    cdef unsigned int turn = 0
    while stm_load(&block.opening) == <uint32_t>now:
        turn = pause(turn)


cdef bint open_block(Block* block) noexcept nogil:
    """Prepares everything that the workers need. Another worker does the longest part as soon as it is awake; until
    then the first worker makes transactions final, as sequential execution would. False: the rest of the block, if any,
    runs sequentially."""
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
    """Runs transactions until everything is ready for the others, or the block is final. Before a long transaction, it
    makes everything ready itself."""
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
    """Prepares the store and the hints, unless another worker does so already. `ready` then says whether there was
    memory."""
    if stm_fetch_add(&block.came):
        return
    if prepare_store(block):
        block.ready = block.worker_count == 1 or give_hints(
            &block.runs.hints, block.scheduler, block.sharing, block.txs, block.count
        )
    if block.ready and block.worker_count > 1:
        order_starts(&block.runs.hints, block.scheduler, block.count, block.worker_count)
    raise_flag(&block.made_ready)


# ---------------------------------------------------------------------------------------------------- a block

cdef tuple SETTINGS = ("delays", "turns", "watch_all", "together", "bins", "bins_seed", "recording")


@cython.auto_pickle(False)
cdef class ParallelExecutor(Executor):
    """Executes a block's transactions on `threads` native threads, with the outcome of sequential execution: in bins
    where they fall apart into groups that share nothing (`_bins`), else by speculation.

    Pass an instance as `executor` to `execute_block`. `always`: speculate even where one thread, or one transaction,
    makes that pointless (for measurements). When the store is full, speculation is given up and the rest of the block
    runs sequentially from the last final transaction.

    `counters` describes the last block: how many `threads` took part; `runs` of transactions begun, of which
    `runs_in_bins` without speculation, so that `in_bins` transactions became final; `reruns` by the committer after a
    failed validation; `waits` for an unfinished transaction; `validations`; `aborts` by the cause that a validation
    found; `lazies` settled (sums that no transaction read before they were final); `bytes` of store and versions;
    `phases` (see `ParallelCounters`); `fallback`, why the block fell back to sequential execution, and `fallback_at`,
    from which transaction on.

    With `recording`, `timeline` tells what the workers of the last block did: nanoseconds in all, the number of events
    for which there was no room, and a list of events (worker, what, index of the transaction or None, begin, end,
    detail), with begin and end in nanoseconds from the start. `what` is one of `_stm_watch.DEEDS` or `woke`. The detail
    is the index of the transaction whose estimate was met, or the cause (of `_stm_told.CAUSES`) of a failed validation.
    """

    def __init__(self, threads, bint always=False):
        if self.counters is not None:             # a block may be running
            raise InputError("a ParallelExecutor is made once: make another one for other threads")
        self.threads = thread_count(threads)
        self.always = always
        self.bins = 1
        self.counters = {}
        self.learnt = []
        self.timeline = (0, 0, [])

    def __reduce__(self):
        return type(self), (self.threads, self.always), {name: getattr(self, name) for name in SETTINGS}

    def __setstate__(self, dict settings not None):
        for name in SETTINGS:
            setattr(self, name, settings[name])

    cdef bint may_bin(self, const Block* block) noexcept nogil:
        """Whether the block may run in bins: not if the caller wants accesses noted or the transactions streamed."""
        return (
            self.bins and 1 < self.threads <= MOST_BINS and block.count > 1 and not block.together
            and block.output.notes == NULL and block.output.gate == NULL
            and (self.bins > 1 or self.bins_seed != 0 or is_time_for_bins(block.count))
        )

    cdef void set_up(self, Block* block, BlockRun run, const Sequence* sequence) noexcept nogil:
        block.txs = sequence.txs
        block.count = <TxIndex>sequence.count
        block.threads = <int>min(<size_t>self.threads, sequence.count)
        block.rules = &run.rules
        block.base = &run.overlay.reader
        block.main = run.machine
        block.output = run.output
        block.gas_used = run.output.gas_used
        block.stop = &run.halt
        block.pace = &run.pace
        block.turns = self.turns
        block.delays = self.turns or self.delays
        block.watch_all = self.watch_all
        block.together = self.together or self.turns or self.watch_all
        block.watched = self.recording
        block.bins_seed = self.bins_seed
        block.bins_always = self.bins > 1
        if self.may_bin(block):
            block.bins = bins_take()
        block.failure = BLOCK_OK
        block.status = SUCCESS
        block.started = monotonic_ns()

    cdef void run_on_threads(self, Block* block, Sequence* sequence) noexcept nogil:
        """Runs the block on threads and advances `sequence.at` over the transactions that are final."""
        if self.turns:
            run_on_fresh_threads(block.threads, work, block)
        else:
            run_on_workers(block.threads, work, block)
        if block.opened or block.binned:
            clocks_close(block)
        if block.binned:
            note_trial(block.bins, <uint32_t>block.before)
        sequence.at += block.before
        if block.opened:
            sequence.at += block.scheduler.frontier() - 1
        block.refused = block.opening == REFUSED and sequence.at < sequence.count and not is_raised(block.stop)

    cdef BlockFailure transactions(self, BlockRun run, Sequence* sequence) noexcept nogil:
        cdef Block* block = <Block*>take_lines(sizeof(Block))
        cdef BlockFailure failure
        if block == NULL:
            return run_sequence(sequence)
        self.set_up(block, run, sequence)
        if self.always or (self.threads > 1 and sequence.count > 1):
            self.run_on_threads(block, sequence)
        failure = block.failure
        sequence.invalid = block.invalid
        sequence.status = block.status
        if failure == BLOCK_TRANSACTION_INVALID:
            sequence.at += 1
        with gil:
            self.counters = run.counters = counters_of(block, sequence.at)
            self.timeline = timeline_of(block)
            self.learnt = learnt_of(block) if self.watch_all and block.worker_count else []
        if block.binned and block.bins.apart:
            run.lent = block.bins
            run.reclaim = bins_give
            block.bins = NULL
        close_block(block)
        free(block)
        if failure == BLOCK_OK and sequence.at < sequence.count:
            return run_remainder(run, sequence)
        return failure


cdef BlockFailure run_remainder(BlockRun run, Sequence* sequence) noexcept nogil:
    """Runs sequentially, without threads, the transactions that the threads have left."""
    cdef size_t from_here = sequence.at
    cdef int64_t start = monotonic_ns()
    cdef BlockFailure failure = run_sequence(sequence)
    cdef int64_t took = monotonic_ns() - start
    with gil:
        run.counters["runs"] += sequence.at - from_here
        run.counters["phases"]["sequential"] = took
    return failure
