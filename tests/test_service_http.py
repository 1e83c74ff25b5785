"""The service over HTTP: JSON-RPC rules, limits, headers, and input that nobody should send."""

from __future__ import annotations

import json
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from evmcore.service import CallService, Limits, MemorySource, http
from evmcore.service.app import App
from evmcore.service.dispatch import Dispatcher
from evmcore.service.front import Waiting
from evmcore.service.http import HttpProtocol
from evmcore.service.methods import METHODS
from tests.assembly import assemble, returning
from tests.rpc_server import Client, serving
from tests.service_chain import ENVIRONMENT, GENESIS, GETTER, REVERTER, RICH, SPINNER
from tests.waiting import PATIENCE, until

LIMITS: dict[str, Any] = {"timeout": 5.0, "gas": 10**12, "request_size": 100_000, "batch": 20, "threads": 2, "queue": 2}


def make_app(**limits: Any) -> App:
    service = CallService(MemorySource.from_genesis(GENESIS), Limits(**{**LIMITS, **limits}))
    return App(Dispatcher(service, METHODS), origins=("http://friend",))


BOTH = pytest.mark.parametrize("protocol", [HttpProtocol, "httptools"], ids=["own protocol", "ASGI"])


@pytest.fixture(scope="module", params=["own protocol", "ASGI"])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    protocol = HttpProtocol if request.param == "own protocol" else "httptools"
    with serving(make_app(), protocol) as client:
        yield client


def call(to: bytes, **fields: Any) -> dict[str, Any]:
    return {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "eth_call",
        "params": [{"to": "0x" + to.hex(), **fields}, "latest"],
    }


# ---- JSON-RPC


def test_an_answer_has_the_id_of_its_request(client: Client) -> None:
    for identity in (0, 7, "x", "\u2603", None, 1.5, -1, True, 2**63, 2**64 + 1, -(10**30)):
        answer = client.answer({"jsonrpc": "2.0", "id": identity, "method": "eth_chainId"})
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
def test_wrong_requests_are_answered_with_their_codes(client: Client, body: str, code: int) -> None:
    status, _, text = client.post(body.encode("latin-1"))
    assert status == 200
    assert json.loads(text)["error"]["code"] == code


def test_notifications_are_not_answered(client: Client) -> None:
    assert client.post('{"jsonrpc":"2.0","method":"eth_chainId"}')[2] == b""
    assert client.post('[{"jsonrpc":"2.0","method":"eth_chainId"}]')[2] == b""


def test_a_batch_is_answered_in_order_with_every_kind_of_answer(client: Client) -> None:
    batch = [
        call(GETTER),
        {"jsonrpc": "2.0", "method": "eth_chainId"},
        7,
        {"jsonrpc": "2.0", "id": "b", "method": "eth_sing"},
        {**call(REVERTER), "id": 3},
    ]
    first, second, third, fourth = client.answer(batch)
    assert int(first["result"], 16) == 42
    assert (second["id"], second["error"]["code"]) == (None, -32600)
    assert (third["id"], third["error"]["code"]) == ("b", -32601)
    assert (fourth["id"], fourth["error"]) == (3, {"code": 3, "message": "execution reverted", "data": "0x"})


def test_a_batch_above_the_limit_is_refused(client: Client) -> None:
    request = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}
    assert len(client.answer([request] * 20)) == 20
    (refusal,) = client.answer([{"jsonrpc": "2.0", "method": "eth_chainId"}, *[{**request, "id": 7}] * 20])
    assert (refusal["id"], refusal["error"]) == (7, {"code": -32600, "message": "batch too large"})


def test_failures_have_geths_words(client: Client) -> None:
    sender = "0x" + RICH.hex()
    for request, message in (
        (call(GETTER, gas="0x5"), "intrinsic gas too low"),
        (call(GETTER, value="0x1"), "insufficient funds"),
        (call(SPINNER, gas="0x186a0"), "out of gas"),
        ({**call(GETTER), "params": [{"to": "0x" + GETTER.hex(), "from": sender, "gasPrice": "0x1"}]}, "base fee"),
    ):
        error = client.answer(request)["error"]
        assert error["code"] == -32000 and message in error["message"], error


