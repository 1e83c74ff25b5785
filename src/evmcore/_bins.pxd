"""A block's transactions, run directly on several threads where they fall apart into groups (`_grouping`). Layer 5.

Each thread runs one bin of groups, in order, on a working set of its own, as sequential execution would: no transaction
records a read set, and no thread reads what others write. When all bins have ended, the working sets are searched for a
transaction that touched something which an earlier transaction in another bin had changed. All transactions before the
first such one are as in sequential execution. It and all later ones are rolled back, and what remains is joined in the
block's own working set.
"""
from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t
from evmcore._bins_block cimport Bins
from evmcore._block_steps cimport BlockOutput, BlockRules
from evmcore._interp cimport Machine
from evmcore._state cimport StateReader
from evmcore._tx cimport TxData

# Bins for a block. NULL: no memory. All zero, except for the memory kept from earlier blocks.
cdef Bins* bins_take() noexcept nogil
# Gives back what `bins_take` gave, or NULL. If `apart`, call this only after the block's diff has been made: until
# then, a part of the block's state is in the bins.
cdef void bins_give(void* bins) noexcept nogil

# Prepares everything. False: no memory, or the block has changed too much before its first transaction; nothing has
# happened. `seed`: for tests, deal out at random; 0: do not. `deals_first`: deal out before anything runs, not
# meanwhile. `watched`: record a timeline.
cdef bint bins_open(
    Bins* bins, Machine* main, const BlockRules* rules, BlockOutput* output, StateReader* reader, const uint32_t* stop,
    TxData** txs, uint32_t count, uint32_t threads, uint64_t seed, bint deals_first, bint watched,
) noexcept nogil

# The part of every thread other than the first, from when it comes until all bins have run and been looked up.
# `number`: the thread's, from 1.
cdef void bins_help(Bins* bins, uint32_t number) noexcept nogil

# The first thread's part. Returns how many transactions are final: all of them, or those before the first that is not
# known to be right, or those that had run when dealing out was refused.
cdef uint32_t bins_run(Bins* bins) noexcept nogil

# Bytes of images, notes and tables.
cdef size_t bins_bytes(const Bins* bins) noexcept nogil
