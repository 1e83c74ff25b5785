"""Sources of blocks for a follower: a chain file, or blocks that carry the state they read."""

from __future__ import annotations

import mmap
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from evmcore import rlp
from evmcore._hash import keccak256
from evmcore.blocks import Block, Header
from evmcore.errors import BlockReason, EvmcoreError, InputError, InvalidBlock, ReorgTooDeep, RlpError, WrongParent
from evmcore.forks import ChainConfig
from evmcore.headers import MAX_OMMER_DEPTH
from evmcore.types import Account


class Advance(NamedTuple):
    """The next block on the head.

    `parent_difficulty`: total difficulty of its parent, or None if unknown. `ancestors`: the preceding blocks with
    their bodies, oldest first, as many as the ommer rules need; None if unknown.
    """

    block: Block
    parent_difficulty: int | None = None
    ancestors: Sequence[Block] | None = None


class Rewind(NamedTuple):
    """The chain continues from an earlier block; the blocks after that block have to be reverted."""

    to: bytes


class BlockSource(Protocol):
    """Supplies the next step for a follower."""

    # Whether the source may have more blocks later when it has none now.
    endless: bool

    def next(self, head: Header) -> Advance | Rewind | None:
        """The step to take when the state is the one after `head`; None: no step at present."""

    def close(self) -> None:
        """Releases files and connections."""


@dataclass(frozen=True, slots=True)
class _Place:
    """The place of a block in a chain file."""

    index: int
    start: int
    end: int
    hash: bytes
    parent: bytes
    number: int
    difficulty: int
    # Sum of the difficulties from the first block to this one; the first block's parent counts 0.
    weight: int


