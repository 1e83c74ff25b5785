from typing import Any, Protocol

from evmcore.tracing._hooks import Tracer

class _TextStream(Protocol):
    def write(self, text: str, /) -> Any: ...

class EIP3155Tracer(Tracer):
    """Writes a JSON line for each instruction and one at the end (EIP-3155) to a text stream, during the run."""

    def __init__(
        self, stream: _TextStream, *, stack: bool = True, memory: bool = False, return_data: bool = False
    ) -> None: ...
    @property
    def stream(self) -> Any: ...

class StructLogTracer(Tracer):
    """Collects the instructions in the shape of geth's struct logger."""

    def __init__(
        self,
        *,
        stack: bool = True,
        memory: bool = False,
        storage: bool = True,
        return_data: bool = False,
        limit: int | None = None,
    ) -> None: ...
    @property
    def result(self) -> dict[str, Any] | None: ...
