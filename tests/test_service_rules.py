"""Small rules of geth's methods that clients notice: what is refused, with which code and words."""

from __future__ import annotations

from typing import Any

import pytest

from evmcore.service import MemorySource
from tests.assembly import returning
from tests.pool_chain import GENESIS, send, signed
from tests.rpc_compat import chain_source
from tests.service_client import Service

HERE = "0x" + "ab" * 20
SENDER = "0x" + signed().recover_sender().hex()
BLOB = "0x01" + "00" * 31


@pytest.fixture
def served() -> Service:
    return Service(MemorySource.from_genesis(GENESIS))


def overridden(*words: str) -> dict[str, Any]:
    return {HERE: {"code": "0x" + returning(*words).hex()}}


@pytest.mark.parametrize("method", ["eth_call", "eth_estimateGas", "eth_createAccessList", "debug_traceCall"])
def test_a_call_for_another_chain_is_refused(served: Service, method: str) -> None:
    assert served.answer(method, {"to": HERE, "chainId": "0x7"}, "latest").get("error") is None
    error = served.error(method, {"to": HERE, "chainId": "0x8"}, "latest")
    assert (error.code, error.message) == (-32000, "chainId does not match node's (have=8, want=7)")


@pytest.mark.parametrize(
    ("method", "fields", "message"),
    [
        ("eth_call", {"blobVersionedHashes": []}, "err: blob transaction missing blob hashes (supplied gas 50000000)"),
        ("eth_estimateGas", {"blobVersionedHashes": []}, "err: blob transaction missing blob hashes"),
        ("debug_traceCall", {"blobVersionedHashes": []}, "tracing failed: blob transaction missing blob hashes"),
        ("eth_createAccessList", {"blobVersionedHashes": []}, "need at least 1 blob for a blob transaction"),
        ("eth_call", {"authorizationList": []}, "err: EIP-7702 transaction with empty auth list"),
        ("eth_estimateGas", {"authorizationList": []}, "err: EIP-7702 transaction with empty auth list"),
        ("debug_traceCall", {"authorizationList": []}, "tracing failed: EIP-7702 transaction with empty auth list"),
        ("eth_createAccessList", {"authorizationList": []}, "err: EIP-7702 transaction with empty auth list"),
    ],
)
def test_lists_that_are_given_and_empty_are_not_lists_left_out(
    served: Service, method: str, fields: dict[str, Any], message: str
) -> None:
    error = served.error(method, {"to": HERE, **fields}, "latest")
    assert error.code == -32000 and error.message.startswith(message)


@pytest.mark.parametrize(
    ("method", "fields", "message"),
    [
        ("eth_call", {"blobVersionedHashes": []}, "err: blob transaction of type create"),
        ("eth_call", {"blobVersionedHashes": [BLOB]}, "err: blob transaction of type create"),
        ("eth_createAccessList", {"blobVersionedHashes": [BLOB]}, 'missing "to" in blob transaction'),
        ("eth_call", {"authorizationList": []}, "err: EIP-7702 transaction cannot be used to create contract"),
    ],
)
def test_what_such_lists_are_of_creates_no_contract(
    served: Service, method: str, fields: dict[str, Any], message: str
) -> None:
    error = served.error(method, {"input": "0x00", **fields}, "latest")
    assert error.code == -32000 and error.message.startswith(message)


def test_a_call_without_a_price_for_blobs_sees_no_blob_base_fee(served: Service) -> None:
    code = overridden("BLOBBASEFEE")
    fee = int(served.result("eth_blobBaseFee"), 16)
    assert fee > 0
    for fields, seen in (
        ({}, fee),
        ({"blobVersionedHashes": [BLOB]}, 0),
        ({"maxFeePerBlobGas": "0x0"}, 0),
        ({"maxFeePerBlobGas": hex(fee)}, fee),
    ):
        assert int(served.result("eth_call", {"to": HERE, **fields}, "latest", code), 16) == seen
    call = {"to": HERE, "blobVersionedHashes": [BLOB], "maxFeePerBlobGas": "0x1"}
    error = served.error("eth_call", call, "latest", code, {"blobBaseFee": "0x2"})
    assert error.code == -32000 and "max fee per blob gas less than block blob gas fee" in error.message


def test_an_access_list_keeps_what_is_given_as_in_geth(served: Service) -> None:
    other = {"address": "0x" + "ee" * 20, "storageKeys": ["0x" + "00" * 31 + "07"]}
    answer = served.result("eth_createAccessList", {"to": HERE, "accessList": [other]}, "latest")
    assert other in answer["accessList"]


def test_what_could_not_be_run_says_how_much_gas_it_had(served: Service) -> None:
    message = served.error("eth_call", {"to": HERE, "gas": "0x5"}, "latest").message
    assert message.startswith("err: intrinsic gas too low") and message.endswith("(supplied gas 5)")


def test_fee_history(served: Service) -> None:
    error = served.error("eth_feeHistory", "0x1", "0x5", [])
    assert (error.code, error.message) == (-32000, "request beyond head block: requested 5, head 0")
    count: Any
    for count in (1, "0x1", "1"):
        assert served.result("eth_feeHistory", count, "latest", [])["oldestBlock"] == "0x0"
    for count in (True, -1, "-1", "1.0", "0x", 2**64, str(2**64), None):
        assert served.error("eth_feeHistory", count, "latest", []).code == -32602


@pytest.mark.parametrize(
    ("method", "params"),
    [("eth_getLogs", [{"fromBlock": "0x0"}]), ("eth_feeHistory", ["0x10", "latest", [50]])],
)
def test_what_looks_through_many_blocks_ends_with_its_time(method: str, params: list[Any]) -> None:
    answer = Service(chain_source(), timeout=1e-9).error(method, *params)
    assert (answer.code, answer.message) == (-32000, "execution aborted (timeout = 1e-09s)")


def test_a_block_that_is_not_there_by_number_and_by_hash(served: Service) -> None:
    for block, message in (("0x5", "header not found"), ("0x" + "11" * 32, "header for hash not found")):
        error = served.error("eth_getBalance", HERE, block)
        assert (error.code, error.message) == (-32000, message)


def test_the_pending_nonce_counts_what_waits_without_a_gap(served: Service) -> None:
    for nonce in (0, 1, 3):
        send(served, signed(nonce))
    for block, pending in (("pending", "0x2"), ({"blockNumber": "pending"}, "0x2"), ("latest", "0x0")):
        assert served.result("eth_getTransactionCount", SENDER, block) == pending


@pytest.mark.parametrize(("blocks", "calls"), [(1, 5_001), (3, 4_000)])
def test_a_simulation_has_so_many_calls_at_most(served: Service, blocks: int, calls: int) -> None:
    error = served.error("eth_simulateV1", {"blockStateCalls": [{"calls": [{}] * calls}] * blocks}, "latest")
    assert error.code == -38026 and "too many calls" in error.message
