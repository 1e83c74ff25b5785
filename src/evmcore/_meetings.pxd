"""Where calls met the writes of others in earlier blocks, so that similar calls can be lined up. Layer 5.

A place is an account or a slot, given by a name that is never 0. Two bits of the name say what the call does there;
names are valid only in this process. A call that only reads a place must run behind its writers; a call that only
writes it need not wait.
"""
from libc.stdint cimport uint32_t, uint64_t
from evmcore._tx cimport TxData

cdef enum:
    MOST_PLACES = 2
    READS = 1                     # bits of a place
    WRITES = 2

# The places where a call like this likely meets others. Returns how many, at most MOST_PLACES. `trust`: how far to
# trust them (1 to 255), or NULL.
cdef int places_met(const TxData* tx, uint64_t* places, uint32_t* trust) noexcept nogil

# A name shared by similar calls: of the same function of the same contract, with the same addresses in the calldata,
# other than the sender's.
cdef uint64_t call_name(const TxData* tx) noexcept nogil

# A call found a place written by another one after it had read it (READS), or was the call that wrote it (WRITES).
cdef void note_meeting(const TxData* tx, uint64_t place) noexcept nogil

# A call ran behind another because of `places_met`, or did not wait in spite of them. `by`: what that adds to the
# trust.
cdef void note_line(const TxData* tx, int by) noexcept nogil

# For tests: forgets everything learnt.
cdef void forget_meetings() noexcept nogil
