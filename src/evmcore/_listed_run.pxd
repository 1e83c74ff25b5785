"""Running the transactions of a block whose access list is given, each once, and making them final in order.

A transaction is doubtful if it deviates from the list, or if it does what the list cannot tell (that an empty account
was cleared, that storage was wiped). The first doubtful transaction ends the run by the list. The caller runs it and
all later ones on the state that the transactions before it left.
"""
from evmcore._interp cimport Machine, Status
from evmcore._listed cimport ListedBlock, ListedWorker
from evmcore._state cimport WorkingSet

# Notes which accounts of the block's own working set were cleared before the transactions (EIP-161).
cdef void listed_note_cleared(ListedBlock* block, const WorkingSet* ws) noexcept nogil

# A worker's task (`context` is the block): runs transactions until none is left, and makes final what can be made
# final.
cdef void listed_work(void* context) noexcept nogil

# Whether the remaining gas suffices for the declared reads that have not been made.
cdef bint reads_are_payable(const ListedBlock* block) noexcept nogil

# Brings the state after the frontier, according to the list, into the block's own working set. SUCCESS, NO_MEMORY or
# STATE_FAILED.
cdef Status listed_adopt(ListedBlock* block, Machine* main) noexcept nogil

cdef ListedWorker* listed_worker_new() noexcept nogil
cdef void listed_worker_free(ListedWorker* w) noexcept nogil
