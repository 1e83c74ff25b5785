"""Scheduling hints: which transactions had better run behind which. They change speed, never results."""
from libc.stdint cimport uint32_t
from evmcore._stm cimport Scheduler
from evmcore._tx cimport TxData

# Tells the scheduler, for every transaction, up to two earlier ones to wait for. False: no memory.
cdef bint give_hints(Scheduler* scheduler, TxData** txs, uint32_t count) noexcept nogil

# What became of a transaction that had run ahead: whether it had to run again. Remembered for later blocks.
cdef void note_outcome(const TxData* tx, bint again) noexcept nogil
