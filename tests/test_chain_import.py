"""The rpc-compat chain imports from its genesis with every root equal; the state follows the head to other branches."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from evmcore import Withdrawal
from evmcore.blocks import Block
from evmcore.chain import BlockChain
from evmcore.errors import BlockReason, ConfigError, InvalidBlock
from evmcore.execution import execute_block
from evmcore.forks import Fork
from tests.shared_files import SHARED

CHAIN = SHARED / "rpc-compat" / "chain"

pytestmark = pytest.mark.skipif(
    not CHAIN.exists(), reason=f"{CHAIN} is absent: set EVMCORE_SHARED to the folder that holds rpc-compat/"
)


def genesis_chain() -> BlockChain:
    return BlockChain.from_genesis(json.loads((CHAIN / "genesis.json").read_text()))


def all_blocks() -> list[Block]:
    return list(Block.decode_stream((CHAIN / "chain.rlp").read_bytes()))


def test_all_blocks_import_and_the_head_state_is_the_published_one() -> None:
    chain, blocks = genesis_chain(), all_blocks()
    assert chain.head.hash.hex() == "44fd89d504659cd58f48f4796b77a7e7012cf296a2409afa2f6c3cb99b5b3d99"
    forks = []
    for block in blocks:
        forks.append(chain.import_block(block).fork)
        assert chain.state.state_root() == block.header.state_root
    assert chain.head.hash.hex() == "d226371d0b1551adb03fb52b71f08e3e11247fe9b1af994768af8cdaa8e7dcd7"
    assert len(blocks) == 54
    assert set(forks) == set(Fork) - {Fork.FRONTIER, Fork.DAO}
    head = json.loads((CHAIN / "headstate.json").read_text())
    accounts = head["accounts"]
    assert set(chain.state.addresses()) == {bytes.fromhex(address[2:]) for address in accounts}
    for address, account in accounts.items():
        assert chain.state.balance(address) == int(account["balance"])
        assert chain.state.nonce(address) == account["nonce"]


def test_a_known_block_imports_again_without_effect() -> None:
    chain, blocks = genesis_chain(), all_blocks()[:3]
    results = [chain.import_block(block) for block in blocks]
    assert chain.import_block(blocks[1]) is results[1]
    assert chain.head == blocks[2]


def test_a_known_header_with_another_body_is_refused() -> None:
    chain, blocks = genesis_chain(), all_blocks()
    for block in blocks:
        chain.import_block(block)
    late = blocks[-1]
    assert late.transactions and late.withdrawals is not None
    forged = [
        (replace(late, transactions=late.transactions[:-1]), BlockReason.INVALID_TRANSACTIONS_ROOT),
        (
            replace(late, withdrawals=(*late.withdrawals, Withdrawal(0, 0, bytes(20), 1))),
            BlockReason.INVALID_WITHDRAWALS_ROOT,
        ),
        (replace(late, ommers=(blocks[0].header,)), BlockReason.IMPORT_IMPOSSIBLE_UNCLES_OVER_PARIS),
    ]
    for block, reason in forged:
        assert block.hash == late.hash
        with pytest.raises(InvalidBlock) as error:
            chain.import_block(block)
        assert error.value.reason is reason
    assert chain.import_block(Block.decode(late.encode())).block == late


def test_the_genesis_block_imports_again_without_effect() -> None:
    chain, blocks = genesis_chain(), all_blocks()[:3]
    genesis = chain.head
    for block in blocks:
        chain.import_block(block)
    result = chain.import_block(Block.decode(genesis.encode()))
    assert result is chain.import_block(genesis)
    assert result is chain.result(genesis.hash)
    assert (result.block, result.fork, result.gas_used, len(result.diff)) == (genesis, Fork.HOMESTEAD, 0, 0)
    assert (result.receipts, result.receipts_root) == ((), genesis.header.receipts_root)
    assert result.state_root() == genesis.header.state_root
    assert chain.head == blocks[2]
    assert chain.state.state_root() == blocks[2].header.state_root


def test_a_block_without_its_parent_is_refused() -> None:
    chain, blocks = genesis_chain(), all_blocks()
    with pytest.raises(InvalidBlock) as error:
        chain.import_block(blocks[1])
    assert error.value.reason is BlockReason.UNKNOWN_PARENT


@pytest.mark.parametrize("position", [2, 40, 50])
def test_a_wrong_root_is_refused_and_leaves_chain_and_state(position: int) -> None:
    chain, blocks = genesis_chain(), all_blocks()
    for block in blocks[:position]:
        chain.import_block(block)
    root, head, good = chain.state.state_root(), chain.head, blocks[position]
    for field, reason in (
        ("state_root", BlockReason.INVALID_STATE_ROOT),
        ("receipts_root", BlockReason.INVALID_RECEIPTS_ROOT),
        ("transactions_root", BlockReason.INVALID_TRANSACTIONS_ROOT),
    ):
        change: dict[str, Any] = {field: bytes(31) + b"\x01"}
        header = replace(good.header, **change)
        with pytest.raises(InvalidBlock) as error:
            chain.import_block(replace(good, header=header))
        assert error.value.reason is reason
        assert chain.head == head
        assert chain.state.state_root() == root
    chain.import_block(good)
    assert chain.head == good


def sibling(block: Block) -> Block:
    """A valid block beside `block`: extra data is the one field that no rule and no root depends on."""
    return replace(block, header=replace(block.header, extra_data=b"sibling"))


def test_a_side_chain_of_less_work_leaves_head_and_state() -> None:
    chain, blocks = genesis_chain(), all_blocks()[:30]
    for block in blocks:
        chain.import_block(block)
    root = chain.state.state_root()
    beside = sibling(blocks[9])
    assert chain.import_block(beside).block is beside
    assert chain.block_by_hash(beside.hash) is beside
    assert chain.head is blocks[-1]
    assert chain.block_by_number(10) is blocks[9]
    assert chain.state.state_root() == root


def test_the_state_follows_the_head_to_another_branch() -> None:
    chain, blocks = genesis_chain(), all_blocks()
    for block in blocks:
        chain.import_block(block)
    # After the merge the block imported last is the head: three heights back, then on along the new branch.
    beside = sibling(blocks[50])
    chain.import_block(beside)
    assert chain.head is beside
    assert chain.state.state_root() == beside.header.state_root
    # Its child differs from the known one in the parent's hash, which EIP-2935 writes to the state.
    child = replace(blocks[51], header=replace(blocks[51].header, parent_hash=beside.hash))
    root = execute_block(child, chain.state, chain.config, block_hashes={51: beside.hash}, validate=False).state_root()
    assert root != child.header.state_root
    child = replace(child, header=replace(child.header, state_root=root))
    chain.import_block(child)
    assert chain.head is child
    assert chain.state.state_root() == root


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alloc": 3}, "alloc: expected an object"),
        ({"alloc": {"0x12": {}}}, "alloc"),
        ({"gasLimit": "many"}, "gasLimit"),
        ({"gasLimit": -1}, "gasLimit"),
        ({"extraData": "0xzz"}, "extraData"),
        ({"coinbase": "0x12"}, "coinbase: expected 20 bytes"),
        ({"difficulty": 2**256}, "difficulty"),
    ],
)
def test_bad_genesis_files_say_what_is_wrong(change: dict[str, object], message: str) -> None:
    genesis = json.loads((CHAIN / "genesis.json").read_text()) | change
    with pytest.raises(ConfigError, match=message):
        BlockChain.from_genesis(genesis)
