"""Accounts: balances, nonces, code, storage, proofs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from evmcore.errors import BlockNotFound
from evmcore.service.context import Context
from evmcore.service.method import rpc
from evmcore.service.parse import address, array, block_reference, json_object
from evmcore.service.rpc_errors import CLIENT_LIMIT, InvalidParams, RpcError
from evmcore.state import Backend
from evmcore.state._view import read_account, read_code, read_storage

T = TypeVar("T")


def _read(context: Context, block: Any, name: str, read: Callable[[Backend], T]) -> T:
    """The result of `read` on the state at a block; `name` is the name of the block parameter."""
    return context.pin_of(block, name).run(read, wait=not context.inline)


@rpc("eth_getBalance", required=1)
def get_balance(context: Context, account: Any, block: Any) -> str:
    wanted = address(account, "0")
    found = _read(context, block, "1", lambda backend: read_account(backend, wanted))
    return "0x0" if found is None else hex(found.balance)


@rpc("eth_getTransactionCount", required=1)
def get_transaction_count(context: Context, account: Any, block: Any) -> str:
    wanted = address(account, "0")
    found = _read(context, block, "1", lambda backend: read_account(backend, wanted))
    nonce = 0 if found is None else found.nonce
    if block_reference(block, "1").block == "pending":
        nonce = context.service.pool.next_nonce(wanted, nonce)
    return hex(nonce)


@rpc("eth_getCode", required=1)
def get_code(context: Context, account: Any, block: Any) -> str:
    wanted = address(account, "0")
    return "0x" + _read(context, block, "1", lambda backend: read_code(backend, wanted)).hex()


def storage_key(value: Any) -> int:
    """A storage key in any form that geth takes: hexadecimal text of at most 64 digits, with or without 0x."""
    if not isinstance(value, str):
        raise InvalidParams(f"unable to decode storage key: expected a string, got {value!r:.60}")
    digits = value[2:] if value[:2] in ("0x", "0X") else value
    if len(digits) > 64:
        raise InvalidParams(f'storage key too long (want at most 32 bytes): "{value[:100]}"')
    if not all(digit in "0123456789abcdefABCDEF" for digit in digits):
        raise InvalidParams(f'invalid hex in storage key: "{value}"')
    return int(digits or "0", 16)


@rpc("eth_getStorageAt", required=2)
def get_storage_at(context: Context, account: Any, slot: Any, block: Any) -> str:
    wanted, key = address(account, "0"), storage_key(slot)
    return f"0x{_read(context, block, '2', lambda backend: read_storage(backend, wanted, key)):064x}"


@rpc("eth_getStorageValues", required=1)
def get_storage_values(context: Context, requests: Any, block: Any) -> dict[str, list[str]]:
    wanted = [
        (address(key, "0"), [storage_key(slot) for slot in array(slots, f"0[{key}]")])
        for key, slots in json_object(requests, "0").items()
    ]
    count = sum(len(slots) for _, slots in wanted)
    if not count:
        raise InvalidParams("empty request")
    _check_slots(context, count)

    def work(backend: Backend) -> list[list[int]]:
        return [[read_storage(backend, account, slot) for slot in slots] for account, slots in wanted]

    values = _read(context, block, "1", work)
    return {
        "0x" + account.hex(): [f"0x{value:064x}" for value in found]
        for (account, _), found in zip(wanted, values, strict=True)
    }


def _check_slots(context: Context, count: int) -> None:
    most = context.service.limits.slots
    if count > most:
        raise RpcError(CLIENT_LIMIT, f"too many slots (max {most})")


@rpc("eth_getProof", required=2, quick=False)
def get_proof(context: Context, account: Any, slots: Any, block: Any) -> dict[str, Any]:
    wanted = address(account, "0")
    given = array(slots, "1")
    _check_slots(context, len(given))
    keys = [storage_key(slot) for slot in given]
    pin = context.pin_of(block, "2")
    archived = context.archive.block_by_hash(pin.block_hash)
    if archived is None:
        raise BlockNotFound(f"block 0x{pin.block_hash.hex()} is not in the archive")
    proof = context.archive.proof(archived, wanted, keys)
    for entry, name in zip(proof["storageProof"], given, strict=True):
        # geth returns a key of 32 bytes unchanged, a shorter one as a number.
        if len(name.removeprefix("0x").removeprefix("0X")) == 64:
            entry["key"] = f"0x{int(entry['key'], 16):064x}"
    return proof
