from collections.abc import Iterable

from evmcore.tracing._hooks import Tracer

class MuxTracer(Tracer):
    """Passes every event to several tracers, in their order; each of them has its own result."""

    def __init__(self, tracers: Iterable[Tracer]) -> None: ...
    @property
    def tracers(self) -> tuple[Tracer, ...]: ...
