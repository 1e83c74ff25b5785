"""Small blocks with access lists that are easy to foresee: one account pays, one contract reads, one writes."""

from __future__ import annotations

from typing import Any

from evmcore.blocks import Block, Header
from evmcore.transactions import Transaction
from evmcore.types import Account

ALICE, BOB, READER, WRITER = (bytes([number]) * 20 for number in (0xA1, 0xB0, 0x4E, 0x3F))
ALLOC = {
    ALICE: Account(0, 10**20),
    READER: Account(1, 0, bytes.fromhex("5f5450" + "60015450" + "00"), {0: 5, 1: 7}),  # SLOAD 0, SLOAD 1
    WRITER: Account(1, 0, bytes.fromhex("5f546001015f5500")),  # adds one to slot 0
}


def pay(nonce: int, to: bytes, value: int = 0, gas: int = 100_000) -> Transaction:
    return Transaction(type=0, sender=ALICE, nonce=nonce, to=to, value=value, gas_limit=gas, gas_price=10)


def block_of(*transactions: Transaction, gas_limit: int = 30_000_000, **more: Any) -> Block:
    header = Header(
        number=1,
        timestamp=1,
        gas_limit=gas_limit,
        base_fee_per_gas=7,
        coinbase=b"\xcb" * 20,
        withdrawals_root=bytes(32),
    )
    return Block(header, transactions, (), more.get("withdrawals", ()))
