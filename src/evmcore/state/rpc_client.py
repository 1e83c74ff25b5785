"""JSON-RPC over HTTP to an Ethereum node."""

from __future__ import annotations

import base64
import http.client
import io
import json
import math
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

from evmcore import __version__
from evmcore.errors import InputError, NodeError, StateUnavailable
from evmcore.json_input import load_json
from evmcore.state.arguments import shown_address, split_address

# The largest answer in bytes; a longer one is not read.
MAX_RESPONSE: Final = 1 << 29
METHOD_NOT_FOUND: Final = -32601

Call = tuple[str, Sequence[Any]]


class RpcClient:
    """A connection to one node. Not for several threads at once.

    Raises `StateUnavailable` if the node cannot be reached, does not answer in time, or answers with anything but
    JSON-RPC; `NodeError` if it answers with an error.
    """

    def __init__(
        self,
        url: str,
        timeout: float = 30.0,
        headers: Mapping[str, str] | None = None,
        *,
        limit: float = math.inf,
    ) -> None:
        """`url`: http:// or https://, with `user:password@` for basic authentication.

        `timeout`: seconds within which some data must arrive; `limit`: seconds for an exchange from its first byte to
        the last, however steadily data arrives.
        """
        parts = split_address(url, "node address")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"node address {shown_address(url)}: http://host:port or https://host is needed")
        try:
            port = parts.port
        except ValueError as error:
            raise InputError(f"node address {shown_address(url)}: {error}") from None
        self.name = f"{parts.hostname}:{port}" if port else parts.hostname
        self._secure = parts.scheme == "https"
        self._host, self._port, self._timeout, self._limit = parts.hostname, port, timeout, limit
        self._until = math.inf
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = {"Content-Type": "application/json", "User-Agent": f"evmcore/{__version__}", **(headers or {})}
        if parts.username is not None:
            secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
        self._connection: http.client.HTTPConnection | None = None
        self._next_id = 1

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def call(self, method: str, *params: Any) -> Any:
        """The result of one request."""
        self._until = time.monotonic() + self._limit
        return self._call(method, params)

    def batch(self, calls: Sequence[Call]) -> list[Any]:
        """The results of several requests, sent together; a failed request has a `NodeError` in its place.

        A node that does not accept batches is asked one by one; these requests share the time limit of one exchange.
        """
        if not calls:
            return []
        self._until = time.monotonic() + self._limit
        requests = [self._request(method, params) for method, params in calls]
        answers = self._post(requests)
        if isinstance(answers, Mapping):
            # The node does not accept batches, or not this one.
            return [self._kept(method, params) for method, params in calls]
        if not isinstance(answers, list):
            raise StateUnavailable(f"node {self.name}: the answer to a batch is not one of JSON-RPC")
        by_id = {answer["id"]: answer for answer in answers if isinstance(answer, Mapping) and _is_id(answer.get("id"))}
        results: list[Any] = []
        for request in requests:
            try:
                results.append(self._result(request["method"], by_id.get(request["id"]), request["id"]))
            except NodeError as error:
                results.append(error)
        return results

    def _call(self, method: str, params: Sequence[Any]) -> Any:
        request = self._request(method, params)
        return self._result(method, self._post(request), request["id"])

    def _kept(self, method: str, params: Sequence[Any]) -> Any:
        try:
            return self._call(method, params)
        except NodeError as error:
            return error

    def _request(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        self._next_id += 1
        return {"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": list(params)}

    def _result(self, method: str, answer: Any, identity: int) -> Any:
        if not isinstance(answer, Mapping) or answer.get("id") not in (identity, None):
            raise StateUnavailable(f"node {self.name}: {method}: the answer is not one of JSON-RPC")
        error = answer.get("error")
        if error is not None:
            code, message = (error.get("code"), error.get("message")) if isinstance(error, Mapping) else (None, error)
            raise NodeError(f"node {self.name}: {method}: {message}", code if isinstance(code, int) else 0)
        if "result" not in answer:
            raise StateUnavailable(f"node {self.name}: {method}: an answer without a result")
        return answer["result"]

    def _post(self, document: Any) -> Any:
        body = json.dumps(document).encode()
        try:
            try:
                status, data = self._exchange(body)
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                # The node closed a connection that was kept open.
                self.close()
                status, data = self._exchange(body)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise StateUnavailable(f"node {self.name} cannot be reached: {error or type(error).__name__}") from error
        except BaseException:
            self.close()
            raise
        if len(data) > MAX_RESPONSE:
            self.close()
            raise StateUnavailable(f"node {self.name}: an answer of more than {MAX_RESPONSE} bytes")
        try:
            return load_json(data)
        except ValueError:
            text = data[:100].decode("utf-8", "replace")
            raise StateUnavailable(f"node {self.name}: HTTP status {status}, not JSON: {text!r}") from None

    def _exchange(self, body: bytes) -> tuple[int, bytes]:
        if self._connection is None:
            if self._secure:
                context = ssl.create_default_context()
                self._connection = http.client.HTTPSConnection(
                    self._host, self._port, timeout=self._left(), context=context
                )
            else:
                self._connection = http.client.HTTPConnection(self._host, self._port, timeout=self._left())
            self._connection.connect()
        connection = self._connection
        assert connection.sock is not None
        connection.sock.settimeout(self._left())
        connection.response_class = self._response  # type: ignore[assignment]
        connection.request("POST", self._path, body, self._headers)
        response = connection.getresponse()
        return response.status, response.read(MAX_RESPONSE + 1)

    def _response(self, sock: socket.socket, **options: Any) -> http.client.HTTPResponse:
        response = http.client.HTTPResponse(sock, **options)
        response.fp = io.BufferedReader(_Timed(sock, response.fp, self._left))
        return response

    def _left(self) -> float:
        """Seconds left for the next step of the exchange. `TimeoutError` if there are none."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no answer within {self._limit:g} s")
        return min(left, self._timeout)


def _is_id(value: Any) -> bool:
    """Whether a value is an id of this client's requests."""
    return type(value) is int


class _Timed(io.RawIOBase):
    """Data from a socket, each piece read within the time that is left. `stream` is the socket's own, which holds
    it."""

    def __init__(self, sock: socket.socket, stream: io.BufferedIOBase, left: Callable[[], float]) -> None:
        self._sock, self._stream, self._left = sock, stream, left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._left())
        return self._sock.recv_into(buffer)

    def close(self) -> None:
        self._stream.close()
        super().close()
