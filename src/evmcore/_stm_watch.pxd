"""What the workers of a parallel block did, told to Python: times by phase, and the events of a picture."""
from libc.stdint cimport uint64_t
from evmcore._stm cimport Watch
from evmcore._stm_block cimport Block

# Opens the block's clocks, just before its workers begin; closes them after they have ended.
cdef void clocks_open(Block* block) noexcept nogil
cdef void clocks_close(Block* block) noexcept nogil

# No time for any phase.
cdef dict no_phases()

# Threads that came to work on it.
cdef int threads_of(const Block* block)

# Adds what a worker spent on each phase; `unit`: nanoseconds of a tick. Nothing, where it never came.
cdef int add_phases(dict phases, const Watch* watch, uint64_t opened, uint64_t closed, double unit) except -1

# Nanoseconds by phase: of opening the block, and, summed over the threads that came, of what these did.
cdef dict phases_of(const Block* block)

# What `ParallelExecutor.timeline` holds; see there.
cdef tuple timeline_of(const Block* block)
