"""A block's transactions run directly on several threads, where they fall apart into groups (`_grouping`). Layer 5.

Each thread runs one bin of groups, in order, on a working set of its own, as sequential execution would: nothing is recorded
for each transaction, nobody reads what others write. When all have ended it is looked up in the working sets whether any
transaction touched what one before it in another bin had changed. Up to the first that did, all is as in sequential
execution: later ones are taken back, and what remains is brought together in the block's own working set.
"""
from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t
from evmcore._bins_block cimport Bins
from evmcore._block_steps cimport BlockOutput, BlockRules
from evmcore._interp cimport Machine
from evmcore._state cimport StateReader
from evmcore._tx cimport TxData

# For a block; NULL: no memory. All zero, but for what it grew to by earlier blocks.
cdef Bins* bins_take() noexcept nogil
# What `bins_take` gave, or NULL. Where `apart`, not before the block's diff has been made: until then a part of its state is
# there.
cdef void bins_give(void* bins) noexcept nogil

# Makes all ready. False: no memory, or the block has changed too much before; nothing has happened. `seed`: for tests, deal
# out at random; 0: do not. `deals_first`: before anything is run, not meanwhile. `watched`: for a picture.
cdef bint bins_open(
    Bins* bins, Machine* main, const BlockRules* rules, BlockOutput* output, StateReader* reader, const uint32_t* stop,
    TxData** txs, uint32_t count, uint32_t threads, uint64_t seed, bint deals_first, bint watched,
) noexcept nogil

# What a thread other than the first does, as soon as it has come, until all has been run and looked up. `number`: which one
# it is, from 1.
cdef void bins_help(Bins* bins, uint32_t number) noexcept nogil

# The first thread's part. So many transactions are final then: all of them, or those before the first that is not known to be,
# or those before there was an answer whether bins would pay.
cdef uint32_t bins_run(Bins* bins) noexcept nogil

# Of images, notes and tables.
cdef size_t bins_bytes(const Bins* bins) noexcept nogil
