"""Blocks with their transactions, receipts and logs, by number and hash, for sources that keep a whole chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from evmcore._block_result import BlockResult
from evmcore._diff import StateDiff
from evmcore.blocks import Block, Header
from evmcore.forks import ChainConfig, Fork
from evmcore.transactions import Transaction
from evmcore.types import Receipt

__all__ = ["Archive", "ArchivedBlock", "ChainArchive"]


@dataclass(eq=False)
class ArchivedBlock:
    """A block and the result of executing it. `result` is None for the genesis block, which has no transactions."""

    block: Block
    fork: Fork
    result: BlockResult | None = field(repr=False)

    @property
    def header(self) -> Header:
        return self.block.header

    @property
    def hash(self) -> bytes:
        return self.block.hash

    @property
    def transactions(self) -> tuple[Transaction, ...]:
        return self.block.transactions

    @cached_property
    def receipts(self) -> tuple[Receipt, ...]:
        return () if self.result is None else self.result.receipts

    @cached_property
    def encoded_receipts(self) -> Sequence[bytes] | None:
        """The receipts as encoded in the receipts trie; None if they contain state roots that were not computed."""
        return () if self.result is None else self.result.encoded_receipts()

    @cached_property
    def senders(self) -> tuple[bytes, ...]:
        """The 20-byte sender of each transaction."""
        return tuple(tx.sender or tx.recover_sender(self.fork) for tx in self.transactions)

    @cached_property
    def first_log(self) -> tuple[int, ...]:
        """For each transaction the index in the block of its first log."""
        indexes, index = [], 0
        for receipt in self.receipts:
            indexes.append(index)
            index += len(receipt.logs)
        return tuple(indexes)


class Archive(Protocol):
    """The archive of a source that has block bodies. Numbers refer to blocks of the canonical chain."""

    @property
    def head(self) -> ArchivedBlock: ...

    def block(self, number: int) -> ArchivedBlock | None: ...

    def block_by_hash(self, block_hash: bytes) -> ArchivedBlock | None:
        """A block of the chain, or of a known side chain."""

    def transaction(self, transaction_hash: bytes) -> tuple[ArchivedBlock, int] | None:
        """The block of the canonical chain that contains the transaction, and the transaction's index in it."""

    def state_root(self, block: ArchivedBlock, diff: StateDiff) -> bytes:
        """The root that the state after a block would have with a diff applied to it."""

    def proof(self, block: ArchivedBlock, address: bytes, slots: Sequence[int]) -> dict[str, Any]:
        """The answer of eth_getProof for the state after a block. `StateNotAvailable` if it cannot be computed."""


class ChainArchive:
    """The blocks of a chain from genesis on, in memory, with an index of their transactions."""

    def __init__(self, config: ChainConfig, genesis: Block) -> None:
        header = genesis.header
        fork = config.fork_of(header.number, header.timestamp, header.difficulty)
        first = ArchivedBlock(genesis, fork, None)
        self.blocks = [first]
        self._by_hash = {genesis.hash: first}
        self._transactions: dict[bytes, tuple[ArchivedBlock, int]] = {}

    def add(self, block: Block, result: BlockResult) -> ArchivedBlock:
        """Makes a block known by its hash."""
        known = self._by_hash.get(block.hash)
        if known is None:
            known = self._by_hash[block.hash] = ArchivedBlock(block, result.fork, result)
        return known

    def truncate(self, length: int) -> None:
        """Makes the canonical chain end after its first `length` blocks; the other blocks stay known by hash."""
        for gone in self.blocks[length:]:
            for transaction in gone.transactions:
                self._transactions.pop(transaction.hash, None)
        del self.blocks[length:]

    def append(self, block: ArchivedBlock) -> None:
        """Adds a known block at the end of the canonical chain."""
        self.blocks.append(block)
        for index, transaction in enumerate(block.transactions):
            self._transactions[transaction.hash] = (block, index)

    @property
    def head(self) -> ArchivedBlock:
        return self.blocks[-1]

    def block(self, number: int) -> ArchivedBlock | None:
        first = self.blocks[0].header.number
        return self.blocks[number - first] if first <= number < first + len(self.blocks) else None

    def block_by_hash(self, block_hash: bytes) -> ArchivedBlock | None:
        return self._by_hash.get(block_hash)

    def transaction(self, transaction_hash: bytes) -> tuple[ArchivedBlock, int] | None:
        return self._transactions.get(transaction_hash)
