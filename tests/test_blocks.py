"""Headers and blocks: hashes of real chains, round trips, and what is refused."""

from __future__ import annotations

import json
import lzma
import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from evmcore import MemoryState, execute_block, rlp
from evmcore.blocks import EMPTY_OMMERS_HASH, EMPTY_TRIE_ROOT, Block, Header
from evmcore.errors import BlockReason, InputError, InvalidBlock, TransactionReason
from evmcore.transactions import Transaction
from evmcore.types import Withdrawal
from tests.shared_files import archive_documents, shared_path
from tests.small_blocks import block_of, people, person, transfer

ARCHIVES = ("blockchain_tests", "blockchain_tests_eest", "blockchain_tests_legacy_constantinople")
OPTIONAL = (
    "base_fee_per_gas",
    "withdrawals_root",
    "blob_gas_used",
    "excess_blob_gas",
    "parent_beacon_block_root",
    "requests_hash",
)


def mainnet() -> Iterator[dict[str, Any]]:
    for path in sorted(shared_path("blocks").glob("*.json.xz")):
        yield json.loads(lzma.decompress(path.read_bytes()))


def chain() -> bytes:
    return shared_path("rpc-compat", "chain", "chain.rlp").read_bytes()


def test_hashes_of_mainnet_headers_are_right_for_every_fork() -> None:
    shapes = set()
    for document in mainnet():
        block = Block.from_json(document["block"])
        assert "0x" + block.hash.hex() == document["block"]["hash"]
        assert Header.decode(block.header.encode()) == block.header
        assert Header.parent_hash_of(block.header.encode()) == block.header.parent_hash
        shapes.add(len(block.header.items()))
    assert shapes == {15, 16, 17, 20, 21}


def test_mainnet_blocks_survive_encoding() -> None:
    for document in mainnet():
        block = Block.from_json(document["block"])
        decoded = Block.decode(block.encode())
        senders = tuple(replace(transaction, sender=None) for transaction in block.transactions)
        assert decoded == replace(block, transactions=senders)
        assert replace(decoded).encode() == block.encode()


def test_the_rpc_chain_is_read_block_by_block() -> None:
    data = chain()
    blocks = list(Block.decode_stream(data))
    assert [block.header.number for block in blocks] == list(range(1, 55))
    assert all(child.header.parent_hash == block.hash for block, child in pairwise(blocks))
    assert blocks[0].header.parent_hash.hex() == "44fd89d504659cd58f48f4796b77a7e7012cf296a2409afa2f6c3cb99b5b3d99"
    assert blocks[-1].hash.hex() == "d226371d0b1551adb03fb52b71f08e3e11247fe9b1af994768af8cdaa8e7dcd7"
    assert sum(len(block.transactions) for block in blocks) == 249
    assert sum(bool(block.ommers) for block in blocks) == 18
    assert b"".join(replace(block).encode() for block in blocks) == data


@pytest.mark.parametrize("archive", ARCHIVES)
def test_fixture_headers_have_their_hashes_and_encodings(archive: str) -> None:
    count = 0
    for _, tests in archive_documents(archive, ".json"):
        for name, test in tests.items():
            genesis = Header.from_json(test["genesisBlockHeader"])
            assert "0x" + genesis.hash.hex() == test["genesisBlockHeader"]["hash"], name
            for item in test["blocks"]:
                if "blockHeader" not in item:
                    continue
                block = Block.decode(bytes.fromhex(item["rlp"][2:]))
                assert "0x" + block.hash.hex() == item["blockHeader"]["hash"], name
                # Fixtures leave out a signature or a type here and there, so compare what has a name in both.
                again = Block.from_json(item)
                assert again.header == block.header, name
                assert again.ommers == block.ommers, name
                assert (again.withdrawals or ()) == (block.withdrawals or ()), name
                assert [t.hash for t in again.transactions] == [t.hash for t in block.transactions], name
                count += 1
    assert count > 1000


