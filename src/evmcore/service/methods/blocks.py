"""Blocks, their transactions and receipts, and their raw encodings."""

from __future__ import annotations

from typing import Any

from evmcore.blocks import EMPTY_OMMERS_HASH, EMPTY_TRIE_ROOT, Block
from evmcore.errors import BlockNotFound
from evmcore.service import render
from evmcore.service.archive import ArchivedBlock
from evmcore.service.context import Context
from evmcore.service.method import rpc
from evmcore.service.parse import block_reference, boolean, hash32, quantity
from evmcore.service.rpc_errors import SERVER_ERROR, RpcError


def find(context: Context, value: Any, name: str = "0") -> ArchivedBlock | None:
    """The block that a parameter names (number, tag, hash, EIP-1898); None if there is none."""
    reference = block_reference(value, name)
    archive = context.archive
    block: ArchivedBlock | None
    if isinstance(reference.block, bytes):
        block = archive.block_by_hash(reference.block)
    elif isinstance(reference.block, int):
        block = archive.block(reference.block)
    elif reference.block == "earliest":
        block = archive.block(0)
    else:
        pin = context.pin(reference.block)
        block = archive.block_by_hash(pin.block_hash)
        if block is None:
            raise BlockNotFound(f"block {pin.header.number} is not in the archive (yet)")
    if block is not None:
        context.answer_header = block.header
    return block


def _by_hash(context: Context, value: Any) -> ArchivedBlock | None:
    block = context.archive.block_by_hash(hash32(value, "0"))
    if block is not None:
        context.answer_header = block.header
    return block


def _by_number(context: Context, value: Any) -> ArchivedBlock | None:
    return find(context, _number(value))


def _number(value: Any) -> Any:
    """A number or tag, unchanged; other block parameters are refused, as in geth."""
    if isinstance(value, dict) or (isinstance(value, str) and len(value) == 66):
        quantity(value, "0", 64)
    return value


# ---- blocks


@rpc("eth_getBlockByHash", required=1, quick=False)
def get_block_by_hash(context: Context, block: Any, full: Any) -> dict[str, Any] | None:
    return _block(_by_hash(context, block), full)


@rpc("eth_getBlockByNumber", required=1, quick=False)
def get_block_by_number(context: Context, block: Any, full: Any) -> dict[str, Any] | None:
    if context.service.source.archive is None:
        return _header_alone(context, block, full)
    return _block(_by_number(context, block), full)


def _block(block: ArchivedBlock | None, full: Any) -> dict[str, Any] | None:
    wanted = full is not None and boolean(full, "1")
    if block is None:
        return None
    return render.block_json(block.block, full=wanted, senders=block.senders if wanted else ())


def _header_alone(context: Context, block: Any, full: Any) -> dict[str, Any] | None:
    """For a server without block bodies: headers describe empty blocks completely."""
    wanted = full is not None and boolean(full, "1")
    try:
        header = context.pin_of(_number(block), "0").header
    except BlockNotFound:
        return None
    empty = Block(header, withdrawals=None if header.withdrawals_root is None else ())
    roots = {header.transactions_root, header.withdrawals_root or EMPTY_TRIE_ROOT}
    if roots != {EMPTY_TRIE_ROOT} or header.ommers_hash != EMPTY_OMMERS_HASH:
        raise RpcError(SERVER_ERROR, "this server keeps no block bodies: see eth_getHeaderByNumber")
    return render.block_json(empty, full=wanted)


@rpc("eth_getHeaderByNumber", required=1)
def get_header_by_number(context: Context, block: Any) -> dict[str, Any] | None:
    try:
        return render.header_json(context.pin_of(_number(block), "0").header)
    except BlockNotFound:
        return None


@rpc("eth_getHeaderByHash", required=1)
def get_header_by_hash(context: Context, block: Any) -> dict[str, Any] | None:
    try:
        return render.header_json(context.pin(hash32(block, "0")).header)
    except BlockNotFound:
        return None


@rpc("eth_getBlockTransactionCountByHash", required=1)
def get_transaction_count_by_hash(context: Context, block: Any) -> str | None:
    found = _by_hash(context, block)
    return None if found is None else hex(len(found.transactions))


