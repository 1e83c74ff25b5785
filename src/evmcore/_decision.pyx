"""Whether a block is worth several threads, and how many: decided by what blocks before it took.

What a block takes sequentially is forecast from what calls of each kind (callee and selector) took when they ran
sequentially; a few of them are timed again now and then. What threads take is that work divided by their number, or the
longest chain of transactions that the hints line up, and a residue for each transaction, which is learnt from parallel
blocks for transactions of different lengths: on a machine whose second core gives nothing the residue grows until no block
seems worth it. Then a block is tried now and then, ever more seldom, and while a parallel block runs it is held against its
forecast: one that falls behind goes on sequentially.
"""
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from evmcore._block cimport (
    BLOCK_ENGINE_FAILED, BLOCK_OK, CHAINED, CHECKPOINTS, MEASURING, PAYS, PAYS_LITTLE, TOO_SHORT, TRYING, Pace, Reason,
)
from evmcore._block_steps cimport block_transaction
from evmcore._hints cimport hinted_path
from evmcore._interp cimport ABORTED
from evmcore._workers cimport run_on_workers

from evmcore.errors import InputError

cdef extern from "include/sync.h" nogil:
    int64_t monotonic_ns()
    int32_t atomic_add32(int32_t* p, int32_t v)
    bint is_raised(const uint32_t* flag)

cdef extern from "<unistd.h>" nogil:
    int sleep_us "usleep"(unsigned int microseconds)

cdef extern from "include/pace.h" namespace "evmcore" nogil:
    cppclass Estimate:
        uint32_t value()
        void set(uint32_t value)
        void learn(uint64_t sample, uint32_t weight)
    cppclass Kind:
        bint is_tag "is"(uint32_t tag)
        uint32_t nanoseconds()
        uint32_t samples()
        uint32_t blocks()
        bint was_in(uint32_t block)
        void learn(uint32_t tag, uint64_t sample, uint32_t block)
        void forget()

cdef extern from "include/pace.h" namespace "evmcore" nogil:
    cppclass Record:
        Estimate residue
        Estimate outcome
        bint was_tried()
        void begin()
        bint passed_over()
        void judge(bint paid)
        void forget()

cdef enum:
    KINDS = 4096                  # of calls that are remembered, by 12 bits of their name
    WELL_KNOWN = 4                # samples of a kind after which it is timed only now and then ...
    NOW_AND_THEN = 8              # ... once in so many, in one block out of four
    SURE = 3                      # blocks in which a kind was timed before threads are chosen by it
    CHOICES = 10                  # numbers of threads
    LENGTHS = 16                  # of transactions, by powers of two from 256 ns
    REMEASURE = 32                # parallel blocks after which one runs sequentially, so that kinds stay known
    SHORT_NS = 40000              # what is not worth waking anybody
    LEAST_GAIN_NS = 30000
    LOOKED_AT = 32                # transactions of a block, at first: from here on it is not all of them
    SMALL = 64                    # transactions of a block that mostly shows what waking takes
    WHOLE = 1024
    GAIN_PERCENT = 93             # of the sequential time: threads that are not expected below it are left alone
    PLAIN_NS = 700                # before anything was measured
    KILOGAS_NS = 150
    LARGEST_LIMIT = 10000000      # of gas: more is mostly not used
    SLACK_PERCENT = 125           # of the forecast: a parallel block that needs more for its beginning goes on sequentially

cdef Kind[4096] kinds             # by callee and selector
cdef Kind[4096] functions         # by selector alone
cdef Estimate plain               # ns of a transfer without data
cdef Estimate per_kilogas         # ns for 1,000 gas of limit beyond a transfer's, of kinds that are not known
cdef Estimate[10] waking          # ns that threads take to begin and end
cdef Record[160] records          # CHOICES times LENGTHS
cdef Estimate[16] alone           # by length: what blocks took on one thread, in 1,024ths of what was forecast
cdef int32_t turn                 # which of the known blocks are timed here and there ...
cdef int32_t phase                # ... and where
cdef int32_t parallel_blocks


