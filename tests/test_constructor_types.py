"""Values say to type checkers what they are made of, and what their fields are then.

That mypy accepts the calls and the annotations here is half of the test.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from evmcore.blocks import Block, Header
from evmcore.forks import Activation, BlobSchedule, ChainConfig, Fork
from evmcore.state.base import AccountInfo
from evmcore.transactions import Authorization, Transaction
from evmcore.types import Account, BlockEnv, Withdrawal

ADDRESS = "0x" + "11" * 20
HASH = "0x" + "22" * 32
VALUES = [
    Account, AccountInfo, Activation, Authorization, BlobSchedule, Block, BlockEnv, ChainConfig, Header, Transaction,
    Withdrawal,
]  # fmt: skip


def declared_init(value: type) -> ast.FunctionDef:
    """The `__init__` that only type checkers see."""
    module = inspect.getmodule(value)
    assert module is not None
    (made,) = [
        node
        for node in ast.parse(inspect.getsource(module)).body
        if isinstance(node, ast.ClassDef) and node.name == value.__name__
    ]
    (branch,) = [node for node in made.body if isinstance(node, ast.If)]
    (found,) = branch.body
    assert isinstance(found, ast.FunctionDef) and found.name == "__init__"
    return found


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.__name__)
def test_the_declared_constructor_is_the_one_that_runs_but_for_its_types(value: type) -> None:
    source = ast.unparse(declared_init(value).args)
    names: dict[str, Any] = {}
    exec(f"from __future__ import annotations\ndef declared({source}): ...", names)
    declared: Callable[..., None] = names["declared"]

    def shape(function: Callable[..., Any]) -> list[tuple[str, Any, bool]]:
        parameters = list(inspect.signature(function).parameters.values())[1:]
        return [(each.name, each.kind, each.default is each.empty) for each in parameters]

    assert shape(declared) == shape(value.__init__)


def test_transactions_are_made_of_text_and_have_bytes_and_numbers() -> None:
    authorization = Authorization("0x1", ADDRESS, "0x2", r="0x3")
    transaction = Transaction(
        to=ADDRESS,
        nonce="0x7",
        value="0x10",
        data="0x0102",
        max_fee_per_gas="0x9",
        sender=int(ADDRESS, 16),
        access_list=[(ADDRESS, ["0x1", 2, bytes(32)])],
        authorization_list=[authorization],
    )
    to: bytes | None = transaction.to
    data: bytes = transaction.data
    nonce: int = transaction.nonce
    delegate: bytes = authorization.address
    assert (to, data, nonce, delegate) == (b"\x11" * 20, b"\x01\x02", 7, b"\x11" * 20)
    assert transaction.access_list == ((b"\x11" * 20, (1, 2, 0)),)
    blobs = Transaction(to=ADDRESS, blob_versioned_hashes=[HASH])
    hashes: tuple[bytes, ...] = blobs.blob_versioned_hashes
    assert hashes == (b"\x22" * 32,)


def test_blocks_are_made_of_text_and_lists() -> None:
    header = Header(parent_hash=HASH, coinbase=ADDRESS, number="0x1", nonce="0x" + "00" * 8, base_fee_per_gas="0x7")
    block = Block(header, [Transaction(to=ADDRESS)], withdrawals=[Withdrawal("0x1", 2, ADDRESS, "0x3")])
    withdrawals: tuple[Withdrawal, ...] | None = block.withdrawals
    parent_hash: bytes = block.header.parent_hash
    base_fee: int | None = header.base_fee_per_gas
    assert (parent_hash, base_fee, len(block.transactions)) == (b"\x22" * 32, 7, 1)
    assert withdrawals is not None
    address: bytes = withdrawals[0].address
    assert address == b"\x11" * 20
    seen = BlockEnv(number="0x5", coinbase=ADDRESS, prevrandao=7, block_hashes={4: HASH})
    prevrandao: bytes = seen.prevrandao
    assert (seen.number, prevrandao, seen.block_hashes) == (5, bytes(31) + b"\x07", {4: b"\x22" * 32})


def test_accounts_are_made_of_text() -> None:
    account = Account(balance="0xa", code="0x6001", storage={"0x1": "0x2", 3: bytes(32)})
    code: bytes = account.code
    storage: dict[int, int] = account.storage
    info = AccountInfo(nonce="0x1", code_hash=HASH)
    code_hash: bytes = info.code_hash
    assert (account.balance, code, storage, info.nonce, code_hash) == (10, b"\x60\x01", {1: 2, 3: 0}, 1, b"\x22" * 32)


def test_chains_are_made_of_text_and_lists() -> None:
    blobs = BlobSchedule("0x3", "0x6", "0x32f0ed")
    later = Activation("cancun", timestamp="0x64", blob_schedule=blobs)
    chain = ChainConfig("0x7", [Activation("Frontier", block="0x0"), later], "0x100", ADDRESS, "mine")
    target: int = blobs.target
    fork: Fork = later.fork
    timestamp: int | None = later.timestamp
    assert (target, blobs.max, blobs.base_fee_update_fraction) == (3, 6, 3_338_477)
    assert (fork, later.block, timestamp) == (Fork.CANCUN, None, 100)
    activations: tuple[Activation, ...] = chain.activations
    deposit_contract: bytes = chain.deposit_contract
    assert activations == (Activation(Fork.FRONTIER, block=0), later)
    assert (chain.chain_id, chain.terminal_total_difficulty, deposit_contract) == (7, 256, b"\x11" * 20)
    assert chain.fork_at(1, 100) is Fork.CANCUN
    assert ChainConfig.of_fork("cancun", "0x5") == ChainConfig.of_fork(Fork.CANCUN, 5)
    assert ChainConfig.from_network("Cancun", "0x5").chain_id == 5
