"""One transaction: validity, intrinsic gas, fees, authorisations, refunds. Layer 3: knows nothing of blocks."""
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from evmcore._interp cimport Machine, Status
from evmcore._u256 cimport u256

cdef enum:
    GAS_PER_BLOB = 131072         # EIP-4844
    MAX_BLOBS_PER_TX = 6          # EIP-7594, from Osaka on
    MAX_INIT_CODE_SIZE = 49152    # EIP-3860

cdef struct AccessEntry:
    uint8_t[20] address
    uint32_t first_key            # into TxData.access_keys
    uint32_t key_count

cdef struct Authorization:        # EIP-7702, signature already recovered
    u256 chain_id
    uint8_t[20] address           # the delegate; zero clears
    uint64_t nonce
    bint recovered                # the signature is valid by EIP-7702 and an authority was recovered
    uint8_t[20] authority

cdef struct TxData:               # all pointers are borrowed from the object that prepared it
    int type                      # 0 to 4
    bint has_chain_id             # false: a legacy transaction from before EIP-155
    u256 chain_id
    uint8_t[20] sender
    uint64_t nonce
    u256 max_fee                  # the gas price of types 0 and 1
    u256 max_priority_fee         # equal to max_fee for types 0 and 1
    uint64_t gas_limit
    bint is_create
    uint8_t[20] to
    u256 value
    const uint8_t* data
    size_t data_size
    AccessEntry* access
    size_t access_count
    u256* access_keys
    u256 max_fee_per_blob_gas
    const uint8_t* blob_hashes    # 32 bytes each
    size_t blob_hash_count
    Authorization* authorizations
    size_t authorization_count

# The reasons why a transaction may not be in a block. Python names: errors.TransactionReason, in the same order.
cdef enum TxInvalid:
    TX_VALID = 0
    TX_TYPE_NOT_SUPPORTED
    TX_INVALID_CHAIN_ID
    TX_NONCE_TOO_LOW
    TX_NONCE_TOO_HIGH
    TX_NONCE_IS_MAX
    TX_SENDER_NOT_EOA
    TX_INSUFFICIENT_ACCOUNT_FUNDS
    TX_INTRINSIC_GAS_TOO_LOW
    TX_INTRINSIC_GAS_BELOW_FLOOR_GAS_COST
    TX_GAS_LIMIT_EXCEEDS_MAXIMUM          # EIP-7825
    TX_GAS_ALLOWANCE_EXCEEDED             # more gas than is left in the block
    TX_GASLIMIT_PRICE_PRODUCT_OVERFLOW
    TX_INSUFFICIENT_MAX_FEE_PER_GAS
    TX_PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS
    TX_INITCODE_SIZE_EXCEEDED
    TX_TYPE_3_TX_CONTRACT_CREATION
    TX_TYPE_3_TX_ZERO_BLOBS
    TX_TYPE_3_TX_INVALID_BLOB_VERSIONED_HASH
    TX_TYPE_3_TX_BLOB_COUNT_EXCEEDED
    TX_TYPE_3_TX_MAX_BLOB_GAS_ALLOWANCE_EXCEEDED
    TX_INSUFFICIENT_MAX_FEE_PER_BLOB_GAS
    TX_TYPE_4_TX_CONTRACT_CREATION
    TX_TYPE_4_EMPTY_AUTHORIZATION_LIST
    TX_INVALID_SIGNATURE

cdef struct TxChecks:             # checks that a call may leave out
    bint nonce
    bint balance                  # the sender pays; if false, no fee is charged and missing value is credited
    bint base_fee
    bint blob_fee
    bint sender_is_eoa            # EIP-3607
    bint gas_cap                  # EIP-7825 and block gas
    bint forgotten                # a call whose changes are discarded: its sender is read only if the call depends on it

cdef TxChecks ALL_CHECKS          # of a real transaction
cdef TxChecks CALL_CHECKS         # of a call: no checks of payment and signature, and its changes are discarded

cdef struct TxResult:
    TxInvalid invalid             # if not TX_VALID, nothing was changed
    uint64_t account_nonce        # of the sender, if its account makes the transaction invalid
    Status status
    int64_t gas_used              # after refunds and the EIP-7623 floor
    int64_t gas_refund            # the refund that was subtracted
    int64_t gas_spent             # before refunds
    const uint8_t* output         # borrowed from the machine
    size_t output_size
    bint is_create
    uint8_t[20] created

# Validates and runs one transaction on the machine's working set: ws_begin, checks, fee purchase, authorisations, warming,
# message, refunds, fees to the beneficiary, ws_finish. Logs of the transaction are left in the working set.
# `block_gas_left` and `blob_gas_left` bound the transaction. After status STATE_FAILED, NO_MEMORY or ABORTED the working set
# must be reset. machine.env holds the block; gas_price, origin and blob hashes of env are set here.
cdef void transaction_run(Machine* machine, const TxData* tx, const TxChecks* checks, uint64_t block_gas_left, uint64_t blob_gas_left, int max_blobs_per_tx, TxResult* result) noexcept nogil

# EIP-7623 floor and intrinsic gas by revision.
cdef void intrinsic_gas(const TxData* tx, int revision, uint64_t* intrinsic, uint64_t* floor) noexcept nogil
