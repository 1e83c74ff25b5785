"""Joins the results of bins that count in the block's working set and output, and rolls the others back. Layer 5.

If all of the block counts, only entries that several bins have in common are joined in the block's working set. The
other changes stay in the bins' working sets, beside it, and are joined only if the end of the block asks for them. Most
of them are never moved.
"""
from evmcore._bins_block cimport Bin, Bins

# Rolls back what a bin did from the limit on.
cdef void take_back(Bins* bins, Bin* bin) noexcept nogil

# Of `BinTasks`: joins the changes of all bins in the block's working set, as far as they must be there ...
cdef void bring_state(void* self) noexcept nogil
# ... and brings everything else into its output. The limit falls to the first transaction for which the block has no
# room.
cdef void bring_results(void* self) noexcept nogil
# After both: the rest of the state, which stays beside the block's working set if `apart` says so.
cdef void settle_state(Bins* bins) noexcept nogil
