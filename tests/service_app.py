"""The service over HTTP on the chain of `service_chain`: an app, clients of it, and a call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from evmcore.service import CallService, Limits, MemorySource
from evmcore.service.app import App
from evmcore.service.dispatch import Dispatcher
from evmcore.service.http import HttpProtocol
from evmcore.service.methods import METHODS
from tests.rpc_server import Client, serving
from tests.service_chain import GENESIS

LIMITS: dict[str, Any] = {"timeout": 5.0, "gas": 10**12, "request_size": 100_000, "batch": 20, "threads": 2, "queue": 2}


def make_app(**limits: Any) -> App:
    """An app with `LIMITS`, but for those that are given."""
    service = CallService(MemorySource.from_genesis(GENESIS), Limits(**{**LIMITS, **limits}))
    return App(Dispatcher(service, METHODS), origins=("http://friend",))


# The server's own HTTP protocol, and uvicorn's, which speaks ASGI with the app.
BOTH = pytest.mark.parametrize("protocol", [HttpProtocol, "httptools"], ids=["own protocol", "ASGI"])


@pytest.fixture(scope="module", params=["own protocol", "ASGI"])
def http_client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client of an app that all tests of a module share, over either protocol."""
    protocol = HttpProtocol if request.param == "own protocol" else "httptools"
    with serving(make_app(), protocol) as client:
        yield client


def call(to: bytes, **fields: Any) -> dict[str, Any]:
    """An eth_call at the latest block."""
    return {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "eth_call",
        "params": [{"to": "0x" + to.hex(), **fields}, "latest"],
    }