def test_state_and_state_diff_exclude_each_other(client: Client) -> None:
    overrides = {"0x" + GETTER.hex(): {"state": {}, "stateDiff": {}}}
    request = call(GETTER)
    request["params"].append(overrides)
    assert "both 'state' and 'stateDiff'" in client.answer(request)["error"]["message"]


def test_overrides_of_block_and_state_are_seen(client: Client) -> None:
    request = call(ENVIRONMENT)
    request["params"] += [{"0x" + GETTER.hex(): {"balance": "0x1"}}, {"number": "0x63", "time": "0x7b"}]
    output = bytes.fromhex(client.answer(request)["result"][2:])
    assert (int.from_bytes(output[:32], "big"), int.from_bytes(output[32:64], "big")) == (99, 123)
    request = call(GETTER)
    slot = "0x" + "00" * 32
    request["params"].append({"0x" + GETTER.hex(): {"stateDiff": {slot: "0x" + "00" * 31 + "07"}}})
    assert int(client.answer(request)["result"], 16) == 7


def test_precompiles_can_be_moved_and_replaced(client: Client) -> None:
    identity, elsewhere = bytes(19) + b"\x04", bytes(19) + b"\xee"
    code = "0x" + returning("7").hex()
    moved = {"0x" + identity.hex(): {"movePrecompileToAddress": "0x" + elsewhere.hex(), "code": code}}
    replaced = {"0x" + identity.hex(): {"code": code}}

    def ask(to: bytes, overrides: Any) -> str:
        request = call(to, data="0xabcdef")
        request["params"].append(overrides)
        result: str = client.answer(request)["result"]
        return result

    seven = "0x" + (7).to_bytes(32, "big").hex()
    assert ask(identity, {}) == "0xabcdef"
    assert (ask(identity, moved), ask(elsewhere, moved)) == (seven, "0xabcdef")
    assert (ask(identity, replaced), ask(elsewhere, replaced)) == (seven, "0x")
    request = call(identity)
    request["params"].append({"0x" + GETTER.hex(): {"movePrecompileToAddress": "0x" + elsewhere.hex()}})
    assert "is not a precompile" in client.answer(request)["error"]["message"]


# ---- HTTP


def test_answers_name_their_block(client: Client) -> None:
    _, headers, _ = client.post(json.dumps(call(GETTER)))
    block = client.call("eth_getBlockByNumber", "latest")
    assert (headers["evm-block-number"], headers["evm-block-hash"]) == (block["number"], block["hash"])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("content-type: application/json", b"200"),
        ("content-type: Application/JSON; charset=utf-8", b"200"),
        ("content-type: application/json-rpc", b"200"),
        ("content-type: text/plain", b"415"),
        ("content-type: application/x-www-form-urlencoded", b"415"),
        ("accept: */*", b"200"),
        ("origin: http://friend", b"415"),  # a script of a web page that the browser did not ask us about
    ],
)
def test_only_json_is_taken(client: Client, headers: str, status: bytes) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}'
    whole = f"POST / HTTP/1.1\r\nhost: x\r\n{headers}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
    ((answered, _),) = exchange(client.port, [[whole]])
    assert answered == status


def test_a_request_can_ask_for_a_least_block(client: Client) -> None:
    body = json.dumps(call(GETTER))
    assert client.post(body, {"evm-min-block": "0"})[0] == 200
    assert client.post(body, {"evm-min-block": "0x0"})[0] == 200
    status, _, text = client.post(body, {"evm-min-block": "1"})
    assert status == 503 and "head is block 0" in json.loads(text)["error"]["message"]
    assert client.post(body, {"evm-min-block": "soon"})[0] == 400


def test_health_and_readiness(client: Client) -> None:
    assert client.get("/healthz")[::2] == (200, b"ok\n")
    assert client.get("/readyz")[::2] == (200, b"ready\n")
    assert client.get("/other")[0] == 404
    assert client.get("/metrics")[0] == 404  # not asked for


def test_scripts_of_friends_may_read_answers(client: Client) -> None:
    body = json.dumps(call(GETTER))
    assert client.post(body, {"origin": "http://friend"})[1]["access-control-allow-origin"] == "http://friend"
    assert "access-control-allow-origin" not in client.post(body, {"origin": "http://stranger"})[1]


