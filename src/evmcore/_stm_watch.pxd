"""What the workers of a parallel block did, told to Python: times by phase, and the events of a picture."""
from evmcore._stm_block cimport Block

# Opens the block's clocks, just before its workers begin; closes them after they have ended.
cdef void clocks_open(Block* block) noexcept nogil
cdef void clocks_close(Block* block) noexcept nogil

# Threads that came to work on it.
cdef int threads_of(const Block* block)

# Nanoseconds by phase: of opening the block, and, summed over the threads that came, of what these did.
cdef dict phases_of(const Block* block)

# What `ParallelExecutor.timeline` holds; see there.
cdef tuple timeline_of(const Block* block)
