"""Scheduling hints: behind which others a transaction had better run. They change speed, never results."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from evmcore._stm cimport Scheduler
from evmcore._tx cimport TxData

cdef enum:
    BRIEF_GAS = 100000            # gas limit of a transaction that takes a few microseconds at most: it is not timed

# What a transaction likely shares with others of its block.
cdef enum Sharing:
    SHARES_NOTHING                # except balances: it may run as if there were no others
    MAY_SHARE
    SHARES_SLOTS                  # others write slots that it writes: all its slots had better count as contended
    IN_LINE                       # ... and they run one behind the other: those behind need balances too

cdef struct Place:
    uint64_t name                 # 0: the entry is free
    uint32_t tx                   # the last transaction that touched it
    uint32_t users                # how many transactions do more than pay it

cdef struct Asked:                # what a transaction touches, found by a first look: one place, or two
    uint64_t[2] names             # what it may share with others ...
    int found                     # ... the number of these names
    bint calls                    # it does more than pay, and creates nothing
    uint32_t first                # of a call: its places in the table
    uint32_t second
    uint32_t worth                # expected cost, as the gas of usual transactions that take as long
    uint32_t tried_without        # the transaction behind which it would else run, if it tries without; else 0
    uint32_t early                # the first of the transactions that begin early, just before this one ...
    uint32_t next_early           # ... and the next transaction in the list that this one is in; 0: none
    uint32_t kind                 # of calls, among those remembered
    bint warm                     # similar calls were re-executed or caused that
    bint is_early
    uint64_t before               # the worth of all transactions before it
    uint64_t path                 # ... of it and of the longest chain of transactions that wait for it

# Memory of `give_hints`, kept from block to block: fresh memory would cost more than the hints. Begins as zeros.
cdef struct HintTables:
    Place* places
    size_t place_count            # capacity, of which the latest block uses ...
    uint64_t mask                 # ... one more than this, a power of two
    Asked* asked
    size_t asked_count

# Sets in `sharing` what the transactions (from 1) likely share. Gives the scheduler, for every transaction, up to two
# earlier ones to wait for, if similar calls were re-executed nevertheless. False: no memory.
cdef bint give_hints(
    HintTables* tables, Scheduler* scheduler, uint8_t* sharing, TxData** txs, uint32_t count
) noexcept nogil
cdef void hint_tables_free(HintTables* tables) noexcept nogil

# After `give_hints`: finds the transactions that had better begin before their turn, because they, or the transactions
# that wait for them, would else still run when all others are done. Fills `early`, `next_early` and `is_early`.
cdef void order_starts(HintTables* tables, const Scheduler* scheduler, uint32_t count, uint32_t threads) noexcept nogil

# An earlier transaction that has not run yet and behind which `tx` had better run, by what this block has taught since
# `give_hints`; 0: none. Marks `tx` as sharing slots if that is likely.
cdef uint32_t behind_by_now(
    const HintTables* tables, const Scheduler* scheduler, uint8_t* sharing, TxData** txs, uint32_t tx
) noexcept nogil

# Whether similar calls took so long that two threads had better share what comes with this transaction.
cdef bint takes_long(const TxData* tx) noexcept nogil

# The outcome of a transaction.
cdef enum Outcome:
    RAN_DIRECTLY                  # and not ahead: that says nothing
    RAN_AGAIN
    STOOD
    STOOD_IN_LINE                 # behind another transaction whose writes it used
    STOOD_OUT_OF_LINE             # behind another transaction in vain
    STOOD_WITHOUT                 # without the line, not behind the transaction that would have been before it

# Remembers an outcome for later blocks. `ticks`: how long the transaction took; 0: not timed.
cdef void note_outcome(const TxData* tx, Outcome outcome, uint64_t gas_used, uint64_t ticks) noexcept nogil

# Remembers for later blocks that a transaction wrote at this place (see `_meetings`) what a later one had read before.
cdef void note_met(const TxData* tx, uint64_t place) noexcept nogil

# The expected cost of a transaction, as the gas of usual transactions that take as long.
cdef uint32_t expected_worth(const TxData* tx) noexcept nogil

# Notes that a transaction took `ticks`.
cdef void note_worth(const TxData* tx, uint64_t gas_used, uint64_t ticks) noexcept nogil

# The names, by contract and holder, of the token holders in a call. Returns 2, or 0 if it is no transfer.
cdef int holders_of(const TxData* tx, uint64_t* names) noexcept nogil

# How long the longest chain of transactions takes that the hints line up, by the cost of each. False: no memory.
cdef bint hinted_path(TxData** txs, uint32_t count, const uint32_t* cost, uint64_t* path) noexcept nogil

# For tests: forgets everything learnt.
cdef void forget_hints() noexcept nogil
