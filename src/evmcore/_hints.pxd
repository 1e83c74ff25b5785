"""Scheduling hints: which transactions had better run behind which. They change speed, never results."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from evmcore._stm cimport Scheduler
from evmcore._tx cimport TxData

# What a transaction likely has in common with others of its block.
cdef enum Sharing:
    SHARES_NOTHING                # but balances: it may as well run as if there were no others
    MAY_SHARE
    SHARES_SLOTS                  # others write slots that it writes: they had better all be taken for contended

# Says in `sharing` what the transactions (from 1) likely share, and tells the scheduler, for every transaction, up to two
# earlier ones to wait for, where their like had to run again all the same. False: no memory.
cdef bint give_hints(Scheduler* scheduler, uint8_t* sharing, TxData** txs, uint32_t count) noexcept nogil

# What became of a transaction that had run ahead: whether it had to run again. Remembered for later blocks.
cdef void note_outcome(const TxData* tx, bint again) noexcept nogil

# How long the longest chain takes of transactions that the hints line up, by the cost of each. False: no memory.
cdef bint hinted_path(TxData** txs, uint32_t count, const uint32_t* cost, uint64_t* path) noexcept nogil
