"""What the calls of a batch are going to read, fetched together before the first of them runs."""

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
    """Has what the calls of a batch on the latest block are known to read fetched together.

    Nothing is lost when that fails: each call fetches what it needs, and says what is wrong. `WouldBlock` where the
    context may not wait for it.
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
    """What a request of a batch is going to call on the latest block, if it is well formed and does so."""
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
