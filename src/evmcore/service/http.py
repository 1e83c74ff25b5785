"""HTTP for uvicorn without ASGI: the same answers in half the time."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from concurrent.futures import Future
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import httptools

from evmcore.service.dispatch import Answer
from evmcore.service.front import Front, Headers, Response, Waiting, declared_size

__all__ = ["HttpProtocol"]

MAX_HEADER_BYTES: Final = 64 * 1024
MAX_HELD_BYTES: Final = 256 * 1024 * 1024  # of bodies, of all connections of a process together
MAX_PIPELINED: Final = 32  # requests read ahead of the one that is being answered
IDLE_SECONDS: Final = 75.0  # until a connection without a request, or with half of one, is closed
# A client that sends no more may be waiting for answers, or be gone: it gets the answers that are ready within this
# time.
HALF_CLOSED_SECONDS: Final = 1.0
# How long the rest of a refused request is read and discarded. Closing a connection while data comes in resets it, and
# the client may then never see the answer.
LINGER_SECONDS: Final = 3.0

# How many request and response heads are remembered, and how long a remembered request head may be. A client sends the
# same head again and again, except for the length of the body.
KEPT_HEADS: Final = 512
KEPT_HEAD_BYTES: Final = 1024

_STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_HEAD_END: Final = b"\r\n\r\n"
_UNKEPT: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade"})


class _Head(NamedTuple):
    """The parsed head of a POST, and the size of the body after it."""

    headers: dict[bytes, bytes]
    keep_alive: bool
    size: int


class _Shared:
    """State that the connections of one server share: the heads they have received and sent, and the bytes they
    hold."""

    def __init__(self) -> None:
        self.held = 0  # bytes of bodies that were received, in part or whole, and are not processed yet
        self.seen: dict[bytes, _Head] = {}
        self._sent: dict[tuple[int, Headers, bool], bytes] = {}
        self._common: Any = None  # uvicorn's headers that `_sent` contains; they change every second

    def keep(self, head: bytes, known: _Head) -> None:
        if len(self.seen) >= KEPT_HEADS:
            self.seen.clear()
        self.seen[head] = known

    def of_response(self, common: Any, status: int, headers: Headers, keep_alive: bool) -> bytes:
        """The head of a response, without the length of the body and the empty line."""
        if common is not self._common or len(self._sent) >= KEPT_HEADS:
            self._sent.clear()
            self._common = common
        head = self._sent.get((status, headers, keep_alive))
        if head is None:
            lines = b"".join(b"%b: %b\r\n" % header for header in (*common, *headers))
            head = _STATUS_LINES[status] + lines + (b"" if keep_alive else b"connection: close\r\n")
            self._sent[status, headers, keep_alive] = head
        return head


_SHARED: Final[WeakKeyDictionary[Any, _Shared]] = WeakKeyDictionary()  # by the server's state


class HttpProtocol(asyncio.Protocol):
    """One connection: HTTP/1.1 with pipelining, keep-alive and limits, answered by the app's `Front`.

    uvicorn makes it (`Config(http=HttpProtocol)`) for an `App` that is not wrapped in any middleware. Upgrades and
    trailers are ignored. A request that arrives in one piece, with a head that equals one parsed before byte for byte,
    is not parsed again.
    """

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        self._front: Front = config.loaded_app.front
        self._server = server_state
        self._shared = _SHARED.setdefault(server_state, _Shared())
        self._loop: asyncio.AbstractEventLoop = _loop or asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._connection: asyncio.Transport | None = None
        self._transport: asyncio.Transport | None = None  # None once nothing more will be written
        self._requests: deque[tuple[str, bytes, dict[bytes, bytes], bytes, bool]] = deque()
        self._future: Future[Answer] | None = None  # of the request that a thread answers
        self._waiting: Waiting | None = None  # that request
        self._write_paused = False
        self._read_paused = False
        self._eof = False
        self._closing = False  # close after the response that is due
        self._final: Response | None = None  # the last response, to an unreadable request; nothing more is read
        self._active = 0.0
        self._unsent = 0  # bytes, at the last check
        self._timer: asyncio.TimerHandle | None = None
        self._held = 0  # bytes that this connection has in `_shared.held`
        self._between = True  # whether the parser is between two requests
        self._read = 0  # requests
        self._start_message()

    def _start_message(self) -> None:
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._header_bytes = 0
        self._body: list[bytes] = []
        self._body_size = 0

    # ---- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connection = self._transport = transport  # type: ignore[assignment]  # uvloop's is not asyncio's
        self._server.connections.add(self)
        self._active = self._loop.time()
        self._timer = self._loop.call_later(IDLE_SECONDS, self._check_idle)

    def connection_lost(self, error: Exception | None) -> None:
        self._server.connections.discard(self)
        self._connection = self._transport = None
        self._requests.clear()
        self._hold(-self._held)
        if self._timer is not None:
            self._timer.cancel()
        if self._future is not None and self._waiting is not None:
            self._front.abandon(self._waiting, self._future)

    def eof_received(self) -> bool:
        """The client sends no more; it still gets the answers that are ready soon."""
        self._eof = True
        if self._busy:
            self._loop.call_later(HALF_CLOSED_SECONDS, self._give_up)
        return self._busy

    def _give_up(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def shutdown(self) -> None:
        """Called by uvicorn: end after the request that is being answered."""
        if self._transport is None:
            return
        if self._future is None and not self._requests:
            self._transport.close()
        else:
            self._closing = True

    def _check_idle(self) -> None:
        if self._connection is None:
            return
        unsent = self._connection.get_write_buffer_size()
        if self._future is not None or unsent not in (0, self._unsent):
            self._active = self._loop.time()
        self._unsent = unsent
        idle = self._loop.time() - self._active
        if idle >= IDLE_SECONDS:
            self._connection.abort()  # closing would wait until the client has read everything
        else:
            self._timer = self._loop.call_later(IDLE_SECONDS - idle, self._check_idle)

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self._answer_next()

    # ---- reading

    def data_received(self, data: bytes) -> None:
        head = b""
        if self._between and not self._busy and self._final is None:
            head = data[: data.find(_HEAD_END, 0, KEPT_HEAD_BYTES) + 4]
            known = self._shared.seen.get(head)
            if known is not None and len(data) == len(head) + known.size:
                self._requests.append(("POST", b"", known.headers, data[len(head) :], known.keep_alive))
                self._hold(known.size)
                self._answer_next()
                return
        read = self._read
        self._parse(data)
        if self._between and self._read == read + 1 and self._final is None:
            self._keep_head(head, len(data) - len(head))
        self._answer_next()

    def _keep_head(self, head: bytes, size: int) -> None:
        """Remembers the head of the request that has just arrived, if it was a single complete request."""
        method, _, headers, body, keep_alive = self._requests[-1]
        if method != "POST" or head[:5] != b"POST " or len(body) != size or _UNKEPT & headers.keys():
            return
        self._shared.keep(head, _Head(headers, keep_alive, size))

    def _parse(self, data: bytes) -> None:
        while data and self._final is None and self._transport is not None:
            try:
                self._parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as upgrade:
                data = self._without_upgrade() + data[upgrade.args[0] :]
                self._parser = httptools.HttpRequestParser(self)
            except httptools.HttpParserError:
                self._refuse(Response(400, (), b"", True))

    def _without_upgrade(self) -> bytes:
        """The head of the request that has just arrived, without its Upgrade, to be parsed again.

        The parser leaves everything after such a head to the other protocol, even if it is the body of the request.
        (HTTP clients that prefer HTTP/2, such as Java's, send their first request this way.) Empty if there is no body.
        """
        headers = dict(self._headers)
        body_comes = declared_size(headers) > 0 or b"transfer-encoding" in headers
        if self._final is not None or headers.pop(b"upgrade", None) is None or not body_comes:
            return b""
        headers.pop(b"expect", None)  # the reply it asks for was sent
        method, url = self._requests.pop()[:2]
        self._read -= 1
        lines = b"".join(b"%b: %b\r\n" % header for header in headers.items())
        version = self._parser.get_http_version().encode()
        return b"%b %b HTTP/%b\r\n%b\r\n" % (method.encode("latin-1"), url, version, lines)

    # The parser's callbacks.

    def on_message_begin(self) -> None:
        self._between = False
        self._start_message()

    def on_url(self, url: bytes) -> None:
        self._count_header(len(url))
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_header(len(name) + len(value))
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        if declared_size(self._headers) > self._front.limits.request_size:
            self._refuse(self._front.too_large())
        elif self._headers.get(b"expect", b"").lower() == b"100-continue" and not self._busy:
            assert self._transport is not None
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, part: bytes) -> None:
        if self._final is not None:
            return
        self._body_size += len(part)
        if self._body_size > self._front.limits.request_size:
            self._refuse(self._front.too_large())
        elif self._shared.held + len(part) > MAX_HELD_BYTES:
            self._refuse(self._front.busy((), True))
        else:
            self._hold(len(part))
            self._body.append(part)

    def _hold(self, size: int) -> None:
        self._held += size
        self._shared.held += size

    def on_message_complete(self) -> None:
        self._between = True
        self._read += 1
        if self._final is not None:
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        method = self._parser.get_method().decode("latin-1")
        self._requests.append((method, self._url, self._headers, body, self._parser.should_keep_alive()))
        if len(self._requests) >= MAX_PIPELINED and not self._read_paused and self._transport is not None:
            self._read_paused = True
            self._transport.pause_reading()

    def _count_header(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            self._refuse(Response(431, (), b"", True))

    def _refuse(self, response: Response) -> None:
        """Answers a request that cannot be read any further, after the requests before it; nothing more is read."""
        if self._final is None:
            self._final = response

    # ---- answering

    @property
    def _busy(self) -> bool:
        return self._future is not None or bool(self._requests)

    def _answer_next(self) -> None:
        """Answers requests in order, until one cannot be answered at once."""
        while self._transport is not None and self._future is None and not self._write_paused:
            if not self._requests:
                if self._final is not None:
                    self._write(self._final, False)
                elif self._eof:
                    self._transport.close()
                break
            method, url, headers, body, keep_alive = self._requests.popleft()
            self._hold(-len(body))
            if method != "POST":
                self._write(self._front.other(method, _path(url), headers), keep_alive, method == "HEAD")
                continue
            response = self._front.post(headers, body)
            if isinstance(response, Waiting):
                self._wait(response, keep_alive)
            else:
                self._write(response, keep_alive)
        if self._read_paused and self._transport is not None and len(self._requests) < MAX_PIPELINED // 2:
            self._read_paused = False
            self._transport.resume_reading()

    def _wait(self, waiting: Waiting, keep_alive: bool) -> None:
        self._waiting = waiting
        self._future = self._front.submit(waiting)

        def done(future: Future[Answer]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: no client waits any more
                self._loop.call_soon_threadsafe(self._finish, waiting, future, keep_alive)

        self._future.add_done_callback(done)

    def _finish(self, waiting: Waiting, future: Future[Answer], keep_alive: bool) -> None:
        response = self._front.finish(waiting, future)
        self._future = self._waiting = None
        if self._transport is not None:
            self._write(response, keep_alive)
            self._answer_next()

    def _write(self, response: Response, keep_alive: bool, head: bool = False) -> None:
        assert self._transport is not None
        keep_alive = keep_alive and not response.close and not self._closing
        begin = self._shared.of_response(self._server.default_headers, response.status, response.headers, keep_alive)
        if response.status == 204:
            self._transport.write(begin + b"\r\n")
        else:
            body = response.body
            self._transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (begin, len(body), b"" if head else body))
        self._active = self._loop.time()
        self._server.total_requests += 1
        if not keep_alive:
            self._end()

    def _end(self) -> None:
        """Closes the connection after everything was written."""
        assert self._transport is not None
        transport, self._transport = self._transport, None
        self._requests.clear()
        if self._final is None or self._eof or not transport.can_write_eof():
            transport.close()
            return
        transport.write_eof()
        if self._read_paused:
            transport.resume_reading()
        self._loop.call_later(LINGER_SECONDS, transport.abort)


def _path(url: bytes) -> str:
    try:
        path: bytes = httptools.parse_url(url).path or b"/"
    except httptools.HttpParserInvalidURLError:
        return ""
    return path.decode("latin-1")
