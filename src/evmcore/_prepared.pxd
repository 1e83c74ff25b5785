"""A Python transaction as C data. Layer 3, beside `_tx`, which runs what is prepared here."""
from evmcore._tx cimport TxData, TxInvalid

cdef class PreparedTransaction:
    """A Python `Transaction` as C data, with the memory it needs. Immutable; may be shared by threads."""
    cdef TxData data
    cdef object owner             # the Transaction
    cdef void* memory

# What errors call it.
cdef object reason_of(TxInvalid invalid)

# The InvalidTransaction to raise for what `transaction_run` said of the transaction at `index` (None: it stands alone).
cdef object transaction_error(TxInvalid invalid, object index, const TxData* tx)
