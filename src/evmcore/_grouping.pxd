"""Which transactions of a block belong together, so that all others can run beside them as if they did not exist. Layer
5.

Transactions form one group if they name the same sender, the same holder of a token, or a place (an account or a slot)
where similar transactions met before. Groups are dealt out to as many bins as there are threads. The grouping is a
guess; the bins' lookup of meetings checks it.
"""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from evmcore._tx cimport TxData
from evmcore._u256 cimport u256

cdef enum:
    MOST_BINS = 64

cdef struct NamedPlace:
    uint64_t name
    uint32_t tx                   # the transaction that named it first
    uint32_t block                # the number of the grouping; an entry of another one is free

cdef extern from "include/stm/bins.h" namespace "evmcore::stm" nogil:
    ctypedef struct Portion:      # neighbours in no group: the bin that has least to do runs them, in order
        uint32_t first            # of `loose`
        uint32_t end
        uint64_t worth
        uint32_t state            # begins as 0

# What `group` works with and returns; the memory is kept from block to block. Begins as zeros.
cdef struct Groups:
    NamedPlace* places
    size_t place_count            # capacity, of which the latest block uses ...
    uint64_t mask                 # ... one more than this, a power of two
    size_t named                  # places in use
    uint32_t block
    uint32_t* parent              # by transaction, from 0: a tree whose root stands for the group
    size_t parent_count
    uint32_t* worth               # of each transaction: see `_hints.expected_worth`
    size_t worth_count
    uint64_t* load                # by root: the worth of its group
    size_t load_count
    uint32_t* bin_of              # by transaction
    size_t bin_of_count
    uint32_t* order               # bin by bin, ascending in each: `order[first[b]]` to before `order[first[b + 1]]`
    size_t order_count
    uint32_t* first
    size_t first_count
    const uint32_t* loose         # behind those: transactions in no bin, ascending
    Portion* portions
    size_t portions_capacity
    uint32_t portion_count
    bint strange                  # too little is known of too many calls

# Deals the transactions out to `bins` bins, MOST_BINS at most; those before `begun` have run in the first one. False:
# that would not pay, because most belong together or too little is known of too many; or there is no room in the table
# of places, or no memory.
cdef bint group(Groups* groups, TxData** txs, uint32_t count, uint32_t bins, uint32_t begun) noexcept nogil
# For tests: deals out at random.
cdef bint group_at_random(Groups* groups, uint32_t count, uint32_t bins, uint32_t begun, uint64_t seed) noexcept nogil
cdef size_t groups_bytes(const Groups* groups, size_t count) noexcept nogil      # for `count` transactions
cdef void groups_free(Groups* groups) noexcept nogil

# Remembers for later blocks that the transactions `met`, ascending, belong together, because they met at a place.
# `slot`: NULL, an account. False: that was known, or has been noted in this block.
cdef bint note_bond(
    Groups* groups, TxData** txs, const uint32_t* met, size_t count, const uint8_t* address, const u256* slot
) noexcept nogil

# For tests: forgets everything learnt.
cdef void forget_bonds() noexcept nogil
