"""Transactions are read natively where nothing about them is in doubt, and give what the plain decoder gives."""

from __future__ import annotations

import random
from typing import Any

import pytest

from evmcore import blocks, transactions
from evmcore._transaction_rlp import read_transaction, split_transactions
from evmcore.blocks import Block, Header
from evmcore.errors import EvmcoreError
from evmcore.transactions import Transaction
from tests.shared_files import archive_documents, shared_path
from tests.some_transactions import KEY, some_transaction

DAMAGE = (0, 1, 0x7F, 0x80, 0x81, 0x9F, 0xA0, 0xA1, 0xB7, 0xB8, 0xB9, 0xC0, 0xC1, 0xF7, 0xF8, 0xFF)


def plainly(monkeypatch: pytest.MonkeyPatch, decode: Any, data: bytes) -> Any:
    """What decoding gives without the native reader."""
    with monkeypatch.context() as patch:
        patch.setattr(transactions, "read_transaction", lambda *_: False)
        patch.setattr(blocks, "split_transactions", lambda _: None)
        return outcome(decode, data)


def outcome(decode: Any, data: bytes) -> Any:
    try:
        return decode(data)
    except EvmcoreError as error:
        return type(error), getattr(error, "reason", None), str(error)


def is_read(data: Any) -> bool:
    return read_transaction(object.__new__(Transaction), data)


def damaged(rng: random.Random, data: bytes) -> bytes:
    """One byte changed, put in or taken out, or the end cut off."""
    changed = bytearray(data)
    place = rng.randrange(len(changed))
    kind = rng.randrange(8)
    if kind == 0:
        del changed[place:]
    elif kind == 1:
        del changed[place]
    elif kind == 2:
        changed.insert(place, rng.choice(DAMAGE))
    else:
        # Most of what a reader can get wrong is near the beginning of an item.
        changed[rng.choice((place, min(place, 12)))] = rng.choice(DAMAGE)
    return bytes(changed)


def same(monkeypatch: pytest.MonkeyPatch, data: bytes) -> Any:
    """Both give the same; fields that equality leaves out too."""
    ours, plain = outcome(Transaction.decode, data), plainly(monkeypatch, Transaction.decode, data)
    assert ours == plain, data.hex()
    if isinstance(ours, Transaction):
        assert repr(ours) == repr(plain) and ours.encode() == plain.encode() == data
        assert [type(getattr(ours, name)) for name in Transaction.__slots__] == [
            type(getattr(plain, name)) for name in Transaction.__slots__
        ]
    return ours


@pytest.mark.parametrize("kind", range(5))
def test_whatever_is_read_natively_is_what_the_plain_decoder_gives(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(7 + kind)
    read = taken = 0
    for _ in range(150):
        data = some_transaction(rng, kind).sign(KEY).encode()
        assert isinstance(same(monkeypatch, data), Transaction)
        # Authorizations (EIP-7702) are left to the plain decoder, and so is a chain id of 200 bits in a legacy v.
        assert is_read(data) == (kind < 4 and not (kind == 0 and (Transaction.decode(data).chain_id or 0) > 2**62))
        for _ in range(25):
            bad = damaged(rng, data)
            read += is_read(bad)
            taken += isinstance(same(monkeypatch, bad), Transaction)
    assert 0 < taken < 3750 and (read == taken if kind in (1, 2, 3) else read <= taken)


def test_transactions_without_a_signature_are_read_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(3)
    for kind in range(5):
        for _ in range(20):
            assert isinstance(same(monkeypatch, some_transaction(rng, kind).encode()), Transaction)


def test_the_official_transactions_are_read_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0
    for _, tests in archive_documents("transaction_tests", ""):
        for test in tests.values():
            data = bytes.fromhex(test["txbytes"][2:])
            same(monkeypatch, data)
            read += is_read(data)
    assert read > 70


def test_blocks_are_read_alike_and_their_transactions_natively(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(5)
    data = shared_path("rpc-compat", "chain", "chain.rlp").read_bytes()
    taken = 0
    for block in Block.decode_stream(data):
        encoded = block.encode()
        assert outcome(Block.decode, encoded) == plainly(monkeypatch, Block.decode, encoded) == block
        assert all(is_read(transaction.encode()) for transaction in block.transactions if transaction.type < 4)
        for _ in range(20):
            bad = damaged(rng, encoded)
            ours = outcome(Block.decode, bad)
            assert ours == plainly(monkeypatch, Block.decode, bad), bad.hex()
            taken += isinstance(ours, Block)
    assert taken > 10


def test_bytes_of_another_kind_are_read_too() -> None:
    """Such as the HexBytes of other libraries, which are bytes and something more."""

    class More(bytes):
        pass

    block = Block(Header(), (some_transaction(random.Random(1), 2).sign(KEY),))
    assert Block.decode(More(block.encode())).transactions[0].hash == block.transactions[0].hash
    assert Transaction.decode(More(block.transactions[0].encode())).hash == block.transactions[0].hash
    assert not is_read(More(block.transactions[0].encode())) and not is_read(None)
    assert split_transactions(None) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("data", ["", "80", "c101", "c180", "c1c0", "c2c0", "c281c0", "c3820102", "c0c0", "b801"])
def test_lists_of_transactions_are_split_where_nothing_is_wrong_with_them(data: str) -> None:
    encoded = bytes.fromhex(data)
    expected = {"c101": [b"\x01"], "c1c0": [b"\xc0"], "c3820102": [b"\x01\x02"]}
    assert split_transactions(encoded) == expected.get(data)
    assert split_transactions(b"\xc0") == []
