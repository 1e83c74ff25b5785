"""When a block is tried in bins, judged by how bins did for blocks with about as many transactions. Layer 5."""
from libc.stddef cimport size_t
from libc.stdint cimport uint32_t
from evmcore._bins_block cimport Bins

# Whether to try a block of `count` transactions. The more often bins failed, the more blocks are passed over.
cdef bint is_time_for_bins(size_t count) noexcept nogil

# Whether to deal the block out before anything runs.
cdef bint deals_out_first(size_t count) noexcept nogil

# Notes the outcome of a block that ran in bins: `final` of its transactions are final.
cdef void note_trial(const Bins* bins, uint32_t final) noexcept nogil

# For tests: forgets all trials.
cdef void forget_trials() noexcept nogil
