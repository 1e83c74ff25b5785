"""What counts of bins, brought together in the block's working set and output; the rest taken back. Layer 5."""
from evmcore._bins_block cimport Bin, Bins

# Of one bin, what it did from the limit on.
cdef void take_back(Bins* bins, Bin* bin) noexcept nogil

# Of `BinTasks`: what all bins changed, into the block's working set ...
cdef void bring_state(void* self) noexcept nogil
# ... and everything else into its output. The limit falls to a transaction for which there is no room in the block.
cdef void bring_results(void* self) noexcept nogil
