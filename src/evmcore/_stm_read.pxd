"""The state as a speculative run sees it: the store's versions from before the run's transaction, and the state below
them."""
from libc.stdint cimport uint8_t
from evmcore._stm cimport Location
from evmcore._stm_block cimport Worker
from evmcore._u256 cimport u256

# Makes `w.reader` answer for the transaction `w.tx`. With each answer, the reader's `origin` is the Location.
cdef void reader_init(Worker* w) noexcept nogil

# The location of an account, with its base known. NULL: the store is full (`w.full`), or the state cannot be read.
cdef Location* account_location(Worker* w, const uint8_t* address) noexcept nogil

# The location of a slot, with its base known: `known`, or read from the state if that is NULL. NULL as above.
cdef Location* slot_location(Worker* w, const uint8_t* address, const u256* key, const u256* known) noexcept nogil
