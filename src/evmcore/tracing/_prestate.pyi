from typing import Any

from evmcore.tracing._hooks import Tracer

class PrestateTracer(Tracer):
    """Collects the accounts and slots a run accessed, in the shape of geth's prestateTracer."""

    def __init__(
        self, *, diff_mode: bool = False, code: bool = True, storage: bool = True, include_empty: bool = False
    ) -> None: ...
    @property
    def result(self) -> dict[str, Any] | None: ...
