"""JSON-RPC 2.0: from the bytes of a request to the bytes of its answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from evmcore._time_limit import TimeLimit
from evmcore.blocks import Header
from evmcore.errors import EvmcoreError
from evmcore.service.batch_hints import prefetch
from evmcore.service.calls import Calls
from evmcore.service.context import Context
from evmcore.service.jsontext import dumps, loads, quoted
from evmcore.service.method import Method
from evmcore.service.outcomes import call_error, exception_error
from evmcore.service.parse import params_of
from evmcore.service.plain import PlainCall, plain_call
from evmcore.service.rpc_errors import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    SERVER_ERROR,
    RpcError,
    Unavailable,
)
from evmcore.service.source import Pin, WouldBlock

__all__ = ["Answer", "Dispatcher", "Observer", "failure_text"]

RESPONSE_TOO_LARGE: Final = -32003  # geth's
LONGEST_NAME: Final = 2048  # characters of a method name, as in geth
INLINE_BATCH: Final = 32  # the most requests in a batch that is tried on the event loop

Answered: TypeAlias = "Callable[[str, int, float, int], None]"
"""`Observer.answered`, or a function that collects its arguments until the answer is certain."""

log = logging.getLogger("evmcore.service")


class Observer(Protocol):
    """Is told of every answer."""

    def answered(self, method: str, code: int, seconds: float, gas: int) -> None:
        """`code` is zero for a result, else the error code; `gas` is the gas used by the request's runs."""


class _Nobody:
    def answered(self, method: str, code: int, seconds: float, gas: int) -> None:
        pass


class Answer(NamedTuple):
    """A response body, and the header of the block it was computed on, if there was one. The body is empty if no
    request wanted an answer. `unavailable`: some answer is the error `Unavailable`."""

    body: bytes
    header: Header | None = None
    unavailable: bool = False


