"""What the methods of one request, or of all requests of a batch, have in common."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from evmcore._time_limit import TimeLimit
from evmcore.blocks import Header
from evmcore.errors import BlockNotFound, ExecutionAborted
from evmcore.service.parse import BlockReference, block_reference
from evmcore.service.rpc_errors import SERVER_ERROR, RpcError
from evmcore.service.source import Pin, WouldBlock

if TYPE_CHECKING:
    from evmcore.service.archive import Archive
    from evmcore.service.calls import CallService

__all__ = ["Context"]

INLINE_SECONDS = 0.002  # what a call may take on the event loop before it has to go to a thread


class Context:
    """A request being answered: its service, its pins, and how long it may take.

    Tags mean the same block for as long as the context is open, so all requests of a batch see one state. With
    ``inline`` set nothing may wait: methods then raise `WouldBlock` and are called again in a thread. A context manager
    that closes the pins. For use by one thread at a time.

    `seconds`: for all that is done in it; each request in it has the service's own limit besides (`begin`). With
    ``inline`` no request begins after `INLINE_SECONDS`. `whole`: what the asker may stop, if it is somebody who can.
    """

    def __init__(
        self,
        service: CallService,
        *,
        inline: bool = False,
        seconds: float | None = None,
        whole: TimeLimit | None = None,
    ) -> None:
        self.service = service
        self.inline = inline
        self.gas_used = 0
        self.answer_header: Header | None = None
        self.unavailable = False  # some answer says that the state cannot be had just now
        if inline:
            seconds = INLINE_SECONDS
        self._whole = whole
        self._deadline = math.inf if seconds is None else time.monotonic() + seconds
        self.begin()
        self._pins: dict[int | bytes | str, Pin] = {}
        self._open: ExitStack | None = None

    def __enter__(self) -> Context:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._open is not None:
            self._open.close()

    @property
    def archive(self) -> Archive:
        """The block archive. `RpcError` where the service has none."""
        archive = self.service.source.archive
        if archive is None:
            raise RpcError(
                SERVER_ERROR, "this server keeps no blocks, only the state: start it with --chain to have them served"
            )
        return archive

    def begin(self) -> None:
        """Starts the time of the next request. `WouldBlock` where the time on the event loop is over."""
        now = time.monotonic()
        if self.inline and now >= self._deadline:
            raise WouldBlock("the requests take longer")
        self._until = min(self._deadline, now + self.service.limits.timeout)

    def timeout(self, most: float | None = None) -> float | TimeLimit:
        """What a run may take from now on, ``most`` seconds where given: what a request waits for between runs counts,
        but not on the event loop, where each run has `INLINE_SECONDS`. `ExecutionAborted` when nothing is left."""
        if self.inline:
            return min(INLINE_SECONDS, self.service.limits.timeout)
        left = self._until - time.monotonic()
        if left <= 0 or (self._whole is not None and self._whole.is_stopped):
            raise ExecutionAborted("the time for the request, or for the whole batch, is over")
        if most is not None:
            left = min(left, most)
        return left if self._whole is None else self._whole.within(left)

    def check_time(self) -> None:
        """`ExecutionAborted` when the request has no time left, for what runs no code."""
        self.timeout()

    # ---- blocks

    def pin(self, block: int | bytes | str = "latest") -> Pin:
        """The block to answer from: a number, hash or tag. Opened once, closed with the context."""
        if block == "pending":
            block = "latest"
        pin = self._pins.get(block)
        if pin is None:
            if self._open is None:
                self._open = ExitStack()
            pin = self._open.enter_context(self.service.source.pin(block))
            self._pins[block] = pin
            if isinstance(block, str):
                self._pins.setdefault(pin.block_hash, pin)
        if self.answer_header is None:
            self.answer_header = pin.header
        return pin

    def pin_of(self, value: Any, name: str) -> Pin:
        """The pin of a block parameter as it came in the request. `RpcError` as geth answers for a wrong one."""
        reference = block_reference(value, name)
        try:
            pin = self.pin(reference.block)
        except BlockNotFound:
            if isinstance(reference.block, bytes):
                raise RpcError(SERVER_ERROR, "header for hash not found") from None
            raise
        if reference.require_canonical:
            self._check_canonical(reference, pin)
        return pin

    def _check_canonical(self, reference: BlockReference, pin: Pin) -> None:
        try:
            canonical = self.pin(pin.header.number).block_hash
        except BlockNotFound:
            canonical = b""
        if canonical != pin.block_hash:
            raise RpcError(SERVER_ERROR, "hash is not currently canonical")
