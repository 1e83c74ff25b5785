"""Connections: pipelined, odd and slow requests, clients that leave, wait or take nothing."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import threading
import time

import pytest

from evmcore.service import http
from evmcore.service.http import HttpProtocol
from tests.assembly import assemble
from tests.rpc_server import exchange, serving
from tests.service_app import call, make_app
from tests.service_chain import GETTER, RICH
from tests.waiting import PATIENCE, until


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
        with socket.create_connection(("127.0.0.1", own.port), timeout=PATIENCE) as connection:
            data = b"".join(parts)

            def send() -> None:
                for at in range(0, len(data), chunk):
                    connection.sendall(data[at : at + chunk])

            sender = threading.Thread(target=send)
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
        with socket.create_connection(("127.0.0.1", own.port), timeout=PATIENCE) as connection:
            connection.sendall(data)
            assert connection.recv(65536).split(b" ")[1] == status
        assert own.call("eth_chainId") == "0x539"


def test_a_request_that_would_rather_speak_another_protocol_is_answered() -> None:
    """As the first one of Java's HTTP client, and of curl --http2."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}).encode()
    wish = (
        b"POST / HTTP/1.1\r\nhost: x\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n"
        b"http2-settings: AAMAAABkAAQAAP__\r\ncontent-type: application/json\r\n"
    )
    sized, chunked = b"content-length: %d\r\n\r\n" % len(body), b"transfer-encoding: chunked\r\n\r\n"
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    plain = b"POST / HTTP/1.1\r\nhost: x\r\n" + sized + body
    requests = [
        [wish + sized + body],
        [wish + sized + body],
        [wish + sized, body],
        [wish + sized + body[:9], body[9:]],
        [wish + b"expect: nothing\r\n" + sized + body],
        [wish + chunked, chunks],
        [wish + chunked + chunks],
        [b"POST / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n" + sized + body],
        [plain],
    ]
    with serving(make_app()) as own:
        assert exchange(own.port, requests) == [
            (b"200", b'{"jsonrpc":"2.0","id":1,"result":"0x539"}') for _ in requests
        ]
        without_body = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
        assert exchange(own.port, [[without_body], [plain]])[0] == (b"200", b"ok\n")


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
    with serving(make_app()) as own, socket.create_connection(("127.0.0.1", own.port), timeout=PATIENCE) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body) * 3)
        connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(65536):
            received += part
    assert received.count(b'"stateRoot"') == 3


def test_a_connection_without_a_request_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "IDLE_SECONDS", 0.1)
    with serving(make_app()) as own:
        for start in (b"", b"POST / HTTP/1.1\r\nhost"):
            with socket.create_connection(("127.0.0.1", own.port), timeout=PATIENCE) as connection:
                try:
                    connection.sendall(start)
                    assert connection.recv(100) == b""
                except ConnectionError:  # it was closed before half a request came
                    assert start


def test_a_request_that_comes_drop_by_drop_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "IDLE_SECONDS", 0.3)
    with serving(make_app()) as own:
        drops = [b"POST / HTTP/1.1\r\n", *[b"a: b\r\n"] * 4000]
        connection = socket.create_connection(("127.0.0.1", own.port), timeout=PATIENCE)
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
            connection.settimeout(PATIENCE)
            connection.connect(("127.0.0.1", own.port))
            head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n" % len(body)
            connection.sendall(head + ending + b"\r\n" + body)
            assert lost.wait(PATIENCE), "the connection is still open"
        assert own.call("eth_chainId") == "0x539"


def test_a_client_that_takes_its_answer_slowly_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often as much time goes by as a connection may be idle for, some of it is taken each time."""
    made: list[HttpProtocol] = []
    before = HttpProtocol.connection_made

    def connection_made(self: HttpProtocol, transport: asyncio.Transport) -> None:
        before(self, transport)
        made.append(self)

    monkeypatch.setattr(HttpProtocol, "connection_made", connection_made)
    size = 4_000_000
    code = "0x" + assemble(f"{size} 0 RETURN").hex()
    request = {**call(RICH), "params": [{"to": "0x" + RICH.hex()}, "latest", {"0x" + RICH.hex(): {"code": code}}]}
    body = json.dumps(request).encode()
    with serving(make_app()) as own, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.settimeout(PATIENCE)
        connection.connect(("127.0.0.1", own.port))
        connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        received = len(connection.recv(65536))
        (protocol,) = made

        def idle(took: list[bool]) -> None:
            """On the server's own thread."""
            assert protocol._connection is not None
            unsent = protocol._connection.get_write_buffer_size()
            if unsent in (0, protocol._unsent):  # nothing was taken yet, or all was
                took.append(unsent == 0)
                return
            assert protocol._timer is not None
            protocol._timer.cancel()
            protocol._active -= http.IDLE_SECONDS
            protocol._check_idle()
            took.append(True)

        for _ in range(20):
            took: list[bool] = []
            while not any(took):
                part = connection.recv(65536)
                assert part, f"cut off after {received} bytes"
                received += len(part)
                asked = len(took)
                protocol._loop.call_soon_threadsafe(idle, took)
                until(lambda took=took, asked=asked: len(took) > asked)
        while received < 2 * size:
            part = connection.recv(65536)
            assert part, f"cut off after {received} bytes"
            received += len(part)
    assert received > 2 * size


def test_bodies_that_do_not_end_have_bounded_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_HELD_BYTES", 200_000)
    held: list[int] = []
    hold = HttpProtocol._hold

    def note(self: HttpProtocol, size: int) -> None:
        hold(self, size)
        held.append(self._shared.held)

    monkeypatch.setattr(HttpProtocol, "_hold", note)
    with serving(make_app()) as own:
        opened = [socket.create_connection(("127.0.0.1", own.port), timeout=PATIENCE) for _ in range(3)]
        for number, connection in enumerate(opened):
            connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 90000\r\n\r\n" + b" " * 80_000)
            if number < 2:
                until(lambda number=number: held and held[-1] == (number + 1) * 80_000)
        assert opened[2].recv(1000).startswith(b"HTTP/1.1 503")
        assert own.call("eth_chainId") == "0x539"
        opened[0].sendall(b" " * 10_000)
        assert b"-32700" in opened[0].recv(1000)
        for connection in opened:
            connection.close()
        status = 503
        end = time.monotonic() + PATIENCE
        while status == 503:  # until the server has seen that they are gone
            assert time.monotonic() < end
            status = own.post(b" " * 99_000)[0]
        assert status == 200


def test_expect_100_continue() -> None:
    with serving(make_app()) as own, socket.create_connection(("127.0.0.1", own.port), timeout=PATIENCE) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"[]")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
