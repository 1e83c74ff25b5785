"""Python transactions as C data, made once; and the errors for invalid transactions. See `_prepared.pxd`."""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject, PyObject_TypeCheck, PyTypeObject
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from evmcore._crypto cimport ec_recover
from evmcore._growing cimport free_array, new_array
from evmcore._hash cimport keccak256
from evmcore._tx cimport (
    MAX_INIT_CODE_SIZE, TX_GAS_ALLOWANCE_EXCEEDED, TX_GAS_LIMIT_EXCEEDS_MAXIMUM, TX_INITCODE_SIZE_EXCEEDED,
    TX_INSUFFICIENT_ACCOUNT_FUNDS, TX_INSUFFICIENT_MAX_FEE_PER_GAS, TX_INTRINSIC_GAS_BELOW_FLOOR_GAS_COST,
    TX_INTRINSIC_GAS_TOO_LOW, TX_INVALID_CHAIN_ID, TX_NONCE_IS_MAX, TX_NONCE_TOO_HIGH, TX_NONCE_TOO_LOW,
    TX_PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS, AccessEntry, Authorization, TxData, TxInvalid, intrinsic_gas,
)
from evmcore._u256 cimport u256, u256_read, u256_to_int, u_fits64

from types import MemberDescriptorType

from evmcore.errors import InputError, InvalidTransaction, ResourceError, TransactionReason
from evmcore.transactions import MAX_TX_GAS, SECP256K1_ORDER, Transaction


# ------------------------------------------------------------ a Transaction's fields

cdef extern from "structmember.h":
    ctypedef struct PyMemberDef:
        Py_ssize_t offset
    ctypedef struct PyMemberDescrObject:
        PyMemberDef* d_member


cdef Py_ssize_t offset_of(str name) except -1:
    """The offset of a field's slot in every `Transaction`. The fields of a block's many transactions are read there, because an
    attribute look-up by name takes longer than converting the value to C."""
    slot = Transaction.__dict__[name]
    if type(slot) is not MemberDescriptorType:
        raise TypeError(f"Transaction.{name} is no slot")
    return (<PyMemberDescrObject*>slot).d_member.offset


cdef Py_ssize_t TYPE = offset_of("type")
cdef Py_ssize_t CHAIN_ID = offset_of("chain_id")
cdef Py_ssize_t NONCE = offset_of("nonce")
cdef Py_ssize_t GAS_PRICE = offset_of("gas_price")
cdef Py_ssize_t MAX_FEE = offset_of("max_fee_per_gas")
cdef Py_ssize_t MAX_PRIORITY_FEE = offset_of("max_priority_fee_per_gas")
cdef Py_ssize_t GAS_LIMIT = offset_of("gas_limit")
cdef Py_ssize_t TO = offset_of("to")
cdef Py_ssize_t VALUE = offset_of("value")
cdef Py_ssize_t DATA = offset_of("data")
cdef Py_ssize_t ACCESS_LIST = offset_of("access_list")
cdef Py_ssize_t SENDER = offset_of("sender")


cdef inline object field(object tx, Py_ssize_t offset):
    """A field of an object that is known to be a Transaction."""
    cdef PyObject* value = (<PyObject**>(<char*><PyObject*>tx + offset))[0]
    if value == NULL:
        raise InputError("transaction: made without its fields")
    return <object>value


cdef inline int check_is_transaction(object tx) except -1:
    if not PyObject_TypeCheck(tx, <PyTypeObject*>Transaction):
        raise InputError(f"transaction: expected Transaction, got {type(tx).__name__}")
    return 0


cdef object sender_of(object tx):
    check_is_transaction(tx)
    return field(tx, SENDER)


# ------------------------------------------------------------ numbers and bytes

cdef uint64_t unsigned64(object value, str name) except? 0xfffffffffffffffe:
    cdef u256 number
    u256_read(&number, value, name)
    if not u_fits64(&number):
        raise InputError(f"{name}: {value!r} is out of range, expected 0 to 2**64 - 1")
    return number.w[0]


cdef int copy_sized(uint8_t* out, object value, size_t size, str name) except -1:
    if not isinstance(value, bytes) or <size_t>PyBytes_GET_SIZE(value) != size:
        raise InputError(f"{name}: expected {size} bytes, got {value!r}")
    memcpy(out, PyBytes_AS_STRING(value), size)
    return 0


