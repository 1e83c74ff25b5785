from collections.abc import Iterable

from evmcore.tracing._hooks import Tracer

class MuxTracer(Tracer):
    """Hands everything to several tracers, in their order; take the results from them."""

    def __init__(self, tracers: Iterable[Tracer]) -> None: ...
    @property
    def tracers(self) -> tuple[Tracer, ...]: ...
