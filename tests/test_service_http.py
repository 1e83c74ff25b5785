"""The service over HTTP: headers, limits, health, and what becomes of calls that take long."""

from __future__ import annotations

import json
import socket
import struct
import threading
from typing import Any

import pytest

from evmcore.service import http
from evmcore.service.front import Waiting
from tests.rpc_server import Client, exchange, serving
from tests.service_app import BOTH, call, make_app
from tests.service_chain import GETTER, SPINNER
from tests.waiting import PATIENCE, until


def test_answers_name_their_block(http_client: Client) -> None:
    _, headers, _ = http_client.post(json.dumps(call(GETTER)))
    block = http_client.call("eth_getBlockByNumber", "latest")
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
def test_only_json_is_taken(http_client: Client, headers: str, status: bytes) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}'
    whole = f"POST / HTTP/1.1\r\nhost: x\r\n{headers}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
    ((answered, _),) = exchange(http_client.port, [[whole]])
    assert answered == status


def test_a_request_can_ask_for_a_least_block(http_client: Client) -> None:
    body = json.dumps(call(GETTER))
    assert http_client.post(body, {"evm-min-block": "0"})[0] == 200
    assert http_client.post(body, {"evm-min-block": "0x0"})[0] == 200
    status, _, text = http_client.post(body, {"evm-min-block": "1"})
    assert status == 503 and "head is block 0" in json.loads(text)["error"]["message"]
    assert http_client.post(body, {"evm-min-block": "soon"})[0] == 400


def test_health_and_readiness(http_client: Client) -> None:
    assert http_client.get("/healthz")[::2] == (200, b"ok\n")
    assert http_client.get("/readyz")[::2] == (200, b"ready\n")
    assert http_client.get("/other")[0] == 404
    assert http_client.get("/metrics")[0] == 404  # not asked for


def test_scripts_of_friends_may_read_answers(http_client: Client) -> None:
    body = json.dumps(call(GETTER))
    assert http_client.post(body, {"origin": "http://friend"})[1]["access-control-allow-origin"] == "http://friend"
    assert "access-control-allow-origin" not in http_client.post(body, {"origin": "http://stranger"})[1]


def test_a_body_above_the_limit_is_refused_so_that_the_client_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LINGER_SECONDS", 60.0)
    size = 20_000_000  # more than sockets hold: it is still being sent when the answer comes
    with serving(make_app()) as own, socket.create_connection(("127.0.0.1", own.port), timeout=PATIENCE) as connection:
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
    app, gate = make_app(timeout=0.05), threading.Event()
    answer = app.front.dispatcher.answer_parsed

    def held(*arguments: Any, inline: bool = False) -> Any:
        """What goes to a thread takes until the gate is opened."""
        assert inline or gate.wait(PATIENCE)
        return answer(*arguments, inline=inline)

    app.front.dispatcher.answer_parsed = held  # type: ignore[assignment, method-assign]
    with serving(app, protocol) as own:
        spin = json.dumps(call(SPINNER))
        statuses: list[int] = []

        def send() -> None:
            client = Client(own.port)
            statuses.append(client.post(spin)[0])
            client.close()

        threads = [threading.Thread(target=send) for _ in range(6)]
        for thread in threads:
            thread.start()
        until(lambda: len(statuses) == 2, statuses)
        assert int(own.answer(call(GETTER))["result"], 16) == 42
        assert statuses == [503, 503]
        gate.set()
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [200] * 4 + [503, 503]


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
