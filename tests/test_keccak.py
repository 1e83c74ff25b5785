"""Keccak-256 against pycryptodome, for every permutation this machine can run."""

from __future__ import annotations

import random

import pytest
from Crypto.Hash import keccak as pycryptodome_keccak

from evmcore._hash import keccak256, keccak256_of_64, keccak256_variant, variants
from evmcore.errors import InputError


def expected(data: bytes) -> bytes:
    return pycryptodome_keccak.new(digest_bits=256, data=data).digest()


def messages() -> list[bytes]:
    rng = random.Random(20_250)
    lengths = [*range(1101), *(rng.randrange(1101, 20_000) for _ in range(200))]
    return [rng.randbytes(n) for n in lengths]


@pytest.mark.parametrize("name", variants())
def test_every_permutation_agrees_for_every_length(name: str) -> None:
    for data in messages():
        assert keccak256_variant(name, data) == expected(data), len(data)


def test_default_agrees_for_every_length() -> None:
    for data in messages():
        assert keccak256(data) == expected(data), len(data)


def test_path_for_64_bytes() -> None:
    rng = random.Random(64)
    for data in [bytes(64), b"\xff" * 64, *(rng.randbytes(64) for _ in range(1000))]:
        assert keccak256_of_64(data) == expected(data)


def test_portable_permutation_is_always_there() -> None:
    assert variants()[-1] == "portable"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_takes_any_contiguous_buffer(kind: type) -> None:
    assert keccak256(kind(b"evm")) == expected(b"evm")


def test_hash_of_a_million_bytes() -> None:
    data = bytes(range(256)) * 4000
    assert keccak256(data) == expected(data)


@pytest.mark.parametrize("bad", [None, 7, "text", memoryview(b"abcdef")[::2]])
def test_rejects_what_is_not_a_contiguous_buffer(bad: object) -> None:
    with pytest.raises(InputError, match="data"):
        keccak256(bad)  # type: ignore[arg-type]


def test_64_byte_path_rejects_other_lengths() -> None:
    with pytest.raises(InputError, match="64 bytes"):
        keccak256_of_64(bytes(63))


def test_unknown_variant_is_named() -> None:
    with pytest.raises(InputError, match="portable"):
        keccak256_variant("quantum", b"")
