"""What workers are offered to run ahead of time, in which pieces. Layer 5."""
from evmcore._stm cimport TxIndex
from evmcore._stm_block cimport Block

# Offers the block's transactions from `first` on, but for those that are better left to the committer.
cdef void offer_work(Block* block, TxIndex first) noexcept nogil
