"""Small blocks of transactions without a gas price: numbered people who pay each other or call a contract."""

from __future__ import annotations

from evmcore.blocks import Block, Header
from evmcore.transactions import Transaction
from evmcore.types import Account
from tests.assembly import assemble

COINBASE = b"\xcb" * 20
COUNTER = b"\xc0" * 20
BURNER = b"\xbb" * 20
COUNT = assemble("0 SLOAD 1 ADD 0 SSTORE")  # adds one to slot 0
BURN = assemble("loop: @loop JUMP")  # burns the gas that it is given


def person(number: int) -> bytes:
    """The address of one of `people`."""
    return b"\x0a" * 18 + number.to_bytes(2, "big")


def block_of(*transactions: Transaction, gas_limit: int = 30_000_000) -> Block:
    header = Header(number=1, coinbase=COINBASE, gas_limit=gas_limit, base_fee_per_gas=0)
    return Block(header, transactions)


def transfer(number: int, to: bytes, *, nonce: int = 0, value: int = 1, gas: int = 100_000) -> Transaction:
    return Transaction(sender=person(number), nonce=nonce, to=to, value=value, gas_limit=gas, gas_price=0)


def people(count: int) -> dict[bytes, Account]:
    """An alloc in which each of them has one ether."""
    return {person(number): Account(balance=10**18) for number in range(count)}