class Dispatcher:
    """Answers requests with the methods of a table. Safe for use from several threads."""

    def __init__(self, service: Calls, methods: Mapping[str, Method], observer: Observer | None = None) -> None:
        self.service = service
        self.methods = methods
        self.observer: Observer = _Nobody() if observer is None else observer

    # ---- whole bodies

    def answer(self, body: bytes) -> Answer:
        """Answers a body, waiting as long as it takes."""
        try:
            request = self.parse(body)
        except RpcError as error:
            return Answer(failure_text(None, error))
        return self.answer_parsed(request)

    def parse(self, body: bytes) -> Any:
        """The JSON value of a request body. `RpcError` if the body is not JSON."""
        try:
            value = loads(body)
            if _has_float(value) or (type(value) is list and any(map(_has_float, value))):
                value = loads(body, exact=True)  # the answer must repeat the id exactly
        except ValueError as error:
            raise RpcError(PARSE_ERROR, f"parse error: {error}") from None
        return value

    def answer_parsed(self, request: Any, limit: TimeLimit | None = None, *, inline: bool = False) -> Answer:
        """Answers a parsed body. `inline`: raises `WouldBlock` rather than run for more than a few milliseconds.
        `limit`: stops the runs."""
        if isinstance(request, list):
            return self._inline_batch(request) if inline else self._batch(request, limit)
        answered = self.observer.answered
        if inline:
            answer = self._plain_answer(request)
            if answer is not None:
                return answer
        with Context(self.service, inline=inline, whole=limit) as context:
            text = self._one(request, context, answered)
            if text is None:
                return Answer(b"", context.answer_header)
            if len(text) > self.service.limits.response_size:
                text = failure_text(_identity(request), self._too_large(len(text)))
            return Answer(text, context.answer_header, context.unavailable)

    def _plain_answer(self, request: Any) -> Answer | None:
        """The answer to a plain call. None if the request is not one, or has to be answered the general way."""
        call = plain_call(request)
        pin = None if call is None else self._latest(self.service.source.pin)
        if call is None or pin is None:
            return None
        with pin:
            text = self._plain(call, pin, self.observer.answered)
            return None if text is None else Answer(text, pin.header)

    @staticmethod
    def _latest(pin: Callable[[str], Pin]) -> Pin | None:
        """The latest block, by a function that pins; None if the general way has to report why there is none."""
        try:
            return pin("latest")
        except WouldBlock:
            raise
        except EvmcoreError:
            return None

    def _plain(self, call: PlainCall, pin: Pin, answered: Answered) -> bytes | None:
        """The text of the answer to a plain call; None if the general way has to give it."""
        start = time.perf_counter()
        service = self.service
        result = call.run(service, pin)
        if result is None:
            return None
        code = 0
        if result.success:
            text = b'{"jsonrpc":"2.0","id":%b,"result":"0x%b"}' % (
                _identity_text(call.identity),
                result.output.hex().encode(),
            )
            if len(text) > service.limits.response_size:
                return None
        else:
            error = call_error(result)
            assert error is not None
            code = error.code
            text = failure_text(call.identity, error)
        answered("eth_call", code, time.perf_counter() - start, result.gas_used)
        return text

    def _inline_batch(self, requests: list[Any]) -> Answer:
        """The answers to a batch that takes about a millisecond. Raises `WouldBlock` for any other batch; the work so
        far is then lost, so only small batches are tried."""
        if not 0 < len(requests) <= min(INLINE_BATCH, self.service.limits.batch):
            raise WouldBlock("the batch runs in a thread")
        notes: list[tuple[str, int, float, int]] = []

        def answered(*note: Any) -> None:
            notes.append(note)

        texts: list[bytes] = []
        with Context(self.service, inline=True) as context:
            prefetch(requests, context)
            for request in requests:
                context.begin()
                call = plain_call(request)
                pin = None if call is None else self._latest(context.pin)
                text = None if call is None or pin is None else self._plain(call, pin, answered)
                if text is None:
                    text = self._one(request, context, answered)
                if text is not None:
                    texts.append(text)
            header, unavailable = context.answer_header, context.unavailable
        body = b"[" + b",".join(texts) + b"]" if texts else b""
        if len(body) > self.service.limits.response_size:
            raise WouldBlock("some of the answers have to be replaced by errors")
        for note in notes:
            self.observer.answered(*note)
        return Answer(body, header, unavailable)

    def _batch(self, requests: list[Any], limit: TimeLimit | None) -> Answer:
        limits = self.service.limits
        if not requests:
            return Answer(failure_text(None, RpcError(INVALID_REQUEST, "empty batch")))
        if len(requests) > limits.batch:  # one answer, to the first request that wants one, as in geth
            first = next(
                (found for found in map(_identity, requests) if found is not None and found is not _ABSENT), None
            )
            return Answer(b"[%b]" % failure_text(first, RpcError(INVALID_REQUEST, "batch too large")))
        texts: list[bytes] = []
        size = 0
        with Context(self.service, seconds=limits.batch_timeout, whole=limit) as context:
            prefetch(requests, context)
            for request in requests:
                text = self._one(request, context, self.observer.answered) if size <= limits.response_size else b""
                if text is None or (not text and _identity(request) is _ABSENT):
                    continue
                size += len(text)
                if size > limits.response_size:
                    text = failure_text(_identity(request), self._too_large(size))
                texts.append(text)
            header = context.answer_header
        return Answer(b"[" + b",".join(texts) + b"]" if texts else b"", header, context.unavailable)

    def _too_large(self, size: int) -> RpcError:
        return RpcError(
            RESPONSE_TOO_LARGE, f"response too large: {size} bytes, at most {self.service.limits.response_size}"
        )

    # ---- one request

    def _one(self, request: Any, context: Context, answered: Answered) -> bytes | None:
        """The answer to one request object, reported to `answered`; None for a notification."""
        if not isinstance(request, dict):
            return failure_text(None, RpcError(INVALID_REQUEST, "invalid request: expected an object"))
        identity = request.get("id", _ABSENT)
        name = request.get("method")
        start = time.perf_counter()
        context.begin()
        used = context.gas_used
        code = 0
        label = "invalid"
        silent = False
        try:
            if request.get("jsonrpc") != "2.0" or not isinstance(name, str):
                raise RpcError(INVALID_REQUEST, 'invalid request: expected "jsonrpc": "2.0" and a method')
            if identity is not _ABSENT and not isinstance(identity, (str, int, float, type(None))):
                identity = None
                raise RpcError(INVALID_REQUEST, "invalid request: expected a string or a number as id")
            if len(name) > LONGEST_NAME:
                raise RpcError(INVALID_REQUEST, f"method name too long: {len(name)} > {LONGEST_NAME}")
            silent = identity is _ABSENT
            method = self.methods.get(name)
            if method is None:
                raise RpcError(METHOD_NOT_FOUND, f"the method {name[:64]} does not exist/is not available")
            label = name
            if context.inline and not method.quick:
                raise WouldBlock(f"{name} runs in a thread")
            parameters = params_of(request.get("params"), method.required, method.allowed)
            result = method.function(context, *parameters)
            answer = _result_text(identity, result)
        except WouldBlock:
            if context.inline:
                raise
            code = SERVER_ERROR
            answer = failure_text(identity, RpcError(SERVER_ERROR, "the state is being changed; try again"))
        except EvmcoreError as error:
            failure = exception_error(error, self.service.limits.timeout)
            code = failure.code
            context.unavailable = context.unavailable or isinstance(failure, Unavailable)
            answer = failure_text(identity, failure)
        except RecursionError:
            code = INVALID_REQUEST
            answer = failure_text(identity, RpcError(INVALID_REQUEST, "the request is nested too deeply"))
        except MemoryError:
            code = SERVER_ERROR
            answer = failure_text(identity, RpcError(SERVER_ERROR, "out of memory"))
        except Exception:
            log.exception("%s failed", label)
            code = INTERNAL_ERROR
            answer = failure_text(identity, RpcError(INTERNAL_ERROR, f"internal error in {label}; the log has it"))
        answered(label, code, time.perf_counter() - start, context.gas_used - used)
        return None if silent else answer


_ABSENT: Final = object()


def _has_float(request: Any) -> bool:
    """Whether the id of a request may be an integer that was too large for the parser."""
    return type(request) is dict and type(request.get("id")) is float


def _identity(request: Any) -> Any:
    """The id for the answer; `_ABSENT` for a notification."""
    return request.get("id", _ABSENT) if isinstance(request, dict) else None


def _result_text(identity: Any, result: Any) -> bytes:
    text = quoted(result) if type(result) is str else dumps(result)
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (_identity_text(identity), text)


def failure_text(identity: Any, error: RpcError) -> bytes:
    """The body of a response with an error."""
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (_identity_text(identity), dumps(error.to_json()))


def _identity_text(identity: Any) -> bytes:
    if type(identity) is int:
        return b"%d" % identity
    return b"null" if identity is _ABSENT else dumps(identity)
