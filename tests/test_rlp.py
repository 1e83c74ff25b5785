"""RLP against the official invalid cases and the `rlp` library, and its refusals."""

from __future__ import annotations

import random
from typing import Any

import pytest
import rlp as library

from evmcore import rlp
from evmcore.errors import RlpError
from tests.shared_files import archive_documents


def random_item(rng: random.Random, depth: int) -> Any:
    if depth == 0 or rng.random() < 0.5:
        return rng.randbytes(
            rng.choice([0, 1, 1, 2, 20, 32, 54, 55, 56, 57, 255, 256, 300, 70_000 if depth == 6 else 5])
        )
    return [random_item(rng, depth - 1) for _ in range(rng.choice([0, 1, 2, 3, 17, 60]))]


def bytes_of(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def test_official_invalid_encodings_are_refused() -> None:
    refused = 0
    for _, tests in archive_documents("trie_tests", "RLPTests/invalid"):
        for name, test in tests.items():
            with pytest.raises(RlpError):
                rlp.decode(bytes_of(test["out"]))
                pytest.fail(name)
            refused += 1
    assert refused == 26


def test_official_random_encodings_are_accepted() -> None:
    for _, tests in archive_documents("trie_tests", "RLPTests/Random"):
        for test in tests.values():
            assert test["in"] == "VALID"
            data = bytes_of(test["out"])
            assert rlp.encode(rlp.decode(data)) == data


def test_encoding_and_decoding_agree_with_the_library() -> None:
    rng = random.Random(1)
    for _ in range(300):
        item = random_item(rng, 6 if rng.random() < 0.02 else 3)
        data = rlp.encode(item)
        assert data == library.encode(item)
        assert rlp.decode(data) == item


def test_damaged_encodings_are_judged_as_the_library_does() -> None:
    rng = random.Random(2)
    refused = 0
    for _ in range(3000):
        data = bytearray(rlp.encode(random_item(rng, 2)))
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(min(len(data), 12))] = rng.choice([0, 1, 0x7F, 0x80, 0x81, 0xB8, 0xB9, 0xC0, 0xF8, 0xFF])
        try:
            expected = library.decode(bytes(data), strict=True)
        except library.DecodingError:
            refused += 1
            with pytest.raises(RlpError):
                rlp.decode(bytes(data))
        else:
            assert rlp.decode(bytes(data)) == expected
    assert refused > 500


@pytest.mark.parametrize("number", [0, 1, 127, 128, 255, 256, 2**64 - 1, 2**256 - 1])
def test_numbers_are_their_shortest_bytes(number: int) -> None:
    data = rlp.encode(number)
    assert data == library.encode(number)
    item = rlp.decode(data)
    assert rlp.decode_uint(item, "n") == number


def test_nesting_does_not_exhaust_the_stack() -> None:
    item: Any = []
    for _ in range(10_000):
        item = [item]
    data = rlp.encode(item)
    assert rlp.encode(rlp.decode(data)) == data


def test_items_can_be_read_one_after_the_other() -> None:
    data = rlp.encode([1, 2]) + rlp.encode(b"abc")
    first, end = rlp.decode_from(data)
    assert first == [b"\x01", b"\x02"]
    assert rlp.decode_from(data, end) == (b"abc", len(data))


def test_members_of_a_list_stay_encoded() -> None:
    members: list[Any] = [b"abc", [b"d", [b""]], b""]
    assert rlp.split_list(rlp.encode(members)) == ([rlp.encode(member) for member in members], 10)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("", "expected an item at byte 0"),
        ("8080", "1 bytes follow"),
        ("8100", "must be its own encoding"),
        ("b837" + "00" * 55, "shortest way"),
        ("b90038" + "00" * 56, "shortest way"),
        ("83abcd", "has 3 bytes, of which 2"),
        ("c3838080", "has 3 bytes, of which 2"),
        ("bfffffffffffffffff00", "has 18446744073709551615 bytes"),
        ("f9ff", "length of the item at byte 0 ends at 3"),
    ],
)
def test_refusals_say_what_is_wrong(data: str, says: str) -> None:
    with pytest.raises(RlpError, match=says):
        rlp.decode(bytes.fromhex(data))


@pytest.mark.parametrize("item", [-1, 1.5, None, True, "text", [b"", -1], {1: 2}])
def test_only_bytes_numbers_and_lists_can_be_encoded(item: Any) -> None:
    with pytest.raises(RlpError):
        rlp.encode(item)


def test_fields_are_read_strictly() -> None:
    with pytest.raises(rlp.NotCanonical, match=r"'nonce'.*leading zero"):
        rlp.decode_uint(b"\x00\x01", "nonce")
    with pytest.raises(RlpError, match=r"'nonce'.*below 2\*\*64"):
        rlp.decode_uint(b"\x01" + bytes(8), "nonce", 64)
    with pytest.raises(RlpError, match=r"'nonce'.*got a list"):
        rlp.decode_uint([], "nonce")
    with pytest.raises(RlpError, match=r"'to'.*expected 20 bytes, got 19"):
        rlp.decode_fixed(bytes(19), "to", 20)
    with pytest.raises(RlpError, match=r"'to'.*got a list"):
        rlp.decode_fixed([], "to", 20)
    with pytest.raises(RlpError, match=r"'ommers'.*got 3 bytes"):
        rlp.decode_list(b"abc", "ommers")
    with pytest.raises(RlpError, match="expected a list"):
        rlp.split_list(b"\x80")
