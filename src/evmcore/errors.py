"""All exceptions and reasons of the package. EVM outcomes (revert, out of gas) are results, not exceptions.

The reasons for which a transaction or a block is invalid carry the names of the execution-spec-tests
(`TransactionException`, `BlockException`), so that a fixture's expectation can be compared by name.
"""

from __future__ import annotations

from enum import Enum, auto


class Reason(str, Enum):
    """A string enumeration whose values are the member names."""

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[str]) -> str:
        return name

    def __str__(self) -> str:
        return self.name


class TransactionReason(Reason):
    """Why a transaction may not be in a block."""

    # Rules checked against block and state, in the order of `TxInvalid` in `_tx.pxd`, whose first value is "valid".
    TYPE_NOT_SUPPORTED = auto()
    INVALID_CHAINID = auto()
    NONCE_MISMATCH_TOO_LOW = auto()
    NONCE_MISMATCH_TOO_HIGH = auto()
    NONCE_IS_MAX = auto()  # EIP-2681
    SENDER_NOT_EOA = auto()  # EIP-3607
    INSUFFICIENT_ACCOUNT_FUNDS = auto()
    INTRINSIC_GAS_TOO_LOW = auto()
    INTRINSIC_GAS_BELOW_FLOOR_GAS_COST = auto()  # EIP-7623
    GAS_LIMIT_EXCEEDS_MAXIMUM = auto()  # EIP-7825
    GAS_ALLOWANCE_EXCEEDED = auto()
    GASLIMIT_PRICE_PRODUCT_OVERFLOW = auto()
    INSUFFICIENT_MAX_FEE_PER_GAS = auto()
    PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS = auto()
    INITCODE_SIZE_EXCEEDED = auto()  # EIP-3860
    TYPE_3_TX_CONTRACT_CREATION = auto()
    TYPE_3_TX_ZERO_BLOBS = auto()
    TYPE_3_TX_INVALID_BLOB_VERSIONED_HASH = auto()
    TYPE_3_TX_BLOB_COUNT_EXCEEDED = auto()
    TYPE_3_TX_MAX_BLOB_GAS_ALLOWANCE_EXCEEDED = auto()
    INSUFFICIENT_MAX_FEE_PER_BLOB_GAS = auto()
    TYPE_4_TX_CONTRACT_CREATION = auto()
    TYPE_4_EMPTY_AUTHORIZATION_LIST = auto()
    INVALID_SIGNATURE_VRS = auto()

    # Rules that a transaction breaks regardless of block and state: its encoding and its signature.
    EC_RECOVERY_FAIL = auto()
    NONCE_OVERFLOW = auto()
    NONCE_TOO_BIG = auto()
    GASLIMIT_OVERFLOW = auto()
    GASPRICE_OVERFLOW = auto()
    VALUE_OVERFLOW = auto()
    ADDRESS_TOO_SHORT = auto()
    ADDRESS_TOO_LONG = auto()
    TYPE_0_TX_MALFORMED = auto()
    TYPE_1_TX_PRE_FORK = auto()
    TYPE_2_TX_PRE_FORK = auto()
    TYPE_3_TX_PRE_FORK = auto()
    TYPE_3_TX_WITH_FULL_BLOBS = auto()
    TYPE_4_TX_PRE_FORK = auto()
    TYPE_4_INVALID_AUTHORIZATION_FORMAT = auto()
    TYPE_4_INVALID_AUTHORITY_SIGNATURE = auto()
    TYPE_4_INVALID_AUTHORITY_SIGNATURE_S_TOO_HIGH = auto()
    RLP_ERROR_EOF = auto()
    RLP_ERROR_SIZE = auto()
    RLP_ERROR_SIZE_LEADING_ZEROS = auto()
    RLP_TOO_FEW_ELEMENTS = auto()
    RLP_TOO_MANY_ELEMENTS = auto()
    RLP_INVALID_HEADER = auto()
    RLP_INVALID_VALUE = auto()
    RLP_INVALID_NONCE = auto()
    RLP_INVALID_GASLIMIT = auto()
    RLP_INVALID_TO = auto()
    RLP_INVALID_DATA = auto()
    RLP_INVALID_SIGNATURE_R = auto()
    RLP_INVALID_SIGNATURE_S = auto()
    RLP_INVALID_ACCESS_LIST_ADDRESS_TOO_SHORT = auto()
    RLP_INVALID_ACCESS_LIST_ADDRESS_TOO_LONG = auto()
    RLP_INVALID_ACCESS_LIST_STORAGE_TOO_SHORT = auto()
    RLP_INVALID_ACCESS_LIST_STORAGE_TOO_LONG = auto()
    RLP_LEADING_ZEROS_NONCE = auto()
    RLP_LEADING_ZEROS_NONCE_SIZE = auto()
    RLP_LEADING_ZEROS_GASLIMIT = auto()
    RLP_LEADING_ZEROS_GASPRICE = auto()
    RLP_LEADING_ZEROS_VALUE = auto()
    RLP_LEADING_ZEROS_DATA_SIZE = auto()
    RLP_LEADING_ZEROS_BASEFEE = auto()
    RLP_LEADING_ZEROS_PRIORITY_FEE = auto()
    RLP_LEADING_ZEROS_V = auto()
    RLP_LEADING_ZEROS_R = auto()
    RLP_LEADING_ZEROS_S = auto()


