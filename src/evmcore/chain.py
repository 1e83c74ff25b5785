"""A chain of blocks on a state in memory: genesis, import with every rule checked, side chains, the head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evmcore._block import execute
from evmcore._block_result import BlockResult, genesis_result
from evmcore.block_request import BlockRequest
from evmcore.blocks import EMPTY_TRIE_ROOT, Block, Header
from evmcore.body import check_body, check_transactions_root, requests_hash
from evmcore.errors import BlockReason, ConfigError, InputError, InvalidBlock
from evmcore.forks import ChainConfig, Fork
from evmcore.headers import BLOCK_HASH_WINDOW, INITIAL_BASE_FEE, MAX_OMMER_DEPTH, check_header, check_ommers
from evmcore.state.memory import MemoryState
from evmcore.tracing import Tracer
from evmcore.types import to_bytes, to_uint


@dataclass(slots=True)
class _Link:
    """A block of the chain or of a side chain, with the changes it made."""

    block: Block
    parent: _Link | None
    total_difficulty: int
    result: BlockResult


def genesis_header(genesis: Mapping[str, Any], config: ChainConfig, state_root: bytes) -> Header:
    """The header of block 0 that a geth-style genesis file describes, with the fields of its forks.

    Raises `ConfigError` for a field that is malformed.
    """

    def number(key: str, default: int = 0, bits: int = 64) -> int:
        value = genesis.get(key)
        if value is None:
            return default
        if isinstance(value, str) and not value.startswith(("0x", "0X")) and value.isdecimal():
            value = int(value)
        return to_uint(value, f"genesis: {key}", bits)

    def data(key: str, size: int | None) -> bytes:
        value = genesis.get(key)
        if value is None:
            return bytes(size or 0)
        raw = to_bytes(value, f"genesis: {key}")
        if size is not None and len(raw) != size:
            raise ConfigError(f"genesis: {key}: expected {size} bytes, got {len(raw)}")
        return raw

    try:
        timestamp, difficulty = number("timestamp"), number("difficulty", bits=256)
        fork = config.fork_of(0, timestamp, difficulty)
        fields: dict[str, Any] = {}
        if fork >= Fork.LONDON:
            fields["base_fee_per_gas"] = number("baseFeePerGas", INITIAL_BASE_FEE, 256)
        if fork >= Fork.SHANGHAI:
            fields["withdrawals_root"] = EMPTY_TRIE_ROOT
        if fork >= Fork.CANCUN:
            fields["blob_gas_used"] = number("blobGasUsed")
            fields["excess_blob_gas"] = number("excessBlobGas")
            fields["parent_beacon_block_root"] = bytes(32)
        if fork >= Fork.PRAGUE:
            fields["requests_hash"] = requests_hash(())
        return Header(
            parent_hash=data("parentHash", 32),
            coinbase=data("coinbase", 20),
            state_root=state_root,
            difficulty=difficulty,
            number=number("number"),
            gas_limit=number("gasLimit", 4_712_388),
            gas_used=number("gasUsed"),
            timestamp=timestamp,
            extra_data=data("extraData", None),
            mix_hash=data("mixHash", 32),
            nonce=number("nonce").to_bytes(8, "big"),
            **fields,
        )
    except ConfigError:
        raise
    except InputError as error:
        raise ConfigError(str(error)) from error


class BlockChain:
    """Blocks from a genesis on, with the state after the head.

    An imported block is checked completely: header rules, ommers, body, execution, every root. Proof-of-work seals are
    not checked. Side chains are kept. The head is the block with the highest total difficulty; after the merge it is
    the block imported last. Not safe for use from several threads at once.
    """

    def __init__(self, config: ChainConfig, genesis: Block, state: MemoryState) -> None:
        """`state` is the state after `genesis`; it belongs to the chain from now on.

        Raises `InvalidBlock` if the root of `state` is not the root in the genesis header.
        """
        root = state.state_root()
        if root != genesis.header.state_root:
            raise InvalidBlock(
                BlockReason.INVALID_STATE_ROOT,
                f"genesis: state root 0x{genesis.header.state_root.hex()}, the state has 0x{root.hex()}",
            )
        self.config = config
        self._state = state
        header = genesis.header
        fork = config.fork_of(header.number, header.timestamp, header.difficulty)
        link = _Link(genesis, None, header.difficulty, genesis_result(genesis, config, fork, state))
        self._links = {genesis.hash: link}
        self._head = self._at = link

    @classmethod
    def from_genesis(cls, genesis: Mapping[str, Any]) -> BlockChain:
        """A chain from a geth-style genesis file (parsed JSON). Raises `ConfigError`, naming the field."""
        config = ChainConfig.from_genesis(genesis)
        alloc = genesis.get("alloc")
        if not isinstance(alloc, Mapping):
            raise ConfigError("genesis: alloc: expected an object of address to account")
        try:
            state = MemoryState.from_alloc(alloc)
        except InputError as error:
            raise ConfigError(f"genesis: alloc: {error}") from error
        header = genesis_header(genesis, config, state.state_root())
        withdrawals = () if header.withdrawals_root is not None else None
        return cls(config, Block(header, withdrawals=withdrawals), state)

    # ---- blocks and state

    @property
    def head(self) -> Block:
        """The last block of the chain."""
        return self._head.block

    @property
    def state(self) -> MemoryState:
        """The state after the head. Changing it breaks the chain; copy it to work on it."""
        self._move_to(self._head)
        return self._state

    @property
    def total_difficulty(self) -> int:
        """The sum of the difficulties from genesis to head."""
        return self._head.total_difficulty

    def block_by_hash(self, block_hash: bytes) -> Block | None:
        """A block of the chain or of a side chain."""
        link = self._links.get(block_hash)
        return None if link is None else link.block

    def block_by_number(self, number: int) -> Block | None:
        """A block of the chain that ends in the head."""
        return next((link.block for link in self._ancestry(self._head) if link.block.header.number == number), None)

    def result(self, block_hash: bytes) -> BlockResult | None:
        """The result of executing a known block, an empty result for the genesis block; None for an unknown block."""
        link = self._links.get(block_hash)
        return None if link is None else link.result

    def blocks_back(self, block_hash: bytes | None = None) -> Iterator[Block]:
        """A known block and its ancestors down to genesis, youngest first; by default from the head."""
        link = self._head if block_hash is None else self._links.get(block_hash)
        return (ancestor.block for ancestor in self._ancestry(link))

    def fork_after(self, parent: Header, number: int, timestamp: int) -> Fork:
        """The fork in force in a block on `parent` with this number and timestamp (seconds)."""
        return self.config.fork_at(number, timestamp, self._links[parent.hash].total_difficulty)

    # ---- import

    def import_block(self, block: Block, tracer: Tracer | None = None) -> BlockResult:
        """Checks, executes and adds a block whose parent is known; the block becomes the head if it beats the old one.

        `tracer` (one of `evmcore.tracing`) sees the transactions. Raises `InvalidBlock` with its reason; chain and
        state are then unchanged. Importing a known block or the genesis block again returns its result; a known header
        with another body raises `InvalidBlock`, too.
        """
        header = block.header
        known = self._links.get(block.hash)
        if known is not None:
            if block != known.block:
                check_body(block, known.result.fork)
                check_transactions_root(block)
            return known.result
        parent = self._links.get(header.parent_hash)
        if parent is None:
            reason = BlockReason.UNKNOWN_PARENT if any(header.parent_hash) else BlockReason.UNKNOWN_PARENT_ZERO
            raise InvalidBlock(reason, f"the parent 0x{header.parent_hash.hex()} is not known")
        fork = self.config.fork_at(header.number, header.timestamp, parent.total_difficulty)
        check_header(header, parent.block.header, self.config, fork)
        if fork < Fork.PARIS:
            family = [link.block for link in self._ancestry(parent, MAX_OMMER_DEPTH + 1)]
            check_ommers(block, family[::-1], self.config)
        hashes = {link.block.header.number: link.block.hash for link in self._ancestry(parent, BLOCK_HASH_WINDOW)}
        self._move_to(parent)
        request = BlockRequest(
            block,
            self._state,
            self.config,
            fork=fork,
            block_hashes=hashes,
            check_state_root=True,
            commit=True,
            tracer=tracer,
        )
        result = execute(request)
        link = _Link(block, parent, parent.total_difficulty + header.difficulty, result)
        self._links[block.hash] = link
        self._at = link
        if fork >= Fork.PARIS or link.total_difficulty > self._head.total_difficulty:
            self._head = link
        return result

    # ---- moving the state

    @staticmethod
    def _ancestry(link: _Link | None, limit: int | None = None) -> Iterator[_Link]:
        """`link` and its ancestors, youngest first, at most `limit`."""
        while link is not None and limit != 0:
            yield link
            link = link.parent
            limit = None if limit is None else limit - 1

    def _move_to(self, target: _Link) -> None:
        """Brings the state to the one after `target`: back by undoing diffs, forward by applying them again."""
        forward: list[_Link] = []
        ahead, behind = target, self._at
        while ahead is not behind:
            if ahead.block.header.number > behind.block.header.number:
                forward.append(ahead)
                assert ahead.parent is not None
                ahead = ahead.parent
            else:
                assert behind.parent is not None
                self._state.undo(behind.result.diff)
                self._at = behind = behind.parent
        for link in reversed(forward):
            self._state.apply(link.result.diff)
            self._at = link
