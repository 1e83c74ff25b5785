"""The server that the tests of externalised state run on behaves as they need it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.redis_server import RedisServer


def test_a_server_is_empty_and_reachable_by_socket_and_port(redis_server: RedisServer) -> None:
    redis = redis_server.redis
    for url in (redis_server.url, redis_server.tcp_url):
        with redis.Redis.from_url(url) as client:
            assert client.dbsize() == 0
            assert client.ping()


def test_a_killed_server_comes_back_empty_at_the_same_place(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.set("a", 1)
        redis_server.restart()
        assert client.get("a") is None


def test_a_paused_server_answers_when_resumed(redis_server: RedisServer) -> None:
    redis = redis_server.redis
    with redis_server.client() as patient, redis_server.client(socket_timeout=0.1) as client:
        patient.set("a", 1)
        redis_server.pause()
        with pytest.raises(redis.exceptions.TimeoutError):
            client.get("a")
        redis_server.resume()
        assert patient.get("a") == b"1"


def test_a_replica_copies_and_can_be_promoted(redis_server: RedisServer, tmp_path: Path) -> None:
    with RedisServer(tmp_path / "replica") as replica, redis_server.client() as writer, replica.client() as reader:
        writer.set("a", 1)
        replica.replica_of(redis_server)
        assert reader.get("a") == b"1"
        replica.promote()
        reader.set("a", 2)
        assert writer.get("a") == b"1"


def test_commands_are_counted(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        redis_server.reset_counts()
        client.hset("h", "a", 1)
        client.hget("h", "a")
        client.hget("h", "a")
    counts = redis_server.command_counts()
    assert counts["hset"] == 1
    assert counts["hget"] == 2