class BlockReason(Reason):
    """Why a block may not follow its parent."""

    # Encoding.
    RLP_STRUCTURES_ENCODING = auto()
    RLP_WITHDRAWALS_NOT_READ = auto()
    RLP_INVALID_FIELD_OVERFLOW_64 = auto()
    RLP_INVALID_ADDRESS = auto()
    RLP_BLOCK_LIMIT_EXCEEDED = auto()  # EIP-7934
    INCORRECT_BLOCK_FORMAT = auto()

    # Header against its parent and its fork.
    UNKNOWN_PARENT = auto()
    UNKNOWN_PARENT_ZERO = auto()
    INVALID_BLOCK_HASH = auto()
    INVALID_BLOCK_NUMBER = auto()
    INVALID_BLOCK_TIMESTAMP_OLDER_THAN_PARENT = auto()
    INVALID_DIFFICULTY = auto()
    INVALID_GASLIMIT = auto()
    GASLIMIT_TOO_BIG = auto()
    INVALID_BASEFEE_PER_GAS = auto()
    INCORRECT_EXCESS_BLOB_GAS = auto()
    EXTRA_DATA_TOO_BIG = auto()
    EXTRA_DATA_INVALID_DAO = auto()
    IMPORT_IMPOSSIBLE_DIFFICULTY_OVER_PARIS = auto()
    IMPORT_IMPOSSIBLE_LEGACY = auto()
    IMPORT_IMPOSSIBLE_LEGACY_WRONG_PARENT = auto()
    IMPORT_IMPOSSIBLE_LONDON_WRONG_PARENT = auto()
    IMPORT_IMPOSSIBLE_PARIS_WRONG_POW = auto()
    IMPORT_IMPOSSIBLE_PARIS_WRONG_POS = auto()
    IMPORT_IMPOSSIBLE_LONDON_OVER_PARIS = auto()
    IMPORT_IMPOSSIBLE_PARIS_OVER_SHANGHAI = auto()
    IMPORT_IMPOSSIBLE_SHANGHAI = auto()
    IMPORT_IMPOSSIBLE_UNCLES_OVER_PARIS = auto()

    # Ommers.
    TOO_MANY_UNCLES = auto()
    INVALID_UNCLES_HASH = auto()
    UNCLE_IN_CHAIN = auto()
    UNCLE_IS_ANCESTOR = auto()
    UNCLE_IS_BROTHER = auto()
    UNCLE_PARENT_INCORRECT = auto()
    UNCLE_UNKNOWN_PARENT = auto()

    # Body and outcome against the header.
    INVALID_TRANSACTIONS_ROOT = auto()
    INVALID_WITHDRAWALS_ROOT = auto()
    INVALID_RECEIPTS_ROOT = auto()
    INVALID_STATE_ROOT = auto()
    INVALID_LOG_BLOOM = auto()
    INVALID_GAS_USED = auto()
    INVALID_GAS_USED_ABOVE_LIMIT = auto()
    GAS_USED_OVERFLOW = auto()
    INCORRECT_BLOB_GAS_USED = auto()
    BLOB_GAS_USED_ABOVE_LIMIT = auto()
    INVALID_VERSIONED_HASHES = auto()
    INVALID_REQUESTS = auto()
    INVALID_DEPOSIT_EVENT_LAYOUT = auto()
    SYSTEM_CONTRACT_EMPTY = auto()
    SYSTEM_CONTRACT_CALL_FAILED = auto()

    # The block-level access list (EIP-7928).
    INVALID_BAL_HASH = auto()
    INVALID_BLOCK_ACCESS_LIST = auto()
    BLOCK_ACCESS_LIST_GAS_LIMIT_EXCEEDED = auto()