def test_malformed_blocks_of_the_fixtures_are_refused_with_their_reason() -> None:
    reasons = {
        "RLP_INVALID_FIELD_OVERFLOW_64": BlockReason.RLP_INVALID_FIELD_OVERFLOW_64,
        "RLP_INVALID_ADDRESS": BlockReason.RLP_INVALID_ADDRESS,
        "RLP_WITHDRAWALS_NOT_READ": BlockReason.RLP_WITHDRAWALS_NOT_READ,
        "TYPE_3_TX_WITH_FULL_BLOBS": TransactionReason.TYPE_3_TX_WITH_FULL_BLOBS,
    }
    seen = set()
    for archive in ARCHIVES:
        for _, tests in archive_documents(archive, ".json"):
            for name, test in tests.items():
                for item in test["blocks"]:
                    named = {part.rpartition(".")[2] for part in item.get("expectException", "").split("|")}
                    if not named & reasons.keys():
                        continue
                    with pytest.raises(InvalidBlock) as caught:
                        Block.decode(bytes.fromhex(item["rlp"][2:]))
                    assert caught.value.reason in named, (name, named, caught.value)
                    seen.add(caught.value.reason)
    assert seen == set(reasons.values())


def test_a_header_without_arguments_is_that_of_an_empty_block() -> None:
    header = Header()
    assert header.ommers_hash == EMPTY_OMMERS_HASH
    assert header.ommers_hash.hex() == "1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347"
    assert header.state_root == header.transactions_root == header.receipts_root == EMPTY_TRIE_ROOT
    assert EMPTY_TRIE_ROOT.hex() == "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
    assert len(header.items()) == 15


@pytest.mark.parametrize("present", range(len(OPTIONAL) + 1))
def test_every_shape_of_header_survives_encoding(present: int) -> None:
    rng = random.Random(present)
    values: dict[str, Any] = {
        name: rng.randbytes(32) if name.endswith(("root", "hash")) else rng.getrandbits(60)
        for name in OPTIONAL[:present]
    }
    header = Header(number=rng.getrandbits(64), extra_data=b"x" * 32, difficulty=rng.getrandbits(256), **values)
    assert Header.decode(header.encode()) == header


@pytest.mark.parametrize(
    "data", [b"", b"\xc0", b"\x80", b"\xa0" + bytes(32), b"\xc1\xc0", b"\xf8", b"\xe0\x9f" + bytes(31)]
)
def test_what_does_not_begin_as_a_header_has_no_parent(data: bytes) -> None:
    with pytest.raises(InvalidBlock, match="header: "):
        Header.parent_hash_of(data)


def test_what_is_no_encoding_at_all_has_no_parent_either() -> None:
    with pytest.raises(InputError, match="argument 'data': expected bytes"):
        Header.parent_hash_of(5)  # type: ignore[arg-type]


