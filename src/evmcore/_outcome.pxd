"""What a block's transactions left, read from its output: results, receipts, blooms and roots. Layer 4.

Also while the block is still being executed: `KeptOutput.view` gives what is final, which stays where it is.
"""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t
from evmcore._access_record cimport AccessRecord
from evmcore._block_steps cimport BlockOutput, Gate, TxRecord
from evmcore._results cimport TransactionResult
from evmcore._sync cimport Mutex

# Owns a block's output: whoever executes the block writes there, results read from it.
cdef class KeptOutput:
    cdef BlockOutput data
    cdef AccessRecord accesses    # what the transactions accessed, for readers; None: not wanted
    cdef Gate* gate               # NULL: nobody follows the execution
    cdef Mutex making             # of the blooms

    cdef Gate* follow(self) except NULL           # before the block begins: it will be read meanwhile
    cdef int record_accesses(self) except -1      # before the block begins: its parts are noted in `accesses`, for readers
    cdef size_t view(self, BlockOutput* seen) noexcept     # what is published: a copy of the head; returns the transactions
    cdef int make_blooms(self, unsigned int threads) except -1     # once the block is done

cdef class CommittedTransaction(TransactionResult):
    cdef readonly size_t index
    cdef KeptOutput kept
    cdef object fork
    cdef object transaction

cdef bytes slice_of(const uint8_t* data, size_t offset, size_t size)
cdef CommittedTransaction committed_transaction(KeptOutput kept, const BlockOutput* output, size_t index, object fork, object transaction)
cdef object receipt_of(const BlockOutput* output, size_t index, object fork, object transaction)

# As the receipts trie holds them; None before Byzantium when the state roots after each transaction are not known.
cdef list encoded_receipts(KeptOutput kept, object fork, unsigned int threads)
cdef bytes receipts_root(KeptOutput kept, object fork, unsigned int threads)
