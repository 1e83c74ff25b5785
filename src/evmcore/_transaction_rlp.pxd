"""The canonical encodings of transactions, read natively; what is not one is left to `transaction_rlp`. Layer 0."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t

# An RLP item, borrowed from the bytes it was read from.
cdef struct Item:
    const uint8_t* begin          # of its header
    const uint8_t* payload
    const uint8_t* end
    bint is_list

# The item at `at[0]`, which moves behind it. False: it does not end by `end`, or there is a shorter encoding.
cdef bint next_item(const uint8_t** at, const uint8_t* end, Item* item) noexcept nogil
