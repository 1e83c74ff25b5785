"""The service over real HTTP on 127.0.0.1, for tests, and the smallest of clients."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from evmcore.service.http import HttpProtocol
from tests.waiting import PATIENCE, until


class Client:
    """Posts JSON to a server over one connection."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)

    def post(self, body: bytes | str, headers: Mapping[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (names in lower case) and body of the answer."""
        return self._request("POST", "/", body, {"content-type": "application/json", **(headers or {})})

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
        return self._request("GET", path, None, headers or {})

    def _request(
        self, method: str, path: str, body: bytes | str | None, headers: Mapping[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        self._connection.request(method, path, body, dict(headers))
        response = self._connection.getresponse()
        text = response.read()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, text

    def answer(self, request: Any) -> Any:
        """The JSON answer to a JSON request."""
        return json.loads(self.post(json.dumps(request))[2])

    def call(self, method: str, *params: Any) -> Any:
        """The result of a method; fails the test when there is an error instead."""
        answer = self.answer({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        assert "result" in answer, f"{method}: {answer}"
        return answer["result"]

    def error(self, method: str, *params: Any) -> dict[str, Any]:
        """The error of a method; fails the test when there is a result instead."""
        answer = self.answer({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        assert "error" in answer, f"{method}: {answer}"
        error: dict[str, Any] = answer["error"]
        return error

    def close(self) -> None:
        self._connection.close()


@contextmanager
def serving(app: Any, protocol: Any = None) -> Iterator[Client]:
    """A client of an ASGI app that uvicorn serves from a thread; both are gone afterwards."""
    uvicorn = pytest.importorskip("uvicorn")
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        lifespan="on",
        http=HttpProtocol if protocol is None else protocol,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started or not thread.is_alive(), "the server took too long to start")
    assert server.started, "the server did not start"
    client = Client(server.servers[0].sockets[0].getsockname()[1])
    try:
        yield client
    finally:
        client.close()
        server.should_exit = True
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the server did not stop"


def exchange(port: int, requests: list[list[bytes]]) -> list[tuple[bytes, bytes]]:
    """Status and body of the answer to each request, whose parts are sent one by one; on a new connection where the
    server has closed the one before."""
    answers = []
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def more() -> bytes:
        part = connection.recv(65536)
        assert part, "the server has closed the connection"
        return part

    for parts in requests:
        for number, part in enumerate(parts):
            if number:
                time.sleep(0.002)
            connection.sendall(part)
        received = b""
        while b"\r\n\r\n" not in received:
            received += more()
        head, _, body = received.partition(b"\r\n\r\n")
        lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        while len(body) < int(lines[b"content-length"]):
            body += more()
        answers.append((head.split(b" ")[1], body))
        if lines.get(b"connection") == b"close":
            assert connection.recv(1) == b""
            connection.close()
            connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    connection.close()
    return answers
