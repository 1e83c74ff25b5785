"""How long a block's transactions will take; see `_forecast.pxd`."""
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from evmcore._block_run cimport CHECKPOINTS
from evmcore._block_steps cimport BLOCK_ENGINE_FAILED, BLOCK_OK, block_transaction
from evmcore._hints cimport hinted_path
from evmcore._interp cimport ABORTED
from evmcore._pace cimport Estimate, Kind
from evmcore._sync cimport atomic_add32, is_raised, monotonic_ns

cdef enum:
    KINDS = 4096                  # of calls that are remembered, by 12 bits of their name
    WELL_KNOWN = 4                # samples of a kind after which it is timed only now and then ...
    NOW_AND_THEN = 8              # ... once in this many
    TIMING_NS = 300               # what timing a transaction takes: two clocks and its table entries, mostly not cached
    LOOKING_NS = 100              # what examining one takes before it runs: its data is not cached either
    AT_FIRST = 32                 # transactions that are examined first
    PLAIN_LIMIT = 100000          # of gas: calls without data and with a higher limit are calls of contracts
    PLAIN_NS = 700                # before anything was measured
    KILOGAS_NS = 600
    TELLING_GAS = 1000000         # of unknown calls: a time measured over less gas counts for less
    ON_THREADS = 8                # what runs beside others takes an eighth longer
    LARGEST_LIMIT = 10000000      # of gas: higher limits are mostly not used up

cdef Kind[4096] kinds             # by callee and selector
cdef Kind[4096] functions         # by selector alone
cdef Estimate plain               # ns of a transfer without data
cdef Estimate per_kilogas         # ns per 1,000 gas beyond a transfer's, for unknown kinds
cdef int32_t phase                # counts blocks; decides which transactions are timed


cdef inline bint is_plain(const TxData* tx) noexcept nogil:
    return tx.data_size == 0 and tx.gas_limit <= PLAIN_LIMIT and not tx.is_create


cdef inline uint64_t call_name(const TxData* tx) noexcept nogil:
    """A name by callee and selector. Quick rather than well mixed: two kinds with one name only make a forecast
    worse."""
    cdef uint64_t[2] words
    words[1] = 0
    memcpy(words, tx.to, 12)
    return (words[0] ^ (words[1] << 32 | selector_of(tx)) * <uint64_t>0x9e3779b97f4a7c15) * <uint64_t>0xd6e8feb86659fd93


cdef inline uint32_t tag_of(uint64_t name) noexcept nogil:
    """Never 0, which marks an empty entry."""
    return <uint32_t>(name >> 20) | 1


cdef inline uint32_t selector_of(const TxData* tx) noexcept nogil:
    """Never 0."""
    if tx.data_size < 4:
        return 1
    return (<uint32_t>tx.data[0] << 24 | <uint32_t>tx.data[1] << 16 | <uint32_t>tx.data[2] << 8 | tx.data[3]) | 2


cdef inline uint64_t gas_beyond(const TxData* tx) noexcept nogil:
    """The most gas that a transaction may use beyond a transfer's."""
    cdef uint64_t limit = min(tx.gas_limit, <uint64_t>LARGEST_LIMIT)
    return limit - min(limit, <uint64_t>21000)


cdef inline int length_of(uint64_t nanoseconds) noexcept nogil:
    cdef int length = 0
    nanoseconds >>= 8
    while nanoseconds and length < LENGTHS - 1:
        nanoseconds >>= 1
        length += 1
    return length


