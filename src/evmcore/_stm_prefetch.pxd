"""Prefetching memory shortly before it is needed: what one core has written reaches another core slowly."""
from evmcore._stm cimport TxIndex
from evmcore._stm_block cimport Block

# Prefetches what a worker needs for the transactions after `tx`, which it is about to run. `final`: the worker is the
# committer.
cdef void ask_for_next(const Block* block, TxIndex tx, bint final) noexcept nogil

# Prefetches what the committer needs of other workers' records, for the transactions after `tx`, which it is about to
# make final.
cdef void ask_for_runs(Block* block, TxIndex tx) noexcept nogil
