"""Where calls met the writes of others in blocks before this one, so that their like can be lined up. Layer 5.

A place is an account or a slot, by a name of which two bits say what the call does there, and which is never 0; the names
are the process's own. Who only reads a place must be behind those who write it, who only write it need not wait for anybody.
"""
from libc.stdint cimport uint32_t, uint64_t
from evmcore._tx cimport TxData

cdef enum:
    MOST_PLACES = 2
    READS = 1                     # bits of a place
    WRITES = 2

# The places where such a call likely meets others: how many, at most MOST_PLACES. `trust`: how far to trust that (1 to
# 255), or NULL.
cdef int places_met(const TxData* tx, uint64_t* places, uint32_t* trust) noexcept nogil

# A name for calls that are alike: of one function of one contract, with the same addresses in the calldata, but for the
# sender's.
cdef uint64_t call_name(const TxData* tx) noexcept nogil

# A call found a place written by another after it had read it (READS), or was the one that wrote it (WRITES).
cdef void note_meeting(const TxData* tx, uint64_t place) noexcept nogil

# A call ran behind another because of `places_met`, or in spite of them did not wait: what that adds to the trust.
cdef void note_line(const TxData* tx, int by) noexcept nogil

# For tests.
cdef void forget_meetings() noexcept nogil
