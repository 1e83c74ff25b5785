"""A service that has state but no blocks, as with Redis alone: what it answers, and what it says it lacks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evmcore.blocks import Header
from evmcore.service import CallService, StateSource
from evmcore.service.dispatch import Dispatcher
from evmcore.service.methods import METHODS
from evmcore.state import MemoryState
from evmcore.types import Account
from tests.assembly import returning
from tests.service_chain import GETTER

HEADER = Header(number=9, timestamp=100, base_fee_per_gas=7, gas_used=15_000_000, excess_blob_gas=0, blob_gas_used=0,
                withdrawals_root=Header().transactions_root)  # fmt: skip
FULL = Header(number=9, transactions_root=bytes(31) + b"\x01")


def ask(method: str, *params: Any, header: Header = HEADER) -> Any:
    state = MemoryState({GETTER: Account(0, 5, returning("0 SLOAD"), {0: 42})})
    dispatcher = Dispatcher(CallService(StateSource(state, "cancun", header)), METHODS)
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
    return json.loads(dispatcher.answer(json.dumps(request).encode()).body)


@pytest.mark.parametrize(
    ("method", "params", "result"),
    [
        ("eth_blockNumber", [], "0x9"),
        ("eth_getBalance", ["0x" + GETTER.hex()], "0x5"),
        ("eth_getStorageAt", ["0x" + GETTER.hex(), "0x0", "0x9"], f"0x{42:064x}"),
        ("eth_call", [{"to": "0x" + GETTER.hex()}, "safe"], f"0x{42:064x}"),
        ("eth_gasPrice", [], hex(10**9 + 7)),
        ("eth_maxPriorityFeePerGas", [], hex(10**9)),
        ("eth_baseFee", [], "0x7"),
        ("eth_blobBaseFee", [], "0x1"),
        ("eth_syncing", [], False),
        ("web3_sha3", ["0x"], "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        ("net_listening", [], True),
    ],
)
def test_what_the_state_and_the_head_say_is_answered(method: str, params: list[Any], result: Any) -> None:
    assert ask(method, *params) == {"jsonrpc": "2.0", "id": 1, "result": result}


def test_headers_are_given_and_blocks_that_are_empty() -> None:
    block = ask("eth_getBlockByNumber", "latest", True)["result"]
    assert (block["hash"], block["transactions"], block["withdrawals"]) == ("0x" + HEADER.hash.hex(), [], [])
    assert ask("eth_getHeaderByNumber", "0x9")["result"]["hash"] == "0x" + HEADER.hash.hex()
    assert ask("eth_getHeaderByHash", "0x" + FULL.hash.hex(), header=FULL)["result"]["number"] == "0x9"
    assert ask("eth_getHeaderByNumber", "0x8")["result"] is None
    assert "no block bodies" in ask("eth_getBlockByNumber", "latest", header=FULL)["error"]["message"]


def test_the_history_of_fees_is_as_long_as_that_of_headers() -> None:
    history = ask("eth_feeHistory", "0x5", "latest")["result"]
    assert history["oldestBlock"] == "0x9" and history["gasUsedRatio"] == [0.5]
    assert [int(fee, 16) for fee in history["baseFeePerGas"]] == [7, 7]
    assert "keeps no blocks" in ask("eth_feeHistory", "0x5", "latest", [50])["error"]["message"]


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("eth_getLogs", [{}]),
        ("eth_getTransactionByHash", ["0x" + "11" * 32]),
        ("eth_getTransactionReceipt", ["0x" + "11" * 32]),
        ("eth_getBlockReceipts", ["latest"]),
        ("eth_getBlockByHash", ["0x" + "11" * 32, False]),
        ("eth_getProof", ["0x" + GETTER.hex(), [], "latest"]),
        ("eth_config", []),
        ("debug_getRawBlock", ["latest"]),
    ],
)
def test_what_needs_blocks_is_refused_and_never_null(method: str, params: list[Any]) -> None:
    error = ask(method, *params)["error"]
    assert error["code"] == -32000 and "keeps no blocks" in error["message"]


def test_capabilities_tell_the_difference() -> None:
    answer = ask("eth_capabilities")["result"]
    assert answer["state"] == {"disabled": False, "oldestBlock": "0x9"}
    assert answer["logs"]["disabled"] is True
