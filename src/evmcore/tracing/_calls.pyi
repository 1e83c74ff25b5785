from typing import Any

from evmcore.tracing._hooks import Tracer

class CallTracer(Tracer):
    """Collects the tree of calls in the shape of geth's callTracer."""

    def __init__(self, *, with_logs: bool = False, only_top_call: bool = False) -> None: ...
    @property
    def result(self) -> dict[str, Any] | None: ...
