from collections.abc import Iterable

from evmcore.tracing._hooks import Tracer

class AccessListTracer(Tracer):
    """Collects what a run touches as an EIP-2930 access list; addresses in `warm` need no entry of their own. What is
    in `access_list` is in it from the start."""

    def __init__(
        self,
        warm: Iterable[bytes | str | int] = (),
        access_list: Iterable[tuple[bytes | str | int, Iterable[int | str | bytes]]] = (),
    ) -> None: ...
    @property
    def access_list(self) -> tuple[tuple[bytes, tuple[int, ...]], ...]: ...
