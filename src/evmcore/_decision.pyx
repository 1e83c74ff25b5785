"""Whether a block is worth several threads, and how many: decided by what blocks before it took.

What a block takes sequentially is forecast by `_forecast` from what calls of its kinds took; a few of them are timed again
now and then. What threads take is

    waking + max(sequential / threads, longest chain of transactions) + what threads add to each transaction

The last term is learnt from parallel blocks, for transactions of different lengths, and by kind of call: what shares slots
with its like adds more. Threads are used where that is clearly less than the sequential time. Where it is not, they are
tried now and then all the same, ever more seldom, while trials that were lost have cost less than a small part of all the
time spent on blocks. While a parallel block runs it is held against its forecast: one that falls behind goes on sequentially.

Beside a block on one thread the others recover the senders of later transactions, where these are not known yet.
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
    TIMED_OF_TINY = 16            # one in so many of the blocks that the header tells to be too short is looked at all the same
    REMEASURE = 64                # parallel blocks after which one runs sequentially, so that kinds stay known; ...
    SOONER = 3                    # ... the first times sooner: after an eighth as many, a quarter, half
    SHORT_NS = 40000              # what is not worth waking anybody
    WORTH_WAKING = 4              # senders to be recovered that are
    RECOVERY_NS = 25000           # of one sender
    LEAST_GAIN_NS = 30000
    GAIN_PERCENT = 95             # of the sequential time: threads that are not expected below it are left alone
    UNSURE_GAIN_NS = 600000       # the same where a good part of the block was never timed
    UNSURE_GAIN_PERCENT = 80
    WAKING_NS = 50000             # before it was measured
    FIRST_NS = 400000             # what the first block on threads takes longer: memory is not there yet
    FIRST_BLOCKS = 32             # that is divided among so many blocks that might have been the first
    OUTSET_NS = 300               # what threads add to a transaction, before any did, ...
    OUTSET_PART = 10              # ... beside this part of it
    LOSABLE_PART = 100            # of all time spent on blocks: what trials and measurements may lose ...
    GAINED_PART = 8               # ... beside this part of what threads gained
    LOSABLE_NS = 500000           # and so much at the beginning
    MOST_SAVED_NS = 20000000      # of it: a long life is no reason to lose much at once, ...
    MOST_OWED_NS = 1000000        # ... nor one great loss to learn nothing for long
    LOOKED_AT = 8                 # one in so many of the blocks that the header tells not to pay is looked at all the same

cdef Loose[uint32_t] cold         # parts of FIRST_NS that still count, 0 once a block ran on threads
cdef Estimate[10] waking          # ns until threads are at work, and what is made ready for them
cdef Estimate[160] residues       # ns that threads add to a transaction: by CHOICES and LENGTHS
cdef Patience[160] patience       # by CHOICES and the length of a block's mean transaction
cdef Estimate[16] alone           # by that length: what blocks took on one thread, in 1,024ths of what their kinds say; 0: unknown
cdef Loose[int64_t] losable       # ns that trials may lose from now on
cdef int32_t turn                 # which of the known blocks are timed here and there
cdef int32_t since_measured       # parallel blocks since one ran alone to be measured; below 0: nothing is known yet, or any more
cdef int32_t measured             # how many did, at most SOONER
cdef int32_t tiny                 # counts blocks, for TIMED_OF_TINY


# ---------------------------------------------------------------------------------------------------- what threads take

cdef void do_nothing(void* context) noexcept nogil:
    pass


cdef void measure_waking(int choice, int threads) noexcept nogil:
    """What it takes so many threads to begin and to end, threads being parked; later that is learnt from blocks. Before any
    block runs: the first one would pay for it, and for the threads being made."""
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
    """By threads, to all transactions."""
    cdef uint64_t all_ = 0
    cdef int length
    for length in range(LENGTHS):
        all_ += seen.load[length] * residues[choice * LENGTHS + length].value() // WHOLE
    return max(all_, <uint64_t>1)


cdef void learn_added(const Forecast* seen, int choice, uint64_t ratio, uint32_t weight) noexcept nogil:
    """That threads added `ratio` 1,024ths of what was expected: each length takes its part of that."""
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
    """What threads have to stay below. A forecast that rests on gas alone may be wrong by a factor of two and more."""
    cdef uint64_t percent = UNSURE_GAIN_PERCENT if unsure else GAIN_PERCENT, least = UNSURE_GAIN_NS if unsure else LEAST_GAIN_NS
    return min(sequential * percent // 100, sequential - min(sequential, least))


cdef inline bint is_unsure(const Forecast* seen, size_t count) noexcept nogil:
    return 4 * seen.unsure > count


cdef uint64_t time_alone(BlockRun run, const Forecast* seen, int threads) noexcept nogil:
    """What one thread takes beyond the recovery of senders that are missing. Beside one thread others recover them;
    before several threads begin, all do."""
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
    """What is known of blocks of this length stays what it was taken from when some were looked at."""
    cdef int length = seen.length
    forecast_all(txs, count, gas_used, seen)
    seen.length = length
    at_present_speed(seen)


cdef void learn_alone(Estimate* speed, uint64_t ratio) noexcept nogil:
    """That a block took so much on one thread. The first that is seen may have been disturbed: nothing counts for more than
    four times what its kinds say. Later on less is believed sooner than more: nothing makes a block faster than it is."""
    if speed.value() == 0:
        ratio = min(max(ratio, <uint64_t>WHOLE // 4), 4 * <uint64_t>WHOLE)
    if ratio < speed.value():
        speed.learn(ratio, 2)
    else:
        speed.step(ratio, 3)


cdef bint is_time_to_try(const Forecast* seen, int choice, uint64_t expected) noexcept nogil:
    """Whether threads are to be tried that are expected not to pay: where that may be lost, and where others were passed over
    since they were tried last."""
    cdef uint64_t loss = max(expected, seen.sequential) - seen.sequential
    # What it is held against has to be known.
    if seen.looked and alone[seen.length].value() == 0:
        return False
    # A trial that falls behind is given up.
    if losable.value() < <int64_t>min(max(loss, seen.sequential // 32), seen.sequential // 8):
        return False
    return patience[choice * LENGTHS + seen.length].passed_over()


cdef bint is_time_to_measure(const Forecast* seen, size_t count, uint64_t expected) noexcept nogil:
    """Whether a block that threads are expected to pay for is to run alone, so that what it takes is known."""
    if since_measured < 0:
        return True
    if 4 * seen.wanting <= count and (is_unsure(seen, count) or since_measured < REMEASURE >> (SOONER - measured)):
        return False                             # where most is unknown there is nothing that could be confirmed
    return losable.value() >= <int64_t>(seen.sequential - min(seen.sequential, expected))


cdef void spend(int64_t took, int64_t lost) noexcept nogil:
    """A block's time, and what was lost (below 0: gained) in comparison with the other way to execute it."""
    cdef int64_t left = losable.value() + took // LOSABLE_PART - (lost if lost > 0 else lost // GAINED_PART)
    losable.set(max(<int64_t>-MOST_OWED_NS, min(left, <int64_t>MOST_SAVED_NS)))


