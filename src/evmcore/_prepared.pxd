"""A Python transaction as C data. Layer 3, beside `_tx`, which runs what is prepared here."""
from libc.stdint cimport uint64_t
from evmcore._senders cimport Recovery
from evmcore._tx cimport TxData, TxInvalid

cdef class PreparedTransaction:
    """A Python `Transaction` as C data, with the memory it needs. Immutable; may be shared by threads."""
    cdef TxData data
    cdef object owner             # the Transaction

cdef class PreparedTransactions:
    """The transactions of a block in one array, without a Python object for each."""
    cdef tuple owners             # the Transactions
    cdef TxData* data             # room for all of them
    cdef TxData** row             # pointers to them, in order
    cdef size_t count             # number of transactions added
    # Adds the next transaction, sent by `sender` (20 bytes); its authorities are left to the recovery.
    cdef int add(self, object sender, Recovery recovery) except -1

# The `sender` of a Transaction.
cdef object sender_of(object tx)

# The InvalidTransaction to raise for the result `invalid` of `transaction_run`, under rule set `revision`. `index`: the
# transaction's index, None for a single transaction. `account_nonce`: the nonce of the sender's account.
cdef object transaction_error(TxInvalid invalid, object index, const TxData* tx, int revision, uint64_t account_nonce)
