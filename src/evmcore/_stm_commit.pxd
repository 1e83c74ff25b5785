"""Making transactions final, in order: what the committer does, whichever worker holds that office."""
from evmcore._stm cimport TxIndex
from evmcore._stm_block cimport Block, Worker

# Puts what the block did so far (system calls, and transactions up to `last`, of which others know nothing yet) into the
# store, as done by transaction `last`. False: no memory, or the store is full.
cdef bint publish_beginning(Block* block, TxIndex last) noexcept nogil

# Whether all that the latest run of the frontier's transaction learnt is so, now that everything before it is final.
cdef bint stands(Worker* w, TxIndex tx) noexcept nogil

# Runs the frontier's transaction as sequential execution does, on the block's own working set. What was written is then
# published for those who run ahead.
cdef void run_directly(Worker* w, TxIndex tx) noexcept nogil

# Settles the deltas of a transaction that stands and writes its changes to the block's working set. False: no memory.
cdef bint bring_in(Worker* w, TxIndex tx) noexcept nogil
