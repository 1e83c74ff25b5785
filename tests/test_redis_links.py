"""The connections that a process reads from Redis with: given out in turn, and none left open."""

from __future__ import annotations

import gc
import select
import socket
import struct
import sys
import threading
from typing import Any

import pytest

from evmcore.errors import StateUnavailable
from evmcore.state._places import Places
from evmcore.state._wire import Connection, open_connection
from evmcore.state.links import Links
from evmcore.state.session import open_client
from tests.listening import listening
from tests.redis_server import RedisServer
from tests.waiting import PATIENCE, until


def connect(server: RedisServer) -> Connection:
    return open_connection(server.client(), "here")


def holds(connection: Connection) -> bool:
    """Whether a connection is open and of use."""
    return not connection.closed and connection.request([(b"PING",)], PATIENCE) == [b"PONG"]


# ---- turns


def test_who_waits_for_a_place_is_served_in_turn() -> None:
    places = Places(1)
    assert places.take() is None
    served: list[int] = []

    def wait(number: int) -> None:
        places.take(PATIENCE)
        served.append(number)

    threads = []
    for number in range(6):
        threads.append(threading.Thread(target=wait, args=(number,)))
        threads[-1].start()
        until(lambda number=number: places.waiting == number + 1)
    for number in range(6):
        places.give(None)
        until(lambda number=number: len(served) == number + 1)
        assert served[-1] == number
    for thread in threads:
        thread.join()
    places.give(None)
    assert len(places) == 1 and places.waiting == 0


def test_a_connection_goes_to_who_waits_and_no_further(server: RedisServer) -> None:
    places = Places(1)
    places.take()
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(places.take(PATIENCE)))
    thread.start()
    until(lambda: places.waiting == 1)
    connection = connect(server)
    places.give(connection)
    thread.join()
    assert found == [connection] and len(places) == 0 and holds(connection)
    with pytest.raises(IndexError):
        places.take(0.001)
    places.give(connection)
    places.close()


# ---- nothing is left open


def test_what_is_idle_is_closed_and_what_is_given_back_later(server: RedisServer) -> None:
    links = Links(server.url, 2, PATIENCE)
    idle, used = links.take(), links.take()
    links.give(idle)
    links.close()
    assert idle.closed and holds(used)
    links.give(used)
    assert used.closed and len(links.places) == 2
    with pytest.raises(StateUnavailable, match="closed"):
        links.take()
    links.close()
    assert len(links.places) == 2


def test_a_connection_that_is_given_back_while_all_are_closed_is_closed(server: RedisServer) -> None:
    """Closing comes at the worst moment: between what is looked at and the giving."""

    class Between(Places):
        @property
        def era(self) -> int:  # type: ignore[override]
            closing.close()
            return 0

    links, closing = Links(server.url, 1, PATIENCE), Links(server.url, 1, PATIENCE)
    connection = links.take()
    places = Between(1)
    assert places.take() is None
    links.places = closing.places = places
    links.give(connection)
    assert places.closed and connection.closed


def test_threads_that_give_back_while_all_are_closed_leave_nothing_open(server: RedisServer) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(30):
            assert_all_closed(server)
    finally:
        sys.setswitchinterval(interval)


def assert_all_closed(server: RedisServer) -> None:
    links = Links(server.url, 3, PATIENCE)
    made: set[Connection] = set()
    begun = threading.Semaphore(0)

    def work() -> None:
        try:
            while True:
                connection = links.take()
                made.add(connection)
                links.give(connection)
                begun.release()
        except StateUnavailable:
            pass

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        assert begun.acquire(timeout=PATIENCE)
    links.close()
    for thread in threads:
        thread.join()
    assert made and all(connection.closed for connection in made)
    assert len(links.places) == 3


def test_places_that_nobody_has_any_more_close_their_connections(server: RedisServer) -> None:
    places = Places(1)
    connection = places.take() or connect(server)
    places.give(connection)
    assert not connection.closed
    del places
    assert connection.closed


def test_a_connection_that_is_reset_before_tls_begins_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    redis = pytest.importorskip("redis")
    left_open: list[object] = []
    wrap = redis.connection.SSLConnection._wrap_socket_with_ssl

    def wrap_late(self: Any, plain: socket.socket) -> Any:
        poll = select.poll()
        poll.register(plain, select.POLLHUP)
        assert poll.poll(PATIENCE * 1000)
        return wrap(self, plain)

    def reset(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    monkeypatch.setattr(redis.connection.SSLConnection, "_wrap_socket_with_ssl", wrap_late)
    monkeypatch.setattr(sys, "unraisablehook", lambda what: left_open.append(what.exc_value))
    with listening(reset) as port:
        for _ in range(5):
            with pytest.raises(StateUnavailable, match="cannot be reached"):
                open_connection(open_client(f"rediss://127.0.0.1:{port}/0", PATIENCE), "here")
        gc.collect()
    assert not left_open
