"""A fast path for the most common request: eth_call with an address and data, optionally a sender, at the latest block.
All other requests, and all errors, take the general path, which gives the same answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from evmcore._results import CallResult
from evmcore.errors import EvmcoreError, ExecutionAborted
from evmcore.service.allowance import INLINE_SECONDS
from evmcore.service.parse import plain_bytes
from evmcore.service.source import CallHint, WouldBlock
from evmcore.state import Backend

if TYPE_CHECKING:
    from evmcore.service.calls import Calls
    from evmcore.service.source import Pin

__all__ = ["PlainCall", "plain_call"]

NOBODY: Final = bytes(20)


class PlainCall:
    """A call with only a contract, data and optionally a sender."""

    __slots__ = ("data", "identity", "sender", "to")

    def __init__(self, identity: int | str, to: bytes, data: bytes, sender: bytes) -> None:
        self.identity, self.to, self.data, self.sender = identity, to, data, sender

    def run(self, service: Calls, pin: Pin) -> CallResult | None:
        """The result of the call; None if the general path has to report an error.

        Raises `WouldBlock` for a call that takes more than a few milliseconds.
        """
        to, data, sender = self.to, self.data, self.sender
        limits, engines = service.limits, service.engines
        gas, timeout = limits.gas, min(limits.timeout, INLINE_SECONDS)

        def work(backend: Backend) -> CallResult:
            return engines.evm(pin, backend, True).call(to, data, sender=sender, gas=gas, timeout=timeout)

        try:
            return pin.run(work, CallHint(to, data, sender), wait=False)
        except WouldBlock:
            raise
        except ExecutionAborted:
            raise WouldBlock("the call takes longer") from None
        except EvmcoreError:
            return None


def plain_call(request: Any) -> PlainCall | None:
    """The call of a parsed request, if it is a plain one."""
    if type(request) is not dict or request.get("method") != "eth_call" or request.get("jsonrpc") != "2.0":
        return None
    identity, parameters = request.get("id"), request.get("params")
    if (type(identity) is not int and type(identity) is not str) or type(parameters) is not list:
        return None
    count = len(parameters)
    if count == 0 or count > 2 or (count == 2 and parameters[1] != "latest"):
        return None
    fields = parameters[0]
    if type(fields) is not dict:
        return None
    to = plain_bytes(fields.get("to"))
    data = plain_bytes(fields.get("data") or fields.get("input"))
    if to is None or data is None or len(to) != 20:
        return None
    if len(fields) == 2:
        return PlainCall(identity, to, data, NOBODY)
    sender = plain_bytes(fields.get("from"))
    if sender is None or len(sender) != 20 or len(fields) != 3:
        return None
    return PlainCall(identity, to, data, sender)
