"""A proxy in front of a server of a test's own, which does what networks do on bad days.

    with FaultyProxy(server.port) as proxy:
        client = redis.Redis(port=proxy.port)
        proxy.cut_replies_after(100)

Everything goes through unchanged until told otherwise; `heal` goes back to that. It listens on 127.0.0.1 only.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

from tests.waiting import until

# Seconds within which a thread looks whether its connection was ended.
TICK = 0.05


@dataclass(frozen=True)
class Faults:
    """How connections are treated."""

    delay: float = 0.0  # seconds that every piece of a reply waits
    rate: float = 0.0  # bytes a second of replies; 0: no limit
    swallow: bool = False  # nothing arrives, in either direction; connections stay open
    refuse: bool = False  # new connections are closed at once
    lose_reply_to: bytes = b""  # a request with this word in it is passed on, and the connection is closed


class Link:
    """A client's connection and the one to the server behind it, and a thread for each direction."""

    def __init__(self, proxy: FaultyProxy, client: socket.socket, server: socket.socket) -> None:
        self.proxy, self.client, self.server = proxy, client, server
        self.left: int | None = None  # reply bytes until the connection is cut
        self.losing = False
        self.ended = threading.Event()
        self.threads = [
            threading.Thread(target=self._run, args=(self._requests,), daemon=True),
            threading.Thread(target=self._run, args=(self._replies,), daemon=True),
        ]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def _run(self, forward: object) -> None:
        assert callable(forward)
        with contextlib.suppress(OSError):
            forward()
        self.end()

    def end(self) -> None:
        """Closes both connections."""
        self.ended.set()
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.end()
        for thread in self.threads:
            thread.join(10)
        self.client.close()
        self.server.close()

    def _pieces(self, source: socket.socket) -> Iterator[bytes]:
        while not self.ended.is_set():
            data = source.recv(65_536)
            if not data:
                return
            yield data

    def _requests(self) -> None:
        tail = b""
        for data in self._pieces(self.client):
            faults = self.proxy.faults
            if faults.swallow:
                continue
            word = faults.lose_reply_to.upper()
            seen = (tail + data).upper()
            if word and word in seen:
                self.losing = True
            tail = seen[1 - len(word) :] if len(word) > 1 else b""
            self.proxy.request_bytes += len(data)
            self.server.sendall(data)

    def _replies(self) -> None:
        for data in self._pieces(self.server):
            if self.losing:
                # The server has done what was asked. Nobody will hear of it.
                self.proxy.faults = Faults()
                self.proxy.lost_replies += 1
                return
            self._wait(self.proxy.faults.delay)
            for piece in self._throttled(data):
                if self.proxy.faults.swallow:
                    continue
                if self.left is not None and len(piece) >= self.left:
                    self.client.sendall(piece[: self.left])
                    self.proxy.cut_done()
                    return
                # Counted before it is sent: whoever has read it must find it counted.
                self.proxy.reply_bytes += len(piece)
                if self.left is not None:
                    self.left -= len(piece)
                self.client.sendall(piece)

    def _throttled(self, data: bytes) -> Iterator[bytes]:
        at = 0
        while at < len(data):
            rate = self.proxy.faults.rate
            if not rate:
                yield data[at:]
                return
            size = max(1, min(len(data) - at, int(rate * TICK)))
            yield data[at : at + size]
            at += size
            self._wait(size / rate)

    def _wait(self, seconds: float) -> None:
        if seconds > 0:
            self.ended.wait(seconds)


class FaultyProxy:
    """Listens on 127.0.0.1:`port` and passes on to 127.0.0.1:`targets`; see the methods for what it can do instead.

    With several targets, each new connection goes to the next one by turns, as behind a load balancer.
    """

    def __init__(self, *targets: int) -> None:
        self.targets = targets
        self.faults = Faults()
        self.request_bytes = self.reply_bytes = self.cuts = self.lost_replies = self.accepted = 0
        self._cut_after: int | None = None
        self._cuts: Iterator[int] = iter(())
        self._links: list[Link] = []
        self._told = 0  # how often all connections were closed
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> FaultyProxy:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        with self._lock:
            links, self._links = self._links, []
        for link in links:
            link.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            try:
                with self._lock:
                    told = self._told
                    if self.faults.refuse:
                        raise ConnectionRefusedError
                    target = self.targets[(self.accepted - 1) % len(self.targets)]
                server = socket.create_connection(("127.0.0.1", target), timeout=10)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = Link(self, client, server)
            with self._lock:
                if self._told != told:
                    link.end()  # all that were open were closed meanwhile
                over = [known for known in self._links if known.ended.is_set()]
                self._links = [known for known in self._links if not known.ended.is_set()] + [link]
                link.left = self._cut_after
            for known in over:
                known.close()
            link.start()

    # ---- faults

    def cut_replies_after(self, size: int, *sizes: int) -> None:
        """The first connection that gets `size` more bytes of replies is closed then; the next one that gets as many as
        the next of `sizes` then, and so on; after that all is well again."""
        with self._lock:
            self._cuts = iter(sizes)
            self._cut_next(size)

    def cut_done(self) -> None:
        with self._lock:
            self.cuts += 1
            self._cut_next(next(self._cuts, None))

    def _cut_next(self, size: int | None) -> None:
        self._cut_after = size
        for link in self._links:
            link.left = size

    def delay(self, seconds: float) -> None:
        """Every piece of a reply comes that much later."""
        self.faults = Faults(delay=seconds)

    def throttle(self, rate: float) -> None:
        """Replies come at `rate` bytes a second."""
        self.faults = Faults(rate=rate)

    def black_hole(self) -> None:
        """Connections can be made and stay open; nothing comes through in either direction."""
        self.faults = Faults(swallow=True)

    def refuse(self) -> None:
        """New connections are closed at once, the open ones now."""
        self.faults = Faults(refuse=True)
        self.cut_all()

    def lose_reply_to(self, word: bytes) -> None:
        """The next request with this word in it (`EXEC`) reaches the server, but no reply comes: the connection is
        closed. After that all is well again."""
        self.faults = Faults(lose_reply_to=word)

    def cut_all(self) -> None:
        """Closes every open connection."""
        with self._lock:
            self._told += 1
            links = list(self._links)
        for link in links:
            link.end()

    def retarget(self, port: int) -> None:
        """From now on the server is the one at this port; open connections are closed (a failover)."""
        self.targets = (port,)
        self.cut_all()

    def heal(self) -> None:
        """New connections work. Those whose bytes were swallowed or lost are closed: their streams have holes."""
        harmed = self.faults.swallow
        self.faults = Faults()
        with self._lock:
            self._cut_after = None
            for link in self._links:
                link.left = None
        if harmed:
            self.cut_all()

    def wait_for(self, condition: str, seconds: float = 30.0) -> None:
        """Waits until one of the counters (`cuts`, `lost_replies`, `accepted`) is not 0."""
        until(lambda: getattr(self, condition), f"no {condition} after {seconds:g} s", seconds)