def test_a_body_above_the_limit_is_refused_so_that_the_client_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LINGER_SECONDS", 60.0)
    size = 20_000_000  # more than sockets hold: it is still being sent when the answer comes
    with serving(make_app()) as own, socket.create_connection(("127.0.0.1", own.port), timeout=60) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size)
        connection.sendall(b" " * size)
        received = b""
        while part := connection.recv(65536):
            received += part
    assert received.startswith(b"HTTP/1.1 413") and b"at most 100000 bytes" in received


@BOTH
def test_a_body_above_the_limit_is_refused(protocol: Any) -> None:
    with serving(make_app(), protocol) as own:
        status, headers, _ = own.post(b" " * 100_001)
        assert (status, headers["connection"]) == (413, "close")


def test_an_answer_above_the_limit_is_an_error() -> None:
    with serving(make_app(response_size=1000)) as own:
        identity = "\U0001f600" * 10
        request = {**call(GETTER), "id": identity, "method": "debug_getRawBlock", "params": ["0x0"]}
        answer = own.answer(request)
        assert (answer["id"], answer["error"]["code"]) == (identity, -32003)
        answers = own.answer([call(GETTER)] * 15)
        assert {"result", "error"} == {key for answer in answers for key in answer} - {"jsonrpc", "id"}


@BOTH
def test_long_calls_leave_room_for_short_ones_and_too_many_are_refused(protocol: Any) -> None:
    with serving(make_app(timeout=2.0), protocol) as own:
        spin = json.dumps(call(SPINNER))
        statuses: list[int] = []

        def send() -> None:
            client = Client(own.port)
            statuses.append(client.post(spin)[0])
            client.close()

        threads = [threading.Thread(target=send) for _ in range(6)]
        for thread in threads:
            thread.start()
        while sorted(statuses) != [503, 503] and any(thread.is_alive() for thread in threads):
            assert int(own.answer(call(GETTER))["result"], 16) == 42
            time.sleep(0.01)
        for thread in threads:
            thread.join()
        assert sorted(statuses)[-2:] == [503, 503] and sorted(statuses)[0] == 200


def test_a_call_that_does_not_end_is_stopped() -> None:
    with serving(make_app(timeout=0.05)) as own:
        error = own.answer(call(SPINNER))["error"]
        assert error == {"code": -32000, "message": "execution aborted (timeout = 0.05s)"}


@BOTH
def test_clients_that_do_not_wait_do_no_harm(protocol: Any) -> None:
    with serving(make_app(timeout=0.2), protocol) as own:
        body = json.dumps(call(SPINNER)).encode()
        for _ in range(10):
            with socket.create_connection(("127.0.0.1", own.port)) as connection:
                connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        until(
            lambda: "aborted" in own.answer(call(SPINNER))["error"]["message"],
            "those who left are still being waited for",
        )


@BOTH
@pytest.mark.parametrize("method", ["eth_call", "eth_estimateGas", "debug_traceCall", "batch"])
@pytest.mark.parametrize("resets", [False, True], ids=["closes", "resets"])
def test_a_call_whose_client_has_left_is_stopped(protocol: Any, method: str, resets: bool) -> None:
    minutes = 600.0
    request: Any = {**call(SPINNER, gas=hex(10**12)), "method": "eth_call" if method == "batch" else method}
    if method == "debug_traceCall":
        request["params"] += [{"tracer": "callTracer", "timeout": "10m"}]
    body = json.dumps([request] * 20 if method == "batch" else request).encode()
    with serving(make_app(timeout=minutes, batch_timeout=minutes, threads=1), protocol) as own:
        with socket.create_connection(("127.0.0.1", own.port)) as connection:
            if resets:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
            own.call("eth_chainId")  # the call is being run, or waits for the one thread
        assert own.call("eth_getBlockByNumber", "0x0")["number"] == "0x0"  # the one thread is free again


def test_a_request_that_takes_long_to_read_goes_to_a_thread() -> None:
    front = make_app(request_size=10**6).front
    headers = {b"content-type": b"application/json"}
    for accounts, waits in ((10, False), (2000, True)):
        overrides = {f"0x{number:040x}": {"balance": "0x1"} for number in range(1000, 1000 + accounts)}
        request = {**call(GETTER), "params": [{"to": "0x" + GETTER.hex()}, "latest", overrides]}
        assert isinstance(front.post(headers, json.dumps(request).encode()), Waiting) == waits
    front.close()