cdef inline int length_class(uint64_t nanoseconds, size_t count) noexcept nogil:
    return length_of(nanoseconds // max(count, <size_t>1))


cdef uint32_t guess(const TxData* tx, Forecast* out, uint32_t* burden) noexcept nogil:
    """The sequential time of a transaction, and in `burden` its weight on threads."""
    cdef uint64_t name
    cdef Kind* kind
    burden[0] = WHOLE
    if is_plain(tx):
        return plain.value()
    name = call_name(tx)
    kind = &kinds[name >> 52]
    if kind.is_tag(tag_of(name)):
        burden[0] = kind.burden()
        if not kind.is_sure():
            out.unsure += 1
            out.wanting += 1
        if kind.has_time():
            return kind.nanoseconds()
    else:
        out.unsure += 1
        out.unknown += 1
    if not out.gas_known:
        # Another contract, but the same function.
        kind = &functions[selector_of(tx) % KINDS]
        if kind.is_tag(selector_of(tx)):
            return kind.nanoseconds()
    return plain.value() + <uint32_t>(gas_beyond(tx) * out.gas_share // WHOLE * per_kilogas.value() // 1000)


cdef void look_at(TxData** txs, size_t count, size_t stride, uint64_t gas_used, Forecast* out) noexcept nogil:
    """Examines one in `stride` transactions; if that is every one, `costs` gets the time of each, if there is
    memory."""
    cdef size_t i = 0, looked = 0
    cdef uint32_t one, burden
    cdef uint64_t limits = 0, base
    cdef uint32_t* costs = <uint32_t*>malloc(count * sizeof(uint32_t)) if stride == 1 else NULL
    memset(out, 0, sizeof(Forecast))
    out.costs = costs
    out.looked = True
    out.gas_share = WHOLE // 2
    out.gas_known = gas_used != 0
    if gas_used:
        while i < count:
            limits += gas_beyond(txs[i])
            i += stride
        limits *= stride
        base = gas_beyond_transfers(gas_used, count)
        if limits > base:
            out.gas_share = <uint32_t>(base * WHOLE // limits)
        i = 0
    while i < count:
        one = guess(txs[i], out, &burden)
        out.raw += one
        out.longest = max(out.longest, <uint64_t>one)
        out.load[length_of(one)] += burden
        if costs != NULL:
            costs[i] = one
        i += stride
        looked += 1
    out.path = out.longest
    if looked < count:
        out.raw = out.raw * count // looked
        out.unknown = <uint32_t>(out.unknown * count // looked)
        out.unsure = <uint32_t>(out.unsure * count // looked)
        out.wanting = <uint32_t>(out.wanting * count // looked)
        for i in range(<size_t>LENGTHS):
            out.load[i] = out.load[i] * count // looked
    out.sequential = out.raw
    out.length = length_class(out.raw, count)


cdef uint64_t gas_beyond_transfers(uint64_t gas_used, size_t count) noexcept nogil:
    return gas_used - min(gas_used, 21000 * <uint64_t>count)


cdef void forecast_by_gas(size_t count, uint64_t gas_used, Forecast* out) noexcept nogil:
    memset(out, 0, sizeof(Forecast))
    out.raw = out.sequential = count * plain.value() + gas_beyond_transfers(gas_used, count) * max(per_kilogas.value(), <uint32_t>500) // 500
    out.longest = out.path = out.raw // count
    out.length = length_class(out.raw, count)
    out.load[out.length] = count * WHOLE


cdef bint forecast_some(TxData** txs, size_t count, uint64_t gas_used, Forecast* out) noexcept nogil:
    cdef size_t stride = max(count // AT_FIRST, <size_t>1), affordable
    look_at(txs, count, stride, gas_used, out)
    affordable = <size_t>(out.raw // (100 * LOOKING_NS))
    if stride > 1 and affordable >= 2 * AT_FIRST:
        stride = max(count // affordable, <size_t>1)
        look_at(txs, count, stride, gas_used, out)
    return stride == 1


cdef void forecast_all(TxData** txs, size_t count, uint64_t gas_used, Forecast* out) noexcept nogil:
    look_at(txs, count, 1, gas_used, out)


cdef void forecast_end(Forecast* out) noexcept nogil:
    free(out.costs)
    out.costs = NULL


cdef uint64_t at_speed(uint64_t raw, const Forecast* seen) noexcept nogil:
    """Converts a time by kinds to the present speed of blocks."""
    return <uint64_t>(<double>raw * <double>seen.sequential / <double>max(seen.raw, <uint64_t>1))


cdef void find_path(TxData** txs, size_t count, Forecast* out) noexcept nogil:
    cdef uint64_t path = 0
    if out.costs != NULL and hinted_path(txs, <uint32_t>count, out.costs, &path):
        out.path = max(at_speed(path, out), out.longest)


cdef void set_pace(Pace* pace, size_t count, const Forecast* seen, uint64_t allowed_ns, uint64_t part) noexcept nogil:
    cdef uint64_t done = 0, mark = seen.raw // part
    pace.costs = seen.costs
    pace.raw = seen.raw
    pace.sequential = seen.sequential
    cdef size_t i
    cdef int step = 0
    if seen.costs == NULL:
        return
    for i in range(count):
        done += seen.costs[i]
        if done >= mark:
            pace.at[step] = <uint32_t>i + 1
            pace.work[step] = at_speed(done, seen)
            pace.until[step] = <int64_t>(allowed_ns + pace.work[step])
            step += 1
            mark *= 2
            if step == CHECKPOINTS:
                return


cdef BlockFailure run_timed(BlockRun run, Sequence* sequence, const Forecast* seen) noexcept nogil:
    cdef BlockFailure failure = BLOCK_OK
    cdef const TxData* tx
    cdef uint64_t name = 0, timed_gas = 0, timed_ns = 0, used
    cdef Kind* kind = NULL
    cdef int64_t start, ended = 0
    cdef uint32_t block = <uint32_t>atomic_add32(&phase, 1)
    # The start of the count is pseudo-random: blocks, and sequences of transactions within them, may repeat with the
    # same period.
    cdef uint32_t now = block * <uint32_t>0x9e3779b1 >> 16
    cdef bint known, wanted, in_turn, timed = False
    # Timing may take a hundredth of the block at most: of the forecast time, and of the time beyond the forecast.
    cdef int64_t beyond = 0, mean = <int64_t>(seen.sequential // max(sequence.count, <size_t>1))
    cdef uint64_t affordable = max(seen.sequential // (100 * TIMING_NS), <uint64_t>4)
    cdef uint32_t every = <uint32_t>(sequence.count // affordable) + 1
    while sequence.at < sequence.count and failure == BLOCK_OK:
        if is_raised(&run.stop):
            sequence.status = ABORTED
            return BLOCK_ENGINE_FAILED
        tx = sequence.txs[sequence.at]
        sequence.at += 1
        now += 1
        known = True
        in_turn = now % every == 0
        if is_plain(tx):
            wanted = now % (4 * NOW_AND_THEN) == 0
        elif not in_turn and beyond < 100 * TIMING_NS:
            wanted = False
        else:
            if not in_turn:
                beyond -= 100 * TIMING_NS
            name = call_name(tx)
            kind = &kinds[name >> 52]
            known = kind.is_tag(tag_of(name)) and kind.is_timed()
            wanted = not (known and kind.is_sure() and kind.samples() >= WELL_KNOWN) or now % NOW_AND_THEN == 0
        if not wanted:
            failure = block_transaction(run.machine, &run.rules, tx, run.output, &sequence.invalid, &sequence.status)
            timed = False
            continue
        start = ended if timed else monotonic_ns()
        failure = block_transaction(run.machine, &run.rules, tx, run.output, &sequence.invalid, &sequence.status)
        ended = monotonic_ns()
        timed = True
        beyond += ended - start - mean
        if failure != BLOCK_OK:
            break
        if is_plain(tx):
            plain.learn(<uint64_t>(ended - start), 8)
            continue
        kind.learn(tag_of(name), <uint64_t>(ended - start), block)
        functions[selector_of(tx) % KINDS].learn(selector_of(tx), <uint64_t>(ended - start), block)
        used = run.output.records[run.output.record_count - 1].result.gas_used
        if not known and used > 21000:
            timed_gas += used - 21000
            timed_ns += max(<uint64_t>(ended - start), <uint64_t>plain.value()) - plain.value()
    learn_kilogas(timed_gas, timed_ns)
    return failure


cdef void learn_kilogas(uint64_t gas, uint64_t nanoseconds) noexcept nogil:
    """Learns from calls of unknown kinds, which took `nanoseconds` for `gas` beyond a transfer's."""
    if gas >= TELLING_GAS // 16:
        per_kilogas.learn(1000 * nanoseconds // gas, <uint32_t>(4 * TELLING_GAS // min(gas, <uint64_t>TELLING_GAS)))


cdef inline uint64_t beyond_transfer(BlockRun run, size_t index) noexcept nogil:
    cdef uint64_t used = <uint64_t>run.output.records[index].result.gas_used
    return used - min(used, <uint64_t>21000)


cdef void note_on_threads(
    BlockRun run, TxData** txs, size_t count, const Forecast* seen, uint64_t running_ns, uint64_t ratio
) noexcept nogil:
    cdef uint32_t block = <uint32_t>atomic_add32(&phase, 1)
    cdef uint64_t name, gas = 0, guessed = 0, left = running_ns - running_ns // ON_THREADS
    cdef size_t i
    cdef Kind* kind
    cdef bint untimed
    # The running time that timed kinds do not account for is assigned to untimed kinds; it may include a disturbance.
    for i in range(count if running_ns and seen.costs != NULL else 0):
        name = call_name(txs[i])
        kind = &kinds[name >> 52]
        if is_plain(txs[i]) or (kind.is_tag(tag_of(name)) and kind.is_timed()):
            left -= min(left, <uint64_t>seen.costs[i])
        else:
            gas += beyond_transfer(run, i)
            guessed += seen.costs[i]
            left -= min(left, <uint64_t>plain.value())
    if 4 * guessed <= seen.raw:
        gas = 0
    elif seen.unknown:
        learn_kilogas(gas, left)
    for i in range(count):
        if is_plain(txs[i]):
            continue
        name = call_name(txs[i])
        kind = &kinds[name >> 52]
        untimed = not (kind.is_tag(tag_of(name)) and kind.is_timed())
        if kind.saw(tag_of(name), block) and ratio:
            kind.learn_burden(<uint32_t>ratio)
        if untimed and gas:
            kind.suppose(plain.value() + beyond_transfer(run, i) * left // gas)


# ---------------------------------------------------------------------------------------------------- for tests

cdef void forget_kinds() noexcept nogil:
    cdef int i
    for i in range(KINDS):
        kinds[i].forget()
        functions[i].forget()
    plain.set(PLAIN_NS)
    per_kilogas.set(KILOGAS_NS)


cdef void teach_kind(const TxData* tx, uint32_t nanoseconds, uint32_t burden) noexcept nogil:
    cdef uint64_t name = call_name(tx)
    cdef uint32_t block
    kinds[name >> 52].forget()
    for block in range(1, WELL_KNOWN + 1):
        kinds[name >> 52].learn(tag_of(name), nanoseconds, <uint32_t>atomic_add32(&phase, 1))
    kinds[name >> 52].learn_burden(burden)


cdef void teach_speed(uint32_t plain_ns, uint32_t kilogas_ns) noexcept nogil:
    plain.set(plain_ns)
    per_kilogas.set(kilogas_ns)


cdef dict known_kinds():
    known = sum([1 for i in range(KINDS) if kinds[i].is_timed()])
    return {"plain": plain.value(), "per_kilogas": per_kilogas.value(), "kinds": known}


forget_kinds()
