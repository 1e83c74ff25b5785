"""The converters of the edge, and the values that check themselves when they are made."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from evmcore.errors import (
    EvmcoreError,
    InputError,
    InvalidBlock,
    InvalidTransaction,
    TransactionReason,
)
from evmcore.types import Account, BlockEnv, Withdrawal, to_address, to_bytes, to_hash, to_uint

ADDRESS = bytes(range(20))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (ADDRESS, ADDRESS),
        (bytearray(ADDRESS), ADDRESS),
        (memoryview(ADDRESS), ADDRESS),
        ("0x" + ADDRESS.hex(), ADDRESS),
        ("0X" + ADDRESS.hex().upper(), ADDRESS),
        (4, bytes(19) + b"\x04"),
        (2**160 - 1, b"\xff" * 20),
    ],
)
def test_addresses_are_taken_in_every_form(value: Any, expected: bytes) -> None:
    assert to_address(value, "to") == expected


def test_hashes_are_32_bytes_big_endian() -> None:
    assert to_hash(1, "slot") == bytes(31) + b"\x01"
    assert to_hash("0x" + "ab" * 32, "slot") == b"\xab" * 32


@pytest.mark.parametrize(
    ("value", "expected"), [("0x", b""), ("0x00fF", b"\x00\xff"), (b"x", b"x"), (bytearray(b"y"), b"y")]
)
def test_bytes_are_taken_in_every_form(value: Any, expected: bytes) -> None:
    assert to_bytes(value, "data") == expected


class HexBytes(bytes):
    """Bytes of another library, which shows them its own way."""

    def __repr__(self) -> str:
        return f"HexBytes('0x{self.hex()}')"


@pytest.mark.parametrize(("convert", "size"), [(to_address, 20), (to_hash, 32), (to_bytes, 20)])
def test_of_a_class_derived_from_bytes_plain_bytes_are_made(convert: Any, size: int) -> None:
    value = convert(HexBytes(range(size)), "x")
    assert type(value) is bytes and value == bytes(range(size))


class Number:
    """A number of another library."""

    def __index__(self) -> int:
        return 7


@pytest.mark.parametrize(
    ("value", "expected"), [(0, 0), (2**256 - 1, 2**256 - 1), ("0x00", 0), ("0xFf", 255), (Number(), 7)]
)
def test_numbers_are_taken_in_every_form(value: Any, expected: int) -> None:
    assert to_uint(value, "value") == expected


@pytest.mark.parametrize(
    ("convert", "value", "says"),
    [
        (to_address, bytes(19), "argument 'x': expected 20 bytes, got 19"),
        (to_address, "0x" + "00" * 21, "argument 'x': expected 20 bytes, got 21"),
        (to_address, "0x" + "0" * 39, "odd number of hexadecimal digits"),
        (to_address, "00" * 20, "without the prefix 0x"),
        (to_address, "0x" + "zz" * 20, "not hexadecimal"),
        (to_address, "0x 0" + "00" * 18, "not hexadecimal"),
        (to_address, 2**160, r"below 2\*\*160"),
        (to_address, -1, "not negative"),
        (to_address, True, "bool True"),
        (to_address, None, "NoneType None"),
        (to_address, 1.0, "float 1.0"),
        (to_address, [1], "list"),
        (to_hash, bytes(31), "expected 32 bytes, got 31"),
        (to_hash, 2**256, r"below 2\*\*256"),
        (to_bytes, 5, "expected bytes or 0x-hex text, got int 5"),
        (to_bytes, "0x1", "odd number"),
        (to_bytes, "0x" + "é" * 2, "not hexadecimal"),
        (to_bytes, "", "without the prefix"),
        (to_uint, True, "bool True"),
        (to_uint, -1, "not negative, got -1"),
        (to_uint, 2**256, r"below 2\*\*256, got one of 257 bits"),
        (to_uint, "0x", "without digits"),
        (to_uint, "12", "without the prefix 0x"),
        (to_uint, "0x_1", "not hexadecimal"),
        (to_uint, "0x+1", "not hexadecimal"),
        (to_uint, "-0x1", "without the prefix 0x"),
        (to_uint, 1.5, "float 1.5"),
        (to_uint, b"\x01", "bytes"),
        (to_uint, None, "NoneType"),
        (to_uint, int, "type <class 'int'>"),
        (to_uint, "0x" + "f" * 65, r"below 2\*\*256"),
    ],
)
def test_anything_else_is_an_error_that_names_the_argument(convert: Any, value: Any, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        convert(value, "x")
    assert "argument 'x'" in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_numbers_are_bounded_by_the_bits_asked_for() -> None:
    assert to_uint(2**64 - 1, "nonce", 64) == 2**64 - 1
    with pytest.raises(InputError, match=r"'nonce': expected a number below 2\*\*64"):
        to_uint(2**64, "nonce", 64)


def test_long_values_are_cut_in_messages() -> None:
    with pytest.raises(InputError) as caught:
        to_uint("0x" + "z" * 100_000, "value")
    assert len(str(caught.value)) < 300


def test_an_account_is_converted_when_it_is_made() -> None:
    account = Account("0x1", "0xff", "0x6000", {"0x01": "0x02", 3: 4, bytes(31) + b"\x05": bytes(31) + b"\x06"})
    assert account == Account(1, 255, b"\x60\x00", {1: 2, 3: 4, 5: 6})


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"nonce": 2**64}, "'nonce'"),
        ({"balance": 2**256}, "'balance'"),
        ({"balance": -1}, "'balance'"),
        ({"code": 5}, "'code'"),
        ({"storage": [1]}, "'storage'"),
        ({"storage": {-1: 0}}, "'storage slot'"),
        ({"storage": {0: 2**256}}, "'storage value'"),
        ({"storage": {0: bytes(31)}}, "'storage value'"),
    ],
)
def test_an_account_that_cannot_be_is_an_error(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Account(**fields)


def test_a_block_environment_is_converted_when_it_is_made() -> None:
    block = BlockEnv(number="0x10", coinbase="0x" + "11" * 20, prevrandao=5, block_hashes={1: "0x" + "22" * 32})
    assert (block.number, block.coinbase, block.prevrandao) == (16, b"\x11" * 20, bytes(31) + b"\x05")
    assert block.block_hashes == {1: b"\x22" * 32}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"number": 2**64}, "'number'"),
        ({"timestamp": -1}, "'timestamp'"),
        ({"coinbase": bytes(19)}, "'coinbase'"),
        ({"gas_limit": "many"}, "'gas_limit'"),
        ({"base_fee": 2**256}, "'base_fee'"),
        ({"prevrandao": bytes(31)}, "'prevrandao'"),
        ({"difficulty": None}, "'difficulty'"),
        ({"blob_base_fee": -1}, "'blob_base_fee'"),
        ({"excess_blob_gas": 2**64}, "'excess_blob_gas'"),
        ({"block_hashes": [bytes(32)]}, "'block_hashes'"),
        ({"block_hashes": {1: bytes(31)}}, "'block_hashes'"),
    ],
)
def test_a_block_environment_that_cannot_be_is_an_error(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        BlockEnv(**fields)


def test_a_withdrawal_is_read_from_json() -> None:
    item = {"index": "0x1", "validatorIndex": "0x2", "address": "0x" + "33" * 20, "amount": "0x4"}
    assert Withdrawal.from_json(item) == Withdrawal(1, 2, b"\x33" * 20, 4)
    with pytest.raises(InputError, match="'amount' is missing"):
        Withdrawal.from_json({key: value for key, value in item.items() if key != "amount"})
    with pytest.raises(InputError, match="'validator_index'"):
        Withdrawal.from_json(item | {"validatorIndex": hex(2**64)})


def test_a_rejection_says_where_and_why_and_survives_pickling() -> None:
    error = InvalidTransaction(TransactionReason.NONCE_MISMATCH_TOO_LOW, "nonce 3, the account has 4", 7)
    assert str(error) == "transaction 7: NONCE_MISMATCH_TOO_LOW: nonce 3, the account has 4"
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (twin.reason, twin.detail, twin.index) == (error.reason, error.detail, error.index)
    assert str(InvalidBlock(error.reason)) == "block: NONCE_MISMATCH_TOO_LOW"
    assert issubclass(InvalidBlock, EvmcoreError)


def test_reasons_are_the_text_of_their_names() -> None:
    assert all(reason == reason.name == str(reason) for reason in TransactionReason)
