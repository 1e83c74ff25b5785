"""The context that the methods of one request, or of all requests of a batch, share."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from evmcore._time_limit import TimeLimit
from evmcore.blocks import Header
from evmcore.errors import BlockNotFound
from evmcore.service.allowance import Allowance
from evmcore.service.calls import Calls
from evmcore.service.parse import BlockReference, block_reference
from evmcore.service.rpc_errors import SERVER_ERROR, RpcError
from evmcore.service.source import Pin

if TYPE_CHECKING:
    from evmcore.service.archive import Archive

__all__ = ["Context"]


class Context(Allowance):
    """A request being answered: its service, its pins, and its limits.

    A tag means the same block for as long as the context is open, so all requests of a batch see one state. A context
    manager that closes the pins. For use by one thread at a time.
    """

    def __init__(
        self,
        service: Calls,
        *,
        inline: bool = False,
        seconds: float | None = None,
        whole: TimeLimit | None = None,
    ) -> None:
        super().__init__(service.limits, inline=inline, seconds=seconds, whole=whole)
        self.service = service
        self.answer_header: Header | None = None
        self.unavailable = False  # whether some answer reports that the state is unavailable
        self._pins: dict[int | bytes | str, Pin] = {}
        self._open: ExitStack | None = None

    def __enter__(self) -> Context:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._open is not None:
            self._open.close()

    @property
    def archive(self) -> Archive:
        """The block archive. `RpcError` if the service has none."""
        archive = self.service.source.archive
        if archive is None:
            raise RpcError(
                SERVER_ERROR, "this server keeps no blocks, only the state: start it with --chain to have them served"
            )
        return archive

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
        """The pin for a block parameter of the request. `RpcError`, as geth's, for a wrong parameter."""
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
