"""Python transactions as C data, made once; and the errors that name what was wrong with them. See `_prepared.pxd`."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from evmcore._crypto cimport ec_recover
from evmcore._hash cimport keccak256
from evmcore._tx cimport (
    MAX_INIT_CODE_SIZE, TX_GAS_ALLOWANCE_EXCEEDED, TX_GAS_LIMIT_EXCEEDS_MAXIMUM, TX_INITCODE_SIZE_EXCEEDED,
    TX_INSUFFICIENT_ACCOUNT_FUNDS, TX_INSUFFICIENT_MAX_FEE_PER_GAS, TX_INTRINSIC_GAS_BELOW_FLOOR_GAS_COST,
    TX_INTRINSIC_GAS_TOO_LOW, TX_INVALID_CHAIN_ID, TX_NONCE_IS_MAX, TX_NONCE_TOO_HIGH, TX_NONCE_TOO_LOW,
    TX_PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS, AccessEntry, Authorization, TxData, TxInvalid, intrinsic_gas,
)
from evmcore._u256 cimport u256, u256_from_int, u256_to_int

from evmcore.errors import InputError, InvalidTransaction, TransactionReason
from evmcore.transactions import SECP256K1_ORDER

cdef uint64_t NONCE_MAX = <uint64_t>0xffffffffffffffff


cdef uint64_t unsigned64(object value, str name) except? 0xfffffffffffffffe:
    if not isinstance(value, int) or not 0 <= value <= NONCE_MAX:
        raise InputError(f"{name}: {value!r} is out of range, expected 0 to 2**64 - 1")
    return value


cdef int copy_sized(uint8_t* out, object value, size_t size, str name) except -1:
    if not isinstance(value, bytes) or <size_t>len(value) != size:
        raise InputError(f"{name}: expected {size} bytes, got {value!r}")
    memcpy(out, <const uint8_t*><bytes>value, size)
    return 0


cdef bytes rlp_number(object value):
    """RLP of an unsigned number."""
    cdef bytes body = value.to_bytes((value.bit_length() + 7) // 8, "big")
    if value < 128:
        return b"\x80" if value == 0 else body
    return bytes((0x80 + len(body),)) + body


cdef object HALF_ORDER = SECP256K1_ORDER // 2


cdef int fill_authorization(Authorization* out, object authorization) except -1:
    """Recovers the authority. A signature that EIP-7702 does not accept is no error: the tuple is then passed over."""
    cdef uint8_t[32] digest
    cdef object parity = authorization.y_parity
    cdef object r = authorization.r
    cdef object s = authorization.s
    cdef bytes address = authorization.address
    cdef bytes body, r_bytes, s_bytes
    out.chain_id = u256_from_int(authorization.chain_id, "authorization.chain_id")
    copy_sized(out.address, address, 20, "authorization.address")
    out.nonce = unsigned64(authorization.nonce, "authorization.nonce")
    if parity > 1 or not 0 < r < SECP256K1_ORDER or not 0 < s <= HALF_ORDER:
        return 0
    body = rlp_number(authorization.chain_id) + b"\x94" + address + rlp_number(authorization.nonce)
    body = b"\x05" + (bytes((0xc0 + len(body),)) if len(body) < 56 else bytes((0xf8, len(body)))) + body
    keccak256(body, len(body), digest)
    r_bytes = r.to_bytes(32, "big")
    s_bytes = s.to_bytes(32, "big")
    out.recovered = ec_recover(digest, r_bytes, s_bytes, parity, out.authority) == 1
    return 0


cdef class PreparedTransaction:
    """A `transactions.Transaction` as the native code takes it: numbers converted, authorities recovered. Immutable.

    `sender` (20 bytes) stands in for a signature where there is none; otherwise the transaction's own `sender`. Numbers
    that do not fit their field raise `InputError`.
    """

    def __init__(self, transaction, sender=None):
        if self.memory != NULL:
            raise InputError("transaction: a PreparedTransaction is immutable")
        self.owner = transaction
        fill(self, transaction, transaction.sender if sender is None else sender)

    def __dealloc__(self):
        free(self.memory)

    @property
    def transaction(self):
        """The transaction this was made from."""
        return self.owner


cdef size_t aligned(size_t size) noexcept nogil:
    return (size + 15) & ~<size_t>15


cdef int fill(PreparedTransaction prepared, object tx, object sender) except -1:
    cdef TxData* data = &prepared.data
    cdef int kind = tx.type
    cdef object access_list = tx.access_list if kind >= 1 else ()
    cdef object blob_hashes = tx.blob_versioned_hashes if kind == 3 else ()
    cdef object authorizations = tx.authorization_list if kind == 4 else ()
    cdef bytes code = tx.data
    cdef size_t keys = sum([len(entry[1]) for entry in access_list]) if access_list else 0
    cdef size_t i, first, size
    cdef uint8_t* at
    data.type = kind
    if sender is None:
        raise InputError("transaction: has no sender; recover it from the signature or give one")
    copy_sized(data.sender, sender, 20, "sender")
    data.has_chain_id = tx.chain_id is not None
    if data.has_chain_id:
        data.chain_id = u256_from_int(tx.chain_id, "chain_id")
    data.nonce = unsigned64(tx.nonce, "nonce")
    data.gas_limit = unsigned64(tx.gas_limit, "gas_limit")
    data.value = u256_from_int(tx.value, "value")
    if kind >= 2:
        data.max_fee = u256_from_int(tx.max_fee_per_gas, "max_fee_per_gas")
        data.max_priority_fee = u256_from_int(tx.max_priority_fee_per_gas, "max_priority_fee_per_gas")
    else:
        data.max_fee = u256_from_int(tx.gas_price, "gas_price")
        data.max_priority_fee = data.max_fee
    if kind == 3:
        data.max_fee_per_blob_gas = u256_from_int(tx.max_fee_per_blob_gas, "max_fee_per_blob_gas")
    data.is_create = tx.to is None
    if not data.is_create:
        copy_sized(data.to, tx.to, 20, "to")

    data.data_size = len(code)
    data.access_count = len(access_list)
    data.blob_hash_count = len(blob_hashes)
    data.authorization_count = len(authorizations)
    size = (
        aligned(data.access_count * sizeof(AccessEntry)) + aligned(keys * sizeof(u256))
        + aligned(data.authorization_count * sizeof(Authorization)) + aligned(32 * data.blob_hash_count)
    )
    prepared.memory = calloc(1, size + 16)
    if prepared.memory == NULL:
        raise MemoryError
    # Calldata is borrowed from the immutable bytes object that `owner` keeps alive.
    data.data = <const uint8_t*>code
    at = <uint8_t*>prepared.memory
    data.access = <AccessEntry*>at
    at += aligned(data.access_count * sizeof(AccessEntry))
    data.access_keys = <u256*>at
    at += aligned(keys * sizeof(u256))
    data.authorizations = <Authorization*>at
    at += aligned(data.authorization_count * sizeof(Authorization))
    data.blob_hashes = at

    first = 0
    for i in range(data.access_count):
        address, slots = access_list[i]
        copy_sized(data.access[i].address, address, 20, "access_list address")
        data.access[i].first_key = <uint32_t>first
        data.access[i].key_count = <uint32_t>len(slots)
        for slot in slots:
            if first == keys:
                raise InputError("access_list: changed while it was read")
            data.access_keys[first] = u256_from_int(
                int.from_bytes(slot, "big") if isinstance(slot, bytes) else slot, "access_list storage key"
            )
            first += 1
    for i in range(data.blob_hash_count):
        copy_sized(at + 32 * i, blob_hashes[i], 32, "blob_versioned_hashes")
    for i in range(data.authorization_count):
        fill_authorization(&data.authorizations[i], authorizations[i])
    return 0


cdef list REASONS = [None, *TransactionReason]    # the order of TxInvalid


cdef object reason_of(TxInvalid invalid):
    return REASONS[<int>invalid]


cdef object transaction_error(TxInvalid invalid, object index, const TxData* tx):
    cdef str detail = f"type {tx.type} from 0x{(<const uint8_t*>tx.sender)[:20].hex()}"
    if invalid == TX_NONCE_TOO_LOW or invalid == TX_NONCE_TOO_HIGH or invalid == TX_NONCE_IS_MAX:
        detail += f" with nonce {tx.nonce}"
    elif invalid == TX_INVALID_CHAIN_ID:
        detail += f" with chain id {u256_to_int(&tx.chain_id)}"
    elif invalid == TX_INSUFFICIENT_ACCOUNT_FUNDS:
        detail += (
            f" cannot pay {u256_to_int(&tx.value)} wei and {tx.gas_limit} gas at up to {u256_to_int(&tx.max_fee)} wei"
        )
    elif (
        invalid == TX_INTRINSIC_GAS_TOO_LOW or invalid == TX_INTRINSIC_GAS_BELOW_FLOOR_GAS_COST
        or invalid == TX_GAS_LIMIT_EXCEEDS_MAXIMUM or invalid == TX_GAS_ALLOWANCE_EXCEEDED
    ):
        detail += f" with gas limit {tx.gas_limit}"
    elif invalid == TX_INSUFFICIENT_MAX_FEE_PER_GAS or invalid == TX_PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS:
        detail += (
            f" with a maximum of {u256_to_int(&tx.max_fee)} and a tip of {u256_to_int(&tx.max_priority_fee)} wei per gas"
        )
    elif invalid == TX_INITCODE_SIZE_EXCEEDED:
        detail += f" with {tx.data_size} bytes of init code, at most {<int>MAX_INIT_CODE_SIZE}"
    elif tx.type == 3:
        detail += f" with {tx.blob_hash_count} blobs at up to {u256_to_int(&tx.max_fee_per_blob_gas)} wei per blob gas"
    return InvalidTransaction(reason_of(invalid), detail, index)


def intrinsic_gas_of(transaction, int revision):
    """(intrinsic gas, EIP-7623 floor) of a `Transaction` under rule set `revision` (`Fork.revision`); the floor is 0
    before Prague. The transaction needs no sender."""
    cdef PreparedTransaction prepared = PreparedTransaction(transaction, bytes(20))
    cdef uint64_t intrinsic, floor
    intrinsic_gas(&prepared.data, revision, &intrinsic, &floor)
    return intrinsic, floor
