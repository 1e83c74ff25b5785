"""Addresses, times and numbers that states and their connections are given: refused by name before anything is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from evmcore.errors import InputError, StateUnavailable
from evmcore.state.publisher import Publisher
from evmcore.state.redis import RedisState
from evmcore.state.rpc_client import RpcClient
from evmcore.state.session import open_client
from evmcore.state.upstream import UpstreamNode
from tests.redis_server import RedisServer
from tests.stored_state import GENESIS

NOWHERE = "redis://127.0.0.1:1"


@pytest.fixture
def redis() -> Any:
    return pytest.importorskip("redis", reason="the package redis is not installed (pip install 'evmcore[redis]')")


@pytest.mark.usefixtures("redis")
@pytest.mark.parametrize(
    "url",
    [
        "redis://me:se%63ret@[::1:6379/0",
        "redis://me:se%63ret@host:port/0",
        "redis://me:se%63ret@host:6379/first",
        "redis://me:se%63ret@host?db=first",
        "redis://me:se%63ret@host?nonsense=1",
        "redis+sentinel://me:se%63ret@[::1:26379/service",
        "redis+sentinel://me:se%63ret@host/service",
        "redis+sentinel://me:se%63ret@host:99999/service",
        "redis+sentinel://me:se/cret@host:26379/service",
        "redis+sentinel://me:se%63ret@host:26379",
        "http://me:se%63ret@host",
        "me:se%63ret@host",
    ],
)
@pytest.mark.parametrize("make", [open_client, lambda url: RedisState(url, wait=0), lambda url: Publisher(url, 1)])
def test_what_is_no_address_of_a_redis_server_is_refused_without_its_password(
    make: Callable[[str], Any], url: str
) -> None:
    with pytest.raises(InputError, match=r"^Redis address") as caught:
        make(url)
    assert "se%63ret" not in str(caught.value) and "se/cret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["http://me:secret@[::1", "ftp://me:secret@host", "http://me:secret@host:99999", "me:secret@host:1", "", None],
)
@pytest.mark.parametrize("make", [RpcClient, UpstreamNode])
def test_what_is_no_address_of_a_node_is_refused_without_its_password(make: Callable[[Any], Any], url: Any) -> None:
    with pytest.raises(InputError, match=r"^node address") as caught:
        make(url)
    assert "secret" not in str(caught.value)


@pytest.mark.usefixtures("redis")
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("ring", (0, -1, 2**32, 1.5, True, "8", None)),
        ("replicas", (-1, 2**31, 0.5, True, None)),
        ("replica_timeout", (0, -1, float("nan"), float("inf"), "1", None)),
        ("timeout", (0, -1, float("nan"), "1", None)),
        ("checked_slots", (-1, 1.5, "all")),
        ("told_first", (-1, 1.5, "all")),
    ],
)
def test_a_publisher_names_the_argument_that_is_wrong(name: str, values: tuple[Any, ...]) -> None:
    for value in values:
        with pytest.raises(InputError, match=f"argument '{name}': expected"):
            Publisher(NOWHERE, 1, **{name: value})


@pytest.mark.parametrize(
    ("name", "values"), [("connections", (0, 65, 1.5, "4", None)), ("timeout", (0, -1, float("nan"), "1", None))]
)
def test_an_upstream_node_names_the_argument_that_is_wrong(name: str, values: tuple[Any, ...]) -> None:
    for value in values:
        with pytest.raises(InputError, match=f"argument '{name}': expected"):
            UpstreamNode("http://127.0.0.1:1", **{name: value})


def test_waiting_for_replicas_ends_however_short_the_time_is(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a millisecond nothing would be left in whole ones, and to Redis 0 means for ever."""
    asked: list[tuple[bytes, ...]] = []
    with Publisher(redis_server.url, 1, replicas=1, replica_timeout=0.0005, timeout=5) as publisher:
        request = publisher.session.request

        def noted(commands: Any, doing: str = "") -> list[Any]:
            asked.extend(commands)
            return request(commands, doing)

        monkeypatch.setattr(publisher.session, "request", noted)
        publisher.begin(GENESIS, True)
    assert (b"WAIT", b"1", b"1") in asked
    assert publisher.replicated is False


def test_an_upstream_that_is_closed_while_somebody_waits_for_it_says_so() -> None:
    upstream = UpstreamNode("http://127.0.0.1:1", connections=1)
    acquire = upstream._free.acquire

    def closed_meanwhile(*arguments: Any, **options: Any) -> bool:
        upstream._free.acquire = acquire  # type: ignore[method-assign]
        upstream.close()
        return True

    upstream._free.acquire = closed_meanwhile  # type: ignore[method-assign]
    with pytest.raises(StateUnavailable, match=r"^the state is closed$"):
        upstream.accounts(GENESIS, {bytes(20): ()})
