"""Overrides: replacements for parts of the state and of the block that a call sees."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from evmcore.errors import InputError
from evmcore.service.parse.values import address, array, data, hash32, json_object, quantity, refuse, word
from evmcore.service.rpc_errors import SERVER_ERROR, RpcError
from evmcore.types import Withdrawal


@dataclass(frozen=True, slots=True)
class StateOverrides:
    """Replacements for parts of the state that a call sees.

    `accounts` is the `overrides` argument of `EVM.call`: address to a mapping of balance, nonce, code, state or
    stateDiff, with numbers and bytes. `moves` maps precompiles to the addresses where the call finds them. geth treats
    every overridden address as an ordinary account, so an overridden precompile is not a precompile any more.
    """

    accounts: dict[bytes, dict[str, Any]] = field(default_factory=dict)
    moves: dict[bytes, bytes] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.accounts or self.moves)


def state_overrides(value: Any, name: str = "stateOverrides") -> StateOverrides:
    """State overrides of eth_call, eth_simulateV1 and debug_traceCall; none for null.

    Raises `RpcError` (-32000) for an account with both state and stateDiff, as geth does.
    """
    overrides = StateOverrides()
    for key, entry in json_object({} if value is None else value, name).items():
        where = f"{name}[{key}]"
        item = json_object(entry, where)
        account: dict[str, Any] = {}
        if "nonce" in item:
            account["nonce"] = quantity(item["nonce"], f"{where}.nonce", 64)
        if "balance" in item:
            account["balance"] = quantity(item["balance"], f"{where}.balance")
        if "code" in item:
            account["code"] = data(item["code"], f"{where}.code")
        if "state" in item and "stateDiff" in item:
            raise RpcError(SERVER_ERROR, f"account {key} has both 'state' and 'stateDiff'")
        for slots in ("state", "stateDiff"):
            if slots in item:
                account[slots] = {
                    word(slot, f"{where}.{slots} slot"): word(content, f"{where}.{slots}[{slot}]")
                    for slot, content in json_object(item[slots], f"{where}.{slots}").items()
                }
        who = address(key, f"{name} key")
        if who in overrides.accounts:
            refuse(name, f"address {key} is given twice")
        overrides.accounts[who] = account
        if "movePrecompileToAddress" in item:
            target = address(item["movePrecompileToAddress"], f"{where}.movePrecompileToAddress")
            overrides.moves[who] = target
    return overrides


# The names from before geth 1.14 are still in use.
_OLD_NAMES: Final = {"coinbase": "feeRecipient", "random": "prevRandao", "baseFee": "baseFeePerGas"}


@dataclass(frozen=True, slots=True)
class BlockOverrides:
    """Replacements for fields of the block that a call sees; None in fields that stay.

    `time` is in seconds, `gas_limit` in gas, fees in wei per gas. `beacon_root` and `withdrawals` are allowed only if
    a block is made (eth_simulateV1). `block_hashes` maps numbers to hashes for BLOCKHASH.
    """

    number: int | None = None
    difficulty: int | None = None
    time: int | None = None
    gas_limit: int | None = None
    fee_recipient: bytes | None = None
    prev_randao: bytes | None = None
    base_fee_per_gas: int | None = None
    blob_base_fee: int | None = None
    beacon_root: bytes | None = None
    withdrawals: tuple[Withdrawal, ...] | None = None
    block_hashes: dict[int, bytes] | None = None

    def environment(self) -> dict[str, Any]:
        """The changes to a `BlockEnv`, as `EVM.with_block` and `EVM.call` take them.

        Raises `RpcError` (-32000) for fields that an environment does not have, as geth does.
        """
        for name, value in (("beaconRoot", self.beacon_root), ("withdrawals", self.withdrawals)):
            if value is not None:
                raise RpcError(SERVER_ERROR, f'block override "{name}" is not supported for this RPC method')
        changes = {
            "number": self.number,
            "difficulty": self.difficulty,
            "timestamp": self.time,
            "gas_limit": self.gas_limit,
            "coinbase": self.fee_recipient,
            "prevrandao": self.prev_randao,
            "base_fee": self.base_fee_per_gas,
            "blob_base_fee": self.blob_base_fee,
            "block_hashes": self.block_hashes,
        }
        return {name: value for name, value in changes.items() if value is not None}


def block_overrides(value: Any, name: str = "blockOverrides") -> BlockOverrides:
    """Block overrides; none for null."""
    item = json_object({} if value is None else value, name)
    for old, new in _OLD_NAMES.items():
        if old in item:
            item.setdefault(new, item[old])

    def number(key: str, bits: int = 256) -> int | None:
        return quantity(item[key], f"{name}.{key}", bits) if key in item else None

    hashes = None
    if "blockHash" in item:
        hashes = {
            quantity(key, f"{name}.blockHash key", 64): hash32(entry, f"{name}.blockHash[{key}]")
            for key, entry in json_object(item["blockHash"], f"{name}.blockHash").items()
        }
    return BlockOverrides(
        number=number("number", 64),
        difficulty=number("difficulty"),
        time=number("time", 64),
        gas_limit=number("gasLimit", 64),
        fee_recipient=address(item["feeRecipient"], f"{name}.feeRecipient") if "feeRecipient" in item else None,
        prev_randao=hash32(item["prevRandao"], f"{name}.prevRandao") if "prevRandao" in item else None,
        base_fee_per_gas=number("baseFeePerGas"),
        blob_base_fee=number("blobBaseFee"),
        beacon_root=hash32(item["beaconRoot"], f"{name}.beaconRoot") if "beaconRoot" in item else None,
        withdrawals=withdrawals(item["withdrawals"], f"{name}.withdrawals") if "withdrawals" in item else None,
        block_hashes=hashes,
    )


def withdrawals(value: Any, name: str) -> tuple[Withdrawal, ...]:
    """Withdrawals in the JSON form of the execution APIs."""
    entries = []
    for place, entry in enumerate(array(value, name)):
        where = f"{name}[{place}]"
        item = json_object(entry, where)
        for key in ("index", "validatorIndex", "address", "amount"):
            if key not in item:
                refuse(where, f"missing required field '{key}'")
        try:
            entries.append(
                Withdrawal(
                    quantity(item["index"], f"{where}.index", 64),
                    quantity(item["validatorIndex"], f"{where}.validatorIndex", 64),
                    address(item["address"], f"{where}.address"),
                    quantity(item["amount"], f"{where}.amount", 64),
                )
            )
        except InputError as error:
            refuse(where, str(error))
    return tuple(entries)
