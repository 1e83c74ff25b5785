"""Scheduling hints: which transactions had better run behind which. They change speed, never results."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from evmcore._stm cimport Scheduler
from evmcore._tx cimport TxData

cdef enum:
    BRIEF_GAS = 100000            # limit of a transaction that takes a few microseconds at most: nobody looks how long

# What a transaction likely has in common with others of its block.
cdef enum Sharing:
    SHARES_NOTHING                # but balances: it may as well run as if there were no others
    MAY_SHARE
    SHARES_SLOTS                  # others write slots that it writes: they had better all be taken for contended
    IN_LINE                       # ... and run one behind the other: those behind want to know balances, too

cdef struct Place:
    uint64_t name                 # 0: nobody's
    uint32_t tx                   # who was the last to touch it
    uint32_t users                # how many do more than pay it

cdef struct Asked:                # what a transaction touches, by its first look: one place, or two
    uint64_t[2] names             # what it may have to share with others ...
    int found                     # ... so many of them
    bint calls                    # it does more than pay, and creates nothing
    uint32_t first                # of a call: its places
    uint32_t second
    uint32_t worth                # what it will likely take: gas of usual transactions that take as long
    uint32_t tried_without        # whom it would run behind if it were not to try without; 0: it is not
    uint32_t early                # the first of those that begin before their turn, just before this one ...
    uint32_t next_early           # ... and the next one of them that this one is; 0: none
    uint32_t kind                 # of calls, among those remembered
    bint warm                     # its like had to run again
    bint is_early
    uint64_t before               # the worth of all that come before it
    uint64_t path                 # ... of it and of the longest chain of those that wait for it

# What `give_hints` works with, kept from block to block: fresh memory would cost more than the hints. Begins as zeros.
cdef struct HintTables:
    Place* places
    size_t place_count            # room for so many, of which the latest block uses ...
    uint64_t mask                 # ... one more than this, a power of two
    Asked* asked
    size_t asked_count

# Says in `sharing` what the transactions (from 1) likely share, and tells the scheduler, for every transaction, up to two
# earlier ones to wait for, where their like had to run again all the same. False: no memory.
cdef bint give_hints(
    HintTables* tables, Scheduler* scheduler, uint8_t* sharing, TxData** txs, uint32_t count
) noexcept nogil
cdef void hint_tables_free(HintTables* tables) noexcept nogil

# After `give_hints`: who had better begin before its turn, because it and those who wait for it would else be at work when
# all others are done. Fills `early`, `next_early` and `is_early`.
cdef void order_starts(HintTables* tables, const Scheduler* scheduler, uint32_t count, uint32_t threads) noexcept nogil

# An earlier transaction that has not run yet and that one had better run behind, by what this block has taught since
# `give_hints`; 0: there is none. The one is likely to share slots where this says so.
cdef uint32_t behind_by_now(
    const HintTables* tables, const Scheduler* scheduler, uint8_t* sharing, TxData** txs, uint32_t tx
) noexcept nogil

# Whether the like of a transaction took so long that two threads had better share what comes with it.
cdef bint takes_long(const TxData* tx) noexcept nogil

# What became of a transaction.
cdef enum Outcome:
    RAN_DIRECTLY                  # and not ahead: that says nothing
    RAN_AGAIN
    STOOD
    STOOD_IN_LINE                 # behind another one whose writes it used
    STOOD_OUT_OF_LINE             # behind another one in vain
    STOOD_WITHOUT                 # without the line, beside the one that would have been before it

# Remembered for later blocks. `ticks`: how long it took; 0: nobody has looked.
cdef void note_outcome(const TxData* tx, Outcome outcome, uint64_t gas_used, uint64_t ticks) noexcept nogil

# Remembered for later blocks: what a transaction wrote there, at this place (see `_meetings`), a later one had read before.
cdef void note_met(const TxData* tx, uint64_t place) noexcept nogil

# What a transaction will likely take: gas of usual transactions that take as long.
cdef uint32_t expected_worth(const TxData* tx) noexcept nogil

# That a transaction took so many ticks.
cdef void note_worth(const TxData* tx, uint64_t gas_used, uint64_t ticks) noexcept nogil

# The holders of a token that a call names, by contract and holder: 2, or 0 where it is no transfer.
cdef int holders_of(const TxData* tx, uint64_t* names) noexcept nogil

# How long the longest chain takes of transactions that the hints line up, by the cost of each. False: no memory.
cdef bint hinted_path(TxData** txs, uint32_t count, const uint32_t* cost, uint64_t* path) noexcept nogil

# For tests: everything learnt.
cdef void forget_hints() noexcept nogil
