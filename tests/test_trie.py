"""Trie roots and proofs against the official tests, the definition in the yellow paper, and real roots."""

from __future__ import annotations

import json
import lzma
import random
from collections.abc import Mapping

import pytest
import rlp as library
from Crypto.Hash import keccak as pycryptodome_keccak

from evmcore.blocks import EMPTY_TRIE_ROOT, Block, encode_withdrawal
from evmcore.errors import InputError
from evmcore.state import MemoryState
from evmcore.trie import ordered_root, proof, root_of
from evmcore.types import Account
from tests.shared_files import archive_documents, shared_path


def keccak(data: bytes) -> bytes:
    return pycryptodome_keccak.new(digest_bits=256, data=data).digest()


# ---- yellow paper, appendix D: the structural function c and the node capping function n


def compact(nibbles: list[int], leaf: bool) -> bytes:
    flag = [2 * leaf + 1] if len(nibbles) % 2 else [2 * leaf, 0]
    digits = flag + nibbles
    return bytes(16 * high + low for high, low in zip(digits[::2], digits[1::2], strict=True))


def structure(items: Mapping[tuple[int, ...], bytes], depth: int) -> object:
    if len(items) == 1:
        ((key, value),) = items.items()
        return [compact(list(key[depth:]), leaf=True), value]
    keys = list(items)
    shared = depth
    while all(len(key) > shared and key[shared] == keys[0][shared] for key in keys):
        shared += 1
    if shared > depth:
        return [compact(list(keys[0][depth:shared]), leaf=False), capped(items, shared)]
    children = [
        capped({key: value for key, value in items.items() if len(key) > depth and key[depth] == digit}, depth + 1)
        for digit in range(16)
    ]
    here = [value for key, value in items.items() if len(key) == depth]
    return [*children, here[0] if here else b""]


def capped(items: Mapping[tuple[int, ...], bytes], depth: int) -> object:
    if not items:
        return b""
    node = structure(items, depth)
    encoded = library.encode(node)
    return node if len(encoded) < 32 else keccak(encoded)


def root_by_definition(items: Mapping[bytes, bytes]) -> bytes:
    if not items:
        return keccak(library.encode(b""))
    nibbles = {tuple(d for byte in key for d in (byte >> 4, byte & 15)): value for key, value in items.items()}
    return keccak(library.encode(structure(nibbles, 0)))


def random_items(rng: random.Random) -> dict[bytes, bytes]:
    """Keys that share long beginnings, and such that begin others; values that do and do not fit into their parents."""
    alphabet = rng.choice([b"\x00\x01", b"\x00\x10\x11", bytes(range(256))])
    longest = rng.choice([1, 2, 4, 32])
    stems = [bytes(rng.choices(alphabet, k=rng.randrange(longest + 1))) for _ in range(rng.randrange(1, 6))]
    items = {}
    for _ in range(rng.choice([0, 1, 2, 3, 10, 60])):
        key = (rng.choice(stems) + bytes(rng.choices(alphabet, k=rng.randrange(longest + 1))))[:64]
        items[key] = rng.randbytes(rng.choice([1, 1, 2, 20, 31, 32, 33, 55, 56, 300]))
    return items


def follow(nodes: list[bytes], root: bytes, key: bytes) -> bytes | None:
    """The value that a proof shows for a key, checking every hash on the way."""
    if not nodes:
        assert root == EMPTY_TRIE_ROOT
        return None
    rest = [d for byte in key for d in (byte >> 4, byte & 15)]
    waiting = list(nodes)
    node: object = root
    while True:
        if isinstance(node, bytes):
            if not node:
                break
            encoded = waiting.pop(0)
            assert keccak(encoded) == node
            node = library.decode(encoded)
        assert isinstance(node, list)
        if len(node) == 17:
            if not rest:
                assert not waiting
                return node[16] or None
            node = node[rest.pop(0)]
            continue
        flag, *digits = [d for byte in node[0] for d in (byte >> 4, byte & 15)]
        digits = digits if flag & 1 else digits[1:]
        if flag & 2:
            assert not waiting
            return node[1] if rest == digits else None
        if rest[: len(digits)] != digits:
            break
        rest, node = rest[len(digits) :], node[1]
    assert not waiting
    return None