cdef BlockFailure run_on(ParallelExecutor executor, BlockRun run, Sequence* sequence) noexcept:
    with nogil:
        return executor.transactions(run, sequence)


cdef uint64_t time_to_begin(BlockRun run, int threads):
    """What a parallel block took until its threads were at work, as time lost by all of them."""
    if run.counters is None:
        return 0
    phases = run.counters["phases"]
    return <uint64_t>(phases["opening"] + phases["waking"] // threads)


cdef bint was_taken_back(BlockRun run):
    """Whether it ran in bins at first, and not all of that counted: where transactions meet is learnt by that, so the next time
    it is different."""
    return run.counters is not None and run.counters["runs_in_bins"] > run.counters["in_bins"]


cdef uint64_t time_running(BlockRun run):
    """What the transactions of a parallel block took, on all threads together."""
    return 0 if run.counters is None else <uint64_t>run.counters["phases"]["running"]


# ---------------------------------------------------------------------------------------------------- one thread, and a helper

cdef struct Beside:
    Sequence* sequence
    BlockFailure failure
    int32_t begun                 # threads that came


cdef void run_or_recover(void* context) noexcept nogil:
    """Who comes first runs the transactions; others find the senders of later ones meanwhile."""
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
        return type(self), (self.threads,)       # what is learnt is the process's

    cdef Executor prepare(self, BlockRun run, object block):
        cdef size_t count = run.prepared.count
        run.decision.gas_used = min(block.header.gas_used, 1 << 40)
        return self.alone if self.is_tiny(&run.decision, count) else self

    cdef bint is_tiny(self, Decision* decision, size_t count) noexcept nogil:
        """Whether the header alone says that the block is too short for threads. Then nothing of the decision is left in its
        way: some blocks are of a microsecond."""
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
        """Which choice is expected to take least, and how long."""
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
        """Why the block is to run on one thread or on those of `choice`."""
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
                    # Only threads can show that they need not wait for each other.
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
        global measured, since_measured
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
                since_measured = 0
                measured = min(measured + 1, <int32_t>SOONER)
            spend(took, max(given_up, <int64_t>0))
            if seen.looked and not is_unsure(seen, sequence.count):
                learn_alone(&alone[seen.length], <uint64_t>took * WHOLE // max(seen.raw, <uint64_t>1))
        return failure

    cdef BlockFailure run_parallel(
        self, BlockRun run, Sequence* sequence, const Forecast* seen, int choice
    ) noexcept nogil:
        global since_measured
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
            # What is final says little at first: much of what comes later has been done too. So there is some grace, less
            # of it where gain was not expected.
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
            # What it took up to there; the rest ran sequentially.
            took = run.pace.seen_ns
            done = run.pace.at[run.pace.step]
            more = max(more * run.pace.work[run.pace.step] // max(seen.sequential, <uint64_t>1), <uint64_t>1)
            shared = run.pace.work[run.pace.step] // threads
            running = 0
        extra = <uint64_t>took - min(<uint64_t>took, shared + begin)
        ratio = min(max(extra * WHOLE // more, <uint64_t>WHOLE // 4), <uint64_t>(2 if run.pace.behind else 4) * WHOLE)
        if sure and running and running < seen.sequential:
            # Transactions that run beside others take no less than alone.
            speed = &alone[seen.length]
            if speed.value() == 0:
                speed.set(WHOLE)
            speed.step(running * WHOLE // max(seen.raw, <uint64_t>1), 3)
        learn_added(seen, choice, ratio, 8 if sure else 32)
        note_on_threads(run, sequence.txs, done, seen, running, ratio if sure else 0)
        # Later than one thread, or earlier than so many can be: the forecast was wrong, and a block is measured soon.
        since_measured += 1
        if run.pace.behind and run.pace.seen_ns > 2 * run.pace.until[run.pace.step]:
            since_measured = -1
        elif run.pace.behind or (sure and not 9 * seen.sequential <= 10 * <uint64_t>took * threads <= 10 * seen.sequential * threads):
            since_measured = max(since_measured, <int32_t>REMEASURE)
        return failure


# ---------------------------------------------------------------------------------------------------- for tests

def forget():
    """Everything learnt, as in a new process."""
    global measured, since_measured, tiny, turn
    cdef int i, j
    turn = tiny = measured = 0
    cold.set(FIRST_BLOCKS)
    since_measured = -1
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
    """That calls of a function (4 bytes) of a contract (20 bytes) take so long, as if it had been seen in several blocks, and
    what threads add to them, in 1,024ths of the usual."""
    global since_measured
    cdef TxData tx
    since_measured = 0
    if len(address) != 20 or len(selector) != 4:
        raise InputError("teach: an address of 20 bytes and a selector of 4 are needed")
    memset(&tx, 0, sizeof(TxData))
    memcpy(tx.to, <const char*>address, 20)
    tx.data = <const unsigned char*>selector
    tx.data_size = 4
    teach_kind(&tx, nanoseconds, burden)


def teach_gas(uint32_t plain_ns, uint32_t kilogas_ns):
    """What a plain transfer takes, and 1,000 gas of calls of which nothing is known."""
    teach_speed(max(plain_ns, 1), max(kilogas_ns, 1))


def teach_threads(uint32_t waking_ns, uint32_t added_ns):
    """What threads take to begin, and what they add to a transaction of any length."""
    cdef int i
    cold.set(0)
    for i in range(CHOICES):
        waking[i].set(max(waking_ns, 1))
    for i in range(CHOICES * LENGTHS):
        residues[i].set(max(added_ns, 1))


def learnt():
    """What is known: nanoseconds of a plain transfer and of 1,000 gas of unknown calls, kinds of calls that are known, and
    what threads add to transactions, by choice and length."""
    cdef int i, j
    return known_kinds() | {
        "added": {(i, 256 << j): residues[i * LENGTHS + j].value() for i in range(CHOICES) for j in range(LENGTHS)},
        "waking": [waking[i].value() for i in range(CHOICES)],
        "losable": losable.value(),
    }


forget()
