"""Keeps the state in Redis at the head of a chain: takes blocks, determines their changes, and publishes them."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from evmcore._diff import StateDiff
from evmcore.block_sources import Advance, BlockSource, BlocksWithState, Rewind
from evmcore.blocks import Header
from evmcore.errors import BlockNotFound, StateError, StateUnavailable
from evmcore.execution import execute_block
from evmcore.forks import ChainConfig, Fork
from evmcore.headers import BLOCK_HASH_WINDOW, check_header, check_ommers
from evmcore.state.backoff import Backoff
from evmcore.state.layout import Head
from evmcore.state.memory import MemoryState
from evmcore.state.publisher import Publisher
from evmcore.state.redis import RedisPin, RedisState
from evmcore.state.stored import load_memory
from evmcore.threads import Threads

log = logging.getLogger(__name__)

# Seconds between attempts while a server does not answer: the first pause, and the longest.
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0


class Changer(Protocol):
    """Determines the changes of a block."""

    def changes(self, step: Advance, parent: Header, block_hashes: Mapping[int, bytes]) -> StateDiff:
        """The diff of a block on the state after `parent`. If it raises, nothing has changed."""

    def published(self, header: Header, diff: StateDiff) -> None:
        """Called when the diff is in Redis."""

    def rewound(self, head: Head) -> None:
        """Called when Redis is back at an earlier block."""

    def close(self) -> None:
        """Releases all resources."""


class ExecutingChanger:
    """Executes blocks on a copy of the state in this process's memory, and checks them as a node does.

    Header rules, ommers, body, receipts and gas are always checked. The state root is checked on request; this takes a
    trie of the whole state in memory. Proof-of-work seals are not checked.
    """

    def __init__(
        self,
        publisher: Publisher,
        chain: ChainConfig,
        *,
        threads: Threads = None,
        check_state_root: bool = True,
    ) -> None:
        """Reads the whole state from Redis. Raises `StateError` if the state in Redis is not complete."""
        self.publisher = publisher
        self.chain = chain
        self.threads = threads
        self.check_state_root = check_state_root
        # Block hash -> hash of the parent and diff, of the blocks this process executed: undone without reading all
        # again.
        self._diffs: OrderedDict[bytes, tuple[bytes, StateDiff]] = OrderedDict()
        self._pending: tuple[Header, StateDiff] | None = None
        if not publisher.complete():
            raise StateError(
                "the state holds some accounts only, which is not enough to execute blocks: follow a node by --diffs"
            )
        self._read()

    def _read(self) -> None:
        self.state: MemoryState
        self.state, head = load_memory(self.publisher.session.client, self.publisher.keys.chain_id)
        self._at = head.hash
        self._diffs.clear()
        if self.check_state_root and self.state.state_root() != head.header.state_root:
            raise StateError(
                f"the state in Redis has the root 0x{self.state.state_root().hex()}, its head, block {head.number}, "
                f"has 0x{head.header.state_root.hex()}: load it anew"
            )

    def changes(self, step: Advance, parent: Header, block_hashes: Mapping[int, bytes]) -> StateDiff:
        if self._pending is not None and self._pending[0].hash == parent.hash:
            # The diff was published, although the reply got lost.
            self.published(*self._pending)
        if self._at != parent.hash:
            self._read()
        diff = execute_block(
            step.block,
            self.state,
            self.chain,
            fork=checked_fork(step, parent, self.chain),
            block_hashes=block_hashes,
            threads=self.threads,
            check_state_root=self.check_state_root,
        ).diff
        self._pending = (step.block.header, diff)
        return diff

    def published(self, header: Header, diff: StateDiff) -> None:
        self._pending = None
        if self._at != header.parent_hash:
            return
        self.state.apply(diff)
        self._at = header.hash
        self._diffs[header.hash] = (header.parent_hash, diff)
        while len(self._diffs) > self.publisher.ring:
            self._diffs.popitem(last=False)

    def rewound(self, head: Head) -> None:
        self._pending = None
        while self._at != head.hash and self._at in self._diffs:
            # A block before those this process executed: the state is read again when it is needed.
            parent, diff = self._diffs.pop(self._at)
            self.state.undo(diff)
            self._at = parent

    def close(self) -> None:
        """There is nothing to release."""


def checked_fork(step: Advance, parent: Header, chain: ChainConfig) -> Fork:
    """The fork of a block; checks header and ommers. Raises `InvalidBlock`."""
    block = step.block
    header = block.header
    if step.parent_difficulty is not None:
        fork = chain.fork_at(header.number, header.timestamp, step.parent_difficulty)
    else:
        fork = chain.fork_of(header.number, header.timestamp, header.difficulty)
    check_header(header, parent, chain, fork)
    if fork < Fork.PARIS and step.ancestors is not None:
        check_ommers(block, step.ancestors, chain)
    return fork


class RemoteChanger:
    """Executes blocks on the state in Redis itself, read through a cache: for states that do not fit into memory.

    Values that a block reads and the cache lacks are fetched during the execution. Header rules, ommers, body, receipts
    and gas are checked; the state root is not, because that would need the whole state.
    """

    def __init__(self, publisher: Publisher, state: RedisState, chain: ChainConfig, *, threads: Threads = None) -> None:
        """`state`: of the publisher's chain; closed with this changer. Raises `StateError` if it is not complete."""
        self.state = state
        self.chain = chain
        self.threads = threads
        self.timeout = publisher.timeout
        if not publisher.complete():
            raise StateError(
                "the state holds some accounts only, which is not enough to execute blocks: follow a node by --diffs"
            )

    def changes(self, step: Advance, parent: Header, block_hashes: Mapping[int, bytes]) -> StateDiff:
        fork = checked_fork(step, parent, self.chain)
        with self._pin(parent) as pin:
            return execute_block(
                step.block,
                pin.backend,
                self.chain,
                fork=fork,
                block_hashes=block_hashes,
                threads=self.threads,
                check_state_root=False,
            ).diff

    def _pin(self, block: Header) -> RedisPin:
        """The state after a published block; a block that was just published may take a moment to arrive."""
        deadline = time.monotonic() + self.timeout
        block_hash = block.hash
        while True:
            try:
                return self.state.pin(block_hash)
            except (BlockNotFound, StateUnavailable) as error:
                if time.monotonic() > deadline:
                    raise StateUnavailable(f"block {block.number} does not come back by the feed: {error}") from error
            time.sleep(0.0005)

    def published(self, header: Header, diff: StateDiff) -> None:
        """Nothing to do: the changes come by the feed."""

    def rewound(self, head: Head) -> None:
        """Nothing to do: the changes come by the feed."""

    def close(self) -> None:
        self.state.close()


