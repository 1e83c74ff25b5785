"""Sends HTTP requests at set times over kept-alive connections, and notes when each was due, sent and answered.

Open loop: a request is due by the clock, whether or not the server has answered those before, and its latency counts
from when it was *due*. A server that stalls for a second therefore shows a second in the latencies of all that were due
meanwhile (no coordinated omission). One thread, non-blocking sockets, one request at a time on a connection.
"""

from __future__ import annotations

import errno
import os
import select
import selectors
import socket
import time
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from evmcore.errors import InputError

SECOND: Final = 1_000_000_000
# Of a whole answer. More than any mix asks for; an answer that grows beyond it is an error.
MAX_ANSWER: Final = 64 << 20
_NOT_YET: Final = -1


@dataclass(frozen=True)
class Target:
    """Where requests go: the parts of an `http://host:port/path` URL."""

    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str, *, remote: bool = False) -> Target:
        """Raises `InputError` for what is not such a URL, and for a host other than this one unless `remote`."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or 80
        except ValueError as error:
            raise InputError(f"{url!r}: {error}") from None
        if parts.scheme != "http" or not host or parts.username or parts.query or parts.fragment:
            raise InputError(f"{url!r}: expected a URL like http://127.0.0.1:8545")
        if not remote and not _is_here(host):
            raise InputError(f"{url!r}: load goes to this machine only; --remote allows other hosts")
        return cls(host, port, parts.path or "/")

    def request(self, body: bytes) -> bytes:
        """The whole HTTP request with this JSON body."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: {host}:{self.port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode("ascii") + body

    def address(self) -> tuple[int, tuple[object, ...]]:
        """Socket family and address. Raises `InputError` where the name means nothing."""
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise InputError(f"{self.host}: {error.strerror or error}") from None
        # "localhost" is often both; servers listen on the IPv4 one by default.
        family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        return family, address


def _is_here(host: str) -> bool:
    if host in ("localhost", "::1"):
        return True
    parts = host.split(".")
    return len(parts) == 4 and parts[0] == "127" and all(part.isdecimal() and int(part) < 256 for part in parts)


@dataclass
class Answers:
    """What became of every request of one attack. Times are nanoseconds of the monotonic clock; -1: never.

    `pool` says which of the prepared requests each one was; `status` is 0 where no answer came, and then `errors`
    says why. `started` is the wall clock (nanoseconds since 1970) at `begun` of the monotonic one.
    """

    pool: array[int] = field(default_factory=lambda: array("q"))
    due: array[int] = field(default_factory=lambda: array("q"))
    sent: array[int] = field(default_factory=lambda: array("q"))
    done: array[int] = field(default_factory=lambda: array("q"))
    status: array[int] = field(default_factory=lambda: array("h"))
    bodies: list[bytes] = field(default_factory=list)
    errors: dict[int, str] = field(default_factory=dict)
    started: int = 0
    begun: int = 0
    connections: int = 0
    retries: int = 0
    late: int = 0  # nanoseconds by which the generator itself sent its most belated request
    cpu: float = 0.0  # share of one core that the generator took

    def __len__(self) -> int:
        return len(self.due)

    def add(self, pool: int, due: int) -> int:
        self.pool.append(pool)
        self.due.append(due)
        self.sent.append(_NOT_YET)
        self.done.append(_NOT_YET)
        self.status.append(0)
        self.bodies.append(b"")
        return len(self.due) - 1


class BrokenAnswer(Exception):
    """The server does not speak HTTP as it should."""


class Connection:
    """One socket, the request on it, and as much of the answer as has come."""

    __slots__ = ("buffer", "connecting", "fresh", "index", "need", "socket", "unsent", "until", "watching")

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.index = _NOT_YET  # of the request in flight
        self.until = 0  # when it is given up
        self.unsent = b""
        self.buffer = bytearray()
        self.need = 0  # bytes of the whole answer, where its head said so
        self.connecting = True
        self.fresh = True  # no request was ever answered on it
        self.watching = 0


