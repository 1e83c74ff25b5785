"""Fixtures of many tests: servers, the executable specification, and a place to say how much was run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from evmcore._decision import forget
from evmcore.state.publisher import Publisher
from evmcore.state.redis import RedisState
from tests.fuzz.oracle import ENVIRONMENT_VARIABLE, Oracle, oracle_python
from tests.redis_server import RedisServer, redis_server, shared_redis
from tests.service_app import http_client
from tests.waiting import PATIENCE

__all__ = ["http_client", "redis_server", "shared_redis"]  # fixtures that are defined elsewhere

TOLD = "told"


@pytest.fixture(autouse=True, scope="session")
def patience() -> Iterator[None]:
    """Readers and writers wait long where a test does not say how long: how fast the machine is proves nothing."""
    with pytest.MonkeyPatch.context() as patch:
        for made, limits in (
            (RedisState, {"timeout": PATIENCE, "wait": PATIENCE, "max_head_age": 10 * PATIENCE}),
            (Publisher, {"timeout": PATIENCE, "replica_timeout": PATIENCE}),
        ):
            defaults = made.__init__.__kwdefaults__
            assert defaults is not None
            for name, limit in limits.items():
                assert name in defaults
                patch.setitem(defaults, name, limit)
        yield


@pytest.fixture
def server(shared_redis: RedisServer) -> RedisServer:
    """The module's Redis server, which is empty."""
    with shared_redis.client() as client:
        client.flushall()
    return shared_redis


@pytest.fixture
def client(server: RedisServer) -> Iterator[Any]:
    """A client of it."""
    with server.client() as client:
        yield client


@pytest.fixture
def nothing_known() -> Iterator[None]:
    """The process has learnt nothing of calls and of what threads are worth, and will not have."""
    forget()
    yield
    forget()


@pytest.fixture
def oracle() -> Iterator[Oracle]:
    """The executable specification in a process of its own; without it the test is skipped."""
    python = oracle_python()
    if python is None:
        pytest.skip(f"the executable specification is not installed; {ENVIRONMENT_VARIABLE} names its interpreter")
    with Oracle(python) as process:
        yield process


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Says what a test counted: a line in the summary at the end, whichever process the test ran in."""
    return lambda line: record_property(TOLD, line)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    lines = [
        line
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, line in report.user_properties
        if name == TOLD
    ]
    if lines:
        terminalreporter.section("what was run")
        for line in sorted(lines):
            terminalreporter.write_line(line)


@pytest.fixture(params=[None, 0], ids=["stored at once", "told first"])
def told_first(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test is made with writers that tell readers of no block before its changes are stored, and of every one."""
    defaults = Publisher.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "told_first", request.param)
