"""Every mainnet block of the shared set gives the expected receipts, gas, bloom and post-state, and can be undone."""

from __future__ import annotations

import json
import lzma
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from evmcore._block_result import BlockResult
from evmcore._diff import StateDiff
from evmcore.blocks import Block
from evmcore.body import block_reward
from evmcore.execution import execute_block
from evmcore.forks import MAINNET, Fork
from evmcore.state import MemoryState
from tests.shared_files import BLOCKS, block_name, needs_blocks

NO_CODE_HASH = "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"

pytestmark = needs_blocks


@cache
def load(path: Path) -> dict[str, Any]:
    with lzma.open(path) as file:
        data: dict[str, Any] = json.load(file)
        return data


def number(text: str) -> int:
    return int(text, 16)


def execute(data: dict[str, Any], state: MemoryState, **options: Any) -> BlockResult:
    hashes = {number(key): bytes.fromhex(value[2:]) for key, value in data["blockHashes"].items()}
    # Where the ommers are not known their hash cannot be right; gas, bloom and receipts are compared below anyway.
    return execute_block(
        Block.from_json(data["block"]),
        state,
        MAINNET,
        block_hashes=hashes,
        validate=data["ommers"] is not None,
        **options,
    )


# An account as compared: nonce, balance, code hash, slots that changed; None where it is absent or empty.
Change = tuple[int, int, str, dict[int, int]] | None


def changes_of(diff: StateDiff) -> dict[str, Change]:
    slots: dict[str, dict[int, int]] = {}
    for slot in diff.storage_changes:
        if slot.old != slot.new:
            slots.setdefault("0x" + slot.address.hex(), {})[slot.key] = slot.new
    changes: dict[str, Change] = {}
    for account in diff.account_changes:
        address, new = "0x" + account.address.hex(), account.new
        empty = new is not None and new.nonce == new.balance == 0 and "0x" + new.code_hash.hex() == NO_CODE_HASH
        if new is None or (empty and address not in slots):
            if account.old is not None and (account.old.nonce or account.old.balance):
                changes[address] = None
            continue
        changes[address] = (new.nonce, new.balance, "0x" + new.code_hash.hex(), slots.pop(address, {}))
    for address, changed in slots.items():
        if changed and address not in changes:
            changes[address] = (-1, -1, "", changed)  # only its storage changed
    return changes


def expected_changes(data: dict[str, Any], got: dict[str, Change]) -> dict[str, Change]:
    expected: dict[str, Change] = {}
    for address, account in data["postState"].items():
        before = data["preState"].get(address)
        if account is None or (
            number(account["nonce"]) == number(account["balance"]) == 0
            and account["codeHash"] == NO_CODE_HASH
            and not account["storage"]
        ):
            # Gone, or empty: the sources do not always tell which.
            if before is not None and (number(before["nonce"]) or number(before["balance"])):
                expected[address] = None
            continue
        nonce, balance, code_hash = number(account["nonce"]), number(account["balance"]), account["codeHash"]
        slots = {number(slot): number(value) for slot, value in account["storage"].items()}
        ours = got.get(address)
        if ours is not None and ours[0] == -1:
            assert before is not None
            assert (nonce, balance) == (number(before["nonce"]), number(before["balance"])), address
            nonce, balance, code_hash = -1, -1, ""
        expected[address] = (nonce, balance, code_hash, slots)
    return expected


@pytest.mark.parametrize("path", BLOCKS, ids=block_name)
def test_the_block_gives_what_mainnet_has(path: Path) -> None:
    data = load(path)
    state = MemoryState(data["preState"])
    result = execute(data, state)
    header = result.block.header

    assert result.fork.revision == Fork.from_name(data["fork"]).revision
    assert result.gas_used == header.gas_used
    assert result.logs_bloom == header.logs_bloom
    if result.fork >= Fork.BYZANTIUM:
        assert result.receipts_root == header.receipts_root
    if header.requests_hash is not None:
        assert result.requests_hash == header.requests_hash
    if header.blob_gas_used is not None:
        assert result.blob_gas_used == header.blob_gas_used

    assert len(result.receipts) == len(data["receipts"])
    for receipt, outcome, expected in zip(result.receipts, result.transactions, data["receipts"], strict=True):
        assert receipt.transaction_hash is not None
        assert "0x" + receipt.transaction_hash.hex() == expected["transactionHash"]
        assert receipt.type == number(expected["type"])
        assert receipt.status == (None if expected["status"] is None else number(expected["status"]))
        assert outcome.success == expected["success"]
        assert receipt.cumulative_gas_used == number(expected["cumulativeGasUsed"])
        assert receipt.gas_used == outcome.gas_used == number(expected["gasUsed"])
        assert "0x" + receipt.bloom.hex() == expected["logsBloom"]
        created = None if receipt.contract_address is None else "0x" + receipt.contract_address.hex()
        assert created == expected["contractAddress"]
        logs = [
            {
                "address": "0x" + log.address.hex(),
                "topics": ["0x" + topic.hex() for topic in log.topics],
                "data": "0x" + log.data.hex(),
            }
            for log in receipt.logs
        ]
        assert logs == expected["logs"]

    got = changes_of(result.diff)
    if data["ommers"] is None:
        # The expected state has the miner's extra reward for ommers that only exist as hashes here.
        miner = "0x" + header.coinbase.hex()
        change = got[miner]
        assert change is not None
        extra = len(data["block"]["uncles"]) * (block_reward(result.fork) // 32)
        got[miner] = (change[0], change[1] + extra, *change[2:])
    assert got == expected_changes(data, got)


@pytest.mark.parametrize("path", BLOCKS[::6], ids=block_name)
def test_committing_applies_the_diff_and_undo_reverses_it(path: Path) -> None:
    data = load(path)
    state, before = MemoryState(data["preState"]), MemoryState(data["preState"])
    executed = execute(data, state)
    assert state == before
    committed = execute(data, state, commit=True)
    assert committed.diff == executed.diff
    assert len(committed.diff) and state != before
    state.undo(committed.diff)
    assert state == before
