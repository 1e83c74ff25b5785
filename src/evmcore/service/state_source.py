"""A source with one fixed state: for calls on a state that a program has at hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from evmcore.blocks import Header
from evmcore.errors import BlockNotFound
from evmcore.forks import ChainConfig, Fork, chain_of
from evmcore.service.source import BlockId, CallHint, SourceStatus, WouldBlock
from evmcore.state import Backend, MemoryState, as_backend

__all__ = ["StateSource"]

T = TypeVar("T")


class StateSource:
    """Any state that `EVM` takes, as the latest and only block of a chain.

    `header` is the header of that block; by default it is an empty block 0. Calls that start after the state was
    changed see the changes. The source is its own pin.
    """

    def __init__(self, state: Any, chain: ChainConfig | Fork | str = "osaka", header: Header | None = None) -> None:
        self.chain: ChainConfig = chain_of(chain)
        self.archive = None
        self.header = Header(base_fee_per_gas=0) if header is None else header
        self.block_hash: bytes = self.header.hash
        self._backend: Backend = as_backend(state)

    def head(self) -> Header:
        """The header of the one block."""
        return self.header

    def pin(self, block: BlockId = "latest") -> StateSource:
        """The only block, by any tag, its number or its hash. `BlockNotFound` for others."""
        if not isinstance(block, (int, bytes)) or block in (self.header.number, self.block_hash):
            return self
        raise BlockNotFound(f"there is only block {self.header.number}")

    def block_hashes(self) -> Mapping[int, bytes]:
        """Empty: BLOCKHASH asks the state."""
        return {}

    def run(
        self, work: Callable[[Backend], T], hint: CallHint | Sequence[CallHint] | None = None, *, wait: bool = True
    ) -> T:
        """The result of `work` on the state. `WouldBlock` if `work` may not wait and the state is not in memory: a
        state written in Python may ask a database or a network."""
        if not wait and not isinstance(self._backend, MemoryState):
            raise WouldBlock("the state may have to be waited for")
        return work(self._backend)

    def status(self) -> SourceStatus:
        """Always ready."""
        return SourceStatus(ready=True)

    def close(self) -> None:
        """Does nothing: the source holds no resources."""

    def __enter__(self) -> StateSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        return None