class EvmcoreError(Exception):
    """The base of every exception of this package."""


class InputError(EvmcoreError, ValueError):
    """An argument has the wrong type, length or range. The message names the argument."""


class RlpError(InputError):
    """The bytes are not the canonical RLP encoding of the expected value."""


class ConfigError(InputError):
    """A required field of a chain configuration or genesis file is missing or malformed."""


class StateError(EvmcoreError):
    """The state could not be read or written. A value that could not be read is never taken for zero."""


class StateUnavailable(StateError):
    """The server that holds the state is unreachable or does not answer in time; a retry may succeed."""


class StateCorrupted(StateError):
    """The stored bytes are not the bytes written: lost, cut, damaged or of another version. The message names the
    key."""


class StateUnknown(StateError):
    """An account or slot that was never loaded, in a state that holds only some. It need not be zero."""


class BlockNotFound(StateError):
    """The chain has no such block (yet), or this process has never seen it."""


class StateNotAvailable(StateError):
    """The state after that block is not kept: the block is older than the feed, or unknown."""


class StaleState(StateError):
    """The head is older than the configured limit for answering calls."""


class WrongParent(StateError):
    """The block does not follow the head of the stored state."""


class WriterFenced(StateError):
    """Another writer has taken over the stored state; this one must stop."""


class WriteRefused(StateError):
    """The server refuses writes: it is out of memory, a replica, or does not permit them to this user."""


class ReorgTooDeep(StateError):
    """The common ancestor of two branches is older than the feed can revert. The state has to be loaded anew."""


class UnsafeStorage(StateError):
    """The server is configured in a way that may silently lose state, such as evicting keys."""


class NodeError(StateError):
    """A node answered a request with an error. `code` is the JSON-RPC error code."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message, code)
        self.code = code

    def __str__(self) -> str:
        return str(self.args[0])


class ResourceError(EvmcoreError):
    """The machine has not enough memory for the request."""


class TraceTooLarge(ResourceError):
    """A tracer collected more than its `size_limit`; the run was stopped."""


class ExecutionAborted(EvmcoreError):
    """The execution was stopped from outside: a deadline, a limit or an abort flag."""


class InvalidTransaction(EvmcoreError):
    """The transaction may not be in a block.

    `reason` is the broken rule; `detail` has the numbers; `index` is the index in the block or batch, if there is one.
    """

    def __init__(self, reason: TransactionReason, detail: str = "", index: int | None = None) -> None:
        super().__init__(reason, detail, index)
        self.reason = reason
        self.detail = detail
        self.index = index

    def __str__(self) -> str:
        place = "transaction" if self.index is None else f"transaction {self.index}"
        return f"{place}: {self.reason}" + (f": {self.detail}" if self.detail else "")


class InvalidBlock(EvmcoreError):
    """The block may not follow its parent. `reason` is the broken rule; `detail` has the numbers.

    If a transaction makes the block invalid, its `InvalidTransaction` is the `__cause__`, and `reason` is its
    `TransactionReason`.
    """

    def __init__(self, reason: BlockReason | TransactionReason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"block: {self.reason}" + (f": {self.detail}" if self.detail else "")


def not_copied(value: object, instead: str) -> TypeError:
    """The error for pickling or copying a `value` that is bound to this process; `instead`: why, and what to do."""
    name = type(value).__name__
    return TypeError(f"{'an' if name[0] in 'AEIOU' else 'a'} {name} cannot be pickled or copied: {instead}")