def test_the_end_of_a_server_stops_what_runs() -> None:
    front = make_app(timeout=600.0).front
    waiting = front.post({b"content-type": b"application/json"}, json.dumps(call(SPINNER)).encode())
    assert isinstance(waiting, Waiting)
    future = front.submit(waiting)
    until(future.running)
    front.close()
    assert b"execution aborted" in front.finish(waiting, future).body


@pytest.mark.parametrize("chunk", [1 << 20, 7])
def test_pipelined_requests_are_answered_in_order(chunk: int) -> None:
    with serving(make_app()) as own:
        parts = []
        for number in range(100):
            # Some are answered at once, some in a thread.
            method = "eth_getBlockByNumber" if number % 7 == 3 else "eth_chainId"
            params = ["0x0"] if number % 7 == 3 else []
            body = json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode()
            parts.append(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n" % len(body))
            parts.append((b"connection: close\r\n" if number == 99 else b"") + b"\r\n" + body)
        received = b""
        with socket.create_connection(("127.0.0.1", own.port), timeout=10) as connection:
            data = b"".join(parts)
            sender = threading.Thread(
                target=lambda: [connection.sendall(data[at : at + chunk]) for at in range(0, len(data), chunk)]
            )
            sender.start()
            while part := connection.recv(65536):
                received += part
            sender.join()
        ids = [int(piece.partition(b",")[0]) for piece in received.split(b'"jsonrpc":"2.0","id":')[1:]]
        assert ids == list(range(100))


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), b"400"),
        (b"GET\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999999\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 999999999\r\n\r\n", b"413"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nlong: " + b"x" * 70_000 + b"\r\n\r\n", b"431"),
        (b"PUT / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", b"405"),
        (b"HEAD /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", b"200"),
        (b"GET /healthz HTTP/1.0\r\n\r\n", b"200"),
        (
            b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
            b"2\r\n[]\r\n0\r\n\r\n",
            b"200",
        ),
        (
            b"POST / HTTP/1.1\r\nhost: x\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n"
            b"http2-settings: AAMAAABkAAQAAP__\r\ncontent-length: 2\r\n\r\n[]",
            b"200",
        ),
    ],
)
def test_odd_http(data: bytes, status: bytes) -> None:
    with serving(make_app()) as own:
        with socket.create_connection(("127.0.0.1", own.port), timeout=10) as connection:
            connection.sendall(data)
            assert connection.recv(65536).split(b" ")[1] == status
        assert own.call("eth_chainId") == "0x539"


def exchange(port: int, requests: list[list[bytes]]) -> list[tuple[bytes, bytes]]:
    """Status and body of the answer to each request, whose parts are sent one by one; on a new connection where the
    server has closed the one before."""
    answers = []
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for parts in requests:
        for number, part in enumerate(parts):
            if number:
                time.sleep(0.002)
            connection.sendall(part)
        received = b""
        while b"\r\n\r\n" not in received:
            received += connection.recv(65536)
        head, _, body = received.partition(b"\r\n\r\n")
        lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        while len(body) < int(lines[b"content-length"]):
            body += connection.recv(65536)
        answers.append((head.split(b" ")[1], body))
        if lines.get(b"connection") == b"close":
            assert connection.recv(1) == b""
            connection.close()
            connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.close()
    return answers


