"""Meetings between bins: the accounts and slots that several bins touched, and the transaction from which on that makes
the outcome doubtful. Layer 5.

One transaction is enough that reads what an earlier one in another bin had changed, or one that changes what a later
one in another bin had read. It is no meeting if balances were only added to, or paid from with enough left whichever
transaction came first.
"""
from libc.stdint cimport uint32_t
from libcpp cimport bool as cbool
from evmcore._bins_block cimport Bins

# False: no memory.
cdef bint meetings_open(Bins* bins) noexcept nogil

# Of `BinTasks`. All bins have ended: the number of pieces in which to look up accounts, and then slots.
cdef void prepare_looking_up(void* self, uint32_t* accounts, uint32_t* slots) noexcept nogil
# Finds each account or slot of a piece that another bin has too, where that matters. Any thread may call it.
cdef void look_up(void* self, uint32_t piece, cbool slots) noexcept nogil

# After all lookups: the first transaction, `limit` at most, that is not known to be as in sequential execution. Adds to
# `news` the new bonds learnt from the meetings.
cdef uint32_t first_doubtful(Bins* bins, uint32_t limit) noexcept nogil
