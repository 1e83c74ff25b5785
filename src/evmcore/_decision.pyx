"""Whether a block is worth several threads, and how many: decided by how long earlier blocks took.

The sequential time of a block is forecast by `_forecast` from the times of earlier calls of the same kinds; a few calls
are timed again now and then. The time on threads is

    waking + max(sequential / threads, longest chain of transactions) + the time that threads add to each transaction

The last term is learnt from parallel blocks, by length of transaction and by kind of call: calls that share slots with
similar calls add more. Threads are used where the time on threads is clearly less than the sequential time. Where it is
not, threads are still tried now and then, ever more seldom, as long as lost trials have cost less than a small part of
all the time spent on blocks. While a parallel block runs, it is compared with its forecast: a block that falls behind
continues sequentially.

While a block runs on one thread, the other threads recover missing senders of later transactions.
"""
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from evmcore._bins_trial cimport forget_trials
from evmcore._block_run cimport (
    CHAINED, MEASURING, PAYS, PAYS_LITTLE, TOO_SHORT, TRYING, Decision, Missing, Reason, run_sequence,
)
from evmcore._block_steps cimport BLOCK_NO_SENDER, BLOCK_OK, BlockFailure
from evmcore._forecast cimport (
    LENGTHS, WHOLE, find_path, forecast_all, forecast_by_gas, forecast_end, forecast_some, forget_kinds, known_kinds,
    note_on_threads, run_timed, set_pace, teach_kind, teach_speed,
)
from evmcore._grouping cimport forget_bonds
from evmcore._hints cimport forget_hints
from evmcore._pace cimport Estimate, Loose, Patience
from evmcore._senders cimport pending_help
from evmcore._sync cimport atomic_add32, monotonic_ns
from evmcore._tx cimport TxData
from evmcore._workers cimport run_on_workers

from evmcore.errors import InputError
from evmcore.threads import thread_count

cdef extern from "<unistd.h>" nogil:
    int sleep_us "usleep"(unsigned int microseconds)

cdef enum:
    CHOICES = 10                  # numbers of threads
    TIMED_OF_TINY = 16            # one block in this skips the header's test for blocks that are too short
    REMEASURE = 64                # parallel blocks after which one runs sequentially, so that its kinds stay timed; ...
    SOONER = 3                    # ... the first times sooner: after an eighth as many, a quarter, half
    SHORT_NS = 40000              # a block this short is not worth waking a thread
    WORTH_WAKING = 4              # missing senders for which waking threads pays
    RECOVERY_NS = 25000           # of one sender
    LEAST_GAIN_NS = 30000
    GAIN_PERCENT = 95             # of the sequential time: threads are used only if expected below this
    UNSURE_GAIN_NS = 600000       # the same where a good part of the block was never timed
    UNSURE_GAIN_PERCENT = 80
    WAKING_NS = 50000             # before it was measured
    FIRST_NS = 400000             # what the first block on threads takes longer, as memory is not there yet
    FIRST_BLOCKS = 32             # that is divided among this many blocks, any of which might be the first
    OUTSET_NS = 300               # what threads add to a transaction, before any measurement, ...
    OUTSET_PART = 10              # ... beside this part of its time
    LOSABLE_PART = 100            # of all time spent on blocks: what trials and measurements may lose ...
    GAINED_PART = 8               # ... beside this part of what threads gained
    LOSABLE_NS = 500000           # and this much at the beginning
    MOST_SAVED_NS = 20000000      # of it: a long life is no reason to lose much at once, ...
    MOST_OWED_NS = 1000000        # ... and one great loss no reason to learn nothing for long
    LOOKED_AT = 8                 # one in this of the blocks that do not pay by their header is examined all the same

cdef Loose[uint32_t] cold         # parts of FIRST_NS that still count, 0 once a block ran on threads
cdef Estimate[10] waking          # ns until threads are at work, preparation included
cdef Estimate[160] residues       # ns that threads add to a transaction: by CHOICES and LENGTHS
cdef Patience[160] patience       # by CHOICES and the length of a block's mean transaction
cdef Estimate[16] alone           # by that length: time on one thread, in 1,024ths of the forecast's; 0: unknown
cdef Loose[int64_t] losable       # ns that trials may lose from now on
cdef int32_t turn                 # chooses the known blocks in which some transactions are timed
cdef Loose[int32_t] since_measured    # parallel blocks since one ran alone to be measured; below 0: nothing is known
cdef Loose[int32_t] measured          # how many were measured so, at most SOONER
cdef int32_t tiny                 # counts blocks, for TIMED_OF_TINY