@rpc("eth_getBlockTransactionCountByNumber", required=1)
def get_transaction_count_by_number(context: Context, block: Any) -> str | None:
    found = _by_number(context, block)
    return None if found is None else hex(len(found.transactions))


@rpc("eth_getUncleCountByBlockHash", required=1)
def get_uncle_count_by_hash(context: Context, block: Any) -> str | None:
    found = _by_hash(context, block)
    return None if found is None else hex(len(found.block.ommers))


@rpc("eth_getUncleCountByBlockNumber", required=1)
def get_uncle_count_by_number(context: Context, block: Any) -> str | None:
    found = _by_number(context, block)
    return None if found is None else hex(len(found.block.ommers))


@rpc("eth_getUncleByBlockHashAndIndex", required=2)
def get_uncle_by_hash(context: Context, block: Any, index: Any) -> dict[str, Any] | None:
    return _uncle(_by_hash(context, block), quantity(index, "1", 64))


@rpc("eth_getUncleByBlockNumberAndIndex", required=2)
def get_uncle_by_number(context: Context, block: Any, index: Any) -> dict[str, Any] | None:
    return _uncle(_by_number(context, block), quantity(index, "1", 64))


def _uncle(block: ArchivedBlock | None, index: int) -> dict[str, Any] | None:
    if block is None or index >= len(block.block.ommers):
        return None
    answer = render.block_json(Block(block.block.ommers[index]), full=False)
    del answer["transactions"]
    return answer


# ---- transactions


@rpc("eth_getTransactionByBlockHashAndIndex", required=2)
def get_transaction_by_block_hash(context: Context, block: Any, index: Any) -> dict[str, Any] | None:
    return _transaction(_by_hash(context, block), quantity(index, "1", 64))


@rpc("eth_getTransactionByBlockNumberAndIndex", required=2)
def get_transaction_by_block_number(context: Context, block: Any, index: Any) -> dict[str, Any] | None:
    return _transaction(_by_number(context, block), quantity(index, "1", 64))


def _transaction(block: ArchivedBlock | None, index: int) -> dict[str, Any] | None:
    if block is None or index >= len(block.transactions):
        return None
    return render.transaction_json(block.transactions[index], block.senders[index], block.header, index)


@rpc("eth_getTransactionByHash", required=1)
def get_transaction_by_hash(context: Context, transaction: Any) -> dict[str, Any] | None:
    found = context.archive.transaction(hash32(transaction, "0"))
    return None if found is None else _transaction(*found)


@rpc("eth_getTransactionReceipt", required=1)
def get_transaction_receipt(context: Context, transaction: Any) -> dict[str, Any] | None:
    found = context.archive.transaction(hash32(transaction, "0"))
    return None if found is None else render.receipt_json(*found, context.service.source.chain)


@rpc("eth_getBlockReceipts", required=1, quick=False)
def get_block_receipts(context: Context, block: Any) -> list[dict[str, Any]] | None:
    found = find(context, block)
    if found is None:
        return None
    chain = context.service.source.chain
    return [render.receipt_json(found, index, chain) for index in range(len(found.transactions))]


# ---- raw encodings


def _known(context: Context, value: Any) -> ArchivedBlock:
    block = find(context, value)
    if block is None:
        raise RpcError(SERVER_ERROR, f"block {value} not found")
    return block


@rpc("debug_getRawBlock", required=1)
def get_raw_block(context: Context, block: Any) -> str:
    return "0x" + _known(context, block).block.encode().hex()


@rpc("debug_getRawHeader", required=1)
def get_raw_header(context: Context, block: Any) -> str:
    return "0x" + _known(context, block).header.encode().hex()


@rpc("debug_getRawReceipts", required=1, quick=False)
def get_raw_receipts(context: Context, block: Any) -> list[str]:
    encoded = _known(context, block).encoded_receipts
    if encoded is None:
        raise RpcError(SERVER_ERROR, "the receipts of this block hold state roots that were not computed")
    return ["0x" + receipt.hex() for receipt in encoded]


@rpc("debug_getRawTransaction", required=1)
def get_raw_transaction(context: Context, transaction: Any) -> str:
    found = context.archive.transaction(hash32(transaction, "0"))
    return "0x" if found is None else "0x" + found[0].transactions[found[1]].encode().hex()