class StatefulChanger:
    """Executes blocks on the state that they carry (see `BlocksWithState`)."""

    def __init__(self, source: BlocksWithState, *, threads: Threads = None) -> None:
        self.source = source
        self.threads = threads

    def changes(self, step: Advance, parent: Header, block_hashes: Mapping[int, bytes]) -> StateDiff:
        current = self.source.current
        assert current is not None and current.block is step.block
        hashes = {**block_hashes, **current.block_hashes}
        state = MemoryState(current.alloc)
        return execute_block(
            step.block, state, current.chain, parent=parent, block_hashes=hashes, threads=self.threads
        ).diff

    def published(self, header: Header, diff: StateDiff) -> None:
        """Nothing is kept from block to block."""

    def rewound(self, head: Head) -> None:
        """Nothing is kept from block to block."""

    def close(self) -> None:
        """There is nothing to release."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The result of one step. `changes`: number of accounts and slots that the block changed; times in seconds."""

    head: Head
    reverted: bool
    transactions: int = 0
    changes: int = 0
    working: float = 0.0
    publishing: float = 0.0


class Follower:
    """Follows the blocks of a source one by one, to the end or until stopped."""

    def __init__(
        self,
        publisher: Publisher,
        source: BlockSource,
        changer: Changer,
        *,
        poll: float = 1.0,
        report: Callable[[Progress], None] | None = None,
    ) -> None:
        """`poll`: seconds between requests to a source that has no block at present."""
        self.publisher = publisher
        self.source = source
        self.changer = changer
        self.poll = poll
        self.report = report
        self._hashes: dict[int, bytes] | None = None

    def run(self, stop: threading.Event | None = None, last: int | None = None) -> Head:
        """Follows until the source ends, `stop` is set, or block `last` is the head; returns the head.

        Stops only between blocks. While a server does not answer, it is tried again until `stop` is set. All other
        errors are raised: an invalid block (`InvalidBlock`), another writer in office (`WriterFenced`), a state that is
        not the one a block starts from, a branch that begins before the feed (`ReorgTooDeep`).
        """
        stop = threading.Event() if stop is None else stop
        backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        head: Head | None = None
        while True:
            try:
                if head is None:
                    head = self._head()
                if stop.is_set() or (last is not None and head.number >= last):
                    return head
                moved = self.step(head)
                backoff.reset()
            except StateUnavailable as error:
                log.warning("%s", error)
                if stop.wait(backoff.pause()):
                    raise
                head = self._hashes = None
                continue
            if moved is not None:
                head = moved
            elif not self.source.endless:
                return head
            else:
                stop.wait(self.poll)

    def _head(self) -> Head:
        head = self.publisher.head()
        if head is None:
            raise StateError("no state is loaded: load one first")
        return head

    def step(self, head: Head) -> Head | None:
        """One block forward, or back to where the chain branches off; None if there is nothing to do."""
        step = self.source.next(head.header)
        if step is None:
            return None
        if self._hashes is None:
            self._hashes = self.publisher.block_hashes()
        start = time.perf_counter()
        if isinstance(step, Rewind):
            new = self.publisher.revert_to(step.to)
            self.changer.rewound(new)
            self._hashes = None
            progress = Progress(new, True, publishing=time.perf_counter() - start)
        else:
            header = step.block.header
            window = {
                number: value
                for number, value in self._hashes.items()
                if header.number - BLOCK_HASH_WINDOW <= number < header.number
            }
            diff = self.changer.changes(step, head.header, window)
            middle = time.perf_counter()
            new = self.publisher.publish(header, diff)
            self.changer.published(header, diff)
            self._hashes[header.number] = header.hash
            self._hashes.pop(header.number - BLOCK_HASH_WINDOW, None)
            progress = Progress(
                new, False, len(step.block.transactions), len(diff), middle - start, time.perf_counter() - middle
            )
        if self.report is not None:
            self.report(progress)
        return new