@pytest.mark.parametrize("seed", range(3))
def test_heads_that_were_seen_before_are_read_alike(seed: int) -> None:
    """Compared with uvicorn's own HTTP."""
    dice = random.Random(seed)
    bodies = [json.dumps({"jsonrpc": "2.0", "id": i, "method": "eth_chainId"}).encode() for i in (1, 22, 333)]
    bodies += [json.dumps(call(GETTER)).encode(), b"\r\n\r\n", b"[]", b""]
    heads = [b"", b"Evm-Min-Block: 5\r\n", b"evm-min-block: 0\r\n", b"connection: close\r\n", b"X: POST / \r\n",
             b"origin: http://friend\r\n", b"long: " + b"y" * 1200 + b"\r\n", b"expect: nothing\r\n"]  # fmt: skip
    requests = []
    for _ in range(150):
        body, extra = dice.choice(bodies), dice.choice(heads)
        line = dice.choice([b"POST / HTTP/1.1", b"POST /x HTTP/1.1", b"POST / HTTP/1.0", b"PUT / HTTP/1.1"])
        if dice.random() < 0.2 and line.endswith(b"1.1"):
            framing, data = b"transfer-encoding: chunked\r\n", b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            data += b"0\r\n\r\n"
        else:
            framing, data = b"content-length: %d\r\n" % len(body), body
        whole = line + b"\r\nhost: x\r\n" + extra + framing + b"\r\n" + data
        cut = dice.randrange(1, len(whole)) if dice.random() < 0.2 else len(whole)
        requests.append([part for part in (whole[:cut], whole[cut:]) if part])
    with serving(make_app(), "httptools") as other:
        expected = exchange(other.port, requests)
    with serving(make_app()) as own:
        assert exchange(own.port, requests) == expected


def test_a_client_that_sends_no_more_gets_what_it_asked_for() -> None:
    request = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": ["0x0"]}  # by a thread
    body = json.dumps(request).encode()
    received = b""
    with serving(make_app()) as own, socket.create_connection(("127.0.0.1", own.port), timeout=10) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body) * 3)
        connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(65536):
            received += part
    assert received.count(b'"stateRoot"') == 3


def test_a_connection_without_a_request_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "IDLE_SECONDS", 0.1)
    with serving(make_app()) as own:
        for start in (b"", b"POST / HTTP/1.1\r\nhost"):
            with socket.create_connection(("127.0.0.1", own.port), timeout=20) as connection:
                connection.sendall(start)
                assert connection.recv(100) == b""


def test_a_request_that_comes_drop_by_drop_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "IDLE_SECONDS", 0.3)
    with serving(make_app()) as own:
        drops = [b"POST / HTTP/1.1\r\n", *[b"a: b\r\n"] * 1000]
        connection = socket.create_connection(("127.0.0.1", own.port), timeout=20)
        with connection, pytest.raises(OSError):  # it has been closed
            for drop in drops:
                connection.sendall(drop)
                time.sleep(0.02)
        assert own.call("eth_chainId") == "0x539"


@pytest.mark.parametrize("ending", [b"", b"connection: close\r\n"], ids=["kept", "closed"])
def test_a_client_that_does_not_take_its_answer_is_given_up(monkeypatch: pytest.MonkeyPatch, ending: bytes) -> None:
    monkeypatch.setattr(http, "IDLE_SECONDS", 0.3)
    lost = threading.Event()
    before = HttpProtocol.connection_lost

    def connection_lost(self: HttpProtocol, error: Exception | None) -> None:
        before(self, error)
        lost.set()

    monkeypatch.setattr(HttpProtocol, "connection_lost", connection_lost)
    size = 8_000_000  # more than sockets hold
    code = "0x" + assemble(f"{size} 0 RETURN").hex()
    request = {**call(RICH), "params": [{"to": "0x" + RICH.hex()}, "latest", {"0x" + RICH.hex(): {"code": code}}]}
    body = json.dumps(request).encode()
    with serving(make_app()) as own:
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(60)
            connection.connect(("127.0.0.1", own.port))
            head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n" % len(body)
            connection.sendall(head + ending + b"\r\n" + body)
            assert lost.wait(PATIENCE), "the connection is still open"
        assert own.call("eth_chainId") == "0x539"


def test_a_client_that_takes_its_answer_slowly_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "IDLE_SECONDS", 0.5)
    size = 4_000_000
    code = "0x" + assemble(f"{size} 0 RETURN").hex()
    request = {**call(RICH), "params": [{"to": "0x" + RICH.hex()}, "latest", {"0x" + RICH.hex(): {"code": code}}]}
    body = json.dumps(request).encode()
    received = 0
    with serving(make_app()) as own, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.settimeout(60)
        connection.connect(("127.0.0.1", own.port))
        connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        begun = time.monotonic()
        while received < 2 * size:
            part = connection.recv(65536)
            assert part, f"cut off after {received} bytes"
            received += len(part)
            if time.monotonic() - begun < 3:
                time.sleep(0.02)
    assert received > 2 * size