def test_a_field_of_a_later_fork_needs_those_of_the_forks_before() -> None:
    with pytest.raises(InputError, match="'withdrawals_root': a header with it needs 'base_fee_per_gas' too"):
        Header(withdrawals_root=bytes(32))
    with pytest.raises(InputError, match="'requests_hash': a header with it needs 'blob_gas_used' too"):
        Header(base_fee_per_gas=1, withdrawals_root=bytes(32), requests_hash=bytes(32))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"parent_hash": bytes(31)}, "'parent_hash': expected 32 bytes, got 31"),
        ({"coinbase": bytes(21)}, "'coinbase'"),
        ({"logs_bloom": bytes(255)}, "'logs_bloom': expected 256 bytes, got 255"),
        ({"nonce": bytes(7)}, "'nonce': expected 8 bytes, got 7"),
        ({"nonce": 1}, "'nonce'"),
        ({"number": 2**64}, "'number'"),
        ({"gas_limit": -1}, "'gas_limit'"),
        ({"difficulty": 2**256}, "'difficulty'"),
        ({"extra_data": 5}, "'extra_data'"),
        ({"timestamp": None}, "'timestamp'"),
    ],
)
def test_a_header_that_cannot_be_is_an_error(values: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Header(**values)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"header": None}, "'header': expected Header, got NoneType"),
        ({"transactions": [b"\x01"]}, "'transactions': expected Transaction, got bytes"),
        ({"ommers": [1]}, "'ommers'"),
        ({"withdrawals": [1]}, "'withdrawals'"),
    ],
)
def test_a_block_that_cannot_be_is_an_error(values: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Block(**({"header": Header()} | values))


def a_block() -> Block:
    transaction = Transaction(type=2, chain_id=1, to=bytes(20)).sign(1)
    header = Header(base_fee_per_gas=1, withdrawals_root=bytes(32))
    return Block(header, (replace(transaction, sender=None),), (), (Withdrawal(1, 2, bytes(20), 3),))


@pytest.mark.parametrize(
    ("part", "value", "reason"),
    [
        (None, b"", "RLP_STRUCTURES_ENCODING"),
        (None, b"\x80", "RLP_STRUCTURES_ENCODING"),
        (None, rlp.encode([[], []]), "RLP_STRUCTURES_ENCODING"),
        (0, b"", "RLP_STRUCTURES_ENCODING"),
        (0, [b""] * 14, "RLP_STRUCTURES_ENCODING"),
        (0, [b""] * 22, "RLP_STRUCTURES_ENCODING"),
        (1, b"", "RLP_STRUCTURES_ENCODING"),
        (1, [Transaction().sign(1).encode()], "RLP_STRUCTURES_ENCODING"),
        (1, [b""], "RLP_ERROR_EOF"),
        (1, [[b""] * 8], "RLP_TOO_FEW_ELEMENTS"),
        (2, b"", "RLP_STRUCTURES_ENCODING"),
        (2, [[]], "RLP_STRUCTURES_ENCODING"),
        (3, b"", "RLP_STRUCTURES_ENCODING"),
        (3, [[b"\x01", b"\x01", bytes(20)]], "RLP_STRUCTURES_ENCODING"),
        (3, [[b"\x01", b"\x01", bytes(21), b"\x01"]], "RLP_INVALID_ADDRESS"),
        (3, [[b"\x01" + bytes(8), b"\x01", bytes(20), b"\x01"]], "RLP_INVALID_FIELD_OVERFLOW_64"),
        (3, [[b"\x00", b"\x01", bytes(20), b"\x01"]], "RLP_STRUCTURES_ENCODING"),
    ],
)
def test_malformed_encodings_are_refused_with_their_reason(part: int | None, value: Any, reason: str) -> None:
    if part is None:
        data = value
    else:
        parts = rlp.decode(a_block().encode())
        assert isinstance(parts, list)
        parts[part] = value
        data = rlp.encode(parts)
    with pytest.raises(InvalidBlock) as caught:
        Block.decode(data)
    assert caught.value.reason == reason


def test_bytes_after_a_block_are_refused() -> None:
    data = a_block().encode()
    assert Block.decode(data) == a_block()
    with pytest.raises(InvalidBlock, match="1 bytes follow the block"):
        Block.decode(data + b"\x80")


def test_damaged_blocks_are_refused_or_are_what_they_say() -> None:
    rng = random.Random(7)
    data = next(Block.decode_stream(chain())).encode()
    for _ in range(2000):
        damaged = bytearray(data)
        damaged[rng.randrange(len(damaged))] = rng.choice([0, 1, 0x7F, 0x80, 0xB8, 0xC0, 0xF8, 0xFF])
        try:
            block = Block.decode(bytes(damaged))
        except InvalidBlock:
            continue
        assert replace(block).encode() == bytes(damaged)


def test_json_needs_every_field_that_every_header_has() -> None:
    document = next(mainnet())["block"]
    for key in ("parentHash", "stateRoot", "gasLimit", "mixHash", "nonce"):
        with pytest.raises(InputError, match=f"'{key}' is missing"):
            Block.from_json({name: value for name, value in document.items() if name != key})
    with pytest.raises(InputError, match="'transactions': expected objects, got '0x1234'"):
        Block.from_json(document | {"transactions": ["0x1234"]})
    with pytest.raises(InputError, match="'transactions': expected a list"):
        Block.from_json(document | {"transactions": "0x"})


def test_the_result_of_a_block_is_shown_in_a_few_words() -> None:
    block = block_of(transfer(1, person(3)), transfer(2, person(3)))
    result = execute_block(block, MemoryState(people(3)), "cancun", validate=False)
    assert repr(result) == f"<BlockResult: block {block.header.number}, fork='cancun', 2 transactions, 42000 gas>"