def bytes_of(text: str | None) -> bytes:
    if text is None:
        return b""
    return bytes.fromhex(text[2:]) if text.startswith("0x") else text.encode()


def test_every_official_trie_test_gives_its_root() -> None:
    count = 0
    for document, tests in archive_documents("trie_tests", "TrieTests/"):
        for name, test in tests.items():
            if "root" not in test:  # the one test of neighbouring keys, which a trie without nodes does not have
                assert document.endswith("trietestnextprev.json")
                continue
            pairs = test["in"].items() if isinstance(test["in"], dict) else test["in"]
            items = [(bytes_of(key), bytes_of(value)) for key, value in pairs]
            assert "0x" + root_of(items, secure="secure" in document).hex() == test["root"], name
            count += 1
    assert count == 15


def test_roots_are_those_of_the_definition() -> None:
    rng = random.Random(3)
    for _ in range(1500):
        items = random_items(rng)
        assert root_of(items) == root_by_definition(items), items


def test_hashed_keys_are_those_of_the_definition() -> None:
    rng = random.Random(4)
    for size in (0, 1, 2, 17, 300):
        items = {rng.randbytes(rng.choice([20, 32, 100])): rng.randbytes(40) for _ in range(size)}
        assert root_of(items, secure=True) == root_by_definition({keccak(key): value for key, value in items.items()})


@pytest.mark.parametrize("count", [0, 1, 2, 16, 127, 128, 129, 255, 256, 257, 1000])
def test_lists_are_keyed_by_the_encoding_of_the_index(count: int) -> None:
    values = [random.Random(i).randbytes(1 + i % 70) for i in range(count)]
    assert ordered_root(values) == root_by_definition({library.encode(i): value for i, value in enumerate(values)})


def test_the_last_value_for_a_key_counts_and_an_empty_one_removes_it() -> None:
    assert root_of([(b"a", b"1"), (b"b", b"2"), (b"a", b"3"), (b"b", b"")]) == root_of({b"a": b"3"})
    assert root_of([(b"a", b"1"), (b"a", b"")]) == EMPTY_TRIE_ROOT


def test_proofs_lead_to_the_value_or_show_that_there_is_none() -> None:
    rng = random.Random(5)
    present = absent = 0
    for _ in range(300):
        items = random_items(rng)
        root = root_of(items)
        others = [
            rng.randbytes(rng.randrange(5)),
            *(key[:-1] for key in items if key),
            *(key[:63] + b"\x01" for key in items),
        ]
        for key in [*items, *others]:
            value = follow(proof(items, key), root, key)
            assert value == items.get(key), (items, key)
            present += value is not None
            absent += value is None
    assert present > 1000
    assert absent > 1000


def test_accounts_and_storage_give_the_state_root_of_the_definition() -> None:
    rng = random.Random(6)
    for size in (0, 1, 2, 40, 300):
        accounts = {
            rng.randbytes(20): Account(
                nonce=rng.getrandbits(rng.choice([0, 1, 7, 8, 64])),
                balance=rng.getrandbits(rng.choice([0, 7, 8, 90, 256])),
                code=rng.randbytes(rng.choice([0, 0, 10])),
                storage={
                    rng.choice([rng.getrandbits(256), rng.getrandbits(3)]): rng.getrandbits(rng.choice([0, 7, 8, 256]))
                    for _ in range(rng.choice([0, 0, 1, 2, 30]))
                },
            )
            for _ in range(size)
        }
        leaves = {}
        for address, account in accounts.items():
            slots = {keccak(slot.to_bytes(32, "big")): library.encode(v) for slot, v in account.storage.items() if v}
            fields = [account.nonce, account.balance, root_by_definition(slots), keccak(account.code)]
            leaves[keccak(address)] = library.encode(fields)
        for threads in (1, 2, 3, 8):
            assert MemoryState(accounts).state_root(None, threads) == root_by_definition(leaves)


