"""The service as an ASGI application: HTTP in front of the dispatcher."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from evmcore.blocks import Header
from evmcore.errors import EvmcoreError
from evmcore.service.dispatch import Answer, Dispatcher, failure_text
from evmcore.service.rpc_errors import INVALID_REQUEST, SERVER_ERROR, RpcError
from evmcore.service.source import WouldBlock

if TYPE_CHECKING:
    from evmcore.service.metrics import Metrics

__all__ = ["App"]

log = logging.getLogger("evmcore.service")

Scope: TypeAlias = "MutableMapping[str, Any]"
Receive: TypeAlias = "Callable[[], Awaitable[MutableMapping[str, Any]]]"
Send: TypeAlias = "Callable[[MutableMapping[str, Any]], Awaitable[None]]"

JSON: Final = (b"content-type", b"application/json")
TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")
MIN_BLOCK: Final = b"evm-min-block"
STATUS_SECONDS: Final = 1.0


class _TooLarge(Exception):
    pass


class _Gone(Exception):
    """The client has closed the connection."""


class App:
    """An ASGI application that answers JSON-RPC by POST at /, and /healthz, /readyz and /metrics by GET.

    Calls run on the event loop for as long as they are short, and in a pool of threads otherwise. Answers name the
    block they are of in the headers evm-block-number and evm-block-hash; a request may ask in ``evm-min-block`` for a
    head that is at least that high, and is answered with status 503 where it is not.

    ``origins``: whose scripts may read answers (CORS): "*" or origins. ``metrics``: what /metrics shows, without which
    it is not there. The source is closed when the server ends.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        *,
        origins: tuple[str, ...] = (),
        metrics: Metrics | None = None,
    ) -> None:
        self._dispatcher = dispatcher
        self._limits = dispatcher.service.limits
        self._origins = frozenset(origin.encode() for origin in origins)
        self._metrics = metrics
        self._pool = ThreadPoolExecutor(self._limits.threads, thread_name_prefix="evmcore-call")
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        watch: asyncio.Task[None] | None = None
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                if self._metrics is not None:
                    watch = asyncio.create_task(self._watch(self._metrics))
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                if watch is not None:
                    watch.cancel()
                self._pool.shutdown(wait=True, cancel_futures=True)
                self._dispatcher.service.source.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _watch(self, metrics: Metrics) -> None:
        """Has the metrics show how the source is doing."""
        source = self._dispatcher.service.source
        while True:
            try:
                metrics.update(source)
                metrics.waiting(self._waiting)
            except Exception:
                log.exception("the source's status could not be read")
            await asyncio.sleep(STATUS_SECONDS)

    # ---- HTTP

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        with contextlib.suppress(_Gone):
            if method == "POST":
                await self._post(scope, receive, send)
            elif method in ("GET", "HEAD"):
                await self._get(scope, send)
            elif method == "OPTIONS" and self._origins:
                await _respond(send, 204, b"", [*self._cors(scope), *_PREFLIGHT])
            else:
                await _respond(send, 405, b"use POST\n", [TEXT, (b"allow", b"POST, GET")])

    async def _get(self, scope: Scope, send: Send) -> None:
        path = scope["path"]
        source = self._dispatcher.service.source
        if path == "/healthz":
            await _respond(send, 200, b"ok\n", [TEXT])
        elif path == "/readyz":
            status = source.status()
            text = b"ready\n" if status.ready else f"not ready: {status.reason}\n".encode()
            await _respond(send, 200 if status.ready else 503, text, [TEXT])
        elif path == "/metrics" and self._metrics is not None:
            self._metrics.update(source)
            text, kind = self._metrics.text()
            await _respond(send, 200, text, [(b"content-type", kind.encode())])
        else:
            text = b"evmcore answers JSON-RPC by POST at /; see also /healthz, /readyz and /metrics\n"
            await _respond(send, 200 if path == "/" else 404, text, [TEXT])

    async def _post(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        common = [JSON, *self._cors(scope)] if self._origins else [JSON]
        try:
            body = await self._body(headers, receive)
        except _TooLarge:
            self._note_refusal("too_large")
            error = RpcError(INVALID_REQUEST, f"request too large, at most {self._limits.request_size} bytes")
            await _respond(send, 413, failure_text(None, error), [*common, (b"connection", b"close")])
            return
        try:
            request = self._dispatcher.parse(body)
        except RpcError as error:
            await _respond(send, 200, failure_text(None, error), common)
            return
        behind = self._behind(headers)
        if behind is not None:
            await _respond(send, behind[0], failure_text(None, behind[1]), common)
            return
        try:
            answer = self._dispatcher.answer_parsed(request, inline=True)
        except WouldBlock:
            if self._waiting >= self._limits.queue + self._limits.threads:
                self._note_refusal("busy")
                busy = failure_text(None, RpcError(SERVER_ERROR, "the server is busy; try again"))
                await _respond(send, 503, busy, [*common, (b"retry-after", b"1")])
                return
            answer = await self._in_thread(request, receive)
        named = common if answer.header is None else [*common, *_block_headers(answer.header)]
        await _respond(send, 200, answer.body, named)

    async def _in_thread(self, request: Any, receive: Receive) -> Answer:
        """The answer from a thread. `_Gone` when the client did not wait for it; what has not begun then never does."""
        self._waiting += 1
        future = self._pool.submit(self._dispatcher.answer_parsed, request)
        answer = asyncio.wrap_future(future)
        gone = asyncio.ensure_future(receive())
        try:
            await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            raise _Gone
        finally:
            self._waiting -= 1
            gone.cancel()
            answer.cancel()

    def _note_refusal(self, why: str) -> None:
        if self._metrics is not None:
            self._metrics.refused(why)

    async def _body(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        limit = self._limits.request_size
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > limit:
            raise _TooLarge
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Gone
            part = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise _TooLarge
            if not message.get("more_body", False):
                return part if not parts else b"".join([*parts, part])
            parts.append(part)

    def _behind(self, headers: Mapping[bytes, bytes]) -> tuple[int, RpcError] | None:
        """HTTP status and error where the request asks for a higher head than there is."""
        asked = headers.get(MIN_BLOCK)
        if asked is None:
            return None
        try:
            least = int(asked, 16 if asked[:2].lower() == b"0x" else 10)
        except ValueError:
            return 400, RpcError(INVALID_REQUEST, f"header evm-min-block: {asked[:40]!r} is not a number")
        try:
            head = self._dispatcher.service.source.head().number
        except EvmcoreError as error:
            return 503, RpcError(SERVER_ERROR, f"no head: {error}")
        if head >= least:
            return None
        return 503, RpcError(SERVER_ERROR, f"the head is block {head}, the request wants at least {least}")

    # ---- CORS

    def _cors(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        origin = dict(scope["headers"]).get(b"origin")
        if origin is None:
            return []
        if b"*" in self._origins:
            return [(b"access-control-allow-origin", b"*"), _EXPOSED]
        if origin in self._origins:
            return [(b"access-control-allow-origin", origin), (b"vary", b"origin"), _EXPOSED]
        return []


_EXPOSED: Final = (b"access-control-expose-headers", b"evm-block-number, evm-block-hash")
_PREFLIGHT: Final = (
    (b"access-control-allow-methods", b"POST, GET, OPTIONS"),
    (b"access-control-allow-headers", b"content-type, evm-min-block"),
    (b"access-control-max-age", b"600"),
)


def _block_headers(header: Header) -> list[tuple[bytes, bytes]]:
    return [(b"evm-block-number", hex(header.number).encode()), (b"evm-block-hash", b"0x" + header.hash.hex().encode())]


async def _respond(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, (b"content-length", str(len(body)).encode())],
        }
    )
    await send({"type": "http.response.body", "body": body})
