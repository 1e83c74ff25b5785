"""Senders recovered many at once are those recovered one by one."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from evmcore import execute_block
from evmcore._crypto import address_of
from evmcore._senders import recover_senders
from evmcore.blocks import Block, Header
from evmcore.errors import InputError, InvalidBlock, InvalidTransaction, TransactionReason
from evmcore.forks import Fork
from evmcore.state import MemoryState
from evmcore.transactions import SECP256K1_ORDER, Authorization, Transaction
from evmcore.types import Account


def signed(count: int, seed: int = 1) -> tuple[list[Transaction], list[bytes]]:
    chance = random.Random(seed)
    transactions, senders = [], []
    for number in range(count):
        key = chance.randrange(1, 2**200).to_bytes(32, "big")
        fields = [
            {"gas_price": 1},
            {"gas_price": 1, "chain_id": 1},
            {"type": 1, "chain_id": 1, "gas_price": 2, "access_list": ((b"\1" * 20, (3,)),)},
            {"type": 2, "chain_id": 1, "max_fee_per_gas": 3},
        ][number % 4]
        transactions.append(
            Transaction(nonce=number, gas_limit=100_000, to=b"\2" * 20, data=bytes(number % 70), **fields).sign(key)
        )  # type: ignore[arg-type]
        senders.append(address_of(key))
    return transactions, senders


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_senders_are_those_who_signed(threads: int) -> None:
    transactions, senders = signed(61)
    assert recover_senders(transactions, threads) == senders
    assert recover_senders([], threads) == []


def test_every_type_and_size_is_hashed_as_by_itself() -> None:
    """Lengths around those at which the form of an RLP header changes."""
    blob = {"max_fee_per_blob_gas": 1, "blob_versioned_hashes": (b"\1" + bytes(31),) * 3}
    permit = Authorization(1, b"\3" * 20, 7).sign(b"\5" * 32)
    kinds = [
        {"gas_price": 1},
        {"gas_price": 1, "chain_id": 1},
        {"gas_price": 1, "chain_id": 2**62 // 2},
        {"type": 1, "chain_id": 1, "access_list": ((b"\1" * 20, tuple(range(40))),)},
        {"type": 2, "chain_id": 2**256 - 1, "value": 2**256 - 1},
        {"type": 3, "chain_id": 1, "to": b"\2" * 20, **blob},
        {"type": 4, "chain_id": 1, "to": b"\2" * 20, "authorization_list": (permit,) * 3},
    ]
    sizes = [0, 1, 2, 3, 20, 21, 22, *range(50, 60), 180, 200, 255, 256, 257, 65_500, 65_536]
    key = b"\7" * 32
    given = [
        Transaction.decode(Transaction(data=b"\x81" * size, **kind).sign(key).encode())  # type: ignore[arg-type]
        for kind in kinds
        for size in sizes
    ]
    assert recover_senders(given, 2) == [address_of(key)] * len(given)
    # Made from their fields, without the bytes they were read from.
    assert recover_senders([replace(one, sender=None) for one in given], 2) == [address_of(key)] * len(given)


def test_the_first_signature_that_is_not_valid_is_named_as_if_it_were_alone() -> None:
    transactions, _ = signed(8)
    wrong = Transaction(type=2, chain_id=1, max_fee_per_gas=1, v=1, r=5, s=SECP256K1_ORDER - 1)
    with pytest.raises(InvalidTransaction) as alone:
        wrong.recover_sender()
    with pytest.raises(InvalidTransaction) as together:
        recover_senders([*transactions, wrong], 3)
    assert str(together.value) == str(alone.value)


def test_the_fork_decides_what_is_valid() -> None:
    transactions, senders = signed(4)
    assert recover_senders(transactions, 2, "london") == senders
    with pytest.raises(InvalidTransaction):
        recover_senders(transactions[1:2], 2, Fork.HOMESTEAD)


def test_what_is_no_transaction_is_refused() -> None:
    with pytest.raises(InputError, match="transactions"):
        recover_senders([b"\1"])  # type: ignore[list-item]


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_blocks_of_signed_transactions_are_executed_as_by_their_signers(threads: int) -> None:
    transactions, senders = signed(40)
    anonymous = [Transaction.decode(transaction.encode()) for transaction in transactions]
    assert all(transaction.sender is None for transaction in anonymous)
    state = MemoryState({sender: Account(nonce=number, balance=10**18) for number, sender in enumerate(senders)})
    header = Header(number=1, gas_limit=30_000_000, base_fee_per_gas=0)
    result = execute_block(Block(header, anonymous), state, Fork.LONDON, validate=False, threads=threads)
    assert all(receipt.status == 1 for receipt in result.receipts)
    wrong = Transaction(type=2, chain_id=1, max_fee_per_gas=1, v=1, r=5, s=SECP256K1_ORDER - 1)
    with pytest.raises(InvalidBlock, match="transaction 40: ") as caught:
        execute_block(Block(header, [*anonymous, wrong]), state, Fork.LONDON, validate=False, threads=threads)
    assert caught.value.reason is TransactionReason.INVALID_SIGNATURE_VRS