# ---------------------------------------------------------------------------------------------------- forecasts

cdef bint is_plain(const TxData* tx) noexcept nogil:
    return tx.gas_limit == 21000 and tx.data_size == 0 and not tx.is_create


cdef uint64_t call_name(const TxData* tx) noexcept nogil:
    """Of callee and selector. Quick rather than well mixed: two kinds with one name only make a forecast worse."""
    cdef uint64_t[2] words
    words[1] = 0
    memcpy(words, tx.to, 12)
    return (words[0] ^ (words[1] << 32 | selector_of(tx)) * <uint64_t>0x9e3779b97f4a7c15) * <uint64_t>0xd6e8feb86659fd93


cdef uint32_t selector_of(const TxData* tx) noexcept nogil:
    """Never 0."""
    if tx.data_size < 4:
        return 1
    return (<uint32_t>tx.data[0] << 24 | <uint32_t>tx.data[1] << 16 | <uint32_t>tx.data[2] << 8 | tx.data[3]) | 2


cdef uint32_t guess(const TxData* tx, Forecast* out) noexcept nogil:
    """What a transaction takes sequentially."""
    cdef uint64_t name, limit
    cdef Kind* kind
    if is_plain(tx):
        return plain.value()
    name = call_name(tx)
    kind = &kinds[name >> 52]
    if kind.is_tag(<uint32_t>(name >> 20)):
        out.unsure += kind.blocks() < SURE
        return kind.nanoseconds()
    # Another contract, but the same function.
    out.unsure += 1
    kind = &functions[selector_of(tx) % KINDS]
    if kind.is_tag(selector_of(tx)):
        return kind.nanoseconds()
    out.unknown += 1
    limit = min(tx.gas_limit, <uint64_t>LARGEST_LIMIT)
    return plain.value() + <uint32_t>((limit - min(limit, <uint64_t>21000)) // 1000 * per_kilogas.value())


cdef void forecast(TxData** txs, size_t count, size_t stride, Forecast* out) noexcept nogil:
    """From one in `stride` transactions."""
    cdef size_t i = 0, looked = 0
    cdef uint32_t one
    memset(out, 0, sizeof(Forecast))
    while i < count:
        one = guess(txs[i], out)
        out.sequential += one
        out.longest = max(out.longest, <uint64_t>one)
        i += stride
        looked += 1
    out.sequential = out.sequential * count // looked
    out.unknown = <uint32_t>(out.unknown * count // looked)
    out.unsure = <uint32_t>(out.unsure * count // looked)
    out.path = out.longest


cdef void find_path(TxData** txs, size_t count, Forecast* out) noexcept nogil:
    cdef uint32_t* cost = <uint32_t*>malloc((count + 1) * sizeof(uint32_t))
    cdef Forecast ignored
    cdef size_t i
    memset(&ignored, 0, sizeof(Forecast))
    if cost == NULL:
        return
    for i in range(count):
        cost[i] = guess(txs[i], &ignored)
    if not hinted_path(txs, <uint32_t>count, cost, &out.path):
        out.path = out.longest
    free(cost)


cdef void do_nothing(void* context) noexcept nogil:
    pass


cdef uint32_t waking_time(int choice, int threads) noexcept nogil:
    """What it takes so many threads to begin and to end. Measured once, threads being parked; then learnt from small blocks."""
    cdef int64_t took, most = 1000
    cdef int i
    if waking[choice].value() == 0:
        run_on_workers(threads, do_nothing, NULL)
        for i in range(3):
            sleep_us(200)
            took = monotonic_ns()
            run_on_workers(threads, do_nothing, NULL)
            most = max(most, monotonic_ns() - took)
        waking[choice].set(<uint32_t>min(most, <int64_t>1000000))
    return waking[choice].value()


cdef int length_class(uint64_t sequential, size_t count) noexcept nogil:
    cdef uint64_t mean = sequential // max(count, <size_t>1)
    cdef int length = 0
    while mean >= 256 and length < LENGTHS - 1:
        mean //= 2
        length += 1
    return length


cdef bint has_paid(Record* record, int length) noexcept nogil:
    """Whether blocks took less on these threads than on one, measured by forecasts for the same kinds of calls."""
    return <uint64_t>record.outcome.value() * 100 < <uint64_t>alone[length].value() * GAIN_PERCENT


cdef uint64_t shared_work(const Forecast* seen, int threads) noexcept nogil:
    return max(seen.sequential // threads, seen.path)


cdef uint64_t with_threads(const Forecast* seen, size_t count, int choice, int threads, Record* record) noexcept nogil:
    cdef uint64_t residue
    if record.was_tried():
        residue = record.residue.value()
    else:
        residue = 500 + seen.sequential // max(count, <size_t>1) // 8       # what is usual
    return waking_time(choice, threads) + shared_work(seen, threads) + count * residue


# ---------------------------------------------------------------------------------------------------- executing

cdef BlockFailure run_timed(
    BlockRun run, TxData** txs, size_t count, size_t* at, TxInvalid* invalid, Status* status, bint all_known
) noexcept nogil:
    """Sequential execution that times a transaction here and there, and those of kinds that are not known well."""
    cdef BlockFailure failure = BLOCK_OK
    cdef const TxData* tx
    cdef uint64_t name, timed_gas = 0, timed_ns = 0, limit
    cdef uint32_t tag
    cdef Kind* kind
    cdef int64_t start
    cdef uint32_t block = <uint32_t>atomic_add32(&phase, 1), now = block
    cdef bint known
    while at[0] < count and failure == BLOCK_OK:
        if is_raised(&run.stop):
            status[0] = ABORTED
            return BLOCK_ENGINE_FAILED
        tx = txs[at[0]]
        at[0] += 1
        now += 1
        if is_plain(tx):
            if now % (4 * NOW_AND_THEN):
                failure = block_transaction(run.machine, &run.rules, tx, run.output, invalid, status)
                continue
            start = monotonic_ns()
            failure = block_transaction(run.machine, &run.rules, tx, run.output, invalid, status)
            plain.learn(<uint64_t>(monotonic_ns() - start), 8)
            continue
        if all_known and now % NOW_AND_THEN:
            failure = block_transaction(run.machine, &run.rules, tx, run.output, invalid, status)
            continue
        name = call_name(tx)
        tag = <uint32_t>(name >> 20)
        kind = &kinds[name >> 52]
        known = kind.is_tag(tag)
        if known and (kind.blocks() >= SURE or kind.was_in(block)) and kind.samples() >= WELL_KNOWN and now % NOW_AND_THEN:
            failure = block_transaction(run.machine, &run.rules, tx, run.output, invalid, status)
            continue
        start = monotonic_ns()
        failure = block_transaction(run.machine, &run.rules, tx, run.output, invalid, status)
        start = monotonic_ns() - start
        kind.learn(tag, <uint64_t>start, block)
        functions[selector_of(tx) % KINDS].learn(selector_of(tx), <uint64_t>start, block)
        limit = min(tx.gas_limit, <uint64_t>LARGEST_LIMIT)
        if not known and limit > 21000:
            timed_gas += limit - 21000
            timed_ns += max(<uint64_t>start, <uint64_t>plain.value()) - plain.value()
    if timed_gas > 1000000:
        per_kilogas.learn(1000 * timed_ns // timed_gas, 8)
    return failure


cdef void set_pace(Pace* pace, TxData** txs, size_t count, const Forecast* seen, uint64_t waking_ns) noexcept nogil:
    """Times by which parts of the block should be final, from the first eighth on."""
    cdef uint64_t done = 0, mark = seen.sequential // 8
    cdef Forecast ignored
    cdef size_t i
    cdef int step = 0
    memset(&ignored, 0, sizeof(Forecast))
    for i in range(count):
        done += guess(txs[i], &ignored)
        if done >= mark:
            pace.at[step] = <uint32_t>i + 1
            pace.work[step] = done
            pace.until[step] = <int64_t>(waking_ns + SHORT_NS + done * SLACK_PERCENT // 100)
            step += 1
            mark *= 2
            if step == CHECKPOINTS:
                return


cdef BlockFailure run_on(
    ParallelExecutor executor, BlockRun run, TxData** txs, size_t count, size_t* at, TxInvalid* invalid, Status* status
) noexcept:
    with nogil:
        return executor.transactions(run, txs, count, at, invalid, status)


cdef class ChoosingExecutor(Executor):

    def __init__(self, int threads):
        if threads < 2:
            raise InputError(f"threads: expected at least 2, got {threads}")
        self.threads = threads
        counts = [1 << power for power in range(1, CHOICES) if 2 << power <= threads] + [threads]
        self.choices = [ParallelExecutor(count) for count in counts]
        self.choice_count = len(counts)
        for choice, count in enumerate(counts):
            self.counts[choice] = count

    cdef int best(self, const Forecast* seen, size_t count, int length, uint64_t* expected) noexcept nogil:
        """Which choice is expected to take least, and how long."""
        cdef int choice, best = 0
        cdef uint64_t time
        for choice in range(self.choice_count):
            time = with_threads(seen, count, choice, self.counts[choice], &records[choice * LENGTHS + length])
            if choice == 0 or time < expected[0]:
                best = choice
                expected[0] = time
        return best

    cdef Reason look(self, TxData** txs, size_t count, Forecast* seen, int length, int* choice, uint64_t* expected) noexcept nogil:
        """Why the block is to run on one thread or on those of `choice`."""
        cdef uint64_t worth = seen.sequential * GAIN_PERCENT // 100
        cdef Record* record
        if min(seen.sequential, seen.sequential * alone[length].value() // WHOLE) < SHORT_NS:
            return TOO_SHORT
        worth = min(worth, seen.sequential - LEAST_GAIN_NS)
        choice[0] = self.best(seen, count, length, expected)
        if expected[0] < worth:
            forecast(txs, count, 1, seen)
            worth = min(seen.sequential * GAIN_PERCENT // 100, seen.sequential - min(seen.sequential, <uint64_t>LEAST_GAIN_NS))
            choice[0] = self.best(seen, count, length, expected)
        record = &records[choice[0] * LENGTHS + length]
        if expected[0] >= worth:
            if waking_time(choice[0], self.counts[choice[0]]) + shared_work(seen, self.counts[choice[0]]) >= worth:
                return TOO_SHORT
            return TRYING if record.was_tried() and record.passed_over() else PAYS_LITTLE
        find_path(txs, count, seen)
        if seen.path > seen.longest:
            choice[0] = self.best(seen, count, length, expected)
            if expected[0] >= worth:
                return CHAINED
            record = &records[choice[0] * LENGTHS + length]
        if record.was_tried() and not has_paid(record, length):
            return TRYING if record.passed_over() else PAYS_LITTLE
        if 2 * seen.unsure > count or atomic_add32(&parallel_blocks, 1) % REMEASURE == 1:
            return MEASURING
        return PAYS

    cdef BlockFailure transactions(
        self, BlockRun run, TxData** txs, size_t count, size_t* at, TxInvalid* invalid, Status* status
    ) noexcept nogil:
        cdef Forecast seen
        cdef BlockFailure failure
        cdef int64_t took
        cdef int choice = 0, length
        if count < 2:
            run.decision.reason = TOO_SHORT
            return Executor.transactions(self, run, txs, count, at, invalid, status)
        forecast(txs, count, max(count // LOOKED_AT, <size_t>1), &seen)
        length = length_class(seen.sequential, count)
        run.decision.sequential_ns = run.decision.parallel_ns = seen.sequential
        run.decision.reason = self.look(txs, count, &seen, length, &choice, &run.decision.parallel_ns)
        run.decision.path_ns = seen.path
        run.decision.threads = self.counts[choice]
        if run.decision.reason == PAYS or run.decision.reason == TRYING:
            return self.run_parallel(run, txs, count, at, invalid, status, &seen, length, choice)
        took = monotonic_ns()
        if 8 * seen.unsure <= count and atomic_add32(&turn, 1) % 4:
            failure = Executor.transactions(self, run, txs, count, at, invalid, status)
        else:
            failure = run_timed(run, txs, count, at, invalid, status, 8 * seen.unsure <= count)
        took = monotonic_ns() - took
        if failure == BLOCK_OK and seen.sequential and 4 * seen.unsure <= count:
            alone[length].learn(<uint64_t>took * WHOLE // seen.sequential, 4)
        return failure

    cdef BlockFailure run_parallel(
        self, BlockRun run, TxData** txs, size_t count, size_t* at, TxInvalid* invalid, Status* status,
        const Forecast* seen, int length, int choice,
    ) noexcept nogil:
        global parallel_blocks
        cdef Record* record = &records[choice * LENGTHS + length]
        cdef int threads = self.counts[choice]
        cdef BlockFailure failure
        cdef int64_t took = monotonic_ns()
        cdef uint64_t ideal, residue, done = count
        record.begin()
        if 4 * seen.unknown <= count:
            set_pace(&run.pace, txs, count, seen, waking_time(choice, threads))
        with gil:
            failure = run_on(<ParallelExecutor>self.choices[choice], run, txs, count, at, invalid, status)
        took = monotonic_ns() - took
        if failure != BLOCK_OK:
            return failure
        record.outcome.learn(<uint64_t>took * WHOLE // seen.sequential, 4)
        record.judge(has_paid(record, length))
        ideal = shared_work(seen, threads)
        if run.pace.behind:
            # What it took up to there; the rest ran sequentially.
            took = run.pace.seen_ns
            done = run.pace.at[run.pace.step]
            ideal = run.pace.work[run.pace.step] // threads
        if done < SMALL:
            waking[choice].learn(max(<uint64_t>took, ideal) - ideal, 8)
        ideal += waking_time(choice, threads)
        # A residue of a whole transaction says no, one of several would say no for longer than it is worth.
        residue = (max(<uint64_t>took, ideal) - ideal) // done
        record.residue.learn(min(residue, seen.sequential // count), 4)
        if run.pace.behind:
            parallel_blocks = 0                  # the next one is measured
        return failure


# ---------------------------------------------------------------------------------------------------- for tests

def forget():
    """Everything learnt, as in a new process."""
    global parallel_blocks, turn
    cdef int i
    parallel_blocks = turn = 0
    for i in range(CHOICES * LENGTHS):
        records[i].forget()
    for i in range(KINDS):
        kinds[i].forget()
        functions[i].forget()
    for i in range(CHOICES):
        waking[i].set(0)
    for i in range(LENGTHS):
        alone[i].set(WHOLE)
    plain.set(PLAIN_NS)
    per_kilogas.set(KILOGAS_NS)


def teach(bytes address not None, bytes selector not None, uint32_t nanoseconds):
    """That calls of a function (4 bytes) of a contract (20 bytes) take so long, as if it had been seen in several blocks."""
    cdef TxData tx
    cdef uint64_t name
    cdef uint32_t block
    if len(address) != 20 or len(selector) != 4:
        raise InputError("teach: an address of 20 bytes and a selector of 4 are needed")
    memset(&tx, 0, sizeof(TxData))
    memcpy(tx.to, <const char*>address, 20)
    tx.data = <const unsigned char*>selector
    tx.data_size = 4
    name = call_name(&tx)
    kinds[name >> 52].forget()
    for block in range(1, WELL_KNOWN + 1):
        kinds[name >> 52].learn(<uint32_t>(name >> 20), nanoseconds, block)


def learnt():
    """What is known: nanoseconds of a plain transfer and of 1,000 gas of unknown calls, kinds of calls that are known, and by
    choice and length of transactions the residue, None where it was not tried."""
    cdef int i, j
    cdef Record* record
    residues = []
    for i in range(CHOICES):
        for j in range(LENGTHS):
            record = &records[i * LENGTHS + j]
            if record.was_tried():
                residues.append((i, 256 << j, record.residue.value()))
    known = sum([1 for i in range(KINDS) if kinds[i].samples()])
    return {"plain": plain.value(), "per_kilogas": per_kilogas.value(), "kinds": known, "residues": residues}


forget()
