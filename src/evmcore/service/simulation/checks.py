"""Turns calls into transactions by filling in missing fields, and finds the reasons why a block may not contain them,
in geth's order and wording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from evmcore._prepared import intrinsic_gas_of
from evmcore._session import Session
from evmcore.blocks import Header
from evmcore.errors import InvalidTransaction, TransactionReason
from evmcore.forks import Fork
from evmcore.service.parse import CallObject
from evmcore.service.prices import fee_cap, most_cost, tip_cap
from evmcore.service.rpc_errors import (
    BASE_FEE_TOO_LOW,
    BLOCK_GAS_LIMIT,
    FEE_CAP_TOO_LOW,
    INIT_CODE_SIZE,
    INSUFFICIENT_FUNDS,
    INTERNAL_ERROR,
    INTRINSIC_GAS,
    INVALID_PARAMS,
    NONCE_TOO_HIGH,
    NONCE_TOO_LOW,
    SENDER_NOT_EOA,
    SERVER_ERROR,
    RpcError,
)
from evmcore.transaction_rlp import BLOB, DYNAMIC_FEE, LEGACY, SET_CODE
from evmcore.transactions import MAX_INIT_CODE_SIZE, Transaction

__all__ = ["Fees", "call_transaction", "check_transaction", "invalid_call"]

NONCE_MAX: Final = 2**64 - 1

_CODES: Final = {
    TransactionReason.NONCE_MISMATCH_TOO_LOW: NONCE_TOO_LOW,
    TransactionReason.NONCE_MISMATCH_TOO_HIGH: NONCE_TOO_HIGH,
    TransactionReason.SENDER_NOT_EOA: SENDER_NOT_EOA,
    TransactionReason.INSUFFICIENT_ACCOUNT_FUNDS: INSUFFICIENT_FUNDS,
    TransactionReason.INTRINSIC_GAS_TOO_LOW: INTRINSIC_GAS,
    TransactionReason.INTRINSIC_GAS_BELOW_FLOOR_GAS_COST: INTRINSIC_GAS,
    TransactionReason.INITCODE_SIZE_EXCEEDED: INIT_CODE_SIZE,
    TransactionReason.INSUFFICIENT_MAX_FEE_PER_GAS: BASE_FEE_TOO_LOW,
    TransactionReason.PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS: INVALID_PARAMS,
    TransactionReason.INSUFFICIENT_MAX_FEE_PER_BLOB_GAS: FEE_CAP_TOO_LOW,
    TransactionReason.GAS_ALLOWANCE_EXCEEDED: BLOCK_GAS_LIMIT,
}


def invalid_call(error: InvalidTransaction) -> RpcError:
    """The error for a call that the engine would not run as a transaction."""
    return RpcError(_CODES.get(error.reason, SERVER_ERROR), f"err: {error}")


@dataclass(frozen=True, slots=True)
class Fees:
    """The fees of a transaction that are compared with the block's: all with validation, otherwise only given ones."""

    gas: bool
    blobs: bool


def call_transaction(
    call: CallObject, session: Session, header: Header, gas_pool: int, chain_id: int, london: bool
) -> Transaction:
    """The unsigned transaction for a call: type 2 unless the call has fields of another type, then the lowest type with
    all its fields. A missing gas limit becomes the gas that is left in the block and the pool."""
    if call.chain_id is not None and call.chain_id != chain_id:
        raise RpcError(SERVER_ERROR, f"chainId does not match node's (have={call.chain_id}, want={chain_id})")
    sender = call.sender or bytes(20)
    gas = session.gas_left if call.gas is None else call.gas
    if gas > session.gas_left:
        raise RpcError(
            BLOCK_GAS_LIMIT, f"block gas limit reached: {header.gas_limit - session.gas_left} >= {header.gas_limit}"
        )
    values: dict[str, Any] = {
        "nonce": session.account(sender)[0] if call.nonce is None else call.nonce,
        "gas_limit": min(gas, gas_pool),
        "to": call.to,
        "value": call.value or 0,
        "data": call.data,
        "sender": sender,
    }
    if call.gas_price is not None or not london:
        return Transaction(type=LEGACY, gas_price=call.gas_price or 0, **values)
    kind = DYNAMIC_FEE
    if call.authorization_list is not None:
        kind = SET_CODE
        values["authorization_list"] = call.authorization_list
    elif call.blob_hashes is not None:
        kind = BLOB
        values["blob_versioned_hashes"] = call.blob_hashes
        values["max_fee_per_blob_gas"] = call.max_fee_per_blob_gas or 0
    if kind != DYNAMIC_FEE and call.to is None:
        what = "EIP-7702" if kind == SET_CODE else "blob"
        raise RpcError(INVALID_PARAMS, f"err: {what} transaction cannot be used to create a contract")
    return Transaction(
        type=kind,
        chain_id=chain_id,
        max_fee_per_gas=call.max_fee_per_gas or 0,
        max_priority_fee_per_gas=call.max_priority_fee_per_gas or 0,
        access_list=call.access_list or (),
        **values,
    )


