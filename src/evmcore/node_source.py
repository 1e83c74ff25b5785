"""A node as a follower's source of blocks: polling, and finding where the node's chain branched off."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from evmcore.block_sources import Advance, Rewind
from evmcore.blocks import Block, Header
from evmcore.errors import NodeError, ReorgTooDeep, StateError
from evmcore.headers import MAX_OMMER_DEPTH
from evmcore.state.rpc import Node, checked_block
from evmcore.types import to_hash, to_object, to_uint

# Blocks that are requested together while the head is far behind.
BLOCKS_PER_BATCH: Final = 16


class NodeSource:
    """The canonical chain of a node, by polling `eth_getBlockByNumber`."""

    endless = True

    def __init__(self, node: Node, known_hashes: Callable[[], Mapping[int, bytes]]) -> None:
        """`known_hashes`: number to hash of the blocks before the head, for finding where a branch begins."""
        self.node = node
        self._known_hashes = known_hashes
        self._ahead: deque[Mapping[str, Any]] = deque()
        self._recent: deque[Block] = deque(maxlen=MAX_OMMER_DEPTH + 1)

    def close(self) -> None:
        self.node.close()

    def next(self, head: Header) -> Advance | Rewind | None:
        if not self._ahead or not self._follows(self._ahead[0], head):
            self._fetch(head)
        if not self._ahead:
            return self._compare(head)
        if not self._follows(self._ahead[0], head):
            self._ahead.clear()
            return self._branch(head, head.number - 1)
        block = self._block(self._ahead.popleft())
        # Until the block is published, `next` is called with the same head; the block is then requested again.
        ancestors = self._ancestors(block) if block.header.difficulty else None
        self._recent.append(block)
        return Advance(block, None, ancestors)

    @staticmethod
    def _follows(block: Mapping[str, Any], head: Header) -> bool:
        return to_hash(block.get("parentHash"), "parentHash") == head.hash

    def _fetch(self, head: Header) -> None:
        """The blocks after the head that the node has: the first alone, then many at a time."""
        self._ahead.clear()
        first = self.node.block(head.number + 1, True)
        if first is None:
            return
        self._ahead.append(first)
        if not self._follows(first, head) or self.node.block(head.number + 2) is None:
            return
        numbers = range(head.number + 2, head.number + 1 + BLOCKS_PER_BATCH)
        for found in self.node.batch([("eth_getBlockByNumber", [hex(number), True]) for number in numbers]):
            if found is None or isinstance(found, NodeError):
                return
            block = checked_block(found)
            if to_hash(block["parentHash"], "parentHash") != to_hash(self._ahead[-1]["hash"], "hash"):
                return
            self._ahead.append(block)

    def _compare(self, head: Header) -> Rewind | None:
        """Called if the node has no block after the head: the node is behind, or on a branch that is not longer."""
        newest = self.node.block("latest")
        if newest is None:
            return None
        number = min(to_uint(newest["number"], "number", 64), head.number)
        theirs = newest if number < head.number else self.node.block(number)
        ours = head.hash if number == head.number else self._known_hashes().get(number)
        if theirs is None or ours is None or to_hash(theirs["hash"], "hash") == ours:
            return None
        return self._branch(head, number - 1)

    def _branch(self, head: Header, number: int) -> Rewind | None:
        """Back to the last block, not after `number`, that the node's chain and our chain have in common."""
        known = self._known_hashes()
        while number in known:
            theirs = self.node.block(number)
            if theirs is None:
                return None
            if to_hash(theirs["hash"], "hash") == known[number]:
                return Rewind(known[number])
            number -= 1
        raise ReorgTooDeep(
            f"the node's chain has none of the {head.number - number} blocks up to block {head.number} "
            f"0x{head.hash.hex()} that are known: the state has to be loaded anew"
        )

    def _block(self, found: Mapping[str, Any]) -> Block:
        return Block.from_json(found, self._ommers(found))

    def _ommers(self, found: Mapping[str, Any]) -> Sequence[Header]:
        hashes = found.get("uncles") or []
        if not hashes:
            return ()
        calls = [("eth_getUncleByBlockHashAndIndex", [found["hash"], hex(index)]) for index in range(len(hashes))]
        ommers = []
        for wanted, answer in zip(hashes, self.node.batch(calls), strict=True):
            if isinstance(answer, NodeError):
                raise answer
            ommer = Header.from_json(to_object(answer, "uncle"))
            if ommer.hash != to_hash(wanted, "uncles"):
                raise StateError(f"ommer 0x{ommer.hash.hex()} is not the {wanted} of block {found['number']}")
            ommers.append(ommer)
        return ommers

    def _ancestors(self, block: Block) -> list[Block]:
        """The blocks before a proof-of-work block, as many as its ommers may descend from."""
        family: list[Block] = []
        by_hash = {recent.hash: recent for recent in self._recent}
        parent_hash, number = block.header.parent_hash, block.header.number - 1
        while len(family) <= MAX_OMMER_DEPTH and number >= 0:
            ancestor = by_hash.get(parent_hash)
            if ancestor is None:
                found = self.node.block(parent_hash, True)
                if found is None:
                    raise StateError(f"node {self.node.client.name} has no block 0x{parent_hash.hex()}")
                ancestor = self._block(found)
            family.append(ancestor)
            parent_hash, number = ancestor.header.parent_hash, number - 1
        return family[::-1]
