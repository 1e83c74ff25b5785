"""What the workers of a parallel block did, reported to Python: times by phase, and the events of a timeline."""
from libc.stdint cimport uint64_t
from evmcore._stm cimport Watch
from evmcore._stm_block cimport Block

# Starts the block's clocks just before its workers begin; stops them after the workers have ended.
cdef void clocks_open(Block* block) noexcept nogil
cdef void clocks_close(Block* block) noexcept nogil

# The phases, each with no time.
cdef dict no_phases()

# The number of threads that came to work on the block.
cdef int threads_of(const Block* block)

# Adds the time that a worker spent on each phase; `unit`: nanoseconds per tick. Adds nothing if the worker never came.
cdef int add_phases(dict phases, const Watch* watch, uint64_t opened, uint64_t closed, double unit) except -1

# Nanoseconds by phase: of opening the block, and of the threads that came, summed over them.
cdef dict phases_of(const Block* block)

# What `ParallelExecutor.timeline` holds; see there.
cdef tuple timeline_of(const Block* block)
