"""SHA-256, RIPEMD-160, identity and BLAKE2f against hashlib and pycryptodome."""

from __future__ import annotations

import hashlib
import random
import struct

import pytest
from Crypto.Hash import RIPEMD160 as pycryptodome_ripemd160

from evmcore import _precompiles
from evmcore._rules import Revision
from tests.precompiles import BLAKE2F, IDENTITY, RIPEMD160, SHA256, call, gas_of

BLAKE2B_ROUNDS = 12
BLAKE2B_INITIAL = struct.pack(
    "<8Q",
    *(0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1),
    *(0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179),
)


def messages() -> list[bytes]:
    rng = random.Random(9)
    return [rng.randbytes(n) for n in [*range(700), *(rng.randrange(700, 50_000) for _ in range(50))]]


def test_sha256_of_every_length() -> None:
    for data in messages():
        expected = hashlib.sha256(data).digest()
        assert call(SHA256, data) == expected, len(data)
        assert _precompiles.sha256_without_extensions(data) == expected, len(data)


def test_ripemd160_of_every_length() -> None:
    for data in messages():
        assert call(RIPEMD160, data) == bytes(12) + pycryptodome_ripemd160.new(data).digest(), len(data)


def test_identity_of_every_length() -> None:
    for data in messages():
        assert call(IDENTITY, data) == data


@pytest.mark.parametrize(("number", "base", "per_word"), [(SHA256, 60, 12), (RIPEMD160, 600, 120), (IDENTITY, 15, 3)])
def test_gas_counts_started_words(number: int, base: int, per_word: int) -> None:
    for size, words in [(0, 0), (1, 1), (31, 1), (32, 1), (33, 2), (64, 2), (65, 3), (1000, 32)]:
        assert gas_of(number, bytes(size), Revision.FRONTIER) == base + per_word * words


def blake2b_by_precompile(message: bytes, size: int) -> bytes:
    """BLAKE2b without a key, each compression a call of the precompile."""
    first = struct.unpack_from("<Q", BLAKE2B_INITIAL)[0] ^ 0x01010000 ^ size
    state = struct.pack("<Q", first) + BLAKE2B_INITIAL[8:]
    blocks = [message[i : i + 128] for i in range(0, len(message), 128)] or [b""]
    done = 0
    for i, block in enumerate(blocks):
        done += len(block)
        last = i == len(blocks) - 1
        output = call(
            BLAKE2F,
            BLAKE2B_ROUNDS.to_bytes(4, "big")
            + state
            + block.ljust(128, b"\0")
            + done.to_bytes(16, "little")
            + bytes([last]),
        )
        assert output is not None
        state = output
    return state[:size]


def test_blake2f_computes_blake2b() -> None:
    rng = random.Random(152)
    for n in [*range(0, 300, 7), 127, 128, 129, 255, 256, 257, 5000]:
        message = rng.randbytes(n)
        size = rng.randrange(1, 65)
        assert blake2b_by_precompile(message, size) == hashlib.blake2b(message, digest_size=size).digest(), n


def test_blake2f_gas_is_the_rounds() -> None:
    for rounds in (0, 1, 12, 100_000):
        assert gas_of(BLAKE2F, rounds.to_bytes(4, "big") + bytes(209)) == rounds


def test_blake2f_that_cannot_be_paid_does_not_run() -> None:
    data = b"\xff" * 4 + bytes(209)
    assert _precompiles.run(BLAKE2F, Revision.OSAKA, data, 2**32 - 2) == (False, 0, b"")


@pytest.mark.parametrize("size", [0, 1, 212, 214, 426])
def test_blake2f_refuses_other_sizes(size: int) -> None:
    assert call(BLAKE2F, bytes(size)) is None


@pytest.mark.parametrize("flag", [2, 3, 128, 255])
def test_blake2f_refuses_other_flags(flag: int) -> None:
    assert call(BLAKE2F, bytes(212) + bytes([flag])) is None
