"""A source that keeps its chain and state in this process: `serve --genesis` and `serve --chain`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from evmcore._block_result import BlockResult
from evmcore._diff import StateDiff
from evmcore.blocks import Block, Header
from evmcore.chain import BlockChain
from evmcore.errors import BlockNotFound, StateNotAvailable
from evmcore.forks import ChainConfig
from evmcore.headers import BLOCK_HASH_WINDOW
from evmcore.service.archive import ArchivedBlock, ChainArchive
from evmcore.service.history import DiffHistory
from evmcore.service.source import BlockId, CallHint, SourceStatus, WouldBlock
from evmcore.state import Backend, MemoryState
from evmcore.state._view import DiffView

__all__ = ["MemoryPin", "MemorySource"]

T = TypeVar("T")

TRIES = 3  # of running work beside an import, before the import has to wait
KEPT_VIEWS = 256  # of earlier blocks
KEPT_STATES = 2  # complete copies, for proofs at earlier blocks


class MemoryPin:
    """A block of a `MemorySource`."""

    def __init__(self, source: MemorySource, block: ArchivedBlock) -> None:
        self._source = source
        self.block = block
        self.header: Header = block.header
        self.block_hash: bytes = block.hash

    def block_hashes(self) -> Mapping[int, bytes]:
        """Number to hash of the block and of up to 256 blocks before it."""
        return self._source.block_hashes(self.block)

    def run(
        self, work: Callable[[Backend], T], hint: CallHint | Sequence[CallHint] | None = None, *, wait: bool = True
    ) -> T:
        """The result of `work` on the state after the block; `hint` is ignored."""
        return self._source.run(self.block, work, wait)

    def close(self) -> None:
        """Does nothing: a pin holds no resources."""

    def __enter__(self) -> MemoryPin:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        return None


class MemorySource:
    """A chain with all its states, from a geth-style genesis file on.

    `history`: number of blocks before the head whose state can be read; None for all. Blocks may be imported while
    calls run. Safe for use from several threads.
    """

    def __init__(self, chain: BlockChain, history: int | None = None) -> None:
        """`chain` belongs to the source from now on."""
        self._chain = chain
        self._history = history
        self._lock = threading.RLock()
        self._state = chain.state
        self._version = 0  # odd while an import changes the state
        blocks = list(chain.blocks_back())[::-1]
        self._archive = MemoryArchive(self, chain.config, blocks[0])
        self._diffs = DiffHistory()
        self._views: dict[bytes, Backend] = {}
        for block in blocks[1:]:
            result = chain.result(block.hash)
            assert result is not None
            self._append(self._archive.add(block, result))
        self._head_pin = MemoryPin(self, self._archive.head)

    @classmethod
    def from_genesis(cls, genesis: Mapping[str, Any], history: int | None = None) -> MemorySource:
        """A source with only a genesis block. Raises `ConfigError`, naming the field."""
        return cls(BlockChain.from_genesis(genesis), history)

    # ---- the contract

    @property
    def chain(self) -> ChainConfig:
        """The chain's id and forks."""
        return self._chain.config

    @property
    def archive(self) -> MemoryArchive:
        """The archive of the chain's blocks."""
        return self._archive

    def head(self) -> Header:
        """The header of the last block."""
        return self._archive.head.header

    def pin(self, block: BlockId = "latest") -> MemoryPin:
        """A block by number, hash or tag. The head is also the safe and finalized block: this chain has no other
        notion."""
        if block is None or block in ("latest", "pending", "safe", "finalized"):
            return self._head_pin
        archive = self._archive
        if isinstance(block, bytes):
            found = archive.block_by_hash(block)
            if found is None:
                raise BlockNotFound(f"block 0x{block.hex()} is not known")
        elif isinstance(block, int):
            found = archive.block(block)
            if found is None:
                raise BlockNotFound(f"block {block} is not there: the head is block {archive.head.header.number}")
        elif block == "earliest":
            found = archive.blocks[0]
        else:
            raise BlockNotFound(f"{block!r} is not a tag; tags are latest, pending, safe, finalized and earliest")
        if self._history is not None and found.header.number < archive.head.header.number - self._history:
            raise StateNotAvailable(
                f"the state after block {found.header.number} is not kept: it is {self._history} blocks "
                f"before the head, {archive.head.header.number}, or more"
            )
        return MemoryPin(self, found)

    def status(self) -> SourceStatus:
        """Always ready."""
        return SourceStatus(ready=True, gauges={"state_bytes": float(self._state.__sizeof__())})

    def close(self) -> None:
        """Does nothing: the source holds no resources."""

    # ---- import

    def import_block(self, block: Block) -> BlockResult:
        """Checks, executes and adds a block (`BlockChain.import_block`). Calls that run meanwhile are run again."""
        with self._lock:
            self._version += 1
            try:
                result = self._chain.import_block(block)
                self._archive.add(block, result)
                self._follow_head()
            finally:
                self._state = self._chain.state  # the import may have left it at a side chain's block
                self._views.clear()
                self._version += 1
        return result

    def import_blocks(self, blocks: Iterable[Block]) -> int:
        """Imports blocks in order and returns their number; skips the genesis block, with which chain files may
        begin."""
        count = 0
        genesis = self._archive.blocks[0].hash
        for block in blocks:
            if block.hash != genesis:
                self.import_block(block)
                count += 1
        return count

    def _follow_head(self) -> None:
        """Makes the archive's canonical chain end in the chain's head."""
        archive, branch = self._archive, []
        for block in self._chain.blocks_back():
            known = archive.block(block.header.number)
            if known is not None and known.hash == block.hash:
                break
            branch.append(block)
        keep = len(archive.blocks) if not branch else branch[-1].header.number - archive.blocks[0].header.number
        archive.truncate(keep)
        self._diffs.truncate(keep - 1)
        for block in reversed(branch):
            found = archive.block_by_hash(block.hash)
            assert found is not None
            self._append(found)
        self._head_pin = MemoryPin(self, archive.head)

    def _append(self, block: ArchivedBlock) -> None:
        assert block.result is not None
        self._diffs.append(block.result.diff)
        self._archive.append(block)

    # ---- state at a block

    def run(self, block: ArchivedBlock, work: Callable[[Backend], T], wait: bool) -> T:
        """Runs `work` on the state after a block, again if an import came in between."""
        for _ in range(TRIES):
            version = self._version
            if version & 1:
                break
            try:
                result = work(self._backend(block, version))
            except BaseException:
                if version == self._version:
                    raise
            else:
                if version == self._version:
                    return result
        if not wait:
            raise WouldBlock("a block is being imported")
        with self._lock:
            return work(self._backend(block, self._version))

    def _backend(self, block: ArchivedBlock, version: int) -> Backend:
        if block is self._archive.head:
            return self._state
        view = self._views.get(block.hash)
        if view is None:
            with self._lock:
                view = self._views.get(block.hash)
                if view is None:
                    view = DiffView(self._state, self._difference(block))
                    if version == self._version:
                        while len(self._views) >= KEPT_VIEWS:
                            self._views.pop(next(iter(self._views)))
                        self._views[block.hash] = view
        return view

    def _difference(self, block: ArchivedBlock) -> StateDiff:
        """The diff from the state after the head to the one after `block`."""
        branch: list[StateDiff] = []
        at = block
        while self._archive.block(at.header.number) is not at:
            assert at.result is not None  # the genesis block is always canonical
            branch.append(at.result.diff)
            parent = self._archive.block_by_hash(at.header.parent_hash)
            assert parent is not None
            at = parent
        depth = at.header.number - self._archive.blocks[0].header.number
        difference = self._diffs.join(depth, len(self._diffs)).invert()
        for diff in reversed(branch):
            difference = difference.compose(diff)
        return difference

    def block_hashes(self, block: ArchivedBlock) -> dict[int, bytes]:
        """Number to hash of a block and of the blocks before it that BLOCKHASH can reach from the next block."""
        hashes: dict[int, bytes] = {}
        archive = self._archive
        at: ArchivedBlock | None = block
        while at is not None and len(hashes) < BLOCK_HASH_WINDOW:
            hashes[at.header.number] = at.hash
            at = archive.block_by_hash(at.header.parent_hash)
        return hashes

    def copy_state(self, block: ArchivedBlock) -> MemoryState:
        """A complete, independent state as it was after a block."""
        with self._lock:
            copied = self._state.copy()
            copied.apply(self._difference(block))
        return copied


class MemoryArchive(ChainArchive):
    """The archive of a `MemorySource`, which can compute proofs from its states."""

    def __init__(self, source: MemorySource, config: ChainConfig, genesis: Block) -> None:
        super().__init__(config, genesis)
        self._source = source
        self._states: dict[bytes, MemoryState] = {}
        self._lock = threading.Lock()

    def state_root(self, block: ArchivedBlock, diff: StateDiff) -> bytes:
        """The root that the state after a block would have with a diff applied to it."""

        def work(backend: Any) -> bytes:
            root: bytes = backend.state_root(diff)
            return root

        return self._source.run(block, work, True)

    def proof(self, block: ArchivedBlock, address: bytes, slots: Sequence[int]) -> dict[str, Any]:
        """The answer of eth_getProof, computed from the complete state."""
        with self._lock:
            state = self._states.get(block.hash)
            if state is None:
                state = self._source.copy_state(block)
                while len(self._states) >= KEPT_STATES:
                    self._states.pop(next(iter(self._states)))
                self._states[block.hash] = state
        return state.proof(address, slots)