cdef bytes rlp_number(object value):
    """RLP of an unsigned number."""
    cdef bytes body = value.to_bytes((value.bit_length() + 7) // 8, "big")
    if value < 128:
        return b"\x80" if value == 0 else body
    return bytes((0x80 + len(body),)) + body


cdef object HALF_ORDER = SECP256K1_ORDER // 2


cdef int fill_authorization(Authorization* out, object authorization, Recovery recovery, size_t place) except -1:
    """The authority is left to the recovery, or recovered at once without one. A signature that EIP-7702 does not accept is no
    error: the authorization is then skipped."""
    cdef uint8_t[32] digest
    cdef object parity = authorization.y_parity
    cdef object r = authorization.r
    cdef object s = authorization.s
    cdef bytes address = authorization.address
    cdef bytes body, r_bytes, s_bytes
    u256_read(&out.chain_id, authorization.chain_id, "authorization.chain_id")
    copy_sized(out.address, address, 20, "authorization.address")
    out.nonce = unsigned64(authorization.nonce, "authorization.nonce")
    if parity > 1 or not 0 < r < SECP256K1_ORDER or not 0 < s <= HALF_ORDER:
        return 0
    body = rlp_number(authorization.chain_id) + b"\x94" + address + rlp_number(authorization.nonce)
    body = b"\x05" + (bytes((0xc0 + len(body),)) if len(body) < 56 else bytes((0xf8, len(body)))) + body
    keccak256(body, len(body), digest)
    r_bytes = r.to_bytes(32, "big")
    s_bytes = s.to_bytes(32, "big")
    if recovery is None:
        out.recovered = ec_recover(digest, r_bytes, s_bytes, parity, out.authority) == 1
    else:
        recovery.add_authorization(digest, r_bytes, s_bytes, parity, place, out.authority, &out.recovered)
    return 0


cdef class PreparedTransaction:
    """A `transactions.Transaction` as native code needs it: numbers converted, authorities recovered. Immutable.

    `sender` (20 bytes) replaces a missing signature; by default the transaction's own `sender`. A number that does not
    fit its field raises `InputError`.
    """

    def __init__(self, transaction, sender=None):
        if self.owner is not None:
            raise InputError("transaction: a PreparedTransaction is immutable")
        if sender is None:
            sender = sender_of(transaction)
            if sender is None:
                raise InputError("transaction: has no sender; recover it from the signature or give one")
        self.owner = transaction
        prepare_into(&self.data, transaction, sender, None, 0)

    def __dealloc__(self):
        free_lists(&self.data)

    @property
    def transaction(self):
        """The transaction this was made from."""
        return self.owner


cdef class PreparedTransactions:
    def __cinit__(self, tuple owners not None):
        cdef size_t count = len(owners)
        self.owners = owners
        self.data = <TxData*>new_array((count + 1) * sizeof(TxData))
        self.row = <TxData**>new_array((count + 1) * sizeof(TxData*))
        if self.data == NULL or self.row == NULL:
            raise ResourceError("no memory for the block's transactions")

    def __dealloc__(self):
        cdef size_t i
        for i in range(self.count):
            free_lists(&self.data[i])
        free_array(self.data)
        free_array(self.row)

    cdef int add(self, object sender, Recovery recovery) except -1:
        cdef TxData* data = &self.data[self.count]
        memset(data, 0, sizeof(TxData))
        self.row[self.count] = data
        self.count += 1                          # so that it is freed, even if preparing it fails
        return prepare_into(data, self.owners[self.count - 1], sender, recovery, self.count - 1)


cdef size_t aligned(size_t size) noexcept nogil:
    return (size + 15) & ~<size_t>15


cdef void free_lists(TxData* data) noexcept nogil:
    free(data.access)                            # one piece of memory with the other lists


cdef int prepare_into(TxData* data, object tx, object sender, Recovery recovery, size_t place) except -1:
    """Fills in a zeroed `data`. Calldata is borrowed from the transaction; the caller frees lists by `free_lists`."""
    cdef object to, chain_id
    cdef bytes code
    check_is_transaction(tx)
    to = field(tx, TO)
    chain_id = field(tx, CHAIN_ID)
    code = field(tx, DATA)
    data.type = field(tx, TYPE)
    copy_sized(data.sender, sender, 20, "sender")
    data.has_chain_id = chain_id is not None
    if data.has_chain_id:
        u256_read(&data.chain_id, chain_id, "chain_id")
    data.nonce = unsigned64(field(tx, NONCE), "nonce")
    data.gas_limit = unsigned64(field(tx, GAS_LIMIT), "gas_limit")
    u256_read(&data.value, field(tx, VALUE), "value")
    if data.type >= 2:
        u256_read(&data.max_fee, field(tx, MAX_FEE), "max_fee_per_gas")
        u256_read(&data.max_priority_fee, field(tx, MAX_PRIORITY_FEE), "max_priority_fee_per_gas")
    else:
        u256_read(&data.max_fee, field(tx, GAS_PRICE), "gas_price")
        data.max_priority_fee = data.max_fee
    data.is_create = to is None
    if not data.is_create:
        copy_sized(data.to, to, 20, "to")
    data.data = <const uint8_t*>PyBytes_AS_STRING(code)
    data.data_size = PyBytes_GET_SIZE(code)
    return prepare_lists(data, tx, recovery, place) if data.type >= 1 else 0


cdef int prepare_lists(TxData* data, object tx, Recovery recovery, size_t place) except -1:
    """Fills in the lists of some types, in one piece of memory that begins at `access`."""
    cdef tuple access_list = field(tx, ACCESS_LIST)
    cdef tuple blob_hashes = tx.blob_versioned_hashes if data.type == 3 else ()
    cdef tuple authorizations = tx.authorization_list if data.type == 4 else ()
    cdef size_t i, keys = 0, first = 0, access_size, keys_size, authorizations_size
    cdef uint8_t* at
    if data.type == 3:
        u256_read(&data.max_fee_per_blob_gas, tx.max_fee_per_blob_gas, "max_fee_per_blob_gas")
    if not access_list and not blob_hashes and not authorizations:
        return 0
    for _, slots in access_list:
        keys += <size_t>len(slots)
    access_size = aligned(len(access_list) * sizeof(AccessEntry))
    keys_size = aligned(keys * sizeof(u256))
    authorizations_size = aligned(len(authorizations) * sizeof(Authorization))
    at = <uint8_t*>calloc(1, access_size + keys_size + authorizations_size + 32 * <size_t>len(blob_hashes))
    if at == NULL:
        raise ResourceError("no memory for a transaction")
    data.access = <AccessEntry*>at
    data.access_count = len(access_list)
    data.access_keys = <u256*>(at + access_size)
    data.authorizations = <Authorization*>(at + access_size + keys_size)
    data.authorization_count = len(authorizations)
    at += access_size + keys_size + authorizations_size
    data.blob_hashes = at
    data.blob_hash_count = len(blob_hashes)
    for i in range(data.access_count):
        address, slots = access_list[i]
        copy_sized(data.access[i].address, address, 20, "access_list address")
        data.access[i].first_key = <uint32_t>first
        data.access[i].key_count = <uint32_t>len(slots)
        for slot in slots:
            if first == keys:
                raise InputError("access_list: changed while it was read")
            u256_read(
                &data.access_keys[first], int.from_bytes(slot, "big") if isinstance(slot, bytes) else slot,
                "access_list storage key",
            )
            first += 1
    for i in range(data.blob_hash_count):
        copy_sized(at + 32 * i, blob_hashes[i], 32, "blob_versioned_hashes")
    for i in range(data.authorization_count):
        fill_authorization(&data.authorizations[i], authorizations[i], recovery, place)
    return 0


cdef list REASONS = [None, *TransactionReason]    # the order of TxInvalid


cdef object transaction_error(TxInvalid invalid, object index, const TxData* tx, int revision, uint64_t account_nonce):
    cdef uint64_t intrinsic, floor
    cdef str detail = f"type {tx.type} from 0x{(<const uint8_t*>tx.sender)[:20].hex()}"
    if invalid == TX_NONCE_TOO_LOW or invalid == TX_NONCE_TOO_HIGH:
        detail += f" with nonce {tx.nonce}, expected {account_nonce}"
    elif invalid == TX_NONCE_IS_MAX:
        detail += f" with nonce {tx.nonce}"
    elif invalid == TX_INVALID_CHAIN_ID:
        detail += f" with chain id {u256_to_int(&tx.chain_id)}"
    elif invalid == TX_INSUFFICIENT_ACCOUNT_FUNDS:
        detail += (
            f" cannot pay {u256_to_int(&tx.value)} wei and {tx.gas_limit} gas at up to {u256_to_int(&tx.max_fee)} wei"
        )
    elif invalid == TX_INTRINSIC_GAS_TOO_LOW or invalid == TX_INTRINSIC_GAS_BELOW_FLOOR_GAS_COST:
        intrinsic_gas(tx, revision, &intrinsic, &floor)
        detail += f" with gas limit {tx.gas_limit}, at least {max(intrinsic, floor)}"
    elif invalid == TX_GAS_LIMIT_EXCEEDS_MAXIMUM:
        detail += f" with gas limit {tx.gas_limit}, at most {MAX_TX_GAS}"
    elif invalid == TX_GAS_ALLOWANCE_EXCEEDED:
        detail += f" with gas limit {tx.gas_limit}"
    elif invalid == TX_INSUFFICIENT_MAX_FEE_PER_GAS or invalid == TX_PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS:
        detail += (
            f" with a maximum of {u256_to_int(&tx.max_fee)} and a tip of {u256_to_int(&tx.max_priority_fee)} wei per gas"
        )
    elif invalid == TX_INITCODE_SIZE_EXCEEDED:
        detail += f" with {tx.data_size} bytes of init code, at most {<int>MAX_INIT_CODE_SIZE}"
    elif tx.type == 3:
        detail += f" with {tx.blob_hash_count} blobs at up to {u256_to_int(&tx.max_fee_per_blob_gas)} wei per blob gas"
    return InvalidTransaction(REASONS[<int>invalid], detail, index)


def intrinsic_gas_of(transaction, int revision):
    """(intrinsic gas, EIP-7623 floor) of a `Transaction` under rule set `revision` (`Fork.revision`); the floor is 0
    before Prague. The transaction needs no sender."""
    cdef PreparedTransaction prepared = PreparedTransaction(transaction, bytes(20))
    cdef uint64_t intrinsic, floor
    intrinsic_gas(&prepared.data, revision, &intrinsic, &floor)
    return intrinsic, floor