def test_threads_do_not_change_the_root_of_storage_of_any_size() -> None:
    """Storage that is worth all threads is hashed by itself; keys that are not spread evenly another way."""
    rng = random.Random(7)
    accounts = {
        rng.randbytes(20): Account(1, 2, b"", {rng.getrandbits(256): rng.getrandbits(90) + 1 for _ in range(size)})
        for size in (5000, 4095, 20_000, 4096, 1, 0, 300)
    }
    (address, account) = next(iter(accounts.items()))
    slots = {keccak(slot.to_bytes(32, "big")): library.encode(v) for slot, v in account.storage.items()}
    fields = [account.nonce, account.balance, root_by_definition(slots), keccak(account.code)]
    expected = root_by_definition({keccak(address): library.encode(fields)})
    whole = MemoryState(accounts).state_root()
    for threads in (1, 2, 8):
        assert MemoryState({address: account}).state_root(None, threads) == expected
        assert MemoryState(accounts).state_root(None, threads) == whole


def test_the_state_root_of_the_rpc_chain_is_that_of_its_accounts() -> None:
    head = json.loads(shared_path("rpc-compat", "chain", "headstate.json").read_text())
    accounts = {
        bytes.fromhex(address[2:]): Account(
            nonce=account["nonce"],
            balance=int(account["balance"]),
            code=bytes.fromhex((account.get("code") or "0x")[2:]),
            storage={slot: "0x" + value for slot, value in (account.get("storage") or {}).items()},
        )
        for address, account in head["accounts"].items()
    }
    assert len(accounts) == 114
    assert MemoryState(accounts).state_root().hex() == head["root"]


def test_roots_of_transactions_and_withdrawals_of_real_blocks() -> None:
    blocks = list(Block.decode_stream(shared_path("rpc-compat", "chain", "chain.rlp").read_bytes()))
    for path in sorted(shared_path("blocks").glob("*.json.xz")):
        blocks.append(Block.from_json(json.loads(lzma.decompress(path.read_bytes()))["block"]))
    for block in blocks:
        assert (
            ordered_root(transaction.encode() for transaction in block.transactions) == block.header.transactions_root
        )
        if block.withdrawals is not None:
            assert ordered_root(map(encode_withdrawal, block.withdrawals)) == block.header.withdrawals_root
    assert len(blocks) == 54 + 44


def test_bad_input_is_an_error_that_names_the_argument() -> None:
    with pytest.raises(InputError, match="'key': expected at most 64 bytes, got 65"):
        root_of({bytes(65): b"1"})
    with pytest.raises(InputError, match="'key': expected bytes, got str"):
        root_of({"a": b"1"})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="'value': expected bytes, got int"):
        root_of({b"a": 1})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="'values': value 1 is empty"):
        ordered_root([b"a", b""])
    with pytest.raises(InputError, match="'values': expected bytes"):
        ordered_root([None])  # type: ignore[list-item]
    with pytest.raises(InputError, match="'key'"):
        proof({b"a": b"1"}, bytes(65))


def test_the_deepest_trie_does_not_exhaust_the_stack() -> None:
    keys = [bytes(64)[:depth] for depth in range(65)] + [
        bytes(depth) + b"\x10" + bytes(63 - depth) for depth in range(64)
    ]
    items = dict.fromkeys(keys, b"value")
    assert root_of(items) == root_by_definition(items)
    assert follow(proof(items, bytes(64)), root_of(items), bytes(64)) == b"value"


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 127, 128, 129, 256, 257, 700])
def test_threads_do_not_change_a_root(count: int) -> None:
    values = [bytes([number % 251 + 1]) * (1 + number * 37 % 600) for number in range(count)]
    expected = ordered_root(values)
    for threads in (2, 3, 8):
        assert ordered_root(values, threads) == expected