def parse_answer(data: bytes | bytearray, closed: bool) -> tuple[int, bytes, bool, int] | int:
    """Status, body, whether the connection stays open, and the size of an HTTP answer; while it is not whole, the
    number of bytes it will have, or 0 where that is not known. `closed`: no more will come.

    Raises `BrokenAnswer`.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) > 65_536:
            raise BrokenAnswer("the head of the answer does not end")
        return 0
    head = bytes(data[: end + 2])
    if not head.startswith(b"HTTP/1.") or not head[9:12].isdigit():
        raise BrokenAnswer(f"not an HTTP answer: {head[:40]!r}")
    status = int(head[9:12])
    lower = head.lower()
    keep = b"\r\nconnection: close\r\n" not in lower and not head.startswith(b"HTTP/1.0")
    start = end + 4
    at = lower.find(b"\r\ncontent-length:")
    if at >= 0:
        text = lower[at + 17 : lower.index(b"\r\n", at + 2)].strip()
        if not text.isdigit() or int(text) > MAX_ANSWER:
            raise BrokenAnswer(f"content-length {text[:40]!r}")
        size = start + int(text)
        if len(data) < size:
            return size
        return status, bytes(data[start:size]), keep, size
    if b"\r\ntransfer-encoding: chunked\r\n" in lower:
        return _parse_chunks(data, status, start, keep)
    if status in (204, 304):
        return status, b"", keep, start
    return (status, bytes(data[start:]), False, len(data)) if closed else 0


def _parse_chunks(data: bytes | bytearray, status: int, start: int, keep: bool) -> tuple[int, bytes, bool, int] | int:
    body = bytearray()
    at = start
    while True:
        line = data.find(b"\r\n", at)
        if line < 0:
            return 0
        try:
            size = int(bytes(data[at:line]).split(b";")[0], 16)
        except ValueError:
            raise BrokenAnswer(f"chunk size {bytes(data[at:line])[:40]!r}") from None
        if size < 0 or size > MAX_ANSWER:
            raise BrokenAnswer(f"a chunk of {size} bytes")
        at = line + 2 + size + 2
        if len(data) < at:
            return 0
        if size == 0:
            return status, bytes(body), keep, at  # trailers are not sent by servers of JSON
        body += data[line + 2 : at - 2]


class Sender:
    """Sends prepared requests (whole HTTP messages) to one target. Use as a context manager.

    `connections` is the most that are open at once; a request that is due while all are taken waits, and its wait
    counts. `timeout` (seconds) counts from when a request is due.
    """

    def __init__(self, target: Target, *, connections: int = 256, timeout: float = 10.0) -> None:
        self._family, self._address = target.address()
        self._limit = connections
        self._timeout = int(timeout * SECOND)
        self._selector = selectors.DefaultSelector()
        self._open: set[Connection] = set()
        self._idle: list[Connection] = []
        self._requests: Sequence[bytes] = ()
        self._answers = Answers()
        self._waiting: deque[int] = deque()
        self._in_flight = 0
        self._opened = 0
        self._cpu = 0.0
        self._checked = 0
        # The clock of select() has microseconds, that of epoll milliseconds; epoll and kqueue can be waited for.
        fileno = getattr(self._selector, "fileno", None)
        self._fine = [fileno()] if fileno is not None else None

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in list(self._open):
            self._drop(connection)
        self._selector.close()

    # ---- attacks

    def at_rate(self, requests: Sequence[bytes], rate: float, seconds: float) -> Answers:
        """`rate` requests a second for `seconds`, evenly spaced; `requests` are taken by turns."""
        answers = self._begin(requests)
        count = max(1, round(rate * seconds))
        step = SECOND / rate
        next_one, start = 0, answers.begun
        while True:
            now = time.perf_counter_ns()
            while next_one < count and start + int(next_one * step) <= now:
                due = start + int(next_one * step)
                answers.late = max(answers.late, now - due)
                self._waiting.append(answers.add(next_one % len(requests), due))
                next_one += 1
            self._send_waiting()
            if next_one == count and not self._waiting and not self._in_flight:
                return self._end(answers)
            upcoming = start + int(next_one * step) - time.perf_counter_ns() if next_one < count else SECOND
            self._turn(upcoming)

    def at_most(self, requests: Sequence[bytes], seconds: float, clients: int) -> Answers:
        """As many as the server answers to `clients` that each ask again as soon as they have an answer.

        A closed loop: it finds the highest throughput. Its latencies count from when a request was sent.
        """
        answers = self._begin(requests)
        stop = answers.begun + int(seconds * SECOND)
        turn = 0
        while True:
            now = time.perf_counter_ns()
            while now < stop and self._in_flight + len(self._waiting) < clients:
                self._waiting.append(answers.add(turn % len(requests), now))
                turn += 1
            self._send_waiting()
            if now >= stop and not self._waiting and not self._in_flight:
                return self._end(answers)
            self._turn(SECOND)

    def _begin(self, requests: Sequence[bytes]) -> Answers:
        if not requests:
            raise InputError("there is nothing to send")
        self._requests = requests
        self._answers = answers = Answers()
        self._cpu = time.process_time()
        answers.started = time.time_ns()
        answers.begun = time.perf_counter_ns()
        self._opened = len(self._open)
        return answers

    def _end(self, answers: Answers) -> Answers:
        elapsed = (time.perf_counter_ns() - answers.begun) / SECOND
        answers.cpu = (time.process_time() - self._cpu) / max(elapsed, 1e-9)
        answers.connections = self._opened
        return answers

    # ---- the loop

    def _turn(self, upcoming: int) -> None:
        """Waits for answers until `upcoming` nanoseconds from now at most, and takes those that came."""
        wait = min(max(upcoming, 0), self._next_check())
        if wait and self._fine is not None and wait < 20_000_000:
            select.select(self._fine, [], [], wait / SECOND)
            wait = 0
        for key, events in self._selector.select(wait / SECOND):
            connection: Connection = key.data
            if events & selectors.EVENT_WRITE:
                self._push(connection)
            if events & selectors.EVENT_READ and connection in self._open:
                self._take(connection)
        self._give_up_late()

    def _next_check(self) -> int:
        return 50_000_000 if self._in_flight or self._waiting else SECOND

    def _give_up_late(self) -> None:
        now = time.perf_counter_ns()
        answers = self._answers
        if now < self._checked + 20_000_000:
            return
        self._checked = now
        while self._waiting and answers.due[self._waiting[0]] + self._timeout < now:
            self._fail(self._waiting.popleft(), "timeout: all connections were taken")
        for connection in [c for c in self._open if c.index >= 0 and c.until < now]:
            self._lose(connection, "timeout: connecting" if connection.connecting else "timeout: no answer")

    def _send_waiting(self) -> None:
        while self._waiting:
            if self._idle:
                connection = self._idle.pop()
            elif len(self._open) < self._limit:
                try:
                    connection = self._connect()
                except OSError as error:
                    self._fail(self._waiting.popleft(), f"connect: {(error.strerror or str(error)).lower()}")
                    continue
            else:
                return
            self._put(connection, self._waiting.popleft())

    def _connect(self) -> Connection:
        """A connection that is being opened. Raises OSError where that fails at once."""
        sock = socket.socket(self._family, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = sock.connect_ex(self._address)
        if code not in (0, errno.EINPROGRESS):
            sock.close()
            raise OSError(code, os.strerror(code))
        connection = Connection(sock)
        connection.connecting = code != 0
        self._open.add(connection)
        self._opened = max(self._opened, len(self._open))
        return connection

    def _put(self, connection: Connection, index: int) -> None:
        answers = self._answers
        connection.index = index
        connection.until = answers.due[index] + self._timeout
        connection.unsent = self._requests[answers.pool[index]]
        answers.sent[index] = time.perf_counter_ns()
        self._in_flight += 1
        if connection.connecting:
            self._watch(connection, selectors.EVENT_WRITE)
        else:
            self._push(connection)

    def _push(self, connection: Connection) -> None:
        if connection.connecting:
            code = connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                self._lose(connection, f"connect: {os.strerror(code).lower()}")
                return
            connection.connecting = False
        try:
            sent = connection.socket.send(connection.unsent)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._closed(connection, f"send: {(error.strerror or str(error)).lower()}")
            return
        connection.unsent = connection.unsent[sent:]
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.unsent else 0)
        self._watch(connection, events)

    def _watch(self, connection: Connection, events: int) -> None:
        if connection.watching == events:
            return
        if connection.watching:
            self._selector.modify(connection.socket, events, connection)
        else:
            self._selector.register(connection.socket, events, connection)
        connection.watching = events

    def _take(self, connection: Connection) -> None:
        try:
            data = connection.socket.recv(262_144)
        except BlockingIOError:
            return
        except OSError as error:
            self._closed(connection, f"receive: {(error.strerror or str(error)).lower()}")
            return
        if connection.index < 0:
            self._drop(connection)  # closed, or an answer to no question
            return
        buffer = connection.buffer
        whole: bytes | bytearray = data
        if buffer:
            buffer += data
            whole = buffer
        if data and len(whole) < connection.need:
            return
        try:
            if len(whole) > MAX_ANSWER:
                raise BrokenAnswer("the answer is larger than 64 MiB")
            parsed = parse_answer(whole, not data)
        except BrokenAnswer as error:
            self._lose(connection, f"broken answer: {error}")
            return
        if isinstance(parsed, int):
            if not data:
                self._closed(connection, "the server closed the connection")
                return
            connection.need = parsed
            if not buffer:
                buffer += data
            return
        self._answered(connection, parsed)

    def _answered(self, connection: Connection, parsed: tuple[int, bytes, bool, int]) -> None:
        answers, index = self._answers, connection.index
        status, body, keep, size = parsed
        answers.done[index] = time.perf_counter_ns()
        answers.status[index] = status
        answers.bodies[index] = body
        self._in_flight -= 1
        connection.index = _NOT_YET
        extra = len(connection.buffer) > size
        connection.buffer.clear()
        connection.need = 0
        connection.fresh = False
        if keep and not extra and not connection.unsent:
            self._idle.append(connection)
        else:
            self._drop(connection)

    # ---- failures

    def _closed(self, connection: Connection, reason: str) -> None:
        """The connection broke. A kept-alive one may have been closed before it saw the request: that is sent again."""
        index = connection.index
        if index >= 0 and not connection.fresh and not connection.buffer:
            connection.index = _NOT_YET
            self._in_flight -= 1
            self._answers.retries += 1
            self._drop(connection)
            self._waiting.appendleft(index)
        else:
            self._lose(connection, reason)

    def _lose(self, connection: Connection, reason: str) -> None:
        index = connection.index
        if index >= 0:
            connection.index = _NOT_YET
            self._in_flight -= 1
            self._fail(index, reason)
        self._drop(connection)

    def _fail(self, index: int, reason: str) -> None:
        self._answers.errors[index] = reason
        self._answers.done[index] = time.perf_counter_ns()

    def _drop(self, connection: Connection) -> None:
        if connection.watching:
            self._selector.unregister(connection.socket)
            connection.watching = 0
        connection.socket.close()
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
