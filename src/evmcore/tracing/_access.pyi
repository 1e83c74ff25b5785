from collections.abc import Iterable

from evmcore.tracing._hooks import Tracer

class AccessListTracer(Tracer):
    """Collects the accounts and slots a run accesses as an EIP-2930 access list, beginning with those in `access_list`.
    Addresses in `warm` get no entry of their own."""

    def __init__(
        self,
        warm: Iterable[bytes | str | int] = (),
        access_list: Iterable[tuple[bytes | str | int, Iterable[int | str | bytes]]] = (),
    ) -> None: ...
    @property
    def access_list(self) -> tuple[tuple[bytes, tuple[int, ...]], ...]: ...
