"""Converts the facade's arguments to C values. Every function raises InputError naming the argument."""
from libc.stdint cimport int64_t, uint32_t, uint8_t
from evmcore._interp cimport Environment
from evmcore._prepared cimport PreparedTransaction
from evmcore._tx cimport TxData
from evmcore._u256 cimport u256

cdef int read_address(uint8_t* out, object value, str name) except -1
cdef int read_word(u256* out, object value, str name) except -1
cdef bytes read_bytes(object value, str name)
cdef int64_t read_gas(object value, int64_t default, str name) except? -1
# The `deadline_ns` of a machine for a `timeout` (seconds from now, or a `TimeLimit`), and its `abort_flag`, owned by the limit.
cdef int64_t read_timeout(object timeout, const uint32_t** abort_flag) except -1

# Fills in a legacy transaction without signature. Returns the object that `tx.data` borrows from.
cdef bytes fill_call(
    TxData* tx, object to, object data, object sender, object value, object gas, object gas_price, int64_t default_gas,
)
# The same, with arguments that need a later transaction type.
cdef PreparedTransaction prepare_call(
    const TxData* plain, bytes data, object access_list, object blob_hashes, object authorization_list,
)
# From a `Transaction` or its encoding; the sender is recovered unless the transaction names it.
cdef PreparedTransaction prepare_transaction(object tx, object fork)

cdef int fill_environment(Environment* env, object block, object chain_id, int revision, object blob_schedule) except -1
