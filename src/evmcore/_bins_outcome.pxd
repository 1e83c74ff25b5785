"""What counts of bins, brought together in the block's working set and output; the rest taken back. Layer 5.

Where all of the block counts, only what several bins have in common is joined in the block's working set; what else they
changed stays where it is, beside it, and is joined if what ends the block asks for it. Most of it is never moved.
"""
from evmcore._bins_block cimport Bin, Bins

# Of one bin, what it did from the limit on.
cdef void take_back(Bins* bins, Bin* bin) noexcept nogil

# Of `BinTasks`: what all bins changed, into the block's working set, as far as it has to be there ...
cdef void bring_state(void* self) noexcept nogil
# ... and everything else into its output. The limit falls to a transaction for which there is no room in the block.
cdef void bring_results(void* self) noexcept nogil
# After both: the rest of the state, beside the block's working set where `apart` says so.
cdef void settle_state(Bins* bins) noexcept nogil
