"""A source that has its state from one place and its blocks from another."""

from __future__ import annotations

from evmcore.blocks import Header
from evmcore.errors import ConfigError
from evmcore.forks import ChainConfig
from evmcore.service.archive import Archive
from evmcore.service.source import BlockId, Pin, Source, SourceStatus

__all__ = ["ArchivedSource"]


class ArchivedSource:
    """The state of one source with the blocks, receipts and proofs of another source's archive; closes both.

    Head and pins are those of `state`. The archive may not have their blocks yet; a request for such a block gets an
    error that says so.
    """

    def __init__(self, state: Source, blocks: Source) -> None:
        archive = blocks.archive
        if archive is None or state.chain.chain_id != blocks.chain.chain_id:
            raise ConfigError(
                f"the state is of chain {state.chain.chain_id}, the blocks are of chain {blocks.chain.chain_id}"
            )
        self._state = state
        self._blocks = blocks
        self._archive = archive

    @property
    def chain(self) -> ChainConfig:
        """The chain's id and forks."""
        return self._state.chain

    @property
    def archive(self) -> Archive:
        """The blocks, receipts and proofs."""
        return self._archive

    def head(self) -> Header:
        """The head of the state."""
        return self._state.head()

    def pin(self, block: BlockId = "latest") -> Pin:
        """A block with its state."""
        return self._state.pin(block)

    def status(self) -> SourceStatus:
        """The status of the state."""
        return self._state.status()

    def close(self) -> None:
        """Closes both sources."""
        self._state.close()
        self._blocks.close()
