"""What a parallel block reports to Python when its workers have ended: counters, and for tests what it learnt. Layer
5."""
from libc.stddef cimport size_t
from evmcore._stm_block cimport Block

# What `ParallelExecutor.counters` holds; see there. `at`: the number of final transactions.
cdef dict counters_of(const Block* block, size_t at)
# What `ParallelExecutor.learnt` holds; see there.
cdef list learnt_of(const Block* block)
