"""The proxy of the fault tests: it passes everything on, or does exactly what it was told instead."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.faulty_proxy import FaultyProxy
from tests.redis_server import RedisServer
from tests.waiting import PATIENCE


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[FaultyProxy]:
    with FaultyProxy(redis_server.port) as made:
        yield made


def connect(proxy: FaultyProxy, timeout: float = PATIENCE) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout)


def read(connection: socket.socket) -> bytes:
    """Everything up to the end of the connection."""
    data = b""
    try:
        while piece := connection.recv(65_536):
            data += piece
    except ConnectionError:
        pass
    return data


def client(redis_server: RedisServer, proxy: FaultyProxy, **options: Any) -> Any:
    retry = redis_server.redis.retry.Retry(redis_server.redis.backoff.NoBackoff(), 0)
    return redis_server.redis.Redis(port=proxy.port, retry=retry, **options)


def test_everything_passes_unchanged(redis_server: RedisServer, proxy: FaultyProxy) -> None:
    value = bytes(range(256)) * 4096
    with client(redis_server, proxy) as redis:
        assert redis.set("key", value) and redis.get("key") == value
    assert proxy.reply_bytes > len(value) and proxy.request_bytes > len(value)


@pytest.mark.parametrize("size", [1, 5, 6])
def test_replies_are_cut_at_the_byte(proxy: FaultyProxy, size: int) -> None:
    with connect(proxy) as connection:
        connection.sendall(b"PING\r\n")
        assert connection.recv(7) == b"+PONG\r\n"
        proxy.cut_replies_after(size)
        connection.sendall(b"PING\r\n")
        assert read(connection) == b"+PONG\r\n"[:size]
    assert proxy.cuts == 1
    with connect(proxy) as connection:
        connection.sendall(b"PING\r\n")
        assert connection.recv(7) == b"+PONG\r\n"


def test_the_reply_of_exec_is_lost_and_its_work_done(redis_server: RedisServer, proxy: FaultyProxy) -> None:
    proxy.lose_reply_to(b"EXEC")
    with client(redis_server, proxy) as redis, pytest.raises(redis_server.redis.ConnectionError):
        pipeline = redis.pipeline()
        pipeline.set("key", "value")
        pipeline.execute()
    assert proxy.lost_replies == 1
    with redis_server.client() as direct:
        assert direct.get("key") == b"value"


def test_a_black_hole_keeps_connections_and_nothing_else(redis_server: RedisServer, proxy: FaultyProxy) -> None:
    with client(redis_server, proxy) as redis, client(redis_server, proxy, socket_timeout=0.3) as impatient:
        assert redis.ping()
        proxy.black_hole()
        with pytest.raises(redis_server.redis.TimeoutError):
            impatient.set("key", "value")
        proxy.heal()
        assert redis.get("key") is None


def test_refused_connections_are_closed(redis_server: RedisServer, proxy: FaultyProxy) -> None:
    with client(redis_server, proxy) as redis:
        assert redis.ping()
        proxy.refuse()
        with pytest.raises(redis_server.redis.ConnectionError):
            redis.ping()
        proxy.heal()
        assert redis.ping()


def test_replies_are_delayed_and_slowed(proxy: FaultyProxy) -> None:
    with connect(proxy) as connection:
        slows: tuple[Callable[[], None], ...] = (lambda: proxy.delay(0.2), lambda: proxy.throttle(7 / 0.2))
        for slow in slows:
            slow()
            begun = time.monotonic()
            connection.sendall(b"PING\r\n")
            assert connection.makefile("rb").read(7) == b"+PONG\r\n"
            assert time.monotonic() - begun >= 0.15
            proxy.heal()


def test_after_a_failover_the_other_server_answers(tmp_path: Any, proxy: FaultyProxy) -> None:
    with RedisServer(tmp_path / "other") as other, client(other, proxy) as redis:
        redis.set("key", "of the first")
        proxy.retarget(other.port)
        # redis-py notices that the connection was closed, and makes another.
        assert redis.get("key") is None