class ChainFile:
    """Blocks in RLP, one after the other, as `geth export` writes them; the genesis may be the first.

    Side chains may be among them, each block after its parent. The head is the block with the highest total
    difficulty; after the merge it is the last block. If the head of the state is not in the file, the state goes back
    to the latest block that is, and follows the file from there; if the file has no block after that one, the state
    stays as it is.
    """

    endless = False

    def __init__(self, path: Path, base: Header | None = None) -> None:
        """`base`: the header of the genesis, if known. Total difficulties are known only for a file that begins there.

        `ancestors`, to be set if the state can go back: number and hash of the blocks before its head to which it can
        go back, latest first.

        Raises `InputError` if the file cannot be read or begins with another genesis, `InvalidBlock` if it does not
        consist of blocks.
        """
        self.path = path
        self.ancestors: Callable[[], Iterable[tuple[int, bytes]]] = tuple
        try:
            with path.open("rb") as file:
                size = file.seek(0, 2)
                self._data: Any = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from error
        self._places: list[_Place] = []
        self._by_hash: dict[bytes, _Place] = {}
        self._decoded: OrderedDict[int, Block] = OrderedDict()
        self._at: int | None = None
        self._target: _Place | None = None
        for place in self._scan():
            self._places.append(place)
            self._by_hash[place.hash] = place
        self._root = self._places[0].parent if self._places else b""
        self._base_difficulty = None if base is None else self._difficulty_before(base)

    def close(self) -> None:
        if isinstance(self._data, mmap.mmap):
            self._data.close()
        self._data = b""

    def _difficulty_before(self, base: Header) -> int | None:
        """The total difficulty before the first block; None if unknown."""
        if not self._places or self._places[0].number > base.number + 1:
            return None
        first = self._places[0]
        if first.hash == base.hash:
            return 0
        if first.parent != base.hash:
            raise InputError(
                f"{self.path}: begins with block {first.number} 0x{first.hash.hex()} on 0x{first.parent.hex()}: not "
                f"the chain of the genesis 0x{base.hash.hex()}"
            )
        return base.difficulty

    def _scan(self) -> Iterator[_Place]:
        position = 0
        weights: dict[bytes, int] = {}
        while position < len(self._data):
            index = len(self._places)
            try:
                _, start, end = rlp.read_prefix(self._data, position, len(self._data))
                header_end = rlp.read_prefix(self._data, start, end)[2]
                header = self._data[start:header_end]
                items = rlp.decode_list(rlp.decode(header), "header")
                if len(items) < 9:
                    raise RlpError(f"RLP: header: {len(items)} fields")
                parent = rlp.decode_fixed(items[0], "parent_hash", 32)
                difficulty, number = rlp.decode_uint(items[7], "difficulty"), rlp.decode_uint(items[8], "number", 64)
            except RlpError as error:
                raise InvalidBlock(
                    BlockReason.RLP_STRUCTURES_ENCODING, f"{self.path}: block at byte {position}: {error}"
                ) from error
            if index and parent not in weights:
                raise InvalidBlock(
                    BlockReason.UNKNOWN_PARENT,
                    f"{self.path}: block {number} at byte {position}: its parent 0x{parent.hex()} is not before it",
                )
            weight = weights.setdefault(parent, 0) + difficulty
            block_hash = keccak256(header)
            weights[block_hash] = weight
            yield _Place(index, position, end, block_hash, parent, number, difficulty, weight)
            position = end

    def _block(self, place: _Place) -> Block:
        block = self._decoded.get(place.index)
        if block is None:
            block = Block.decode(self._data[place.start : place.end])
            self._decoded[place.index] = block
            if len(self._decoded) > 64:
                self._decoded.popitem(last=False)
        return block

    def _after(self, block_hash: bytes) -> int | None:
        """The position of the first block after `block_hash`, which is a block of the file or the parent of its first
        block; None: neither."""
        place = self._by_hash.get(block_hash)
        if place is not None:
            return place.index + 1
        return 0 if block_hash == self._root or not self._places else None

    def _back(self, head: Header) -> Rewind | None:
        """Back to the latest block before the head that is in the file, if the file continues from there."""
        oldest = (head.number, head.hash)
        for oldest in self.ancestors():
            after = self._after(oldest[1])
            if after is not None:
                goes_on = any(self._is_next(place, oldest[1]) for place in self._places[after:])
                return Rewind(oldest[1]) if goes_on else None
        raise self._unrelated(head, *oldest)

    def _unrelated(self, head: Header, oldest: int, oldest_hash: bytes) -> EvmcoreError:
        """The error for a file that has none of the blocks from the head back to the `oldest`."""
        first, last = self._places[0].number, max(place.number for place in self._places)
        if first > head.number + 1:
            return InputError(
                f"{self.path}: begins with block {first} on 0x{self._root.hex()}, the state is at block {head.number} "
                f"0x{head.hash.hex()}: {_blocks(head.number + 1, first - 1)} missing"
            )
        apart = (
            f"{self.path}: has the blocks {first} to {last} on 0x{self._root.hex()}, and none of those from block "
            f"{head.number} 0x{head.hash.hex()}, where the state is, to block {oldest} 0x{oldest_hash.hex()}, "
            f"to which it can go back: "
        )
        if last < oldest:
            return InputError(f"{apart}{_blocks(last + 1, oldest)} missing")
        if oldest < first - 1:
            return InputError(f"{apart}{_blocks(oldest + 1, first - 1)} missing")
        return ReorgTooDeep(f"{apart}the state has to be loaded anew")

    def next(self, head: Header) -> Advance | Rewind | None:
        after = self._after(head.hash)
        if after is None:
            return self._back(head)
        if self._at is None:
            self._at = after
        while True:
            if self._target is not None and self._target.hash == head.hash:
                self._target = None
            if self._target is not None:
                return self._towards(self._target, head)
            if self._at == len(self._places):
                return None
            place = self._places[self._at]
            self._at += 1
            if self._is_next(place, head.hash):
                self._target = place

    def _is_next(self, place: _Place, head: bytes) -> bool:
        """Whether a later block of the file becomes the head."""
        if place.hash == head:
            return False
        if place.difficulty == 0 or place.parent == head:
            return True
        at = self._by_hash.get(head)
        return place.weight > (0 if at is None else at.weight)

    def _towards(self, target: _Place, head: Header) -> Advance | Rewind:
        """The first step from the head to a block."""
        if target.parent == head.hash:
            return self._advance(target)
        ours = {place.hash for place in self._ancestry(head.hash)} | {self._root}
        step = target
        while step.parent not in ours:
            step = self._by_hash[step.parent]
        if step.parent != head.hash:
            return Rewind(step.parent)
        return self._advance(step)

    def _ancestry(self, block_hash: bytes) -> Iterator[_Place]:
        place = self._by_hash.get(block_hash)
        while place is not None:
            yield place
            place = self._by_hash.get(place.parent)

    def _advance(self, place: _Place) -> Advance:
        block = self._block(place)
        family = [self._block(ancestor) for ancestor in islice(self._ancestry(place.parent), MAX_OMMER_DEPTH + 1)]
        difficulty = None
        if self._base_difficulty is not None:
            difficulty = self._base_difficulty + place.weight - place.difficulty
        return Advance(block, difficulty, family[::-1])


def _blocks(first: int, last: int) -> str:
    return f"block {first} is" if first == last else f"the blocks {first} to {last} are"


class BlockWithState(Protocol):
    """A block with all the state that executing it reads (see `evmcore.bench.replay`)."""

    @property
    def chain(self) -> ChainConfig: ...
    @property
    def block(self) -> Block: ...
    @property
    def alloc(self) -> Mapping[bytes, Account]: ...
    @property
    def block_hashes(self) -> Mapping[int, bytes]: ...


class BlocksWithState:
    """Blocks that carry their state, in ascending order. Blocks up to the head are skipped."""

    endless = False

    def __init__(self, blocks: Iterable[BlockWithState]) -> None:
        self._blocks = iter(blocks)
        self.current: BlockWithState | None = None

    def next(self, head: Header) -> Advance | Rewind | None:
        while True:
            if self.current is None or self.current.block.header.number <= head.number:
                self.current = next(self._blocks, None)
            if self.current is None:
                return None
            header = self.current.block.header
            if header.number <= head.number:
                continue
            if header.parent_hash != head.hash:
                raise WrongParent(
                    f"block {header.number} 0x{header.hash.hex()} has the parent 0x{header.parent_hash.hex()}, "
                    f"the head is block {head.number} 0x{head.hash.hex()}"
                )
            return Advance(self.current.block)

    def close(self) -> None:
        self._blocks = iter(())
