"""JSON-RPC 2.0: from the bytes of a request to the bytes of its answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from evmcore.blocks import Header
from evmcore.errors import EvmcoreError
from evmcore.service.context import Context
from evmcore.service.jsontext import dumps, loads
from evmcore.service.method import Method
from evmcore.service.outcomes import exception_error
from evmcore.service.parse import params_of
from evmcore.service.rpc_errors import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    SERVER_ERROR,
    RpcError,
)
from evmcore.service.source import WouldBlock

if TYPE_CHECKING:
    from evmcore.service.calls import CallService

__all__ = ["Answer", "Dispatcher", "Observer"]

RESPONSE_TOO_LARGE: Final = -32003  # geth's

log = logging.getLogger("evmcore.service")


class Observer(Protocol):
    """Who wants to know about every answer."""

    def answered(self, method: str, code: int, seconds: float, gas: int) -> None:
        """`code` is zero for a result, else that of the error; `gas` what the request's runs used."""


class _Nobody:
    def answered(self, method: str, code: int, seconds: float, gas: int) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Answer:
    """A response body, and the header of the block it was answered from, where there was one. An empty body: there was
    nothing to answer."""

    body: bytes
    header: Header | None = None


class Dispatcher:
    """Answers requests with the methods of a table. Safe for use from several threads."""

    def __init__(self, service: CallService, methods: Mapping[str, Method], observer: Observer | None = None) -> None:
        self.service = service
        self.methods = methods
        self.observer: Observer = _Nobody() if observer is None else observer

    # ---- whole bodies

    def answer(self, body: bytes) -> Answer:
        """Answers a body, waiting as long as it takes."""
        try:
            request = self.parse(body)
        except RpcError as error:
            return Answer(dumps(_failure(None, error)))
        return self.answer_parsed(request)

    def parse(self, body: bytes) -> Any:
        """The JSON value of a request body. `RpcError` when it is none."""
        try:
            return loads(body)
        except ValueError as error:
            raise RpcError(PARSE_ERROR, f"parse error: {error}") from None

    def answer_parsed(self, request: Any, *, inline: bool = False) -> Answer:
        """Answers a parsed body. ``inline``: raises `WouldBlock` rather than run for more than a few milliseconds."""
        if isinstance(request, list):
            if inline:
                raise WouldBlock("batches run in a thread")
            return self._batch(request)
        with Context(self.service, inline=inline) as context:
            answer = self._one(request, context)
            if answer is None:
                return Answer(b"", context.answer_header)
            text = dumps(answer)
            if len(text) > self.service.limits.response_size:
                text = dumps(_failure(answer.get("id"), self._too_large(len(text))))
            return Answer(text, context.answer_header)

    def _batch(self, requests: list[Any]) -> Answer:
        limits = self.service.limits
        if not requests:
            return Answer(dumps(_failure(None, RpcError(INVALID_REQUEST, "empty batch"))))
        if len(requests) > limits.batch:
            return Answer(dumps(_failure(None, RpcError(INVALID_REQUEST, "batch too large"))))
        texts: list[bytes] = []
        size = 0
        with Context(self.service, seconds=limits.batch_timeout) as context:
            self.service.prefetch(requests, context)
            for request in requests:
                if size > limits.response_size:
                    identity = _identity(request)
                    answer = None if identity is _ABSENT else _failure(identity, self._too_large(size))
                else:
                    answer = self._one(request, context)
                if answer is not None:
                    text = dumps(answer)
                    size += len(text)
                    if size > limits.response_size:
                        text = dumps(_failure(answer.get("id"), self._too_large(size)))
                    texts.append(text)
            header = context.answer_header
        return Answer(b"[" + b",".join(texts) + b"]" if texts else b"", header)

    def _too_large(self, size: int) -> RpcError:
        return RpcError(
            RESPONSE_TOO_LARGE, f"response too large: {size} bytes, at most {self.service.limits.response_size}"
        )

    # ---- one request

    def _one(self, request: Any, context: Context) -> dict[str, Any] | None:
        """The answer to one request object; None to a notification."""
        if not isinstance(request, dict):
            return _failure(None, RpcError(INVALID_REQUEST, "invalid request: expected an object"))
        identity = request.get("id", _ABSENT)
        name = request.get("method")
        start = time.perf_counter()
        used = context.gas_used
        code = 0
        label = "invalid"
        try:
            if request.get("jsonrpc") != "2.0" or not isinstance(name, str):
                raise RpcError(INVALID_REQUEST, 'invalid request: expected "jsonrpc": "2.0" and a method')
            if identity is not _ABSENT and not isinstance(identity, (str, int, float, type(None))):
                identity = None
                raise RpcError(INVALID_REQUEST, "invalid request: expected a string or a number as id")
            method = self.methods.get(name)
            if method is None:
                raise RpcError(METHOD_NOT_FOUND, f"the method {name[:64]} does not exist/is not available")
            label = name
            if context.inline and not method.quick:
                raise WouldBlock(f"{name} runs in a thread")
            parameters = params_of(request.get("params"), method.required, method.allowed)
            result = method.function(context, *parameters)
            answer = {"jsonrpc": "2.0", "id": identity, "result": result}
        except WouldBlock:
            if context.inline:
                raise
            code = SERVER_ERROR
            answer = _failure(identity, RpcError(SERVER_ERROR, "the state is being changed; try again"))
        except EvmcoreError as error:
            failure = exception_error(error, self.service.limits.timeout)
            code = failure.code
            answer = _failure(identity, failure)
        except RecursionError:
            code = INVALID_REQUEST
            answer = _failure(identity, RpcError(INVALID_REQUEST, "the request is nested too deeply"))
        except MemoryError:
            code = SERVER_ERROR
            answer = _failure(identity, RpcError(SERVER_ERROR, "out of memory"))
        except Exception:
            log.exception("%s failed", label)
            code = INTERNAL_ERROR
            answer = _failure(identity, RpcError(INTERNAL_ERROR, f"internal error in {label}; the log has it"))
        self.observer.answered(label, code, time.perf_counter() - start, context.gas_used - used)
        return None if identity is _ABSENT else answer


_ABSENT: Final = object()


def _identity(request: Any) -> Any:
    if not isinstance(request, dict):
        return None
    return request.get("id", _ABSENT)


def _failure(identity: Any, error: RpcError) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": None if identity is _ABSENT else identity, "error": error.to_json()}
