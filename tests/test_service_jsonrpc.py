"""JSON-RPC over HTTP: ids, batches, notifications, errors, and overrides in calls."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.assembly import returning
from tests.rpc_server import Client
from tests.service_app import call
from tests.service_chain import ENVIRONMENT, GETTER, REVERTER, RICH, SPINNER


def test_an_answer_has_the_id_of_its_request(http_client: Client) -> None:
    for identity in (0, 7, "x", "\u2603", None, 1.5, -1, True, 2**63, 2**64 + 1, -(10**30)):
        answer = http_client.answer({"jsonrpc": "2.0", "id": identity, "method": "eth_chainId"})
        assert answer == {"jsonrpc": "2.0", "id": identity, "result": "0x539"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", -32700),
        ("{", -32700),
        ("\xff", -32700),
        ('{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":["\xff"]}', -32700),
        ('{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[' + "9" * 6000 + "]}", -32700),
        ('{"jsonrpc":"2.0","id":' + "9" * 6000 + ',"method":"eth_chainId"}', -32700),
        ('{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x' + "0" * 90_000 + '","latest"]}', -32602),
        ('{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["0x' + "f" * 90_000 + '",false]}', -32602),
        ('{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{"gas":' + "9" * 90_000 + "}]}", -32700),
        ('{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[' + '{"to":' * 900 + "1" + "}" * 900 + "]}", -32602),
        ('{"jsonrpc":"2.0","id":1,"method":"eth_call","params":' + "[" * 900 + "]" * 900 + "}", -32602),
        ("[" * 50_000, -32700),
        ("[]", -32600),
        ("1", -32600),
        ("{}", -32600),
        ('{"jsonrpc":"1.0","id":1,"method":"eth_chainId"}', -32600),
        ('{"jsonrpc":"2.0","id":1}', -32600),
        ('{"jsonrpc":"2.0","id":1,"method":7}', -32600),
        ('{"jsonrpc":"2.0","id":[1],"method":"eth_chainId"}', -32600),
        ('{"jsonrpc":"2.0","id":1,"method":"eth_sing"}', -32601),
        ('{"jsonrpc":"2.0","id":1,"method":"' + "x" * 2049 + '"}', -32600),
        ('{"jsonrpc":"2.0","id":{},"method":"eth_chainId"}', -32600),
        ('{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":[]}', -32602),
        ('{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":{"address":"0x"}}', -32602),
        ('{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x12","latest"]}', -32602),
        ('{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[1]}', -32602),
        ('{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{},"newest"]}', -32602),
        ('{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{},"0x99"]}', -32000),
    ],
)
def test_wrong_requests_are_answered_with_their_codes(http_client: Client, body: str, code: int) -> None:
    status, _, text = http_client.post(body.encode("latin-1"))
    assert status == 200
    assert json.loads(text)["error"]["code"] == code


def test_notifications_are_not_answered(http_client: Client) -> None:
    assert http_client.post('{"jsonrpc":"2.0","method":"eth_chainId"}')[2] == b""
    assert http_client.post('[{"jsonrpc":"2.0","method":"eth_chainId"}]')[2] == b""


def test_a_batch_is_answered_in_order_with_every_kind_of_answer(http_client: Client) -> None:
    batch = [
        call(GETTER),
        {"jsonrpc": "2.0", "method": "eth_chainId"},
        7,
        {"jsonrpc": "2.0", "id": "b", "method": "eth_sing"},
        {**call(REVERTER), "id": 3},
    ]
    first, second, third, fourth = http_client.answer(batch)
    assert int(first["result"], 16) == 42
    assert (second["id"], second["error"]["code"]) == (None, -32600)
    assert (third["id"], third["error"]["code"]) == ("b", -32601)
    assert (fourth["id"], fourth["error"]) == (3, {"code": 3, "message": "execution reverted", "data": "0x"})


def test_a_batch_above_the_limit_is_refused(http_client: Client) -> None:
    request = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}
    assert len(http_client.answer([request] * 20)) == 20
    (refusal,) = http_client.answer([{"jsonrpc": "2.0", "method": "eth_chainId"}, *[{**request, "id": 7}] * 20])
    assert (refusal["id"], refusal["error"]) == (7, {"code": -32600, "message": "batch too large"})


def test_failures_have_geths_words(http_client: Client) -> None:
    sender = "0x" + RICH.hex()
    for request, message in (
        (call(GETTER, gas="0x5"), "intrinsic gas too low"),
        (call(GETTER, value="0x1"), "insufficient funds"),
        (call(SPINNER, gas="0x186a0"), "out of gas"),
        ({**call(GETTER), "params": [{"to": "0x" + GETTER.hex(), "from": sender, "gasPrice": "0x1"}]}, "base fee"),
    ):
        error = http_client.answer(request)["error"]
        assert error["code"] == -32000 and message in error["message"], error


def test_state_and_state_diff_exclude_each_other(http_client: Client) -> None:
    overrides: dict[str, Any] = {"0x" + GETTER.hex(): {"state": {}, "stateDiff": {}}}
    request = call(GETTER)
    request["params"].append(overrides)
    assert "both 'state' and 'stateDiff'" in http_client.answer(request)["error"]["message"]


def test_overrides_of_block_and_state_are_seen(http_client: Client) -> None:
    request = call(ENVIRONMENT)
    request["params"] += [{"0x" + GETTER.hex(): {"balance": "0x1"}}, {"number": "0x63", "time": "0x7b"}]
    output = bytes.fromhex(http_client.answer(request)["result"][2:])
    assert (int.from_bytes(output[:32], "big"), int.from_bytes(output[32:64], "big")) == (99, 123)
    request = call(GETTER)
    slot = "0x" + "00" * 32
    request["params"].append({"0x" + GETTER.hex(): {"stateDiff": {slot: "0x" + "00" * 31 + "07"}}})
    assert int(http_client.answer(request)["result"], 16) == 7


def test_precompiles_can_be_moved_and_replaced(http_client: Client) -> None:
    identity, elsewhere = bytes(19) + b"\x04", bytes(19) + b"\xee"
    code = "0x" + returning("7").hex()
    moved = {"0x" + identity.hex(): {"movePrecompileToAddress": "0x" + elsewhere.hex(), "code": code}}
    replaced = {"0x" + identity.hex(): {"code": code}}

    def ask(to: bytes, overrides: Any) -> str:
        request = call(to, data="0xabcdef")
        request["params"].append(overrides)
        result: str = http_client.answer(request)["result"]
        return result

    seven = "0x" + (7).to_bytes(32, "big").hex()
    assert ask(identity, {}) == "0xabcdef"
    assert (ask(identity, moved), ask(elsewhere, moved)) == (seven, "0xabcdef")
    assert (ask(identity, replaced), ask(elsewhere, replaced)) == (seven, "0x")
    request = call(identity)
    request["params"].append({"0x" + GETTER.hex(): {"movePrecompileToAddress": "0x" + elsewhere.hex()}})
    assert "is not a precompile" in http_client.answer(request)["error"]["message"]
