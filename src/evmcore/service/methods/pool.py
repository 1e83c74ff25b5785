"""eth_sendRawTransaction, txpool_*, testing_buildBlockV1: for servers that keep their chain themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evmcore._hash import keccak256
from evmcore.errors import BlockNotFound, InvalidBlock, InvalidTransaction
from evmcore.service import parse
from evmcore.service.building import BuiltBlock, build_block, payload_json
from evmcore.service.context import Context
from evmcore.service.method import rpc
from evmcore.service.parse import BlockOverrides
from evmcore.service.pool import Account, Pooled, decode_pooled
from evmcore.service.prices import fee_cap
from evmcore.service.render import transaction_json
from evmcore.service.roots import ArchiveRoots
from evmcore.service.rpc_errors import SERVER_ERROR, InvalidParams, RpcError
from evmcore.service.source import Pin
from evmcore.state import Backend
from evmcore.state._view import read_account


def _account(pin: Pin) -> Account:
    """Reads nonces and balances at a block."""

    def read(address: bytes) -> tuple[int, int]:
        found = pin.run(lambda backend: read_account(backend, address))
        return (0, 0) if found is None else (found.nonce, found.balance)

    return read


@rpc("eth_sendRawTransaction", required=1, quick=False)
def send_raw_transaction(context: Context, transaction: Any) -> str:
    encoded = parse.data(transaction, "0")
    if context.service.source.archive is None:
        raise RpcError(SERVER_ERROR, "this server answers from a chain's state and sends transactions to nobody")
    pin = context.pin()
    digest = context.service.pool.add(encoded, context.service.source.chain, pin.header, _account(pin))
    return "0x" + digest.hex()

    # ---- waiting transactions


def checksummed(address: bytes) -> str:
    """An address with the upper and lower case letters of EIP-55."""
    digits = address.hex()
    marks = keccak256(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if int(mark, 16) >= 8 else digit for digit, mark in zip(digits, marks, strict=False)
    )


def _by_nonce(entries: Sequence[Pooled]) -> dict[str, Any]:
    return {str(entry.transaction.nonce): transaction_json(entry.transaction, entry.sender) for entry in entries}


@rpc("txpool_content", quick=False)
def content(context: Context) -> dict[str, Any]:
    parts = context.service.pool.content(_account(context.pin()))
    return {
        name: {checksummed(sender): _by_nonce(entries) for sender, entries in part.items()}
        for name, part in zip(("pending", "queued"), parts, strict=True)
    }


@rpc("txpool_contentFrom", required=1, quick=False)
def content_from(context: Context, address: Any) -> dict[str, Any]:
    sender = parse.address(address, "0")
    parts = context.service.pool.content(_account(context.pin()))
    return {name: _by_nonce(part.get(sender, ())) for name, part in zip(("pending", "queued"), parts, strict=True)}


@rpc("txpool_inspect", quick=False)
def inspect(context: Context) -> dict[str, Any]:
    def line(entry: Pooled) -> str:
        tx = entry.transaction
        to = "contract creation" if tx.to is None else checksummed(tx.to)
        return f"{to}: {tx.value} wei + {tx.gas_limit} gas × {fee_cap(tx)} wei"  # noqa: RUF001

    parts = context.service.pool.content(_account(context.pin()))
    return {
        name: {
            checksummed(sender): {str(entry.transaction.nonce): line(entry) for entry in entries}
            for sender, entries in part.items()
        }
        for name, part in zip(("pending", "queued"), parts, strict=True)
    }


@rpc("txpool_status", quick=False)
def status(context: Context) -> dict[str, str]:
    parts = context.service.pool.content(_account(context.pin()))
    return {name: hex(sum(map(len, part.values()))) for name, part in zip(("pending", "queued"), parts, strict=True)}


# ---- blocks


def _attributes(value: Any, name: str) -> BlockOverrides:
    """The payload attributes of the engine API."""
    item = parse.json_object(value, name)
    for key in ("timestamp", "prevRandao", "suggestedFeeRecipient"):
        if key not in item:
            raise InvalidParams(f"invalid argument {name}: missing required field '{key}'")
    return BlockOverrides(
        time=parse.quantity(item["timestamp"], f"{name}.timestamp", 64),
        prev_randao=parse.hash32(item["prevRandao"], f"{name}.prevRandao"),
        fee_recipient=parse.address(item["suggestedFeeRecipient"], f"{name}.suggestedFeeRecipient"),
        beacon_root=parse.hash32(item["parentBeaconBlockRoot"], f"{name}.parentBeaconBlockRoot")
        if "parentBeaconBlockRoot" in item
        else None,
        withdrawals=parse.withdrawals(item["withdrawals"], f"{name}.withdrawals") if "withdrawals" in item else None,
    )


@rpc("testing_buildBlockV1", required=2, quick=False)
def build(context: Context, parent: Any, attributes: Any, transactions: Any, extra_data: Any) -> dict[str, Any]:
    try:
        pin = context.pin(parse.hash32(parent, "0"))
    except BlockNotFound:
        raise RpcError(SERVER_ERROR, "parent block not found") from None
    wanted = _attributes(attributes, "1")
    extra = b"" if extra_data is None else parse.data(extra_data, "3")
    chain, header, hashes = context.service.source.chain, pin.header, pin.block_hashes()
    given: list[Pooled] | None = None
    pending: Mapping[bytes, Sequence[Pooled]] = {}
    if transactions is None:
        pending = context.service.pool.content(_account(pin))[0]
    else:
        entries = parse.array(transactions, "2")
        given = [_given(parse.data(entry, f"2[{place}]")) for place, entry in enumerate(entries)]
    roots = ArchiveRoots.at(context, pin)

    def work(backend: Backend) -> BuiltBlock:
        return build_block(
            backend,
            chain,
            header,
            hashes,
            wanted,
            extra,
            given=given,
            pending=pending,
            timeout=context.timeout(),
            roots=roots,
        )

    try:
        built = pin.run(work)
    except InvalidBlock as error:
        raise RpcError(SERVER_ERROR, str(error)) from error
    context.gas_used += built.block.header.gas_used
    return payload_json(built)


def _given(encoded: bytes) -> Pooled:
    transaction, blobs, commitments, proofs = decode_pooled(encoded)
    try:
        sender = transaction.recover_sender()
    except InvalidTransaction as error:
        raise RpcError(SERVER_ERROR, str(error)) from error
    return Pooled(transaction, sender, blobs, commitments, proofs)
