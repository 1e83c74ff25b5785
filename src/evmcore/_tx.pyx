"""One transaction from its checks to its fees, by the yellow paper (section 6) and the later EIPs.

All of it is native; `_prepared` converts a Python transaction to C data, once.
"""
from libc.string cimport memcpy, memset

from evmcore._code cimport Code
from evmcore._interp cimport CALL, CREATE, NO_MEMORY, STATE_FAILED, SUCCESS, Message, Outcome, execute
from evmcore._rules cimport (
    BERLIN, CANCUN, HOMESTEAD, ISTANBUL, LONDON, OSAKA, PRAGUE, SHANGHAI, SPURIOUS_DRAGON,
)
from evmcore._state cimport (
    WorkingSet, ws_account, ws_account_unloaded, ws_add_balance, ws_begin, ws_can_pay, ws_code, ws_exists, ws_finish, ws_nonce,
    ws_raise_nonce, ws_set_balance, ws_set_code, ws_set_nonce, ws_slot_unloaded, ws_sub_balance, ws_touch, ws_warm_account, ws_warm_slot,
)
from evmcore._u256 cimport u_add, u_add_carry, u_eq, u_is_zero, u_lt, u_mul64_carry, u_sub, u_zero

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
    AUTHORIZATION_EMPTY_ACCOUNT = 25000   # EIP-7702
    AUTHORIZATION_REFUND = 12500          # 25,000 less the base cost of 12,500
    MAX_TX_GAS = 16777216                 # EIP-7825
    BLOB_HASH_VERSION = 1

cdef uint64_t NONCE_MAX = <uint64_t>0xffffffffffffffff
cdef uint64_t INT64_LIMIT = <uint64_t>0x7fffffffffffffff

ALL_CHECKS.nonce = ALL_CHECKS.balance = ALL_CHECKS.base_fee = ALL_CHECKS.blob_fee = True
ALL_CHECKS.sender_is_eoa = ALL_CHECKS.gas_cap = True
ALL_CHECKS.forgotten = False
CALL_CHECKS.nonce = CALL_CHECKS.balance = CALL_CHECKS.base_fee = CALL_CHECKS.blob_fee = False
CALL_CHECKS.sender_is_eoa = CALL_CHECKS.gas_cap = False
CALL_CHECKS.forgotten = True


# ------------------------------------------------------------ gas

cdef void intrinsic_gas(const TxData* tx, int revision, uint64_t* intrinsic, uint64_t* floor) noexcept nogil:
    """The gas taken before the first instruction, and the least gas a transaction pays for (zero before EIP-7623)."""
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
    """The checks that do not read the state."""
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
    """The balance that the sender must have: value, gas at the highest price and blobs at the highest price. True on overflow."""
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
    elif tx.is_create and ws_nonce(ws, sender) == NONCE_MAX:      # no next nonce to derive the contract's address from
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
    """EIP-7702, steps 1 to 9 for one authorization; an authorization that fails a check is skipped."""
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
    """Warms the addresses and slots that EIP-2929, EIP-2930 and EIP-3651 make warm from the start. The interpreter handles
    precompiles and the address of a created contract."""
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
    """EIP-1559: the price that the sender pays per unit of gas, and the part of it that the beneficiary gets."""
    price[0] = tx.max_fee
    if machine.revision < LONDON:
        tip[0] = tx.max_fee
        return
    if tx.type >= 2 and not u_add_carry(price, &machine.env.base_fee, &tx.max_priority_fee):
        if u_lt(&tx.max_fee, price):
            price[0] = tx.max_fee
    elif tx.type >= 2:
        price[0] = tx.max_fee
    if u_lt(price, &machine.env.base_fee):                    # only if a call leaves the base fee unchecked
        u_zero(tip)
    else:
        u_sub(tip, price, &machine.env.base_fee)


cdef inline bint admit_sender(
    WorkingSet* ws, uint32_t sender, const TxData* tx, const TxChecks* checks, TxResult* result
) noexcept nogil:
    """Whether the sender may send the transaction; if not, `result` has the reason."""
    if engine_failed(ws, result):
        return False
    result.invalid = check_sender(ws, sender, tx, checks)
    if engine_failed(ws, result):
        result.invalid = TX_VALID
        return False
    if result.invalid != TX_VALID:
        result.account_nonce = ws_nonce(ws, sender)
        return False
    return True


cdef inline void charge_sender(
    Machine* machine, uint32_t sender, bint unread, const TxData* tx, const TxChecks* checks, const u256* price
) noexcept nogil:
    """The sender pays for all the gas, and for blobs, whose fee is burnt; its nonce is increased."""
    cdef WorkingSet* ws = machine.ws
    cdef u256 fee, blob_fee
    if checks.balance:
        u_mul64_carry(&fee, price, tx.gas_limit)
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


