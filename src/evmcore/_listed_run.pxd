"""Running the transactions of a block whose access list is given, each once, and making them final in order.

What the list cannot tell (that an empty account was cleared, that storage was wiped) makes a transaction doubtful, like
everything that is not as the list says. The first doubtful transaction ends the run by list; it and what follows are run by
the caller on the state that those before it left.
"""
from evmcore._interp cimport Machine, Status
from evmcore._listed cimport ListedBlock, ListedWorker
from evmcore._state cimport WorkingSet

# Notes which accounts were cleared by what came before the transactions (EIP-161), in the block's own working set.
cdef void listed_note_cleared(ListedBlock* block, const WorkingSet* ws) noexcept nogil

# A worker's task (`context` is the block): takes transactions until there is none left to run, and makes final what can be.
cdef void listed_work(void* context) noexcept nogil

# Whether the gas that is left is enough for the reads that are declared and have not been made.
cdef bint reads_are_payable(const ListedBlock* block) noexcept nogil

# Brings what the list says was after the frontier into the block's own working set. SUCCESS, NO_MEMORY or STATE_FAILED.
cdef Status listed_adopt(ListedBlock* block, Machine* main) noexcept nogil

cdef ListedWorker* listed_worker_new() noexcept nogil
cdef void listed_worker_free(ListedWorker* w) noexcept nogil
