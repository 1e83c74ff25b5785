"""Scheduling hints: which transactions had better run behind which. They change speed, never results."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from evmcore._stm cimport Scheduler
from evmcore._tx cimport TxData

# Marks in `shared` the transactions (from 1) that likely write slots which others write too, and tells the scheduler, for
# every transaction, up to two earlier ones to wait for, where their like had to run again all the same. False: no memory.
cdef bint give_hints(Scheduler* scheduler, uint8_t* shared, TxData** txs, uint32_t count) noexcept nogil

# What became of a transaction that had run ahead: whether it had to run again. Remembered for later blocks.
cdef void note_outcome(const TxData* tx, bint again) noexcept nogil

# How long the longest chain takes of transactions that the hints line up, by the cost of each. False: no memory.
cdef bint hinted_path(TxData** txs, uint32_t count, const uint32_t* cost, uint64_t* path) noexcept nogil