cdef inline bint fill_message(Machine* machine, const TxData* tx, int64_t gas, Message* message) noexcept nogil:
    """The call or creation that the transaction makes. False: whether the callee has a delegation could not be read."""
    cdef WorkingSet* ws = machine.ws
    cdef Code* code
    memset(message, 0, sizeof(Message))
    message.gas = gas
    memcpy(message.caller, tx.sender, 20)
    message.value = tx.value
    message.input = tx.data
    message.input_size = tx.data_size
    if tx.is_create:
        message.kind = CREATE
        return True
    message.kind = CALL
    memcpy(message.target, tx.to, 20)
    memcpy(message.code_address, tx.to, 20)
    if machine.revision >= PRAGUE:
        code = ws_code(ws, ws_account(ws, tx.to))
        if ws.failed:
            return False
        if code.delegation:                                   # EIP-7702: the delegate is warm
            ws_warm_account(ws, ws_account_unloaded(ws, code.raw + 3))
    return True


cdef inline void settle_gas(
    WorkingSet* ws, int revision, int64_t gas_limit, int64_t gas_left, uint64_t floor, TxResult* result
) noexcept nogil:
    """Refunds are at most half of the gas used, from EIP-3529 on a fifth; they do not reduce the gas used below EIP-7623's
    floor."""
    cdef int64_t gas_used = gas_limit - gas_left
    cdef int64_t refund = gas_used // (5 if revision >= LONDON else 2)
    result.gas_spent = gas_used
    if ws.refund < refund:
        refund = ws.refund
    if gas_used - refund < <int64_t>floor:
        refund = gas_used - <int64_t>floor if gas_used > <int64_t>floor else 0
        gas_used = <int64_t>floor
    else:
        gas_used -= refund
    result.gas_used = gas_used
    result.gas_refund = refund


cdef inline void pay_out(
    Machine* machine, uint32_t sender, const TxData* tx, const u256* price, const u256* tip, int64_t gas_used
) noexcept nogil:
    """Returns the rest of the gas to the sender, and pays the fee to the beneficiary."""
    cdef WorkingSet* ws = machine.ws
    cdef uint32_t coinbase
    cdef u256 fee
    u_mul64_carry(&fee, price, tx.gas_limit - <uint64_t>gas_used)
    ws_add_balance(ws, sender, &fee)
    u_mul64_carry(&fee, tip, <uint64_t>gas_used)
    coinbase = ws_account(ws, machine.env.coinbase)
    ws_touch(ws, coinbase)                                    # even if the fee is zero, because of EIP-161
    ws_add_balance(ws, coinbase, &fee)


cdef void transaction_run(
    Machine* machine, const TxData* tx, const TxChecks* checks, uint64_t block_gas_left, uint64_t blob_gas_left,
    int max_blobs_per_tx, TxResult* result,
) noexcept nogil:
    cdef WorkingSet* ws = machine.ws
    cdef uint64_t intrinsic, floor
    cdef int64_t gas_limit = <int64_t>(tx.gas_limit if tx.gas_limit < INT64_LIMIT else INT64_LIMIT)
    cdef u256 price, tip
    cdef uint32_t sender
    cdef bint unread
    cdef Message message
    cdef Outcome outcome
    cdef size_t i

    memset(result, 0, sizeof(TxResult))
    result.is_create = tx.is_create
    ws_begin(ws)

    intrinsic_gas(tx, machine.revision, &intrinsic, &floor)
    result.invalid = check_static(
        machine, tx, checks, intrinsic, floor, block_gas_left, blob_gas_left, max_blobs_per_tx
    )
    if result.invalid != TX_VALID:
        return
    # A sender on which the call does not depend need not be read, unless the code reads it.
    unread = checks.forgotten and not tx.is_create and u_is_zero(&tx.value)
    sender = ws_account_unloaded(ws, tx.sender) if unread else ws_account(ws, tx.sender)
    if not admit_sender(ws, sender, tx, checks, result):
        return

    gas_prices(machine, tx, &price, &tip)
    charge_sender(machine, sender, unread, tx, checks, &price)
    memcpy(machine.env.origin, tx.sender, 20)
    machine.env.gas_price = price
    machine.env.blob_hashes = tx.blob_hashes
    machine.env.blob_hash_count = tx.blob_hash_count
    warm_up(machine, tx, sender)
    for i in range(tx.authorization_count):
        apply_authorization(machine, &tx.authorizations[i])
    if engine_failed(ws, result):
        return

    if not fill_message(machine, tx, gas_limit - <int64_t>intrinsic, &message):
        engine_failed(ws, result)
        return
    execute(machine, &message, &outcome)
    result.status = outcome.status
    if outcome.status >= STATE_FAILED or engine_failed(ws, result):
        return
    result.output = outcome.output
    result.output_size = outcome.output_size
    if outcome.status == SUCCESS and tx.is_create:
        memcpy(result.created, outcome.created, 20)

    settle_gas(ws, machine.revision, gas_limit, outcome.gas_left, floor, result)
    if checks.balance:
        pay_out(machine, sender, tx, &price, &tip, result.gas_used)
    ws_finish(ws)
    engine_failed(ws, result)
