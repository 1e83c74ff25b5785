"""geth's answers to calls that fail: codes, messages and data for the engine's outcomes and exceptions."""

from __future__ import annotations

from typing import Final

from evmcore._results import CallResult, Status
from evmcore.errors import (
    BlockNotFound,
    EvmcoreError,
    ExecutionAborted,
    InputError,
    InvalidTransaction,
    ResourceError,
    StaleState,
    StateError,
    StateUnavailable,
    TransactionReason,
)
from evmcore.reverts import decode_revert
from evmcore.service.rpc_errors import INVALID_PARAMS, REVERTED, SERVER_ERROR, RpcError, Unavailable

__all__ = ["call_error", "exception_error", "refusal_text", "revert_error", "status_text"]

# geth's texts (core/vm/errors.go), which clients compare.
_STATUS_TEXTS: Final = {
    Status.SUCCESS: "",
    Status.REVERT: "execution reverted",
    Status.OUT_OF_GAS: "out of gas",
    Status.STACK_UNDERFLOW: "stack underflow",
    Status.STACK_OVERFLOW: "stack limit reached 1024",
    Status.INVALID_OPCODE: "invalid opcode",
    Status.INVALID_JUMP: "invalid jump destination",
    Status.WRITE_PROTECTION: "write protection",
    Status.RETURN_DATA_OUT_OF_BOUNDS: "return data out of bounds",
    Status.CREATE_COLLISION: "contract address collision",
    Status.CODE_TOO_LARGE: "max code size exceeded",
    Status.INVALID_CODE_PREFIX: "invalid code: must not begin with 0xef",
    Status.CODE_STORE_OUT_OF_GAS: "contract creation code storage out of gas",
    Status.INIT_CODE_TOO_LARGE: "max initcode size exceeded",
    Status.PRECOMPILE_FAILURE: "precompile failed",
    Status.CALL_DEPTH: "max call depth exceeded",
    Status.INSUFFICIENT_BALANCE: "insufficient balance for transfer",
    Status.NONCE_OVERFLOW: "nonce uint64 overflow",
}

# ... and those of accounts/abi for Solidity's panics.
_PANIC_TEXTS: Final = {
    0x00: "generic panic",
    0x01: "assert(false)",
    0x11: "arithmetic underflow or overflow",
    0x12: "division or modulo by zero",
    0x21: "enum overflow",
    0x22: "invalid encoded storage byte array accessed",
    0x31: "out-of-bounds array access; popping on an empty array",
    0x32: "out-of-bounds access of an array or bytesN",
    0x41: "out of memory",
    0x51: "uninitialized function",
}

_REASON_TEXTS: Final = {
    TransactionReason.INTRINSIC_GAS_TOO_LOW: "intrinsic gas too low",
    TransactionReason.INTRINSIC_GAS_BELOW_FLOOR_GAS_COST: "insufficient gas for floor data gas cost",
    TransactionReason.INITCODE_SIZE_EXCEEDED: "max initcode size exceeded",
    TransactionReason.GAS_LIMIT_EXCEEDS_MAXIMUM: "transaction gas limit too high",
    TransactionReason.INSUFFICIENT_ACCOUNT_FUNDS: "insufficient funds for gas * price + value",
    TransactionReason.NONCE_MISMATCH_TOO_LOW: "nonce too low",
    TransactionReason.NONCE_MISMATCH_TOO_HIGH: "nonce too high",
    TransactionReason.NONCE_IS_MAX: "nonce has max value",
    TransactionReason.SENDER_NOT_EOA: "sender not an eoa",
    TransactionReason.INSUFFICIENT_MAX_FEE_PER_GAS: "max fee per gas less than block base fee",
    TransactionReason.PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS: "max priority fee per gas higher than max fee per gas",
    TransactionReason.INSUFFICIENT_MAX_FEE_PER_BLOB_GAS: "max fee per blob gas less than block blob gas fee",
    TransactionReason.TYPE_3_TX_CONTRACT_CREATION: "blob transaction of type create",
    TransactionReason.TYPE_3_TX_ZERO_BLOBS: "blob transaction missing blob hashes",
    TransactionReason.TYPE_4_TX_CONTRACT_CREATION: "EIP-7702 transaction cannot be used to create contract",
    TransactionReason.TYPE_4_EMPTY_AUTHORIZATION_LIST: "EIP-7702 transaction with empty auth list",
    TransactionReason.TYPE_NOT_SUPPORTED: "transaction type not supported",
    TransactionReason.GAS_ALLOWANCE_EXCEEDED: "gas limit reached",
}


def status_text(status: Status) -> str:
    """geth's text for a failure; empty on success."""
    return _STATUS_TEXTS[status]


def revert_error(output: bytes) -> RpcError:
    """The error of a call that reverted with this data: code 3, with the reason if it can be decoded."""
    reason = decode_revert(output)
    message = "execution reverted"
    if reason.kind == "error":
        message += f": {reason.message}"
    elif reason.kind == "panic" and reason.code is not None:
        message += f": {_PANIC_TEXTS.get(reason.code) or f'unknown panic code: {reason.code:#x}'}"
    return RpcError(REVERTED, message, "0x" + output.hex())


def call_error(result: CallResult) -> RpcError | None:
    """The error for a call's outcome; None if the call succeeded."""
    if result.success:
        return None
    if result.status == Status.REVERT:
        return revert_error(result.output)
    return RpcError(SERVER_ERROR, status_text(result.status))


def refusal_text(error: InvalidTransaction) -> str:
    """geth's text for an invalid transaction."""
    text = _REASON_TEXTS.get(error.reason, error.reason.name.lower().replace("_", " "))
    return text + (f": {error.detail}" if error.detail else "")


def exception_error(error: EvmcoreError, timeout: float | None = None) -> RpcError:
    """The error for an exception of this package."""
    if isinstance(error, RpcError):
        return error
    if isinstance(error, InvalidTransaction):
        return RpcError(SERVER_ERROR, f"err: {refusal_text(error)}")
    if isinstance(error, ExecutionAborted):
        return RpcError(SERVER_ERROR, "execution aborted" + (f" (timeout = {timeout:g}s)" if timeout else ""))
    if isinstance(error, BlockNotFound):
        return RpcError(SERVER_ERROR, "header not found")
    if isinstance(error, StateUnavailable) or isinstance(error.__cause__, StateUnavailable):
        return Unavailable(f"state backend unavailable: {error}")
    if isinstance(error, StaleState):
        return Unavailable(f"stale state: {error}")
    if isinstance(error, StateError):
        return RpcError(SERVER_ERROR, str(error))
    if isinstance(error, ResourceError):
        return RpcError(SERVER_ERROR, f"out of memory: {error}")
    if isinstance(error, InputError):
        return RpcError(INVALID_PARAMS, str(error))
    return RpcError(SERVER_ERROR, str(error))
