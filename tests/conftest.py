"""Fixtures of many tests: Redis servers of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.redis_server import RedisServer, redis_server, shared_redis

__all__ = ["client", "redis_server", "shared_redis"]


@pytest.fixture
def client(shared_redis: RedisServer) -> Iterator[Any]:
    """A client of the module's server, which is empty."""
    with shared_redis.client() as client:
        client.flushall()
        yield client
