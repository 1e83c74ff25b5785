"""Scheduling hints from what transactions say before they run, and from the outcomes of similar calls in earlier
blocks.

Two ERC-20 transfers of one token share slots if they have a holder in common; both holders stand in the calldata. Other
calls are distinguished by callee and selector: if calls of a kind were re-executed, they share something. Shared slots
get symbols (see ops/symbolic.pxi), which mostly suffices. Calls of a kind that conflicts nevertheless are lined up
behind the transactions that they would meet at the same place (see `_meetings`). Senders need no hint: nonces are
assumed and fees are deltas.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from evmcore._growing cimport free_array, grow_array
from evmcore._keyed_hash cimport HashKey, draw_key, hash_slot
from evmcore._meetings cimport READS, WRITES, forget_meetings, note_line, note_meeting, places_met
from evmcore._pace cimport Estimate

cdef enum:
    KINDS = 4096                  # of calls that are remembered, by hash
    HOT = 48
    AGAIN = 16                    # heat that a re-execution adds ...
    FINE = 1                      # ... and that a first run that stood takes away
    MOST_HEAT = 255
    TRANSFER_GAS = 21000          # of a plain transfer, of which little is work ...
    TRANSFER_WORTH = 2000
    NEEDED = 1                    # what a run behind another transaction, in need, adds to the trust in the line ...
    IN_VAIN = -1                  # ... or, in vain, takes away ...
    NOT_NEEDED = -8               # ... and a run that stood without the line
    DOUBTED = 64                  # if the trust in a line is less ...
    TRIES = 4                     # ... one in this many of its transactions tries without it
    WORTH_MOVING = 16             # move what would begin too late by more than one part in this of the block
    MOST_WORTH = 1 << 28
    NEAR = 64                     # how far back a transaction looks for one that it has just learnt to run behind
    LONG_ALONE = 100000           # worth of a transaction for which it is better to wait until all workers are there
    LONG = 250000                 # from this worth on, a transaction does not wait by what its own block taught
    TRANSACTIONS_AHEAD = 12       # how many transactions later than the one examined are prefetched ...
    DATA_AHEAD = 6                # ... and, by then, their data ...
    LOOKED_AT = 68                # ... of which this many bytes are examined mostly
    PLACES_AHEAD = 12             # how many transactions ahead their places are prefetched
    FORGET = 4                    # one part in this of the known worth is forgotten with each shorter call of the kind
    KILOGAS_TICKS = 1024          # before anything was measured

cdef extern from "include/prefetch.h" namespace "evmcore" nogil:
    void prefetch(const void* at, size_t size)
    void prefetch_for_writing(void* at, size_t size)

cdef uint64_t LINED = <uint64_t>0x5bd1e9955bd1e994       # distinguishes the places of lines from others

cdef Estimate[4096] heat
cdef Estimate[4096] usual_worth   # what the longest of the latest calls took; 0: none was seen
cdef Estimate kilogas             # ticks per 1,024 gas, on average
kilogas.set(KILOGAS_TICKS)
cdef Estimate lined              # how many were lined up with little trust, in all blocks
cdef HashKey key
draw_key(&key)

cdef struct Queue:
    uint64_t name
    uint64_t until                # when the last transaction in it ends


cdef uint64_t name_of(const TxData* tx, const uint8_t* detail, int size) noexcept nogil:
    """A name, never 0, for something of the contract that a transaction calls."""
    cdef uint64_t[5] words
    words[0] = words[1] = words[2] = words[3] = words[4] = 0
    memcpy(words, tx.to, 20)
    memcpy(<uint8_t*>words + 20, detail, size)
    return hash_slot(key, <uint32_t>words[4], words) | 1


cdef inline bint is_selector(const TxData* tx, uint8_t a, uint8_t b, uint8_t c, uint8_t d) noexcept nogil:
    return tx.data[0] == a and tx.data[1] == b and tx.data[2] == c and tx.data[3] == d


cdef int holders_of(const TxData* tx, uint64_t* names) noexcept nogil:
    if tx.data_size >= 68 and is_selector(tx, 0xa9, 0x05, 0x9c, 0xbb):        # transfer(to, amount)
        names[0] = name_of(tx, tx.sender, 20)
        names[1] = name_of(tx, tx.data + 16, 20)
        return 2
    if tx.data_size >= 100 and is_selector(tx, 0x23, 0xb8, 0x72, 0xdd):       # transferFrom(from, to, amount)
        names[0] = name_of(tx, tx.data + 16, 20)
        names[1] = name_of(tx, tx.data + 48, 20)
        return 2
    return 0


cdef int names_of(const TxData* tx, uint64_t* names) noexcept nogil:
    """What a transaction may share with others: 0 to 2 names."""
    if tx.is_create or tx.data_size < 4:
        return 0
    if holders_of(tx, names):
        return 2
    names[0] = name_of(tx, tx.data, 4)
    return 1


cdef inline uint64_t kind_of(const TxData* tx) noexcept nogil:
    """The name of a call's kind: its callee and selector."""
    return name_of(tx, tx.data, 4) if tx.data_size >= 4 else name_of(tx, tx.data, 0)


