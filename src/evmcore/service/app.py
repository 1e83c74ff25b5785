"""The service as an ASGI application, for any ASGI server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from evmcore.service.dispatch import Dispatcher
from evmcore.service.front import Front, Response, Waiting, declared_size

if TYPE_CHECKING:
    from evmcore.service.metrics import Metrics

__all__ = ["App"]

Scope: TypeAlias = "MutableMapping[str, Any]"
Receive: TypeAlias = "Callable[[], Awaitable[MutableMapping[str, Any]]]"
Send: TypeAlias = "Callable[[MutableMapping[str, Any]], Awaitable[None]]"

STATUS_SECONDS: Final = 1.0


class _TooLarge(Exception):
    pass


class _Gone(Exception):
    """The client has closed the connection."""


class App:
    """An ASGI application. `Front` documents its answers and arguments.

    Short calls run on the event loop, other calls in a pool of threads.
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
        self.front = Front(
            dispatcher, origins=origins, hosts=hosts, metrics=metrics, unavailable_status=unavailable_status
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            try:
                response = await self._answer(scope, receive)
            except _Gone:
                return
            await _respond(send, response)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        watch: asyncio.Task[None] | None = None
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                if self.front.metrics is not None:
                    watch = asyncio.create_task(self._watch())
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                if watch is not None:
                    watch.cancel()
                await asyncio.to_thread(self.front.close)
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _watch(self) -> None:
        while True:
            self.front.update_metrics()
            await asyncio.sleep(STATUS_SECONDS)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        headers = dict(scope["headers"])
        if scope["method"] != "POST":
            return self.front.other(scope["method"], scope["path"], headers)
        try:
            body = await self._body(headers, receive)
        except _TooLarge:
            return self.front.too_large()
        response = self.front.post(headers, body)
        return await self._in_thread(response, receive) if isinstance(response, Waiting) else response

    async def _in_thread(self, waiting: Waiting, receive: Receive) -> Response:
        """The response from a thread. `_Gone` if the client disconnects before; this ends the request."""
        future = self.front.submit(waiting)
        done = asyncio.Event()
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(done.set))
        answered, gone = asyncio.ensure_future(done.wait()), asyncio.ensure_future(receive())
        try:
            await asyncio.wait((answered, gone), return_when=asyncio.FIRST_COMPLETED)
            left = not answered.done()
            if left:
                self.front.abandon(waiting, future)
                await answered
        finally:
            answered.cancel()
            gone.cancel()
        response = self.front.finish(waiting, future)
        if left:
            raise _Gone
        return response

    async def _body(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        limit = self.front.limits.request_size
        if declared_size(headers) > limit:
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


async def _respond(send: Send, response: Response) -> None:
    headers = [*response.headers, (b"content-length", str(len(response.body)).encode())]
    if response.close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
