"""Valid blocks made by a test: Shanghai blocks whose withdrawals change the state."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from evmcore.blocks import Block, Header, encode_withdrawal
from evmcore.chain import genesis_header
from evmcore.execution import execute_block
from evmcore.forks import ChainConfig, Fork
from evmcore.headers import next_base_fee
from evmcore.state import MemoryState
from evmcore.transactions import Transaction
from evmcore.trie import ordered_root
from evmcore.types import Withdrawal

PEOPLE = [bytes([0xA0 + i]) * 20 for i in range(5)]
# Stores the number of the block, times 2 ** slot, in slots 0 and 1, and clears slot 2.
WRITER = bytes([0xC0]) * 20

GENESIS: dict[str, Any] = {
    "config": {
        "chainId": 77,
        "homesteadBlock": 0,
        "eip150Block": 0,
        "eip158Block": 0,
        "byzantiumBlock": 0,
        "constantinopleBlock": 0,
        "petersburgBlock": 0,
        "istanbulBlock": 0,
        "berlinBlock": 0,
        "londonBlock": 0,
        "mergeNetsplitBlock": 0,
        "terminalTotalDifficulty": 0,
        "shanghaiTime": 0,
    },
    "difficulty": "0x0",
    "gasLimit": "0x1c9c380",
    "timestamp": "0x0",
    "alloc": {
        "0x" + PEOPLE[0].hex(): {"balance": "0x5"},
        "0x" + WRITER.hex(): {
            "balance": "0x0",
            "nonce": "0x1",
            "code": "0x435f5543600202600155600060025500",
            "storage": {"0x02": "0x09"},
        },
    },
}


class SmallChain:
    """Blocks on a genesis; `add` makes one on any earlier block."""

    def __init__(self) -> None:
        self.config = ChainConfig.from_genesis(GENESIS)
        state = MemoryState(GENESIS["alloc"])
        self.genesis = Block(genesis_header(GENESIS, self.config, state.state_root()), withdrawals=())
        self.states: dict[bytes, MemoryState] = {self.genesis.hash: state}
        self.blocks: dict[bytes, Block] = {self.genesis.hash: self.genesis}

    def add(
        self, parent: Block, amounts: list[int], salt: bytes = b"", transactions: tuple[Transaction, ...] = ()
    ) -> Block:
        """A block that gives `amounts` gwei to the first people; `salt` makes it differ from others."""
        withdrawals = tuple(Withdrawal(i, i, PEOPLE[i], amount) for i, amount in enumerate(amounts))
        header = Header(
            parent_hash=parent.hash,
            number=parent.header.number + 1,
            timestamp=parent.header.timestamp + 12,
            gas_limit=parent.header.gas_limit,
            base_fee_per_gas=next_base_fee(parent.header),
            extra_data=salt,
            transactions_root=ordered_root([transaction.encode() for transaction in transactions]),
            withdrawals_root=ordered_root([encode_withdrawal(withdrawal) for withdrawal in withdrawals]),
        )
        state = self.states[parent.hash].copy()
        block = Block(header, transactions, withdrawals=withdrawals)
        result = execute_block(block, state, self.config, fork=Fork.SHANGHAI, validate=False, commit=True)
        receipts_root = result.receipts_root
        assert receipts_root is not None
        header = replace(
            header,
            state_root=state.state_root(),
            receipts_root=receipts_root,
            logs_bloom=result.logs_bloom,
            gas_used=result.gas_used,
        )
        block = Block(header, transactions, withdrawals=withdrawals)
        self.blocks[block.hash] = block
        self.states[block.hash] = state
        return block

    def grow(self, parent: Block, count: int, salt: bytes = b"") -> list[Block]:
        """Blocks one after the other."""
        blocks = []
        for i in range(count):
            parent = self.add(parent, [i + 1, 2 * i], salt)
            blocks.append(parent)
        return blocks


def chain_bytes(blocks: list[Block]) -> bytes:
    return b"".join(block.encode() for block in blocks)


def genesis_file(folder: Path) -> str:
    """The path of a file with the genesis, as `--genesis` takes it."""
    path = folder / "genesis.json"
    path.write_text(json.dumps(GENESIS))
    return str(path)