cdef inline uint64_t work_of(const TxData* tx) noexcept nogil:
    """A name for transactions that take about the same time: a kind of calls, or creations of one size that begin
    alike."""
    if tx.is_create:
        return name_of(tx, tx.data, <int>min(tx.data_size, <size_t>20)) + tx.data_size * LINED
    return kind_of(tx)


cdef inline uint32_t heat_of(const TxData* tx) noexcept nogil:
    return 0 if tx.is_create else heat[kind_of(tx) % KINDS].value()


cdef int line_of(
    const TxData* tx, const uint64_t* names, int found, uint32_t warmth, uint64_t* line, uint32_t* trust
) noexcept nogil:
    """Places where a transaction likely meets others. Where it reads, it had better run behind the latest writer.
    `names`, `found`: of `names_of`; `trust`: how far to trust that, or NULL."""
    cdef int met = 0
    if trust != NULL:
        trust[0] = MOST_HEAT
    if warmth:
        met = places_met(tx, line, trust)
        if met == 0 and found == 2 and warmth >= HOT:
            line[0] = names[0] | READS | WRITES
            line[1] = names[1] | READS | WRITES
            met = 2
    return met


cdef inline uint64_t name_in_line(uint64_t place) noexcept nogil:
    """The name of a place among the places of a block, whether read or written."""
    return (place >> 2 ^ LINED) | 1


cdef inline bint tries_without(uint32_t trust) noexcept nogil:
    """Whether the next transaction in a line is not lined up. Otherwise a line would never prove needless: its
    transactions would all run at the frontier, none of them ahead. A line that was needed often gets no such tries: the
    transactions behind would run in vain, too."""
    if trust >= DOUBTED:
        return False
    lined.set(lined.value() + 1)
    return lined.value() % TRIES == 0


cdef inline uint64_t place_of(const Place* places, uint64_t mask, uint64_t name) noexcept nogil:
    cdef uint64_t at = name & mask
    while places[at].name != 0 and places[at].name != name:
        at = (at + 1) & mask
    return at


cdef inline bint only_pays(const TxData* tx) noexcept nogil:
    return tx.data_size == 0 and not tx.is_create


cdef inline void ask(Place* places, uint64_t mask, const TxData* tx, Asked* asked) noexcept nogil:
    """Counts a call as a user of two token holders, or of its callee."""
    cdef uint64_t name
    if asked.found == 2:
        asked.first = <uint32_t>place_of(places, mask, asked.names[0])
        asked.second = <uint32_t>place_of(places, mask, asked.names[1])
    else:
        name = name_of(tx, tx.data, 0)
        asked.first = asked.second = <uint32_t>place_of(places, mask, name)
        places[asked.first].name = name
    places[asked.first].users += 1
    if asked.second != asked.first:
        places[asked.second].users += 1


cdef bint room_for_asked(HintTables* tables, size_t count) noexcept nogil:
    """Room for `count` transactions. False: no memory."""
    return grow_array(<void**>&tables.asked, &tables.asked_count, count, sizeof(Asked), False, NULL)


cdef bint room_for_places(HintTables* tables, size_t calls) noexcept nogil:
    """Empty places for `calls` calls, each of which names four at most. False: no memory."""
    cdef size_t places = 64
    while places < 8 * calls:
        places *= 2
    if not grow_array(<void**>&tables.places, &tables.place_count, places, sizeof(Place), False, NULL):
        return False
    tables.mask = places - 1
    memset(tables.places, 0, places * sizeof(Place))
    return True


cdef void hint_tables_free(HintTables* tables) noexcept nogil:
    free_array(tables.places)
    free_array(tables.asked)


cdef inline uint64_t work_in(uint64_t gas) noexcept nogil:
    return gas - min(gas, <uint64_t>TRANSFER_GAS) + TRANSFER_WORTH


