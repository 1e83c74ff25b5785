"""Requests to a service in this process, without HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evmcore.service.dispatch import Dispatcher
from evmcore.service.library import CallService
from evmcore.service.limits import Limits
from evmcore.service.methods import METHODS
from evmcore.service.rpc_errors import RpcError
from evmcore.service.source import Source


class Service:
    """A service on a source; `result` and `error` are what a method answers."""

    def __init__(self, source: Source, **limits: Any) -> None:
        self.dispatcher = Dispatcher(CallService(source, Limits(**limits)), METHODS)

    def answer(self, method: str, *params: Any) -> dict[str, Any]:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer: dict[str, Any] = json.loads(self.dispatcher.answer(json.dumps(request).encode()).body)
        return answer

    def result(self, method: str, *params: Any) -> Any:
        answer = self.answer(method, *params)
        assert "result" in answer, answer
        return answer["result"]

    def error(self, method: str, *params: Any) -> RpcError:
        answer = self.answer(method, *params)
        assert "error" in answer, answer
        error = answer["error"]
        return RpcError(error["code"], error["message"], error.get("data"))


@pytest.fixture(scope="module")
def service() -> Service:
    """The chain of the execution APIs' cases, served; for tests that import this."""
    from tests.rpc_compat import chain_source

    return Service(chain_source())
