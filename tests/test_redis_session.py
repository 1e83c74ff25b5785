"""Requests to Redis that go piece by piece: the same as in one, and an error ends them."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from evmcore.errors import StateError
from evmcore.state._requests import Request
from evmcore.state.session import FIRST_PIECE, Session
from tests.redis_server import RedisServer


@pytest.fixture
def session(redis_server: RedisServer) -> Iterator[Session]:
    session = Session(redis_server.url)
    try:
        yield session
    finally:
        session.close()


def transaction(seed: int, size: int) -> tuple[Request, dict[bytes, bytes]]:
    """A MULTI with commands of that many bytes together, and what they store."""
    dice = random.Random(seed)
    stored: dict[bytes, bytes] = {}
    request = Request([(b"MULTI",)])
    while request.size < size:
        key, value = dice.randbytes(8), dice.randbytes(dice.choice((0, 1, 100, 3 * FIRST_PIECE)))
        stored[key] = value
        request.add(b"SET", key, value)
    return request, stored


@pytest.mark.parametrize("size", [0, 100, FIRST_PIECE, 10 * FIRST_PIECE, 100 * FIRST_PIECE])
def test_a_transaction_in_pieces_is_the_same_transaction(
    redis_server: RedisServer, session: Session, size: int
) -> None:
    request, stored = transaction(size, size)
    session.deliver(request, "storing")
    with redis_server.client() as client:
        assert client.dbsize() == 0
    request.add(b"EXEC")
    replies = session.exchange(request, doing="storing")
    assert replies[-1] == [b"OK"] * len(stored)
    with redis_server.client() as client:
        assert {key: client.get(key) for key in client.scan_iter()} == stored


def test_an_error_in_a_piece_names_the_command_and_ends_the_transaction(
    redis_server: RedisServer, session: Session
) -> None:
    request, _ = transaction(1, 10 * FIRST_PIECE)
    request.add(b"HSET", b"somewhere")
    for number in range(10 * FIRST_PIECE):
        request.add(b"SET", b"%d" % number, b"")
    with pytest.raises(StateError, match=r"storing: HSET somewhere: .* wrong number of arguments"):
        session.deliver(request, "storing")
    with redis_server.client() as client:
        assert client.dbsize() == 0
    assert session.request([(b"PING",)]) == [b"PONG"]