cdef inline uint32_t worth_of(const TxData* tx, uint64_t work) noexcept nogil:
    """The expected worth of a transaction: that of similar ones, or half of what its gas limit would be worth."""
    cdef uint32_t usual
    if only_pays(tx):
        return TRANSFER_WORTH
    usual = usual_worth[work % KINDS].value()
    return usual if usual else <uint32_t>min(work_in(tx.gas_limit) // 2, <uint64_t>MOST_WORTH)


cdef uint32_t expected_worth(const TxData* tx) noexcept nogil:
    return worth_of(tx, 0 if only_pays(tx) else work_of(tx))


cdef size_t look_at(Asked* asked, TxData** txs, uint32_t count) noexcept nogil:
    """Reads what the transactions say of themselves. Returns how many of them are calls."""
    cdef size_t calls = 0
    cdef uint64_t kind
    cdef uint32_t i
    for i in range(count):
        if i + TRANSACTIONS_AHEAD < count:
            prefetch(txs[i + TRANSACTIONS_AHEAD], sizeof(TxData))
        if i + DATA_AHEAD < count:
            prefetch(txs[i + DATA_AHEAD].data, min(txs[i + DATA_AHEAD].data_size, <size_t>LOOKED_AT))
        kind = 0 if txs[i].is_create else kind_of(txs[i])
        asked[i].kind = kind % KINDS
        asked[i].found = names_of(txs[i], asked[i].names)
        asked[i].calls = txs[i].data_size != 0 and not txs[i].is_create
        asked[i].warm = not txs[i].is_create and heat[asked[i].kind].value() != 0
        asked[i].tried_without = 0
        asked[i].worth = worth_of(txs[i], work_of(txs[i]) if txs[i].is_create else kind)
        calls += asked[i].calls
    return calls


cdef inline void ask_for_places(const HintTables* tables, uint32_t tx, uint32_t count) noexcept nogil:
    """Prefetches the places of a call that comes a little later: if the table is large, they are not cached."""
    cdef const Asked* asked = &tables.asked[min(tx + PLACES_AHEAD, count) - 1]
    if asked.found == 2:
        prefetch_for_writing(&tables.places[asked.names[0] & tables.mask], sizeof(Place))
        prefetch_for_writing(&tables.places[asked.names[1] & tables.mask], sizeof(Place))


cdef inline void line_up(
    const HintTables* tables, Scheduler* scheduler, uint8_t* sharing, const TxData* data, uint32_t tx
) noexcept nogil:
    """Notes what a transaction names, and which earlier transactions it should wait for."""
    cdef Asked* asked = &tables.asked[tx - 1]
    cdef Place* places = tables.places
    cdef uint64_t[2] line
    cdef uint64_t mask = tables.mask, at
    cdef uint32_t trust
    cdef int i, places_lined
    cdef bint tries
    for i in range(asked.found):
        at = place_of(places, mask, asked.names[i])
        if places[at].tx and places[at].tx != tx:
            sharing[tx] = SHARES_SLOTS
            sharing[places[at].tx] = max(sharing[places[at].tx], <uint8_t>SHARES_SLOTS)
        places[at].name = asked.names[i]
        places[at].tx = tx
    places_lined = line_of(data, asked.names, asked.found, heat[asked.kind].value(), line, &trust)
    tries = places_lined and tries_without(trust)
    for i in range(places_lined):
        at = place_of(places, mask, name_in_line(line[i]))
        if line[i] & READS and places[at].tx and places[at].tx != tx:
            sharing[tx] = sharing[places[at].tx] = IN_LINE
            if tries:
                asked.tried_without = max(asked.tried_without, places[at].tx)
            else:
                scheduler.hint(tx, i, places[at].tx)
        if line[i] & WRITES:
            places[at].name = name_in_line(line[i])
            places[at].tx = tx


cdef inline bint is_apart(const HintTables* tables, const TxData* data, const Asked* asked) noexcept nogil:
    """Whether no other transaction calls or pays what it names."""
    cdef const Place* places = tables.places
    if asked.calls:
        return places[asked.first].users == 1 and places[asked.second].users == 1
    return places[place_of(places, tables.mask, name_of(data, data.data, 0))].users == 0


cdef bint give_hints(
    HintTables* tables, Scheduler* scheduler, uint8_t* sharing, TxData** txs, uint32_t count
) noexcept nogil:
    cdef Asked* asked
    cdef size_t calls
    cdef uint32_t tx
    if not room_for_asked(tables, count):
        return False
    asked = tables.asked
    calls = look_at(asked, txs, count)
    if not room_for_places(tables, calls):
        return False
    if calls:
        for tx in range(1, count + 1):
            ask_for_places(tables, tx, count)
            if asked[tx - 1].found == 2 or asked[tx - 1].warm:
                line_up(tables, scheduler, sharing, txs[tx - 1], tx)
            if asked[tx - 1].calls:
                ask(tables.places, tables.mask, txs[tx - 1], &asked[tx - 1])
    for tx in range(1, count + 1):
        if (
            sharing[tx] == MAY_SHARE and not txs[tx - 1].is_create and not asked[tx - 1].warm
            and (calls == 0 or is_apart(tables, txs[tx - 1], &asked[tx - 1]))
        ):
            sharing[tx] = SHARES_NOTHING
    return True


cdef uint32_t beginning_at(const Asked* asked, uint32_t most, uint64_t worth) noexcept nogil:
    """The first transaction, `most` at the latest, before which there is at least `worth` to do."""
    cdef uint32_t low = 1, middle
    while low < most:
        middle = low + (most - low) // 2
        if asked[middle - 1].before >= worth:
            most = middle
        else:
            low = middle + 1
    return most


cdef inline bint is_lined(const Scheduler* scheduler, uint32_t tx) noexcept nogil:
    return scheduler.hinted(tx, 0) != 0 or scheduler.hinted(tx, 1) != 0


cdef void order_starts(HintTables* tables, const Scheduler* scheduler, uint32_t count, uint32_t threads) noexcept nogil:
    """Each transaction would begin when the threads have shared what comes before it. If its chain would then end later
    than everything else, it begins earlier by that much, unless it is likely to meet others that are not known."""
    cdef Asked* asked = tables.asked
    cdef uint64_t total = 0, end = 0, margin, latest
    cdef uint32_t tx, behind, at
    cdef int i
    for tx in range(1, count + 1):
        asked[tx - 1].before = total
        asked[tx - 1].path = 0
        asked[tx - 1].early = asked[tx - 1].next_early = 0
        asked[tx - 1].is_early = False
        total += asked[tx - 1].worth
    for tx in range(count, 0, -1):
        asked[tx - 1].path += asked[tx - 1].worth
        end = max(end, asked[tx - 1].path)
        for i in range(2):
            behind = scheduler.hinted(tx, i)
            if behind:
                asked[behind - 1].path = max(asked[behind - 1].path, asked[tx - 1].path)
    end = max(end, total // threads)
    margin = end // WORTH_MOVING
    for tx in range(count, 0, -1):
        latest = end - asked[tx - 1].path
        if asked[tx - 1].before // threads <= latest + margin:
            continue
        if asked[tx - 1].warm and asked[tx - 1].path == asked[tx - 1].worth and not is_lined(scheduler, tx):
            continue
        at = beginning_at(asked, tx, latest * threads)
        if at < tx:
            asked[tx - 1].is_early = True
            asked[tx - 1].next_early = asked[at - 1].early
            asked[at - 1].early = tx


cdef bint writes_what_is_read(const uint64_t* places, int count, const TxData* other) noexcept nogil:
    """Whether another call likely writes one of the places that are read here."""
    cdef uint64_t[2] others
    cdef int i, j
    for i in range(places_met(other, others, NULL)):
        for j in range(count):
            if others[i] & WRITES and places[j] & READS and name_in_line(others[i]) == name_in_line(places[j]):
                return True
    return False


cdef uint32_t behind_by_now(
    const HintTables* tables, const Scheduler* scheduler, uint8_t* sharing, TxData** txs, uint32_t tx
) noexcept nogil:
    cdef const Asked* asked = tables.asked
    cdef const TxData* data = txs[tx - 1]
    cdef uint64_t[2] places
    cdef uint32_t before, first
    cdef int count
    if data.is_create or asked[tx - 1].warm or heat[asked[tx - 1].kind].value() == 0:
        return 0
    count = places_met(data, places, NULL)
    if count == 0:
        return 0
    sharing[tx] = max(sharing[tx], <uint8_t>SHARES_SLOTS)
    if asked[tx - 1].worth >= LONG:
        return 0
    first = scheduler.frontier()
    before = tx - 1
    while before >= first and tx - before <= NEAR:
        if (
            not txs[before - 1].is_create and heat[asked[before - 1].kind].value()
            and writes_what_is_read(places, count, txs[before - 1])
        ):
            return 0 if scheduler.has_run(before) else before
        before -= 1
    return 0


cdef bint takes_long(const TxData* tx) noexcept nogil:
    return not tx.is_create and usual_worth[kind_of(tx) % KINDS].value() >= LONG_ALONE


cdef void learn_worth(Estimate* usual, uint64_t gas_used, uint64_t ticks) noexcept nogil:
    """Among calls of different cost, the longest counts, for a while: beginning too early costs less than beginning too
    late. But a run may also take long because it was disturbed, or because its code is new."""
    cdef uint64_t work = work_in(gas_used), seen = work
    cdef uint32_t now = usual.value()
    if ticks:
        kilogas.learn(ticks * 1024 // work, 64)
        seen = min(ticks * 1024 // max(kilogas.value(), <uint32_t>1), 2 * <uint64_t>now if now else 4 * work)
    usual.set(<uint32_t>min(max(seen, <uint64_t>(now - now // FORGET)), <uint64_t>MOST_WORTH))


cdef void note_worth(const TxData* tx, uint64_t gas_used, uint64_t ticks) noexcept nogil:
    if not only_pays(tx):
        learn_worth(&usual_worth[work_of(tx) % KINDS], gas_used, ticks)


cdef void note_outcome(const TxData* tx, Outcome outcome, uint64_t gas_used, uint64_t ticks) noexcept nogil:
    cdef uint64_t kind
    cdef uint32_t now
    if tx.is_create:
        learn_worth(&usual_worth[work_of(tx) % KINDS], gas_used, ticks)
        return
    kind = kind_of(tx) % KINDS
    now = heat[kind].value()
    if outcome == RAN_AGAIN:
        heat[kind].set(min(<uint32_t>MOST_HEAT, now + <uint32_t>AGAIN))
    elif outcome == STOOD and now:
        heat[kind].set(now - FINE)
    elif outcome == STOOD_IN_LINE:
        note_line(tx, NEEDED)
    elif outcome == STOOD_OUT_OF_LINE:
        note_line(tx, IN_VAIN)
    elif outcome == STOOD_WITHOUT:
        note_line(tx, NOT_NEEDED)
    if not only_pays(tx):
        learn_worth(&usual_worth[kind], gas_used, ticks)


cdef void note_met(const TxData* tx, uint64_t place) noexcept nogil:
    """From now on, calls like this one are treated as if they had been re-executed: a transaction that is to wait for
    them must find them."""
    cdef uint64_t kind
    if tx.is_create:
        return
    kind = kind_of(tx) % KINDS
    heat[kind].set(max(heat[kind].value(), <uint32_t>AGAIN))
    note_meeting(tx, place)


cdef bint hinted_path(TxData** txs, uint32_t count, const uint32_t* cost, uint64_t* path) noexcept nogil:
    cdef uint64_t[2] names
    cdef uint64_t[2] line
    cdef uint64_t[2] at
    cdef uint64_t size = 64, ready, name
    cdef uint32_t tx, warmth, trust
    cdef int i, found
    cdef Queue* queues
    path[0] = 0
    while size < 4 * <uint64_t>count:
        size *= 2
    queues = <Queue*>calloc(size, sizeof(Queue))
    if queues == NULL:
        return False
    for tx in range(count):
        ready = 0
        warmth = heat_of(txs[tx])
        found = 0
        if warmth:
            found = line_of(txs[tx], names, names_of(txs[tx], names), warmth, line, &trust)
            if trust < DOUBTED:
                found = 0                        # some try without that line: soon it is known if it is needed
        for i in range(found):
            name = name_in_line(line[i])
            at[i] = name & (size - 1)
            while queues[at[i]].name != 0 and queues[at[i]].name != name:
                at[i] = (at[i] + 1) & (size - 1)
            queues[at[i]].name = name
            if line[i] & READS:
                ready = max(ready, queues[at[i]].until)
        ready += cost[tx]
        for i in range(found):
            if line[i] & WRITES:
                queues[at[i]].until = max(queues[at[i]].until, ready)
        path[0] = max(path[0], ready)
    free(queues)
    return True


cdef void forget_hints() noexcept nogil:
    cdef int i
    for i in range(KINDS):
        heat[i].set(0)
        usual_worth[i].set(0)
    kilogas.set(KILOGAS_TICKS)
    lined.set(0)
    forget_meetings()
