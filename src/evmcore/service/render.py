"""Blocks, transactions, receipts and logs as JSON-RPC values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evmcore.blocks import Block, Header
from evmcore.forks import ChainConfig
from evmcore.headers import GAS_PER_BLOB, blob_base_fee
from evmcore.service.archive import ArchivedBlock
from evmcore.service.prices import effective_gas_price
from evmcore.transaction_rlp import BLOB, DYNAMIC_FEE, LEGACY, SET_CODE
from evmcore.transactions import AccessList, Transaction
from evmcore.types import Log, Withdrawal

__all__ = ["block_json", "header_json", "log_json", "receipt_json", "transaction_json"]


def data(value: bytes) -> str:
    """Bytes as 0x-hex text."""
    return "0x" + value.hex()


def header_json(header: Header) -> dict[str, Any]:
    """The header part of a block."""
    answer = {
        "number": hex(header.number),
        "hash": data(header.hash),
        "parentHash": data(header.parent_hash),
        "sha3Uncles": data(header.ommers_hash),
        "miner": data(header.coinbase),
        "stateRoot": data(header.state_root),
        "transactionsRoot": data(header.transactions_root),
        "receiptsRoot": data(header.receipts_root),
        "logsBloom": data(header.logs_bloom),
        "difficulty": hex(header.difficulty),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "extraData": data(header.extra_data),
        "mixHash": data(header.mix_hash),
        "nonce": data(header.nonce),
    }
    optional: tuple[tuple[str, int | bytes | None], ...] = (
        ("baseFeePerGas", header.base_fee_per_gas),
        ("withdrawalsRoot", header.withdrawals_root),
        ("blobGasUsed", header.blob_gas_used),
        ("excessBlobGas", header.excess_blob_gas),
        ("parentBeaconBlockRoot", header.parent_beacon_block_root),
        ("requestsHash", header.requests_hash),
    )
    for name, value in optional:
        if value is not None:
            answer[name] = data(value) if isinstance(value, bytes) else hex(value)
    return answer


def block_json(
    block: Block, *, full: bool, senders: Sequence[bytes] = (), fields: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A block with its transactions, or their hashes alone. `senders` are needed for a `full` block."""
    answer = header_json(block.header)
    answer["size"] = hex(len(block.encode()))
    if full:
        answer["transactions"] = [
            transaction_json(tx, senders[index], block.header, index) for index, tx in enumerate(block.transactions)
        ]
    else:
        answer["transactions"] = [data(tx.hash) for tx in block.transactions]
    answer["uncles"] = [data(ommer.hash) for ommer in block.ommers]
    if block.withdrawals is not None:
        answer["withdrawals"] = [withdrawal_json(withdrawal) for withdrawal in block.withdrawals]
    return answer if fields is None else {**answer, **fields}


def withdrawal_json(withdrawal: Withdrawal) -> dict[str, str]:
    """A withdrawal; its amount is in gwei."""
    return {
        "index": hex(withdrawal.index),
        "validatorIndex": hex(withdrawal.validator_index),
        "address": data(withdrawal.address),
        "amount": hex(withdrawal.amount),
    }


def access_list_json(access_list: AccessList) -> list[dict[str, Any]]:
    """An access list (EIP-2930)."""
    return [
        {"address": data(address), "storageKeys": [f"0x{slot:064x}" for slot in slots]}
        for address, slots in access_list
    ]


