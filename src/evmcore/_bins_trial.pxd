"""When a block is tried in bins, by how that went for blocks of about so many transactions. Layer 5."""
from libc.stddef cimport size_t
from libc.stdint cimport uint32_t
from evmcore._bins_block cimport Bins

# Whether to try a block of so many transactions. The more often bins did not do, the more blocks are passed over.
cdef bint is_time_for_bins(size_t count) noexcept nogil

# Whether it had better be dealt out before anything is run.
cdef bint deals_out_first(size_t count) noexcept nogil

# What became of a block that ran in bins: so many of its transactions are final.
cdef void note_trial(const Bins* bins, uint32_t final) noexcept nogil

# For tests: of how it went nothing is known.
cdef void forget_trials() noexcept nogil
