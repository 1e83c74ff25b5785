"""Call objects: the transaction argument of eth_call and similar methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from evmcore.service.parse.values import address, array, data, hash32, json_object, quantity, refuse
from evmcore.service.prices import effective_gas_price
from evmcore.service.rpc_errors import SERVER_ERROR, RpcError
from evmcore.transactions import AccessList, Authorization


@dataclass(frozen=True, slots=True)
class CallObject:
    """The parsed transaction object of eth_call and similar methods; missing fields are None.

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
        """Whether a non-zero price for gas was given."""
        return bool(self.gas_price or self.max_fee_per_gas)

    @property
    def tip_above_fee(self) -> bool:
        """Whether the priority fee is above the maximum fee, which no transaction may have."""
        return (self.max_priority_fee_per_gas or 0) > (self.max_fee_per_gas or 0)

    def effective_gas_price(self, base_fee: int) -> int:
        """The value of GASPRICE in a block with that base fee (wei per gas); zero if no price was given."""
        return effective_gas_price(self, base_fee)

    def arguments(self, base_fee: int) -> dict[str, Any]:
        """The keyword arguments of `EVM.call`, including `to` and `data`; `gas` only if it was given.

        In geth a call without a price sees a base fee of zero: run it in a block with `base_fee=0` if `names_price` is
        false. Raises `RpcError` (-32000) if the priority fee is above the maximum fee.
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


# The fields of most calls.
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
    for key in ("data", "input"):  # `input` counts if both are present
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
            refuse(where, "missing required field 'address'")
        keys = array(item.get("storageKeys", []), f"{where}.storageKeys")
        slots = tuple(int.from_bytes(hash32(key, f"{where}.storageKeys[{i}]"), "big") for i, key in enumerate(keys))
        pairs.append((address(item["address"], f"{where}.address"), slots))
    return tuple(pairs)


def authorization(value: Any, name: str) -> Authorization:
    """A signed tuple of EIP-7702."""
    item = json_object(value, name)
    for key in ("chainId", "address", "nonce", "r", "s"):
        if key not in item:
            refuse(name, f"missing required field '{key}'")
    parity = item.get("yParity", item.get("v"))
    if parity is None:
        refuse(name, "missing required field 'yParity'")
    return Authorization(
        chain_id=quantity(item["chainId"], f"{name}.chainId"),
        address=address(item["address"], f"{name}.address"),
        nonce=quantity(item["nonce"], f"{name}.nonce", 64),
        y_parity=quantity(parity, f"{name}.yParity", 8),
        r=quantity(item["r"], f"{name}.r"),
        s=quantity(item["s"], f"{name}.s"),
    )