def check_transaction(
    tx: Transaction, session: Session, header: Header, blob_base_fee: int, fork: Fork, validation: bool
) -> Fees:
    """Raises `RpcError` if the transaction cannot be in the block, with geth's reason."""
    assert tx.sender is not None
    who = f"address 0x{tx.sender.hex()}"
    supplied = f"(supplied gas {tx.gas_limit})"
    nonce, balance = session.account(tx.sender)

    def refuse(code: int, problem: str) -> RpcError:
        return RpcError(code, f"err: {problem} {supplied}")

    if validation:
        if tx.nonce > nonce:
            raise refuse(NONCE_TOO_HIGH, f"nonce too high: {who}, tx: {tx.nonce} state: {nonce}")
        if tx.nonce < nonce:
            raise refuse(NONCE_TOO_LOW, f"nonce too low: {who}, tx: {tx.nonce} state: {nonce}")
        if nonce == NONCE_MAX:
            raise refuse(INTERNAL_ERROR, f"nonce has max value: {who}, nonce: {nonce}")
    most, tip = fee_cap(tx), tip_cap(tx)
    fees = Fees(validation or bool(most or tip), validation or bool(tx.max_fee_per_blob_gas))
    if fees.gas and fork >= Fork.LONDON:
        base_fee = header.base_fee_per_gas or 0
        if most < tip:
            raise refuse(
                INVALID_PARAMS,
                f"max priority fee per gas higher than max fee per gas: {who}, maxPriorityFeePerGas: {tip}, "
                f"maxFeePerGas: {most}",
            )
        if most < base_fee:
            raise refuse(
                BASE_FEE_TOO_LOW,
                f"max fee per gas less than block base fee: {who}, maxFeePerGas: {most}, baseFee: {base_fee}",
            )
    if tx.type == BLOB and fees.blobs and (tx.max_fee_per_blob_gas or 0) < blob_base_fee:
        raise refuse(
            FEE_CAP_TOO_LOW,
            f"max fee per blob gas less than block blob gas fee: {who} blobGasFeeCap: {tx.max_fee_per_blob_gas}, "
            f"blobBaseFee: {blob_base_fee}",
        )
    cost = most_cost(tx)
    if balance < cost:
        raise refuse(
            INSUFFICIENT_FUNDS, f"insufficient funds for gas * price + value: {who} have {balance} want {cost}"
        )
    intrinsic, floor = intrinsic_gas_of(tx, fork.revision)
    if tx.gas_limit < intrinsic:
        raise refuse(INTRINSIC_GAS, f"intrinsic gas too low: have {tx.gas_limit}, want {intrinsic}")
    if tx.gas_limit < floor:
        raise refuse(INTRINSIC_GAS, f"insufficient gas for floor data gas cost: have {tx.gas_limit}, want {floor}")
    if tx.to is None and fork >= Fork.SHANGHAI and len(tx.data) > MAX_INIT_CODE_SIZE:
        raise refuse(INIT_CODE_SIZE, f"max initcode size exceeded: code size {len(tx.data)} limit {MAX_INIT_CODE_SIZE}")
    return fees
