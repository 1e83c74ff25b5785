"""The outcomes of a block's transactions, read from the block's output: results, receipts, blooms and roots. Layer 4.

They can be read while the block is still being executed: `KeptOutput.view` gives the final part, whose arrays do not move.
"""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t
from evmcore._access_record cimport AccessRecord
from evmcore._block_steps cimport BlockOutput, Gate, TxRecord
from evmcore._results cimport TransactionResult
from evmcore._sync cimport Mutex

# Owns a block's output: the executor writes it, results read from it.
cdef class KeptOutput:
    cdef BlockOutput data
    cdef AccessRecord accesses    # the accesses of the transactions, for readers; None: not requested
    cdef Gate* gate               # NULL: no reader follows the execution
    cdef Mutex making             # of the blooms

    cdef Gate* follow(self) except NULL           # call before the block begins, if it will be read during the execution
    cdef int record_accesses(self) except -1      # call before the block begins, to record its parts in `accesses`
    cdef size_t view(self, BlockOutput* seen) noexcept     # copies the head of the published part; returns its transaction count
    cdef int make_blooms(self, unsigned int threads) except -1     # once the block is done

cdef class CommittedTransaction(TransactionResult):
    cdef readonly size_t index
    cdef KeptOutput kept
    cdef object fork
    cdef object transaction

# What results have to be made with, so that there are none without an output.
cdef object MADE

cdef bytes slice_of(const uint8_t* data, size_t offset, size_t size)
cdef CommittedTransaction committed_transaction(KeptOutput kept, const BlockOutput* output, size_t index, object fork, object transaction)
cdef object receipt_of(const BlockOutput* output, size_t index, object fork, object transaction)

# As encoded in the receipts trie; None before Byzantium if the state roots after each transaction are not known.
cdef list encoded_receipts(KeptOutput kept, object fork, unsigned int threads)
cdef bytes receipts_root(KeptOutput kept, object fork, unsigned int threads)
