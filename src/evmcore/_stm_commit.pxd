"""Making transactions final, in order: the work of the committer, which is whichever worker holds that office."""
from evmcore._stm cimport TxIndex
from evmcore._stm_block cimport Block, Worker

# Publishes in the store, as writes of transaction `last`, everything the block has changed so far without publishing
# it: system calls and the transactions up to `last`. False: no memory, or the store is full.
cdef bint publish_beginning(Block* block, TxIndex last) noexcept nogil

# Validates the latest run of the frontier's transaction: whether its whole read set holds, now that all earlier
# transactions are final.
cdef bint stands(Worker* w, TxIndex tx) noexcept nogil

# Runs the frontier's transaction as sequential execution does, on the block's own working set. Then publishes its
# writes for the transactions that run ahead.
cdef void run_directly(Worker* w, TxIndex tx) noexcept nogil

# Settles the deltas of a transaction that stands, and writes its changes to the block's working set. False: no memory.
cdef bint bring_in(Worker* w, TxIndex tx) noexcept nogil
