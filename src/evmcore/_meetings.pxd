"""Where calls met the writes of others in blocks before this one, so that their like can be lined up. Layer 5.

A place is an account or a slot, by a name that is never 0; the names are the process's own.
"""
from libc.stdint cimport uint64_t
from evmcore._tx cimport TxData

cdef enum:
    MOST_PLACES = 2

# The places where such a call likely meets others: how many, at most MOST_PLACES.
cdef int places_met(const TxData* tx, uint64_t* places) noexcept nogil

# A call found a place written by others after it had read it, or was the one that wrote it.
cdef void note_meeting(const TxData* tx, uint64_t place) noexcept nogil

# A call ran behind another because of `places_met`: whether it used what the other wrote.
cdef void note_line(const TxData* tx, bint needed) noexcept nogil

# For tests.
cdef void forget_meetings() noexcept nogil
