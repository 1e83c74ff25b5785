"""Converts the facade's arguments to C values."""
from libc.stdint cimport int64_t, uint32_t, uint8_t
from libc.string cimport memcpy, memset
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from evmcore._interp cimport Environment
from evmcore._rules cimport PARIS
from evmcore._prepared cimport PreparedTransaction
from evmcore._time_limit cimport TimeLimit, deadline_after
from evmcore._tx cimport TxData
from evmcore._u256 cimport u256, u256_from_int, u256_to_int, u_zero

from evmcore.errors import InputError, InvalidTransaction, TransactionReason
from evmcore.headers import blob_base_fee
from evmcore.transactions import Transaction
from evmcore.types import to_address, to_bytes, to_uint

cdef object ZERO = 0                               # CPython has one object per small number: compared by identity

cdef dict known_addresses = {}                    # hex text -> bytes, of recently seen addresses


cdef int read_address(uint8_t* out, object value, str name) except -1:
    cdef object address
    if type(value) is bytes:
        address = value
    else:
        address = known_addresses.get(value) if type(value) is str else None
    if address is None or PyBytes_GET_SIZE(address) != 20:
        address = to_address(value, name)
        if type(value) is str:
            if len(known_addresses) >= 4096:
                known_addresses.clear()
            known_addresses[value] = address
    memcpy(out, PyBytes_AS_STRING(address), 20)
    return 0


cdef int read_word(u256* out, object value, str name) except -1:
    if value is ZERO:
        u_zero(out)
    else:
        out[0] = u256_from_int(to_uint(value, name), name)
    return 0


cdef bytes read_bytes(object value, str name):
    return <bytes>value if type(value) is bytes else to_bytes(value, name)


cdef int64_t read_gas(object value, int64_t default, str name) except? -1:
    return default if value is None else to_uint(value, name, 63)


cdef int64_t read_timeout(object timeout, const uint32_t** abort_flag) except -1:
    abort_flag[0] = NULL
    if timeout is None:
        return 0
    if isinstance(timeout, TimeLimit):
        abort_flag[0] = (<TimeLimit>timeout).stopped
        return (<TimeLimit>timeout).deadline_ns
    return deadline_after(timeout)


cdef bytes fill_call(TxData* tx, object to, object data, object sender, object value, object gas, object gas_price,
                     int64_t default_gas):
    cdef bytes payload = <bytes>data if type(data) is bytes else to_bytes(data, "data")
    memset(tx, 0, sizeof(TxData))
    if to is None:
        tx.is_create = True
    else:
        read_address(tx.to, to, "to")
    if sender is not None:
        read_address(tx.sender, sender, "sender")
    tx.data = <const uint8_t*>PyBytes_AS_STRING(payload)
    tx.data_size = PyBytes_GET_SIZE(payload)
    tx.gas_limit = read_gas(gas, default_gas, "gas")
    read_word(&tx.value, value, "value")
    read_word(&tx.max_fee, gas_price, "gas_price")
    tx.max_priority_fee = tx.max_fee
    return payload


cdef PreparedTransaction prepare_call(const TxData* plain, bytes data, object access_list,
                                      object blob_hashes, object authorization_list):
    cdef dict fields = {
        "gas_limit": plain.gas_limit,
        "to": None if plain.is_create else PyBytes_FromStringAndSize(<char*>plain.to, 20),
        "value": u256_to_int(&plain.value),
        "data": data,
        "access_list": access_list,
    }
    price = u256_to_int(&plain.max_fee)
    if authorization_list and blob_hashes:
        raise InputError("arguments 'blob_hashes' and 'authorization_list': no transaction has both; give one of them")
    if authorization_list:
        fields |= {"type": 4, "authorization_list": authorization_list}
    elif blob_hashes:
        fields |= {"type": 3, "blob_versioned_hashes": blob_hashes}
    else:
        fields |= {"type": 1, "gas_price": price}
    if fields["type"] >= 2:
        fields |= {"max_fee_per_gas": price, "max_priority_fee_per_gas": price, "chain_id": None}
    return PreparedTransaction(Transaction(**fields), PyBytes_FromStringAndSize(<char*>plain.sender, 20))


cdef PreparedTransaction prepare_transaction(object tx, object fork):
    if isinstance(tx, PreparedTransaction):
        return tx
    if isinstance(tx, (bytes, bytearray, memoryview, str)):
        tx = Transaction.decode(to_bytes(tx, "tx"))
    if not isinstance(tx, Transaction):
        raise InputError(f"argument 'tx': expected a Transaction or its encoding as bytes, got {type(tx).__name__}")
    if not tx.is_signed and tx.sender is not None:
        return PreparedTransaction(tx, tx.sender)
    signer = tx.recover_sender(fork)
    if tx.sender is not None and tx.sender != signer:
        raise InvalidTransaction(TransactionReason.INVALID_SIGNATURE_VRS,
                                 f"signed by 0x{signer.hex()}, not by its sender 0x{tx.sender.hex()}")
    return PreparedTransaction(tx, signer)


cdef int fill_environment(
    Environment* env, object block, object chain_id, int revision, object blob_schedule,
) except -1:
    """`block` is a BlockEnv, whose fields are ints and bytes of the right size already."""
    memset(env, 0, sizeof(Environment))
    env.number = block.number
    env.timestamp = block.timestamp
    env.gas_limit = to_uint(block.gas_limit, "block.gas_limit", 63)
    env.chain_id = u256_from_int(chain_id, "chain_id")
    env.base_fee = u256_from_int(block.base_fee, "block.base_fee")
    if revision >= PARIS:
        env.prevrandao = u256_from_int(int.from_bytes(block.prevrandao, "big"), "block.prevrandao")
    else:
        env.prevrandao = u256_from_int(block.difficulty, "block.difficulty")
    memcpy(env.coinbase, PyBytes_AS_STRING(block.coinbase), 20)
    fee = block.blob_base_fee
    if fee is None:
        if blob_schedule is None or block.excess_blob_gas is None:
            fee = 1
        else:
            fee = blob_base_fee(block.excess_blob_gas, blob_schedule)
    env.blob_base_fee = u256_from_int(to_uint(fee, "block.blob_base_fee"), "block.blob_base_fee")
    return 0
