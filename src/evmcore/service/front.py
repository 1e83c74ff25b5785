"""The server's answers to HTTP requests, independent of the server: statuses, headers, bodies."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from evmcore._time_limit import TimeLimit
from evmcore.blocks import Header
from evmcore.errors import EvmcoreError
from evmcore.service.dispatch import Answer, Dispatcher, failure_text
from evmcore.service.hosts import HostCheck
from evmcore.service.rpc_errors import INTERNAL_ERROR, INVALID_REQUEST, SERVER_ERROR, RpcError
from evmcore.service.source import WouldBlock

if TYPE_CHECKING:
    from evmcore.service.metrics import Metrics

__all__ = ["Front", "Headers", "Response", "Waiting", "declared_size"]

log = logging.getLogger("evmcore.service")

Headers: TypeAlias = "tuple[tuple[bytes, bytes], ...]"

JSON: Final = (b"content-type", b"application/json")
TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")
RETRY: Final = (b"retry-after", b"1")
MIN_BLOCK: Final = b"evm-min-block"
INLINE_BYTES: Final = 64 * 1024  # of a body that is answered on the event loop: parsing overrides takes 0.2 us a byte
INTERNAL: Final = "internal error; the log has it"

_JSON_TYPES: Final = frozenset({b"application/json", b"application/json-rpc", b"application/jsonrequest"})
_EXPOSED: Final = (b"access-control-expose-headers", b"evm-block-number, evm-block-hash")
_PREFLIGHT: Final = (
    (b"access-control-allow-methods", b"POST, GET, OPTIONS"),
    (b"access-control-allow-headers", b"content-type, evm-min-block"),
    (b"access-control-max-age", b"600"),
)


class Response(NamedTuple):
    """An HTTP response, without content-length. `close`: the connection cannot be used any more."""

    status: int
    headers: Headers
    body: bytes
    close: bool = False


class Waiting(NamedTuple):
    """A request that has to be answered in a thread, the headers of its response, and the limit that stops it."""

    request: Any
    headers: Headers
    limit: TimeLimit


class Front:
    """JSON-RPC by POST at any path; /healthz, /readyz and /metrics by GET.

    Answers name their block in the headers evm-block-number and evm-block-hash. A request may demand in `evm-min-block`
    that the head is at least that high; if it is not, the answer has status 503.

    `origins`: origins whose scripts may read answers (CORS), "*" for any. `hosts`: names of this server that requests
    may use, "*" for any, as in geth's `--http.vhosts`: a request with another name in its header Host is answered with
    403, because a page can make its name resolve to this server; IP addresses are not names. `metrics`: shown by
    /metrics, which does not exist without them. `unavailable_status`: the HTTP status of an answer, or of a batch with
    an answer, that reports that the state is unavailable; 503 lets a proxy in front try another server. `close` ends
    the threads and closes the source.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        *,
        origins: tuple[str, ...] = (),
        hosts: tuple[str, ...] = ("*",),
        metrics: Metrics | None = None,
        unavailable_status: int = 200,
    ) -> None:
        self.dispatcher = dispatcher
        self.source = dispatcher.service.source
        self.limits = dispatcher.service.limits
        self.metrics = metrics
        self._origins = frozenset(origin.encode() for origin in origins)
        self._hosts = HostCheck(hosts)
        self._unavailable_status = unavailable_status
        self._start_threads()
        self._running: dict[int, TimeLimit] = {}  # by id: limits of requests that a thread runs, or will run
        self._named: tuple[Header | None, Headers] = (None, ())

    def _start_threads(self) -> None:
        """Threads do not survive a fork: each process has its own."""
        self._process = os.getpid()
        self._pool = ThreadPoolExecutor(self.limits.threads, thread_name_prefix="evmcore-call")

    def close(self) -> None:
        """Stops the requests that threads are running, and closes the source."""
        for limit in self._running.values():
            limit.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self.update_metrics()  # for the other worker processes to show
        self.source.close()

    def update_metrics(self) -> None:
        """Updates the metrics with the status of the source."""
        if self.metrics is not None:
            try:
                self.metrics.update(self.source)
                self.metrics.waiting(len(self._running))
            except Exception:
                log.exception("the source's status could not be read")

    # ---- POST

    def post(self, headers: Mapping[bytes, bytes], body: bytes) -> Response | Waiting:
        """Answers a body at once, or returns a `Waiting` for `submit` if it takes a thread."""
        try:
            return self._post(headers, body)
        except Exception:
            log.exception("a request could not be answered")
            return Response(500, (JSON,), failure_text(None, RpcError(INTERNAL_ERROR, INTERNAL)))

    def _post(self, headers: Mapping[bytes, bytes], body: bytes) -> Response | Waiting:
        if not self._hosts.admits(headers):
            return self._foreign()
        common: Headers = (JSON, *self._cors(headers)) if self._origins else (JSON,)
        if headers.get(b"content-type") != b"application/json" and not _says_json(headers):
            self._note_refusal("content_type")
            return Response(415, (TEXT, *common[1:]), b"invalid content type, only application/json is supported\n")
        try:
            request = self.dispatcher.parse(body)
        except RpcError as error:
            return Response(200, common, failure_text(None, error))
        if MIN_BLOCK in headers:
            behind = self._behind(headers[MIN_BLOCK])
            if behind is not None:
                return Response(behind[0], common, failure_text(None, behind[1]))
        try:
            if len(body) > INLINE_BYTES:
                raise WouldBlock("to read the request takes long")
            answer = self.dispatcher.answer_parsed(request, inline=True)
        except WouldBlock:
            if len(self._running) >= self.limits.queue + self.limits.threads:
                return self.busy(common)
            return Waiting(request, common, TimeLimit())
        return self._response(answer, common)

    def submit(self, waiting: Waiting) -> Future[Answer]:
        """Lets a thread answer. Pass the future, when it is done or cancelled, to `finish`."""
        self._running[id(waiting.limit)] = waiting.limit
        if self._process != os.getpid():
            self._start_threads()
        try:
            return self._pool.submit(self.dispatcher.answer_parsed, waiting.request, waiting.limit)
        except RuntimeError as error:  # no thread can be started, or the server is shutting down
            future: Future[Answer] = Future()
            future.set_exception(error)
            return future

    @staticmethod
    def abandon(waiting: Waiting, future: Future[Answer]) -> None:
        """Called if the client has left: a request that has not begun is cancelled, a running one is stopped. The
        future still has to be passed to `finish`."""
        if not future.cancel():
            waiting.limit.stop()

    def finish(self, waiting: Waiting, future: Future[Answer]) -> Response:
        """The response, once the future of `submit` is done. To be called once for each, on the event loop's thread."""
        del self._running[id(waiting.limit)]
        if future.cancelled():
            return Response(503, waiting.headers, b"", True)
        error = future.exception()
        if error is not None:
            log.error("a request could not be answered", exc_info=error)
            return Response(500, waiting.headers, failure_text(None, RpcError(INTERNAL_ERROR, INTERNAL)))
        return self._response(future.result(), waiting.headers)

    def busy(self, common: Headers = (), close: bool = False) -> Response:
        """The answer to a request for which there is no room now."""
        self._note_refusal("busy")
        error = RpcError(SERVER_ERROR, "the server is busy; try again")
        return Response(503, (*(common or (JSON,)), RETRY), failure_text(None, error), close)

    def too_large(self) -> Response:
        """The answer to a body above the limit."""
        self._note_refusal("too_large")
        error = RpcError(INVALID_REQUEST, f"request too large, at most {self.limits.request_size} bytes")
        return Response(413, (JSON,), failure_text(None, error), True)

    def _response(self, answer: Answer, common: Headers) -> Response:
        if answer.unavailable and self._unavailable_status != 200:
            return Response(self._unavailable_status, (*common, RETRY), answer.body)
        header = answer.header
        if header is None:
            return Response(200, common, answer.body)
        known, named = self._named
        if known is not header:
            named = (
                (b"evm-block-number", hex(header.number).encode()),
                (b"evm-block-hash", b"0x" + header.hash.hex().encode()),
            )
            self._named = (header, named)
        return Response(200, common + named, answer.body)

    def _behind(self, asked: bytes) -> tuple[int, RpcError] | None:
        """HTTP status and error if the request demands a higher head than the present one."""
        try:
            least = int(asked, 16 if asked[:2].lower() == b"0x" else 10)
        except ValueError:
            shown = asked[:40].decode(errors="replace")
            return 400, RpcError(INVALID_REQUEST, f"header evm-min-block: {shown!r} is not a number")
        try:
            head = self.source.head().number
        except EvmcoreError as error:
            return 503, RpcError(SERVER_ERROR, f"no head: {error}")
        if head >= least:
            return None
        return 503, RpcError(SERVER_ERROR, f"the head is block {head}, the request wants at least {least}")

    def _foreign(self) -> Response:
        """The answer to a request for another host."""
        self._note_refusal("host")
        return Response(403, (TEXT,), b"invalid host specified\n")

    def _note_refusal(self, why: str) -> None:
        if self.metrics is not None:
            self.metrics.refused(why)

    # ---- other methods

    def other(self, method: str, path: str, headers: Mapping[bytes, bytes]) -> Response:
        """Answers requests other than POST."""
        if not self._hosts.admits(headers):
            return self._foreign()
        if method in ("GET", "HEAD"):
            return self._get(path)  # servers omit the body of an answer to HEAD
        if method == "OPTIONS" and self._origins:
            return Response(204, (*self._cors(headers), *_PREFLIGHT), b"")
        return Response(405, (TEXT, (b"allow", b"POST, GET")), b"use POST\n")

    def _get(self, path: str) -> Response:
        if path == "/healthz":
            return Response(200, (TEXT,), b"ok\n")
        if path == "/readyz":
            status = self.source.status()
            text = "ready\n" if status.ready else f"not ready: {status.reason}\n"
            return Response(200 if status.ready else 503, (TEXT,), text.encode())
        if path == "/metrics" and self.metrics is not None:
            self.update_metrics()
            body, kind = self.metrics.text()
            return Response(200, ((b"content-type", kind.encode()),), body)
        text = "evmcore answers JSON-RPC by POST at /; see also /healthz, /readyz and /metrics\n"
        return Response(200 if path == "/" else 404, (TEXT,), text.encode())

    def _cors(self, headers: Mapping[bytes, bytes]) -> Headers:
        origin = headers.get(b"origin")
        if origin is None:
            return ()
        if b"*" in self._origins:
            return ((b"access-control-allow-origin", b"*"), _EXPOSED)
        if origin in self._origins:
            return ((b"access-control-allow-origin", origin), (b"vary", b"origin"), _EXPOSED)
        return ()


def _says_json(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a request has one of geth's content types. Browsers let scripts of any page send other types, or none,
    without asking; clients other than browsers need not send one."""
    kind = headers.get(b"content-type")
    if kind is None:
        return b"origin" not in headers
    return kind.partition(b";")[0].strip().lower() in _JSON_TYPES


def declared_size(headers: Mapping[bytes, bytes]) -> int:
    """The content-length of a request; zero if it is missing."""
    declared = headers.get(b"content-length", b"0")
    return int(declared[:18]) if declared[:18].isdigit() else 0
