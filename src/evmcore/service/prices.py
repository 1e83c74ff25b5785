"""The price that a transaction or a call pays for gas: all in wei per gas."""

from __future__ import annotations

from typing import Protocol

from evmcore.headers import GAS_PER_BLOB
from evmcore.transactions import Transaction

__all__ = ["Priced", "effective_gas_price", "fee_cap", "most_cost", "tip_cap"]


class Priced(Protocol):
    """Has one price for gas, or a maximum price and a tip (EIP-1559), or neither."""

    @property
    def gas_price(self) -> int | None: ...
    @property
    def max_fee_per_gas(self) -> int | None: ...
    @property
    def max_priority_fee_per_gas(self) -> int | None: ...


def fee_cap(priced: Priced) -> int:
    """The maximum price."""
    return priced.gas_price if priced.gas_price is not None else priced.max_fee_per_gas or 0


def tip_cap(priced: Priced) -> int:
    """The maximum price above the base fee."""
    return priced.gas_price if priced.gas_price is not None else priced.max_priority_fee_per_gas or 0


def effective_gas_price(priced: Priced, base_fee: int | None) -> int:
    """The price in a block with that base fee; None: the maximum price, outside of a block."""
    most = fee_cap(priced)
    return most if base_fee is None or priced.gas_price is not None else min(most, base_fee + tip_cap(priced))


def most_cost(transaction: Transaction) -> int:
    """The most that the sender pays in all, in wei: value, gas and blobs."""
    blob_gas = GAS_PER_BLOB * len(transaction.blob_versioned_hashes)
    blob_fee = blob_gas * (transaction.max_fee_per_blob_gas or 0)
    return transaction.value + transaction.gas_limit * fee_cap(transaction) + blob_fee