def test_bodies_that_do_not_end_have_bounded_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_HELD_BYTES", 200_000)
    with serving(make_app()) as own:
        opened = [socket.create_connection(("127.0.0.1", own.port), timeout=10) for _ in range(3)]
        for connection in opened:
            connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 90000\r\n\r\n" + b" " * 80_000)
        assert opened[2].recv(1000).startswith(b"HTTP/1.1 503")
        assert own.call("eth_chainId") == "0x539"
        opened[0].sendall(b" " * 10_000)
        assert b"-32700" in opened[0].recv(1000)
        for connection in opened:
            connection.close()
        status = 503
        end = time.monotonic() + 20
        while status == 503:  # until the server has seen that they are gone
            assert time.monotonic() < end
            status = own.post(b" " * 99_000)[0]
        assert status == 200


def test_expect_100_continue() -> None:
    with serving(make_app()) as own, socket.create_connection(("127.0.0.1", own.port), timeout=10) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"[]")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")


# ---- fuzzing


WORDS: list[Any] = [
    None, True, 0, -1, 1.5, 10**30, "", "0x", "0x0", "0x01", "latest", "pending", "0x" + "ff" * 32, "0x" + "c0" * 20,
    "0x" + GETTER.hex(), "0x" + SPINNER.hex(), "0x" + "0" * 65, "0xzz", "\ud800", "\x00", "0x" + "00" * 5000, [], {},
    [None], [[[]]], {"to": "0x" + GETTER.hex()}, {"to": None, "data": "0x60"}, {"blockHash": "0x12"}, {"from": 3},
    {"fromBlock": "0x0", "toBlock": "latest", "topics": [[None], []]}, {"address": [], "topics": [{}]},
    {"0x" + "c0" * 20: {"code": "0x00", "state": {"0x": "0x1"}}}, {"gas": "0xffffffffffffffff"}, "0x7fffffffffffffff",
]  # fmt: skip


def random_value(rng: random.Random, depth: int = 0) -> Any:
    fate = rng.randrange(12)
    if fate == 0 and depth < 3:
        return [random_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if fate == 1 and depth < 3:
        keys = ["to", "from", "data", "input", "gas", "value", "gasPrice", "accessList", "authorizationList", "nonce",
                "address", "topics", "blockHash", "number", "blockStateCalls", "calls", "stateOverrides"]  # fmt: skip
        return {rng.choice(keys): random_value(rng, depth + 1) for _ in range(rng.randrange(5))}
    return rng.choice(WORDS)


@pytest.mark.parametrize("seed", range(8))
def test_no_request_is_answered_with_an_internal_error(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    rng = random.Random(seed)
    service = CallService(MemorySource.from_genesis(GENESIS), Limits(timeout=0.05, gas=10**7, log_blocks=10))
    dispatcher = Dispatcher(service, METHODS)
    names = sorted(METHODS)
    for _ in range(1500):
        method = METHODS[rng.choice(names)]
        params = [random_value(rng) for _ in range(rng.randrange(method.allowed + 2))]
        request = {"jsonrpc": "2.0", "id": 1, "method": method.name, "params": params}
        answer = json.loads(dispatcher.answer_parsed(request).body)
        assert ("result" in answer) != ("error" in answer)
        if "error" in answer:
            assert answer["error"]["code"] != -32603, (request, answer, caplog.text)


@pytest.mark.parametrize("seed", range(4))
def test_a_server_outlives_random_bytes(seed: int) -> None:
    rng = random.Random(seed)
    good = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}'
    whole = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(good)
    with serving(make_app()) as own:

        def one(number: int) -> None:
            rng = random.Random(seed * 1000 + number)
            data = bytearray(whole + good)
            for _ in range(rng.randrange(1, 6)):
                at = rng.randrange(len(data))
                data[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(4))
            with socket.create_connection(("127.0.0.1", own.port), timeout=10) as connection:
                try:
                    connection.sendall(bytes(data))
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):
                        pass
                except OSError:
                    pass

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(one, range(rng.randrange(60, 80))))
        assert own.call("eth_chainId") == "0x539"
