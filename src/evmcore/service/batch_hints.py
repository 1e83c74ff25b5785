"""Fetches the state that the calls of a batch are going to read, in one go, before the first call runs."""

from __future__ import annotations

from typing import Any, Final

from evmcore.errors import EvmcoreError
from evmcore.service.calls import hint_of
from evmcore.service.context import Context
from evmcore.service.memory_source import MemorySource
from evmcore.service.parse import call_object
from evmcore.service.source import CallHint, WouldBlock

__all__ = ["prefetch"]

HINTED: Final = frozenset({"eth_call", "eth_estimateGas", "eth_createAccessList"})


def prefetch(requests: list[Any], context: Context) -> None:
    """Lets the source fetch together what the calls of a batch on the latest block are known to read.

    A failure here is harmless: each call then fetches the values it needs, and reports the error. `WouldBlock` if the
    context may not wait.
    """
    if isinstance(context.service.source, MemorySource):  # nothing to fetch
        return
    hints = [hint for hint in map(_hint_of, requests) if hint is not None]
    if len(hints) > 1:
        try:
            context.pin().run(lambda backend: None, hints, wait=not context.inline)
        except WouldBlock:
            if context.inline:
                raise
        except EvmcoreError:
            pass


def _hint_of(request: Any) -> CallHint | None:
    """The hint for a request of a batch, if it is a well-formed call on the latest block."""
    if not isinstance(request, dict) or request.get("method") not in HINTED:
        return None
    params = request.get("params")
    if not isinstance(params, list) or not params or (len(params) > 1 and params[1] not in (None, "latest", "pending")):
        return None
    try:
        call = call_object(params[0])
    except EvmcoreError:
        return None
    return hint_of(call)
