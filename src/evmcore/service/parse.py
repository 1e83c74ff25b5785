"""From the JSON values of a request to plain Python values: quantities, data, blocks, call objects, overrides.

Everything here is strict as geth is: numbers are 0x-hex without leading zeros, data has whole bytes, null means absent,
unknown fields are passed over. What is malformed raises `InvalidParams` (-32602) naming the field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, NoReturn

from evmcore.errors import InputError
from evmcore.service.rpc_errors import SERVER_ERROR, InvalidParams, RpcError
from evmcore.transactions import AccessList, Authorization
from evmcore.types import Withdrawal

__all__ = [
    "BlockOverrides",
    "BlockReference",
    "CallObject",
    "StateOverrides",
    "address",
    "array",
    "block_overrides",
    "block_reference",
    "boolean",
    "call_object",
    "data",
    "hash32",
    "json_object",
    "params_of",
    "quantity",
    "state_overrides",
    "text",
    "word",
]

TAGS: Final = frozenset({"latest", "earliest", "pending", "safe", "finalized"})

_QUANTITY: Final = re.compile(r"0x(0|[1-9a-fA-F][0-9a-fA-F]*)\Z")
_DIGITS: Final = re.compile(r"[0-9a-fA-F]*\Z")


def _refuse(name: str, problem: str) -> NoReturn:
    raise InvalidParams(f"invalid argument {name}: {problem}")


def _shown(value: Any) -> str:
    shown = json.dumps(value, default=repr)
    return shown if len(shown) <= 60 else shown[:50] + "..."


def _digits(value: Any, name: str, expected: str) -> str:
    """The hexadecimal digits after 0x."""
    if not isinstance(value, str):
        _refuse(name, f"expected {expected}, got {_shown(value)}")
    if value[:2] not in ("0x", "0X"):
        _refuse(name, "hex string without 0x prefix" if value else "empty hex string")
    digits = value[2:]
    if not _DIGITS.match(digits):
        _refuse(name, "invalid hex string")
    return digits


# ---- single values


def quantity(value: Any, name: str, bits: int = 256) -> int:
    """A number of at most ``bits`` bits from 0x-hex text without leading zeros."""
    if isinstance(value, str) and _QUANTITY.match(value):
        if len(value) - 2 > bits // 4:
            _refuse(name, f"hex number > {bits} bits")
        return int(value, 16)
    digits = _digits(value, name, "a quantity as 0x-hex text")
    if not digits:
        _refuse(name, 'hex string "0x"')
    if digits[0] == "0" and len(digits) > 1:
        _refuse(name, "hex number with leading zero digits")
    return quantity("0x" + digits, name, bits)


def data(value: Any, name: str) -> bytes:
    """Bytes from 0x-hex text with two digits each."""
    found = _plain_bytes(value)
    if found is not None:
        return found
    digits = _digits(value, name, "data as 0x-hex text")
    if len(digits) % 2:
        _refuse(name, "hex string of odd length")
    return bytes.fromhex(digits)


def _plain_bytes(value: Any) -> bytes | None:
    """What well-formed text stands for, quickly; None for what has to be looked at."""
    if type(value) is str and value[:2] == "0x":
        try:
            found = bytes.fromhex(value[2:])
        except ValueError:
            return None
        if 2 * len(found) + 2 == len(value):  # fromhex passes over white space
            return found
    return None


def _sized(value: Any, name: str, size: int) -> bytes:
    found = _plain_bytes(value)
    if found is not None and len(found) == size:
        return found
    digits = _digits(value, name, f"{size} bytes as 0x-hex text")
    if len(digits) != 2 * size:
        _refuse(name, f"hex string has length {len(digits)}, want {2 * size}")
    return bytes.fromhex(digits)


def address(value: Any, name: str) -> bytes:
    """A 20-byte address from 0x-hex text of 40 digits, whatever their case."""
    return _sized(value, name, 20)


def hash32(value: Any, name: str) -> bytes:
    """A 32-byte hash from 0x-hex text of 64 digits."""
    return _sized(value, name, 32)


def word(value: Any, name: str) -> int:
    """A storage key or value: 0x-hex text of at most 64 digits, leading zeros or not, as geth takes it."""
    digits = _digits(value, name, "a 32-byte word as 0x-hex text")
    if len(digits) > 64:
        _refuse(name, f"hex string has length {len(digits)}, want at most 64")
    return int(digits or "0", 16)


def boolean(value: Any, name: str) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        _refuse(name, f"expected true or false, got {_shown(value)}")
    return value


def text(value: Any, name: str) -> str:
    """A string."""
    if not isinstance(value, str):
        _refuse(name, f"expected a string, got {_shown(value)}")
    return value


def json_object(value: Any, name: str) -> dict[str, Any]:
    """An object, without its null fields."""
    if type(value) is not dict and not isinstance(value, Mapping):
        _refuse(name, f"expected an object, got {_shown(value)}")
    return {key: entry for key, entry in value.items() if entry is not None}


def array(value: Any, name: str) -> list[Any]:
    """An array."""
    if not isinstance(value, list):
        _refuse(name, f"expected an array, got {_shown(value)}")
    return value


def params_of(params: Any, required: int, allowed: int) -> list[Any]:
    """Positional parameters, filled up with None to ``allowed``. The first ``required`` have to be there."""
    values = [] if params is None else params
    if type(values) is not list and (not isinstance(values, Sequence) or isinstance(values, (str, bytes))):
        raise InvalidParams("non-array args")
    if len(values) > allowed:
        raise InvalidParams(f"too many arguments, want at most {allowed}")
    filled = list(values) + [None] * (allowed - len(values))
    for place in range(required):
        if filled[place] is None:
            raise InvalidParams(f"missing value for required argument {place}")
    return filled


# ---- blocks


class BlockReference(NamedTuple):
    """A block by number, 32-byte hash or tag, as `Source.pin` takes it; with a hash, whether it has to be canonical."""

    block: int | bytes | str
    require_canonical: bool = False


def block_reference(value: Any, name: str = "block", default: str = "latest") -> BlockReference:
    """A block number, a tag, a 32-byte hash, or the object of EIP-1898; ``default`` where it is not given."""
    if value is None:
        return BlockReference(default)
    if isinstance(value, Mapping):
        return _block_object(json_object(value, name), name)
    if not isinstance(value, str):
        _refuse(name, f"expected a block number, hash or tag, got {_shown(value)}")
    if value in TAGS:
        return BlockReference(value)
    if len(value) == 66:
        return BlockReference(hash32(value, name))
    number = quantity(value, name, 64)
    if number >= 2**63:
        _refuse(name, "block number larger than int64")
    return BlockReference(number)


def _block_object(item: dict[str, Any], name: str) -> BlockReference:
    if "blockHash" in item and "blockNumber" in item:
        _refuse(name, "cannot specify both BlockHash and BlockNumber, choose one or the other")
    canonical = boolean(item.get("requireCanonical", False), f"{name}.requireCanonical")
    if "blockHash" in item:
        return BlockReference(hash32(item["blockHash"], f"{name}.blockHash"), canonical)
    if "blockNumber" in item:
        number = block_reference(item["blockNumber"], f"{name}.blockNumber")
        if isinstance(number.block, bytes):
            _refuse(f"{name}.blockNumber", "expected a number or tag, got a hash")
        return number
    _refuse(name, "expected blockHash or blockNumber")


# ---- call objects


@dataclass(frozen=True, slots=True)
class CallObject:
    """The transaction object of eth_call and its like, parsed; what was not given is None.

    Prices are in wei per gas, `value` in wei, `gas` in gas.
    """

    sender: bytes | None = None
    to: bytes | None = None
    data: bytes = b""
    gas: int | None = None
    gas_price: int | None = None
    max_fee_per_gas: int | None = None
    max_priority_fee_per_gas: int | None = None
    value: int | None = None
    nonce: int | None = None
    chain_id: int | None = None
    type: int | None = None
    access_list: AccessList | None = None
    max_fee_per_blob_gas: int | None = None
    blob_hashes: tuple[bytes, ...] | None = None
    authorization_list: tuple[Authorization, ...] | None = None

    @property
    def names_price(self) -> bool:
        """Whether a price for gas was given that is not zero."""
        return bool(self.gas_price or self.max_fee_per_gas)

    @property
    def tip_above_fee(self) -> bool:
        """Whether the priority fee is above the maximum fee, which no transaction may have."""
        return (self.max_priority_fee_per_gas or 0) > (self.max_fee_per_gas or 0)

    def effective_gas_price(self, base_fee: int) -> int:
        """What GASPRICE shows in a block with that base fee (wei per gas); zero where no price was given."""
        if self.gas_price is not None:
            return self.gas_price
        if not self.max_fee_per_gas:
            return 0
        return min(self.max_fee_per_gas, base_fee + (self.max_priority_fee_per_gas or 0))

    def arguments(self, base_fee: int) -> dict[str, Any]:
        """The keyword arguments of `EVM.call`, `to` and `data` included; `gas` only where it was given.

        geth shows a call that names no price a base fee of zero: run it in a block with ``base_fee=0`` where
        `names_price` is false. Raises `RpcError` (-32000) where the priority fee is above the maximum fee.
        """
        if self.tip_above_fee:
            raise RpcError(
                SERVER_ERROR,
                "max priority fee per gas higher than max fee per gas: maxPriorityFeePerGas: "
                f"{self.max_priority_fee_per_gas}, maxFeePerGas: {self.max_fee_per_gas or 0}",
            )
        arguments: dict[str, Any] = {
            "to": self.to,
            "data": self.data,
            "value": self.value or 0,
            "gas_price": self.effective_gas_price(base_fee),
        }
        if self.sender is not None:
            arguments["sender"] = self.sender
        if self.gas is not None:
            arguments["gas"] = self.gas
        if self.access_list:
            arguments["access_list"] = self.access_list
        if self.blob_hashes:
            arguments["blob_hashes"] = self.blob_hashes
        if self.authorization_list:
            arguments["authorization_list"] = self.authorization_list
        return arguments


# What most calls are made of.
_PLAIN_CALL: Final = frozenset({"from", "to", "input", "data"})
_PAYLOAD: Final = frozenset({"input", "data"})


def call_object(value: Any, name: str = "0") -> CallObject:
    """A call object. Raises `RpcError` (-32000) for prices of both kinds at once, as geth does."""
    item = json_object(value, name)
    if item.keys() <= _PLAIN_CALL and len(item.keys() & _PAYLOAD) < 2:
        payload = item.get("input", item.get("data"))
        return CallObject(
            address(item["from"], f"{name}.from") if "from" in item else None,
            address(item["to"], f"{name}.to") if "to" in item else None,
            b"" if payload is None else data(payload, f"{name}.{'input' if 'input' in item else 'data'}"),
        )

    def number(key: str, bits: int = 256) -> int | None:
        return quantity(item[key], f"{name}.{key}", bits) if key in item else None

    payload = b""
    for key in ("data", "input"):  # `input` counts where both are there
        if key in item:
            payload = data(item[key], f"{name}.{key}")
    call = CallObject(
        sender=address(item["from"], f"{name}.from") if "from" in item else None,
        to=address(item["to"], f"{name}.to") if "to" in item else None,
        data=payload,
        gas=number("gas", 64),
        gas_price=number("gasPrice"),
        max_fee_per_gas=number("maxFeePerGas"),
        max_priority_fee_per_gas=number("maxPriorityFeePerGas"),
        value=number("value"),
        nonce=number("nonce", 64),
        chain_id=number("chainId"),
        type=number("type", 64),
        access_list=access_list(item["accessList"], f"{name}.accessList") if "accessList" in item else None,
        max_fee_per_blob_gas=number("maxFeePerBlobGas"),
        blob_hashes=tuple(
            hash32(entry, f"{name}.blobVersionedHashes[{place}]")
            for place, entry in enumerate(array(item["blobVersionedHashes"], f"{name}.blobVersionedHashes"))
        )
        if "blobVersionedHashes" in item
        else None,
        authorization_list=tuple(
            authorization(entry, f"{name}.authorizationList[{place}]")
            for place, entry in enumerate(array(item["authorizationList"], f"{name}.authorizationList"))
        )
        if "authorizationList" in item
        else None,
    )
    if call.gas_price is not None and (call.max_fee_per_gas, call.max_priority_fee_per_gas) != (None, None):
        raise RpcError(SERVER_ERROR, "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")
    return call


def access_list(value: Any, name: str) -> AccessList:
    """The pairs of an EIP-2930 access list."""
    pairs = []
    for place, entry in enumerate(array(value, name)):
        where = f"{name}[{place}]"
        item = json_object(entry, where)
        if "address" not in item:
            _refuse(where, "missing required field 'address'")
        keys = array(item.get("storageKeys", []), f"{where}.storageKeys")
        slots = tuple(int.from_bytes(hash32(key, f"{where}.storageKeys[{i}]"), "big") for i, key in enumerate(keys))
        pairs.append((address(item["address"], f"{where}.address"), slots))
    return tuple(pairs)


def authorization(value: Any, name: str) -> Authorization:
    """A signed tuple of EIP-7702."""
    item = json_object(value, name)
    for key in ("chainId", "address", "nonce", "r", "s"):
        if key not in item:
            _refuse(name, f"missing required field '{key}'")
    parity = item.get("yParity", item.get("v"))
    if parity is None:
        _refuse(name, "missing required field 'yParity'")
    return Authorization(
        chain_id=quantity(item["chainId"], f"{name}.chainId"),
        address=address(item["address"], f"{name}.address"),
        nonce=quantity(item["nonce"], f"{name}.nonce", 64),
        y_parity=quantity(parity, f"{name}.yParity", 8),
        r=quantity(item["r"], f"{name}.r"),
        s=quantity(item["s"], f"{name}.s"),
    )


# ---- overrides


@dataclass(frozen=True, slots=True)
class StateOverrides:
    """What a call is to see in place of the state.

    `accounts` is the ``overrides`` argument of `EVM.call`: address to a mapping of balance, nonce, code, state or
    stateDiff, with numbers and bytes. `moves` says which precompile is to be found where. geth takes every overridden
    address for an ordinary account, so a precompile that is overridden is one no more.
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
            _refuse(name, f"address {key} is given twice")
        overrides.accounts[who] = account
        if "movePrecompileToAddress" in item:
            target = address(item["movePrecompileToAddress"], f"{where}.movePrecompileToAddress")
            overrides.moves[who] = target
    return overrides


# The names of before geth 1.14 are still in use.
_OLD_NAMES: Final = {"coinbase": "feeRecipient", "random": "prevRandao", "baseFee": "baseFeePerGas"}


@dataclass(frozen=True, slots=True)
class BlockOverrides:
    """What a call is to see in place of its block; None where that stays.

    `time` is in seconds, `gas_limit` in gas, fees in wei per gas. `beacon_root` and `withdrawals` make sense only where
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

        Raises `RpcError` (-32000) for what an environment has no place for, as geth does.
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
    """Withdrawals as the execution APIs write them."""
    entries = []
    for place, entry in enumerate(array(value, name)):
        where = f"{name}[{place}]"
        item = json_object(entry, where)
        for key in ("index", "validatorIndex", "address", "amount"):
            if key not in item:
                _refuse(where, f"missing required field '{key}'")
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
            _refuse(where, str(error))
    return tuple(entries)
