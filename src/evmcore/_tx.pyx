"""One transaction from its checks to its fees, as the yellow paper (section 6) and the EIPs since have it.

Everything between `transaction_run`'s first and last line is native. `PreparedTransaction` is where a Python
transaction becomes C data, once.
"""
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from evmcore._code cimport Code
from evmcore._crypto cimport ec_recover
from evmcore._hash cimport keccak256
from evmcore._interp cimport (
    ABORTED, CALL, CREATE, NO_MEMORY, RUNNING, STATE_FAILED, SUCCESS, Message, Outcome, create_address, execute,
)
from evmcore._precompiles cimport precompile_at
from evmcore._rules cimport (
    BERLIN, CANCUN, HOMESTEAD, ISTANBUL, LONDON, OSAKA, PRAGUE, SHANGHAI, SPURIOUS_DRAGON,
)
from evmcore._state cimport (
    WorkingSet, ws_account, ws_account_unloaded, ws_add_balance, ws_begin, ws_can_pay, ws_code, ws_exists, ws_finish, ws_nonce,
    ws_raise_nonce, ws_set_balance, ws_set_code, ws_set_nonce, ws_slot_unloaded, ws_sub_balance, ws_touch, ws_warm_account, ws_warm_slot,
)
from evmcore._u256 cimport (
    u256_from_int, u256_to_int, u_add, u_add_carry, u_eq, u_is_zero, u_lt, u_mul64_carry, u_set64, u_sub, u_zero,
)

from evmcore.errors import InputError, InvalidTransaction, TransactionReason

cdef enum:
    TX_BASE = 21000
    TX_CREATE = 32000                     # EIP-2
    TX_DATA_ZERO = 4
    TX_DATA_NONZERO_FRONTIER = 68
    TX_DATA_NONZERO = 16                  # EIP-2028
    TX_FLOOR_PER_TOKEN = 10               # EIP-7623
    TX_ACCESS_ADDRESS = 2400              # EIP-2930
    TX_ACCESS_KEY = 1900
    INIT_CODE_WORD = 2                    # EIP-3860
    MAX_INIT_CODE_SIZE = 49152
    AUTHORIZATION_EMPTY_ACCOUNT = 25000   # EIP-7702
    AUTHORIZATION_REFUND = 12500          # 25,000 less the base cost of 12,500
    MAX_TX_GAS = 16777216                 # EIP-7825
    BLOB_HASH_VERSION = 1

cdef uint64_t NONCE_MAX = <uint64_t>0xffffffffffffffff
cdef uint64_t INT64_LIMIT = <uint64_t>0x7fffffffffffffff


# ------------------------------------------------------------ gas

