"""Who met in bins: which accounts and slots several of them touched, and from which transaction on that makes the outcome
doubtful. Layer 5.

One transaction that reads what one before it in another bin had changed is enough, or one that changes what a later one had
read there. Where balances were only added to, or paid from with enough left whoever came first, nobody met.
"""
from libc.stdint cimport uint32_t
from libcpp cimport bool as cbool
from evmcore._bins_block cimport Bins

# False: no memory.
cdef bint meetings_open(Bins* bins) noexcept nogil

# Of `BinTasks`. All bins have ended: in how many pieces accounts, and then slots, are to be looked up.
cdef void prepare_looking_up(void* self, uint32_t* accounts, uint32_t* slots) noexcept nogil
# Finds each account or slot of a piece that another bin has in common, where that matters. By any thread.
cdef void look_up(void* self, uint32_t piece, cbool slots) noexcept nogil

# When all has been looked up: the first transaction, `limit` at most, that is not known to be as in sequential execution.
# `news` counts what was learnt of who meets.
cdef uint32_t first_doubtful(Bins* bins, uint32_t limit) noexcept nogil
