"""Which transactions are offered to workers to run ahead of time, and in which stretches. Layer 5."""
from evmcore._stm cimport TxIndex
from evmcore._stm_block cimport Block

# Offers the block's transactions from `first` on, except those that are better left to the committer.
cdef void offer_work(Block* block, TxIndex first) noexcept nogil