cdef void intrinsic_gas(const TxData* tx, int revision, uint64_t* intrinsic, uint64_t* floor) noexcept nogil:
    """Gas taken before the first instruction, and the least a transaction pays (zero before EIP-7623)."""
    cdef uint64_t zeros = 0, nonzeros, gas
    cdef size_t i
    for i in range(tx.data_size):
        zeros += tx.data[i] == 0
    nonzeros = tx.data_size - zeros
    gas = TX_BASE + zeros * TX_DATA_ZERO
    gas += nonzeros * (TX_DATA_NONZERO if revision >= ISTANBUL else TX_DATA_NONZERO_FRONTIER)
    if tx.is_create:
        if revision >= HOMESTEAD:
            gas += TX_CREATE
        if revision >= SHANGHAI:
            gas += INIT_CODE_WORD * ((tx.data_size + 31) // 32)
    for i in range(tx.access_count):
        gas += TX_ACCESS_ADDRESS + <uint64_t>TX_ACCESS_KEY * tx.access[i].key_count
    gas += <uint64_t>AUTHORIZATION_EMPTY_ACCOUNT * tx.authorization_count
    intrinsic[0] = gas
    floor[0] = TX_BASE + TX_FLOOR_PER_TOKEN * (zeros + 4 * nonzeros) if revision >= PRAGUE else 0


# ------------------------------------------------------------ validity

cdef bint type_supported(int type, int revision) noexcept nogil:
    if type == 0:
        return True
    if type == 1:
        return revision >= BERLIN
    if type == 2:
        return revision >= LONDON
    if type == 3:
        return revision >= CANCUN
    return type == 4 and revision >= PRAGUE


cdef TxInvalid check_blobs(
    const Machine* machine, const TxData* tx, const TxChecks* checks, int max_blobs_per_tx
) noexcept nogil:
    cdef size_t i
    if tx.blob_hash_count == 0:
        return TX_TYPE_3_TX_ZERO_BLOBS
    if max_blobs_per_tx and tx.blob_hash_count > <size_t>max_blobs_per_tx:
        return TX_TYPE_3_TX_BLOB_COUNT_EXCEEDED
    for i in range(tx.blob_hash_count):
        if tx.blob_hashes[32 * i] != BLOB_HASH_VERSION:
            return TX_TYPE_3_TX_INVALID_BLOB_VERSIONED_HASH
    if checks.blob_fee and u_lt(&tx.max_fee_per_blob_gas, &machine.env.blob_base_fee):
        return TX_INSUFFICIENT_MAX_FEE_PER_BLOB_GAS
    return TX_VALID


cdef TxInvalid check_static(
    const Machine* machine, const TxData* tx, const TxChecks* checks, uint64_t intrinsic, uint64_t floor,
    uint64_t block_gas_left, uint64_t blob_gas_left, int max_blobs_per_tx,
) noexcept nogil:
    """What can be said without looking at the state."""
    cdef int revision = machine.revision
    cdef TxInvalid invalid
    if not type_supported(tx.type, revision):
        return TX_TYPE_NOT_SUPPORTED
    if tx.has_chain_id:
        if tx.type == 0 and revision < SPURIOUS_DRAGON:       # EIP-155
            return TX_INVALID_CHAIN_ID
        if not u_eq(&tx.chain_id, &machine.env.chain_id):
            return TX_INVALID_CHAIN_ID
    if tx.gas_limit < intrinsic:
        return TX_INTRINSIC_GAS_TOO_LOW
    if tx.gas_limit < floor:
        return TX_INTRINSIC_GAS_BELOW_FLOOR_GAS_COST
    if checks.nonce and tx.nonce == NONCE_MAX:                # EIP-2681
        return TX_NONCE_IS_MAX
    if (
        tx.is_create and revision >= SHANGHAI and tx.data_size > MAX_INIT_CODE_SIZE
        and not machine.unlimited_code_size
    ):
        return TX_INITCODE_SIZE_EXCEEDED
    if checks.gas_cap:
        if revision >= OSAKA and tx.gas_limit > MAX_TX_GAS:
            return TX_GAS_LIMIT_EXCEEDS_MAXIMUM
        if tx.gas_limit > block_gas_left:
            return TX_GAS_ALLOWANCE_EXCEEDED
    if tx.blob_hash_count > blob_gas_left // GAS_PER_BLOB:
        return TX_TYPE_3_TX_MAX_BLOB_GAS_ALLOWANCE_EXCEEDED
    if tx.type >= 2 and u_lt(&tx.max_fee, &tx.max_priority_fee):
        return TX_PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS
    if checks.base_fee and revision >= LONDON and u_lt(&tx.max_fee, &machine.env.base_fee):
        return TX_INSUFFICIENT_MAX_FEE_PER_GAS
    if tx.type == 3:
        invalid = check_blobs(machine, tx, checks, max_blobs_per_tx)
        if invalid != TX_VALID:
            return invalid
        if tx.is_create:
            return TX_TYPE_3_TX_CONTRACT_CREATION
    if tx.type == 4:
        if tx.is_create:
            return TX_TYPE_4_TX_CONTRACT_CREATION
        if tx.authorization_count == 0:
            return TX_TYPE_4_EMPTY_AUTHORIZATION_LIST
    return TX_VALID


cdef bint largest_cost(const TxData* tx, u256* cost) noexcept nogil:
    """What the sender must own: value, gas at the highest price and blobs at the highest price. True on overflow."""
    cdef u256 blobs
    cdef bint overflow = u_mul64_carry(cost, &tx.max_fee, tx.gas_limit)
    overflow |= u_add_carry(cost, cost, &tx.value)
    if tx.blob_hash_count:
        overflow |= u_mul64_carry(&blobs, &tx.max_fee_per_blob_gas, <uint64_t>GAS_PER_BLOB * tx.blob_hash_count)
        overflow |= u_add_carry(cost, cost, &blobs)
    return overflow


cdef TxInvalid check_sender(WorkingSet* ws, uint32_t sender, const TxData* tx, const TxChecks* checks) noexcept nogil:
    cdef u256 cost
    cdef Code* code
    if checks.nonce:
        if tx.nonce < ws_nonce(ws, sender):
            return TX_NONCE_TOO_LOW
        if tx.nonce > ws_nonce(ws, sender):
            return TX_NONCE_TOO_HIGH
    elif tx.is_create and ws_nonce(ws, sender) == NONCE_MAX:      # it has no next one to name the contract by
        return TX_NONCE_IS_MAX
    if checks.balance and (largest_cost(tx, &cost) or not ws_can_pay(ws, sender, &cost)):
        return TX_INSUFFICIENT_ACCOUNT_FUNDS
    if checks.sender_is_eoa:                                  # EIP-3607, with EIP-7702's exception
        code = ws_code(ws, sender)
        if code != NULL and code.size and not (code.delegation and ws.revision >= PRAGUE):
            return TX_SENDER_NOT_EOA
    return TX_VALID


# ------------------------------------------------------------ the run

cdef bint engine_failed(WorkingSet* ws, TxResult* result) noexcept nogil:
    if ws.failed:
        result.status = NO_MEMORY if ws.no_memory else STATE_FAILED
    return ws.failed


cdef void apply_authorization(Machine* machine, const Authorization* authorization) noexcept nogil:
    """EIP-7702, steps 1 to 9 for one tuple; a tuple that fails a check is passed over."""
    cdef WorkingSet* ws = machine.ws
    cdef uint8_t[23] designator
    cdef uint32_t authority
    cdef Code* code
    cdef int i
    cdef uint8_t any_set = 0
    if not u_is_zero(&authorization.chain_id) and not u_eq(&authorization.chain_id, &machine.env.chain_id):
        return
    if authorization.nonce == NONCE_MAX or not authorization.recovered:
        return
    authority = ws_account(ws, authorization.authority)
    ws_warm_account(ws, authority)
    code = ws_code(ws, authority)
    if code == NULL or (code.size and not code.delegation):
        return
    if ws_nonce(ws, authority) != authorization.nonce:
        return
    if ws_exists(ws, authority):
        ws.refund += AUTHORIZATION_REFUND
    for i in range(20):
        any_set |= authorization.address[i]
    designator[0] = 0xef
    designator[1] = 0x01
    designator[2] = 0x00
    memcpy(designator + 3, authorization.address, 20)
    ws_set_code(ws, authority, designator, 23 if any_set else 0)
    ws_set_nonce(ws, authority, authorization.nonce + 1)


cdef void warm_up(Machine* machine, const TxData* tx, uint32_t sender) noexcept nogil:
    """What EIP-2929, EIP-2930 and EIP-3651 make warm from the start. Precompiles and a created contract's address are
    the interpreter's to know."""
    cdef WorkingSet* ws = machine.ws
    cdef uint32_t account
    cdef size_t i
    cdef uint32_t key
    if machine.revision < BERLIN:
        return
    ws_warm_account(ws, sender)
    if not tx.is_create:
        ws_warm_account(ws, ws_account_unloaded(ws, tx.to))
    if machine.revision >= SHANGHAI:
        ws_warm_account(ws, ws_account_unloaded(ws, machine.env.coinbase))
    for i in range(tx.access_count):
        account = ws_account_unloaded(ws, tx.access[i].address)
        ws_warm_account(ws, account)
        for key in range(tx.access[i].first_key, tx.access[i].first_key + tx.access[i].key_count):
            ws_warm_slot(ws, ws_slot_unloaded(ws, account, &tx.access_keys[key]))


cdef void gas_prices(const Machine* machine, const TxData* tx, u256* price, u256* tip) noexcept nogil:
    """EIP-1559: what the sender pays for a unit of gas, and the part of it that the beneficiary gets."""
    price[0] = tx.max_fee
    if machine.revision < LONDON:
        tip[0] = tx.max_fee
        return
    if tx.type >= 2 and not u_add_carry(price, &machine.env.base_fee, &tx.max_priority_fee):
        if u_lt(&tx.max_fee, price):
            price[0] = tx.max_fee
    elif tx.type >= 2:
        price[0] = tx.max_fee
    if u_lt(price, &machine.env.base_fee):                    # only where a call leaves the base fee unchecked
        u_zero(tip)
    else:
        u_sub(tip, price, &machine.env.base_fee)


cdef void transaction_run(
    Machine* machine, const TxData* tx, const TxChecks* checks, uint64_t block_gas_left, uint64_t blob_gas_left,
    int max_blobs_per_tx, TxResult* result,
) noexcept nogil:
    cdef WorkingSet* ws = machine.ws
    cdef int revision = machine.revision
    cdef uint64_t intrinsic, floor
    cdef int64_t gas_limit = <int64_t>(tx.gas_limit if tx.gas_limit < INT64_LIMIT else INT64_LIMIT)
    cdef int64_t gas_used, refund
    cdef u256 price, tip, fee, blob_fee
    cdef uint32_t sender, coinbase
    cdef bint unread
    cdef Message message
    cdef Outcome outcome
    cdef Code* code
    cdef size_t i

    memset(result, 0, sizeof(TxResult))
    result.is_create = tx.is_create
    ws_begin(ws)

    # ---- may it be in the block?
    intrinsic_gas(tx, revision, &intrinsic, &floor)
    result.invalid = check_static(
        machine, tx, checks, intrinsic, floor, block_gas_left, blob_gas_left, max_blobs_per_tx
    )
    if result.invalid != TX_VALID:
        return
    unread = checks.forgotten and not tx.is_create and u_is_zero(&tx.value)
    sender = ws_account_unloaded(ws, tx.sender) if unread else ws_account(ws, tx.sender)
    if engine_failed(ws, result):
        return
    result.invalid = check_sender(ws, sender, tx, checks)
    if engine_failed(ws, result):
        result.invalid = TX_VALID
        return
    if result.invalid != TX_VALID:
        return

    # ---- the sender pays; blob fees are burnt
    gas_prices(machine, tx, &price, &tip)
    if checks.balance:
        u_mul64_carry(&fee, &price, tx.gas_limit)
        if tx.blob_hash_count:
            u_mul64_carry(&blob_fee, &machine.env.blob_base_fee, <uint64_t>GAS_PER_BLOB * tx.blob_hash_count)
            u_add(&fee, &fee, &blob_fee)
        ws_sub_balance(ws, sender, &fee)
    elif not unread and not ws_can_pay(ws, sender, &tx.value):
        ws_set_balance(ws, sender, &tx.value)
    if unread:
        ws_raise_nonce(ws, sender)
    else:
        ws_set_nonce(ws, sender, ws_nonce(ws, sender) + 1)

    memcpy(machine.env.origin, tx.sender, 20)
    machine.env.gas_price = price
    machine.env.blob_hashes = tx.blob_hashes
    machine.env.blob_hash_count = tx.blob_hash_count

    warm_up(machine, tx, sender)
    for i in range(tx.authorization_count):
        apply_authorization(machine, &tx.authorizations[i])
    if engine_failed(ws, result):
        return

    # ---- the message
    memset(&message, 0, sizeof(Message))
    message.gas = gas_limit - <int64_t>intrinsic
    memcpy(message.caller, tx.sender, 20)
    message.value = tx.value
    message.input = tx.data
    message.input_size = tx.data_size
    if tx.is_create:
        message.kind = CREATE
    else:
        message.kind = CALL
        memcpy(message.target, tx.to, 20)
        memcpy(message.code_address, tx.to, 20)
        if revision >= PRAGUE:
            code = ws_code(ws, ws_account(ws, tx.to))
            if engine_failed(ws, result):
                return
            if code.delegation:
                ws_warm_account(ws, ws_account_unloaded(ws, code.raw + 3))
    execute(machine, &message, &outcome)
    result.status = outcome.status
    if outcome.status >= STATE_FAILED or engine_failed(ws, result):
        return
    result.output = outcome.output
    result.output_size = outcome.output_size
    if outcome.status == SUCCESS and tx.is_create:
        memcpy(result.created, outcome.created, 20)

    # ---- refunds: at most a half of the gas used, from EIP-3529 on a fifth
    gas_used = gas_limit - outcome.gas_left
    result.gas_spent = gas_used
    refund = gas_used // (5 if revision >= LONDON else 2)
    if ws.refund < refund:
        refund = ws.refund
    if gas_used - refund < <int64_t>floor:                    # EIP-7623
        refund = gas_used - <int64_t>floor if gas_used > <int64_t>floor else 0
        gas_used = <int64_t>floor
    else:
        gas_used -= refund
    result.gas_used = gas_used
    result.gas_refund = refund

    # ---- the rest of the gas back to the sender, the fee to the beneficiary
    if checks.balance:
        u_mul64_carry(&fee, &price, tx.gas_limit - <uint64_t>gas_used)
        ws_add_balance(ws, sender, &fee)
        u_mul64_carry(&fee, &tip, <uint64_t>gas_used)
        coinbase = ws_account(ws, machine.env.coinbase)
        ws_touch(ws, coinbase)                                # also when the fee is zero: EIP-161 sees it
        ws_add_balance(ws, coinbase, &fee)
    ws_finish(ws)
    engine_failed(ws, result)


# ------------------------------------------------------------ from Python

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


# secp256k1's order and half of it
cdef object CURVE_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141
cdef object HALF_ORDER = CURVE_ORDER // 2


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
    if parity > 1 or not 0 < r < CURVE_ORDER or not 0 < s <= HALF_ORDER:
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


cdef list REASONS = [None, *TransactionReason]


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
    return InvalidTransaction(REASONS[<int>invalid], detail, index)


def intrinsic_gas_of(transaction, int revision):
    """(intrinsic gas, EIP-7623 floor) of a `Transaction` under rule set ``revision`` (`Fork.revision`); the floor is 0
    before Prague. The transaction needs no sender."""
    cdef PreparedTransaction prepared = PreparedTransaction(transaction, bytes(20))
    cdef uint64_t intrinsic, floor
    intrinsic_gas(&prepared.data, revision, &intrinsic, &floor)
    return intrinsic, floor


# The C function has this name inside the module; this is what `from evmcore._tx import intrinsic_gas` gives.
globals()["intrinsic_gas"] = intrinsic_gas_of
