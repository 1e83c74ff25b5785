"""Request values are taken as strictly as geth takes them, and errors name the field."""

from __future__ import annotations

from typing import Any

import pytest

from evmcore.service import parse
from evmcore.service.rpc_errors import INVALID_PARAMS, SERVER_ERROR, InvalidParams, RpcError

A, B = "0x" + "0a" * 20, "0x" + "0B" * 20
HASH = "0x" + "77" * 32


def refused(call: Any, *arguments: Any) -> RpcError:
    with pytest.raises(RpcError) as caught:
        call(*arguments)
    return caught.value


@pytest.mark.parametrize(("value", "number"), [("0x0", 0), ("0x1", 1), ("0xfF", 255), ("0X10", 16)])
def test_quantities(value: str, number: int) -> None:
    assert parse.quantity(value, "gas") == number


@pytest.mark.parametrize(
    "value", ["", "0x", "1", 1, 1.0, None, True, "0x01", "0x00", "0xg", "0x 1", "0x1_0", "-0x1", "0x-1"]
)
def test_what_is_no_quantity(value: Any) -> None:
    error = refused(parse.quantity, value, "gas")
    assert (error.code, "gas" in error.message) == (INVALID_PARAMS, True)


def test_a_quantity_has_no_more_bits_than_its_field() -> None:
    assert parse.quantity("0x" + "f" * 16, "nonce", 64) == 2**64 - 1
    assert "> 64 bits" in refused(parse.quantity, "0x1" + "0" * 16, "nonce", 64).message
    assert "> 8 bits" in refused(parse.quantity, "0x100", "type", 8).message


@pytest.mark.parametrize("value", ["0x1", "00", "0xzz", 0, b"", None])
def test_what_is_no_data(value: Any) -> None:
    assert isinstance(refused(parse.data, value, "input"), InvalidParams)


def test_addresses_and_hashes_have_their_length() -> None:
    assert parse.address(B, "to") == bytes.fromhex("0b" * 20)
    assert "length 38, want 40" in refused(parse.address, A[:-2], "to").message
    assert "want 64" in refused(parse.hash32, A, "blockHash").message


@pytest.mark.parametrize(
    ("value", "block"),
    [
        (None, "latest"),
        ("pending", "pending"),
        ("0x10", 16),
        (HASH, bytes.fromhex(HASH[2:])),
        ({"blockNumber": "0x10"}, 16),
        ({"blockNumber": "earliest"}, "earliest"),
        ({"blockHash": HASH}, bytes.fromhex(HASH[2:])),
    ],
)
def test_block_references(value: Any, block: Any) -> None:
    assert parse.block_reference(value) == (block, False)


def test_a_block_may_have_to_be_canonical() -> None:
    assert parse.block_reference({"blockHash": HASH, "requireCanonical": True}).require_canonical


@pytest.mark.parametrize(
    "value",
    ["newest", 16, {}, {"blockNumber": "0x1", "blockHash": HASH}, {"blockNumber": HASH}, ["0x1"], "0x8" + "0" * 15],
)
def test_what_names_no_block(value: Any) -> None:
    assert isinstance(refused(parse.block_reference, value), InvalidParams)


def test_a_call_object_becomes_the_arguments_of_a_call() -> None:
    item: dict[str, Any] = {"from": A, "to": B, "gas": "0x5208", "gasPrice": "0x2", "value": "0x1", "data": "0x"}
    item["input"] = "0x1234"
    item["accessList"] = [{"address": A, "storageKeys": [HASH]}]
    call = parse.call_object({**item, "nonce": None, "unknown": 1})
    assert call.arguments(base_fee=7) == {
        "sender": bytes.fromhex(A[2:]),
        "to": bytes.fromhex(B[2:]),
        "data": b"\x12\x34",
        "gas": 21_000,
        "gas_price": 2,
        "value": 1,
        "access_list": ((bytes.fromhex(A[2:]), (int(HASH, 16),)),),
    }


def test_the_price_of_a_call_follows_eip_1559() -> None:
    fees = {"maxFeePerGas": "0x64", "maxPriorityFeePerGas": "0x5"}
    call = parse.call_object(fees)
    assert (call.effective_gas_price(10), call.effective_gas_price(99), call.names_price) == (15, 100, True)
    assert parse.call_object({"maxFeePerGas": "0x0"}).effective_gas_price(10) == 0
    assert refused(parse.call_object, {**fees, "gasPrice": "0x1"}).code == SERVER_ERROR
    assert refused(parse.call_object({"maxPriorityFeePerGas": "0x1"}).arguments, 0).code == SERVER_ERROR


def test_state_overrides_become_those_of_a_call() -> None:
    overrides = parse.state_overrides({A: {"balance": "0x1", "code": "0x00", "stateDiff": {HASH: "0x1"}}, B: {}})
    assert overrides.accounts == {
        bytes.fromhex(A[2:]): {"balance": 1, "code": b"\0", "stateDiff": {int(HASH, 16): 1}},
        bytes.fromhex(B[2:]): {},
    }
    assert refused(parse.state_overrides, {A: {"state": {}, "stateDiff": {}}}).code == SERVER_ERROR
    assert refused(parse.state_overrides, {A: {}, A.upper().replace("X", "x"): {}}).code == INVALID_PARAMS
    assert not parse.state_overrides(None)


def test_a_precompile_can_be_moved() -> None:
    moved = parse.state_overrides({A: {"movePrecompileToAddress": B}})
    assert moved.moves == {bytes.fromhex(A[2:]): bytes.fromhex(B[2:])}


def test_block_overrides_become_changes_of_the_environment() -> None:
    overrides = parse.block_overrides({"number": "0x5", "time": "0x6", "coinbase": A, "blobBaseFee": "0x7"})
    assert overrides.environment() == {
        "number": 5,
        "timestamp": 6,
        "coinbase": bytes.fromhex(A[2:]),
        "blob_base_fee": 7,
    }
    assert refused(parse.block_overrides({"withdrawals": []}).environment).code == SERVER_ERROR


def test_parameters_are_counted() -> None:
    assert parse.params_of(["0x1"], 1, 2) == ["0x1", None]
    assert parse.params_of(None, 0, 1) == [None]
    assert "missing value for required argument 0" in refused(parse.params_of, [None, 1], 1, 2).message
    assert "too many arguments, want at most 2" in refused(parse.params_of, [1, 2, 3], 1, 2).message
    assert refused(parse.params_of, {"a": 1}, 0, 1).code == INVALID_PARAMS


@pytest.mark.parametrize(("value", "shown"), [(True, "true"), (None, "null"), ({"a": [None]}, '{"a": [null]}')])
def test_what_is_refused_is_shown_as_it_came(value: Any, shown: str) -> None:
    assert (
        refused(parse.quantity, value, "0").message
        == f"invalid argument 0: expected a quantity as 0x-hex text, got {shown}"
    )
