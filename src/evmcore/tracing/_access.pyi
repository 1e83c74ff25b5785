from collections.abc import Iterable

from evmcore.tracing._hooks import Tracer

class AccessListTracer(Tracer):
    """Collects what a run touches as an EIP-2930 access list; addresses in `warm` need no entry of their own."""

    def __init__(self, warm: Iterable[bytes | str | int] = ()) -> None: ...
    @property
    def access_list(self) -> tuple[tuple[bytes, tuple[int, ...]], ...]: ...