# ---------------------------------------------------------------------------------------------------- what threads take

cdef void do_nothing(void* context) noexcept nogil:
    pass


cdef void measure_waking(int choice, int threads) noexcept nogil:
    """Measures how long parked threads take to begin and to end; later this is learnt from blocks. Called before any
    block runs: the first block would pay for it, and for starting the threads."""
    cdef int64_t took, least = 1000000
    cdef int i
    if waking[choice].value():
        return
    run_on_workers(threads, do_nothing, NULL)
    for i in range(3):
        sleep_us(200)
        took = monotonic_ns()
        run_on_workers(threads, do_nothing, NULL)
        least = min(least, monotonic_ns() - took)
    waking[choice].set(<uint32_t>max(least, <int64_t>1000))


cdef uint32_t waking_time(int choice) noexcept nogil:
    cdef uint32_t known = waking[choice].value()
    return known if known else WAKING_NS


cdef uint64_t shared_work(const Forecast* seen, int threads) noexcept nogil:
    return max(seen.sequential // threads, seen.path)


cdef uint64_t added(const Forecast* seen, int choice) noexcept nogil:
    """The time that threads add to all transactions."""
    cdef uint64_t all_ = 0
    cdef int length
    for length in range(LENGTHS):
        all_ += seen.load[length] * residues[choice * LENGTHS + length].value() // WHOLE
    return max(all_, <uint64_t>1)


cdef void learn_added(const Forecast* seen, int choice, uint64_t ratio, uint32_t weight) noexcept nogil:
    """Threads added `ratio` 1,024ths of what was expected; each length of transactions takes its share of the
    correction."""
    cdef uint64_t all_ = added(seen, choice), mine, now
    cdef int length
    cdef Estimate* residue
    for length in range(LENGTHS):
        residue = &residues[choice * LENGTHS + length]
        now = residue.value()
        mine = seen.load[length] * now // WHOLE
        if mine:
            residue.set(<uint32_t>max(<int64_t>20, <int64_t>now + (<int64_t>(now * ratio // WHOLE) - <int64_t>now) * <int64_t>(mine * WHOLE // all_) // WHOLE // <int64_t>weight))


cdef uint64_t worthwhile(uint64_t sequential, bint unsure) noexcept nogil:
    """The time that threads must stay below to be used. A forecast that rests on gas alone may be wrong by a factor of
    two and more."""
    cdef uint64_t percent = UNSURE_GAIN_PERCENT if unsure else GAIN_PERCENT, least = UNSURE_GAIN_NS if unsure else LEAST_GAIN_NS
    return min(sequential * percent // 100, sequential - min(sequential, least))


cdef inline bint is_unsure(const Forecast* seen, size_t count) noexcept nogil:
    return 4 * seen.unsure > count


cdef uint64_t time_alone(BlockRun run, const Forecast* seen, int threads) noexcept nogil:
    """The time on one thread, less the time of recovering missing senders on all threads. Several threads begin to execute
    after that recovery; while one thread executes, the others recover."""
    cdef uint64_t shared
    if run.missing.pending == NULL:
        return seen.sequential
    shared = (run.missing.pending.count - run.missing.found) * RECOVERY_NS // threads
    return max(seen.sequential - min(seen.sequential, shared), seen.sequential // threads)


cdef void at_present_speed(Forecast* seen) noexcept nogil:
    cdef uint64_t ratio = alone[seen.length].value()
    if ratio == 0:
        return
    seen.sequential = seen.raw * ratio // WHOLE
    seen.longest = seen.longest * ratio // WHOLE
    seen.path = seen.path * ratio // WHOLE


cdef void look_at_all(TxData** txs, size_t count, uint64_t gas_used, Forecast* seen) noexcept nogil:
    """Forecasts all transactions, but keeps the length class found by looking at some, so that what is known of blocks
    of that length still applies."""
    cdef int length = seen.length
    forecast_all(txs, count, gas_used, seen)
    seen.length = length
    at_present_speed(seen)


cdef void learn_alone(Estimate* speed, uint64_t ratio) noexcept nogil:
    """Learns the time of a block on one thread. The first sample may have been disturbed: it counts for at most four
    times what its kinds' times say. Later a faster sample is believed sooner than a slower one: a disturbance never
    makes a block faster."""
    if speed.value() == 0:
        ratio = min(max(ratio, <uint64_t>WHOLE // 4), 4 * <uint64_t>WHOLE)
    if ratio < speed.value():
        speed.learn(ratio, 2)
    else:
        speed.step(ratio, 3)


cdef bint is_time_to_try(const Forecast* seen, int choice, uint64_t expected) noexcept nogil:
    """Whether to try threads that are not expected to pay: if the possible loss is affordable, and enough other blocks
    were passed over since the last trial."""
    cdef uint64_t loss = max(expected, seen.sequential) - seen.sequential
    # The sequential time, with which the trial is compared, must be known.
    if seen.looked and alone[seen.length].value() == 0:
        return False
    # A trial that falls behind is given up, so it loses only a part.
    if losable.value() < <int64_t>min(max(loss, seen.sequential // 32), seen.sequential // 8):
        return False
    return patience[choice * LENGTHS + seen.length].passed_over()


cdef bint is_time_to_measure(const Forecast* seen, size_t count, uint64_t expected) noexcept nogil:
    """Whether a block for which threads are expected to pay runs alone, so that its time is measured."""
    if since_measured.value() < 0:
        return True
    if 4 * seen.wanting <= count and (
        is_unsure(seen, count) or since_measured.value() < REMEASURE >> (SOONER - measured.value())
    ):
        return False                             # where much is unknown, there is nothing to confirm
    return losable.value() >= <int64_t>(seen.sequential - min(seen.sequential, expected))


cdef void spend(int64_t took, int64_t lost) noexcept nogil:
    """Accounts for a block's time, and for what was lost (below 0: gained) compared with the other way to execute
    it."""
    cdef int64_t left = losable.value() + took // LOSABLE_PART - (lost if lost > 0 else lost // GAINED_PART)
    losable.set(max(<int64_t>-MOST_OWED_NS, min(left, <int64_t>MOST_SAVED_NS)))


cdef BlockFailure run_on(ParallelExecutor executor, BlockRun run, Sequence* sequence) noexcept:
    with nogil:
        return executor.transactions(run, sequence)


cdef uint64_t time_to_begin(BlockRun run, int threads):
    """How long a parallel block took until its threads were at work, as time lost by all of them."""
    if run.counters is None:
        return 0
    phases = run.counters["phases"]
    return <uint64_t>(phases["opening"] + phases["waking"] // threads)


cdef bint was_taken_back(BlockRun run):
    """Whether the block ran in bins and some of its transactions were rolled back. That taught where transactions meet,
    so the next such block will run differently."""
    return run.counters is not None and run.counters["runs_in_bins"] > run.counters["in_bins"]


cdef uint64_t time_running(BlockRun run):
    """How long the transactions of a parallel block ran, summed over all threads."""
    return 0 if run.counters is None else <uint64_t>run.counters["phases"]["running"]


# ---------------------------------------------------------------------------------------------------- one thread, and a helper

cdef struct Beside:
    Sequence* sequence
    BlockFailure failure
    int32_t begun                 # threads that came


cdef void run_or_recover(void* context) noexcept nogil:
    """The first thread to come runs the transactions; the others recover the senders of later ones meanwhile."""
    cdef Beside* beside = <Beside*>context
    if atomic_add32(&beside.begun, 1) == 1:
        beside.failure = run_sequence(beside.sequence)
    else:
        pending_help(beside.sequence.missing.pending)


cdef void run_beside(Beside* beside, int threads) noexcept nogil:
    cdef const Missing* missing = beside.sequence.missing
    beside.begun = 0
    if missing.pending == NULL or missing.pending.count - missing.found < WORTH_WAKING:
        run_or_recover(beside)
    else:
        run_on_workers(threads, run_or_recover, beside)


# ---------------------------------------------------------------------------------------------------- choosing

cdef class ChoosingExecutor(Executor):

    def __init__(self, threads):
        if self.choices is not None:              # blocks may be running
            raise InputError("a ChoosingExecutor is made once: make another one for other threads")
        threads = thread_count(threads)
        if threads < 2:
            raise InputError(f"argument 'threads': expected at least 2, got {threads}")
        self.threads = threads
        self.finds_senders = True
        self.alone = Executor()
        self.alone.threads = threads
        counts = [1 << power for power in range(1, CHOICES) if 2 << power <= threads] + [threads]
        self.choices = [ParallelExecutor(count) for count in counts]
        self.choice_count = len(counts)
        for choice, count in enumerate(counts):
            self.counts[choice] = count
            measure_waking(choice, count)

    def __reduce__(self):
        return type(self), (self.threads,)       # what was learnt belongs to the process

    cdef Executor prepare(self, BlockRun run, object block):
        cdef size_t count = run.prepared.count
        run.decision.gas_used = min(block.header.gas_used, 1 << 40)
        return self.alone if self.is_tiny(&run.decision, count) else self

    cdef bint is_tiny(self, Decision* decision, size_t count) noexcept nogil:
        """Whether the header alone says that the block is too short for threads. Such a block pays for no further part
        of the decision: some blocks take a microsecond."""
        cdef Forecast seen
        cdef uint64_t least
        if count < 2:
            decision.reason = TOO_SHORT
            return True
        if decision.gas_used == 0 or atomic_add32(&tiny, 1) % TIMED_OF_TINY == 0:
            return False
        forecast_by_gas(count, decision.gas_used, &seen)
        least = waking_time(0) + shared_work(&seen, self.counts[self.choice_count - 1])
        if seen.sequential >= SHORT_NS and least < worthwhile(seen.sequential, False):
            return False
        decision.reason = TOO_SHORT
        decision.sequential_ns = decision.path_ns = seen.sequential
        decision.parallel_ns = least
        decision.threads = self.counts[0]
        return True

    cdef int best(self, const Forecast* seen, uint64_t* expected) noexcept nogil:
        """The choice that is expected to take the least time, and that time."""
        cdef int choice, best = 0
        cdef uint64_t time
        for choice in range(self.choice_count):
            time = waking_time(choice) + shared_work(seen, self.counts[choice]) + added(seen, choice)
            if choice == 0 or time < expected[0]:
                best = choice
                expected[0] = time
        expected[0] += FIRST_NS * cold.value() // FIRST_BLOCKS
        return best

    cdef Reason look(
        self, BlockRun run, const Sequence* sequence, Forecast* seen, int* choice, uint64_t* expected
    ) noexcept nogil:
        """Whether, and why, the block is to run on one thread or on those of `choice`."""
        cdef uint64_t gas_used = run.decision.gas_used, limit
        cdef TxData** txs = sequence.txs
        cdef size_t count = sequence.count
        cdef bint whole
        if gas_used:
            forecast_by_gas(count, gas_used, seen)
            if seen.sequential < SHORT_NS:
                return TOO_SHORT
            choice[0] = self.best(seen, expected)
            limit = worthwhile(time_alone(run, seen, self.threads), False)
            if (
                expected[0] >= limit and not is_time_to_try(seen, choice[0], expected[0])
                and atomic_add32(&turn, 1) % LOOKED_AT
            ):
                return PAYS_LITTLE
        whole = forecast_some(txs, count, gas_used, seen)
        at_present_speed(seen)
        expected[0] = seen.sequential
        if seen.sequential < SHORT_NS:
            return TOO_SHORT
        choice[0] = self.best(seen, expected)
        limit = worthwhile(time_alone(run, seen, self.threads), is_unsure(seen, count))
        if not whole and expected[0] < limit:
            look_at_all(txs, count, gas_used, seen)
            choice[0] = self.best(seen, expected)
            limit = worthwhile(time_alone(run, seen, self.threads), is_unsure(seen, count))
        if expected[0] < limit:
            run.find_senders(self.threads)
            find_path(txs, count, seen)
            if seen.path > seen.longest:
                choice[0] = self.best(seen, expected)
                if expected[0] >= worthwhile(seen.sequential, is_unsure(seen, count)):
                    # Only an execution on threads can show that they need not wait for each other.
                    return TRYING if is_time_to_try(seen, choice[0], expected[0]) else CHAINED
            return MEASURING if is_time_to_measure(seen, count, expected[0]) else PAYS
        if waking_time(choice[0]) + shared_work(seen, self.counts[choice[0]]) >= worthwhile(seen.sequential, False):
            return TOO_SHORT
        if not is_unsure(seen, count) and is_time_to_try(seen, choice[0], expected[0]):
            if seen.costs == NULL:
                look_at_all(txs, count, gas_used, seen)
            return TRYING
        return PAYS_LITTLE

    cdef BlockFailure transactions(self, BlockRun run, Sequence* sequence) noexcept nogil:
        cdef Forecast seen
        cdef BlockFailure failure
        cdef int choice = 0
        cold.set(max(cold.value(), <uint32_t>1) - 1)
        run.decision.reason = self.look(run, sequence, &seen, &choice, &run.decision.parallel_ns)
        run.decision.sequential_ns = seen.sequential
        run.decision.path_ns = seen.path
        run.decision.threads = self.counts[choice]
        if run.decision.reason == PAYS or run.decision.reason == TRYING:
            failure = self.run_parallel(run, sequence, &seen, choice)
        else:
            failure = self.run_alone(run, sequence, &seen)
        forecast_end(&seen)
        return failure

    cdef BlockFailure run_alone(self, BlockRun run, Sequence* sequence, const Forecast* seen) noexcept nogil:
        cdef BlockFailure failure
        cdef Beside beside
        cdef int64_t took, given_up = 0
        if 8 * seen.unsure <= sequence.count and atomic_add32(&turn, 1) % 8:
            took = monotonic_ns()
            beside.sequence = sequence
            run_beside(&beside, self.threads)
            failure = beside.failure
            if run.missing.pending != NULL:
                took += run.missing.pending.waited
        elif run.find_senders(self.threads):
            took = monotonic_ns()
            failure = run_timed(run, sequence, seen)
        else:
            return BLOCK_NO_SENDER
        took = monotonic_ns() - took
        if failure == BLOCK_OK:
            if run.decision.reason == MEASURING:
                given_up = <int64_t>seen.sequential - <int64_t>run.decision.parallel_ns
                since_measured.set(0)
                measured.set(min(measured.value() + 1, <int32_t>SOONER))
            spend(took, max(given_up, <int64_t>0))
            if seen.looked and not is_unsure(seen, sequence.count):
                learn_alone(&alone[seen.length], <uint64_t>took * WHOLE // max(seen.raw, <uint64_t>1))
        return failure

    cdef BlockFailure run_parallel(
        self, BlockRun run, Sequence* sequence, const Forecast* seen, int choice
    ) noexcept nogil:
        cdef size_t count = sequence.count
        cdef Estimate* speed
        cdef Patience* waiting = &patience[choice * LENGTHS + seen.length]
        cdef int threads = self.counts[choice]
        cdef BlockFailure failure
        cdef int64_t took
        cdef uint64_t shared = shared_work(seen, threads), more = added(seen, choice), extra, done = count, begin, ratio, running
        cdef bint sure = not is_unsure(seen, count), trial = run.decision.reason == TRYING, taken_back
        if not run.find_senders(self.threads):
            return BLOCK_NO_SENDER
        took = monotonic_ns()
        waiting.begin()
        if 4 * seen.unknown <= count:
            # The final transactions say little at first: many later ones have run too. So the pace starts with some
            # grace, and with less where no gain was expected.
            begin = waking_time(choice) + SHORT_NS
            set_pace(&run.pace, count, seen, begin + seen.sequential // (32 if trial else 8), 16 if trial else 8)
        with gil:
            failure = run_on(<ParallelExecutor>self.choices[choice], run, sequence)
            begin = time_to_begin(run, threads)
            running = time_running(run)
            taken_back = was_taken_back(run)
        took = monotonic_ns() - took
        if failure != BLOCK_OK:
            return failure
        spend(took, took - <int64_t>seen.sequential)
        cold.set(0)
        if taken_back:
            return failure
        if trial or <uint64_t>took < seen.sequential:
            waiting.judge(<uint64_t>took < seen.sequential)
        waking[choice].step(begin, 8)
        if run.pace.behind:
            # The time up to the checkpoint; the rest ran sequentially.
            took = run.pace.seen_ns
            done = run.pace.at[run.pace.step]
            more = max(more * run.pace.work[run.pace.step] // max(seen.sequential, <uint64_t>1), <uint64_t>1)
            shared = run.pace.work[run.pace.step] // threads
            running = 0
        extra = <uint64_t>took - min(<uint64_t>took, shared + begin)
        ratio = min(max(extra * WHOLE // more, <uint64_t>WHOLE // 4), <uint64_t>(2 if run.pace.behind else 4) * WHOLE)
        if sure and running and running < seen.sequential:
            # Transactions that run beside others take at least as long as alone.
            speed = &alone[seen.length]
            if speed.value() == 0:
                speed.set(WHOLE)
            speed.step(running * WHOLE // max(seen.raw, <uint64_t>1), 3)
        learn_added(seen, choice, ratio, 8 if sure else 32)
        note_on_threads(run, sequence.txs, done, seen, running, ratio if sure else 0)
        # Slower than one thread, or faster than so many threads can be: the forecast was wrong, and a block is measured
        # soon.
        since_measured.set(since_measured.value() + 1)
        if run.pace.behind and run.pace.seen_ns > 2 * run.pace.until[run.pace.step]:
            since_measured.set(-1)
        elif run.pace.behind or (sure and not 9 * seen.sequential <= 10 * <uint64_t>took * threads <= 10 * seen.sequential * threads):
            since_measured.set(max(since_measured.value(), <int32_t>REMEASURE))
        return failure


# ---------------------------------------------------------------------------------------------------- for tests

def forget():
    """Forgets everything learnt, as in a new process."""
    global tiny, turn
    cdef int i, j
    turn = tiny = 0
    measured.set(0)
    cold.set(FIRST_BLOCKS)
    since_measured.set(-1)
    forget_kinds()
    forget_hints()
    forget_bonds()
    forget_trials()
    losable.set(LOSABLE_NS)
    for i in range(CHOICES):
        waking[i].set(0)
        for j in range(LENGTHS):
            patience[i * LENGTHS + j].forget()
            residues[i * LENGTHS + j].set(OUTSET_NS + (192 << j) // OUTSET_PART)
    for i in range(LENGTHS):
        alone[i].set(0)


def teach(bytes address not None, bytes selector not None, uint32_t nanoseconds, uint32_t burden=1024):
    """Teaches that calls of a function (4 bytes) of a contract (20 bytes) take `nanoseconds`, as if they had been seen
    in several blocks, and what threads add to them, in 1,024ths of the usual."""
    cdef TxData tx
    since_measured.set(0)
    if len(address) != 20 or len(selector) != 4:
        raise InputError("teach: an address of 20 bytes and a selector of 4 are needed")
    memset(&tx, 0, sizeof(TxData))
    memcpy(tx.to, <const char*>address, 20)
    tx.data = <const unsigned char*>selector
    tx.data_size = 4
    teach_kind(&tx, nanoseconds, burden)


def teach_gas(uint32_t plain_ns, uint32_t kilogas_ns):
    """Teaches the time of a plain transfer, and of 1,000 gas of unknown calls."""
    teach_speed(max(plain_ns, 1), max(kilogas_ns, 1))


def teach_threads(uint32_t waking_ns, uint32_t added_ns):
    """Teaches the time threads take to begin, and the time they add to a transaction of any length."""
    cdef int i
    cold.set(0)
    for i in range(CHOICES):
        waking[i].set(max(waking_ns, 1))
    for i in range(CHOICES * LENGTHS):
        residues[i].set(max(added_ns, 1))


def learnt():
    """What has been learnt: nanoseconds of a plain transfer and of 1,000 gas of unknown calls; the number of kinds of
    calls that have been timed; by choice, the time threads take to begin (0: not measured yet); by choice and length of
    transactions, the time that threads add; and the time that trials may lose from now on."""
    cdef int i, j
    return known_kinds() | {
        "added": {(i, 256 << j): residues[i * LENGTHS + j].value() for i in range(CHOICES) for j in range(LENGTHS)},
        "waking": [waking[i].value() for i in range(CHOICES)],
        "losable": losable.value(),
    }


forget()
