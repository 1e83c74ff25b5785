"""Asking for memory a little before it is needed: what one core has written reaches another one slowly."""
from evmcore._stm cimport TxIndex
from evmcore._stm_block cimport Block

# What a worker needs for the transactions after the one that it is about to run. `final`: it is the committer.
cdef void ask_for_next(const Block* block, TxIndex tx, bint final) noexcept nogil

# What the committer needs for those after the one that it is about to make final, of what other workers left of their runs.
cdef void ask_for_runs(Block* block, TxIndex tx) noexcept nogil