def transaction_json(
    transaction: Transaction, sender: bytes, header: Header | None = None, index: int | None = None
) -> dict[str, Any]:
    """A transaction, in the block with that header, or pending without one."""
    answer: dict[str, Any] = {
        "blockHash": None if header is None else data(header.hash),
        "blockNumber": None if header is None else hex(header.number),
        "blockTimestamp": None if header is None else hex(header.timestamp),
        "from": data(sender),
        "gas": hex(transaction.gas_limit),
        "gasPrice": hex(effective_gas_price(transaction, None if header is None else header.base_fee_per_gas)),
        "hash": data(transaction.hash),
        "input": data(transaction.data),
        "nonce": hex(transaction.nonce),
        "to": None if transaction.to is None else data(transaction.to),
        "transactionIndex": None if index is None else hex(index),
        "value": hex(transaction.value),
        "type": hex(transaction.type or 0),
        "v": hex(transaction.v),
        "r": hex(transaction.r),
        "s": hex(transaction.s),
    }
    if transaction.chain_id is not None:
        answer["chainId"] = hex(transaction.chain_id)
    if transaction.type == LEGACY:
        return answer
    answer["yParity"] = hex(transaction.y_parity)
    answer["accessList"] = access_list_json(transaction.access_list)
    if transaction.type in (DYNAMIC_FEE, BLOB, SET_CODE):
        answer["maxFeePerGas"] = hex(transaction.max_fee_per_gas or 0)
        answer["maxPriorityFeePerGas"] = hex(transaction.max_priority_fee_per_gas or 0)
    if transaction.type == BLOB:
        answer["maxFeePerBlobGas"] = hex(transaction.max_fee_per_blob_gas or 0)
        answer["blobVersionedHashes"] = [data(entry) for entry in transaction.blob_versioned_hashes]
    if transaction.type == SET_CODE:
        answer["authorizationList"] = [
            {
                "chainId": hex(entry.chain_id),
                "address": data(entry.address),
                "nonce": hex(entry.nonce),
                "yParity": hex(entry.y_parity),
                "r": hex(entry.r),
                "s": hex(entry.s),
            }
            for entry in transaction.authorization_list
        ]
    return answer


def log_json(log: Log, header: Header, transaction_hash: bytes, transaction_index: int, index: int) -> dict[str, Any]:
    """A log; `index` is its place in the block."""
    return {
        "address": data(log.address),
        "topics": [data(topic) for topic in log.topics],
        "data": data(log.data),
        "blockNumber": hex(header.number),
        "transactionHash": data(transaction_hash),
        "transactionIndex": hex(transaction_index),
        "blockHash": data(header.hash),
        "blockTimestamp": hex(header.timestamp),
        "logIndex": hex(index),
        "removed": False,
    }


def receipt_json(block: ArchivedBlock, index: int, chain: ChainConfig) -> dict[str, Any]:
    """The receipt of a block's transaction at `index`."""
    header, transaction, receipt = block.header, block.transactions[index], block.receipts[index]
    digest = transaction.hash
    first = block.first_log[index]
    answer: dict[str, Any] = {
        "blockHash": data(header.hash),
        "blockNumber": hex(header.number),
        "contractAddress": None if receipt.contract_address is None else data(receipt.contract_address),
        "cumulativeGasUsed": hex(receipt.cumulative_gas_used),
        "effectiveGasPrice": hex(effective_gas_price(transaction, header.base_fee_per_gas)),
        "from": data(block.senders[index]),
        "gasUsed": hex(receipt.gas_used),
        "logs": [log_json(log, header, digest, index, first + place) for place, log in enumerate(receipt.logs)],
        "logsBloom": data(receipt.bloom),
        "to": None if transaction.to is None else data(transaction.to),
        "transactionHash": data(digest),
        "transactionIndex": hex(index),
        "type": hex(receipt.type),
    }
    if receipt.status is not None:
        answer["status"] = hex(receipt.status)
    elif receipt.state_root is not None:
        answer["root"] = data(receipt.state_root)
    if transaction.type == BLOB:
        schedule = chain.blob_schedule_at(header.number, header.timestamp)
        assert schedule is not None  # no blobs without a schedule
        answer["blobGasUsed"] = hex(len(transaction.blob_versioned_hashes) * GAS_PER_BLOB)
        answer["blobGasPrice"] = hex(blob_base_fee(header.excess_blob_gas or 0, schedule))
    return answer
