"""MODEXP against Python's pow, and its prices against the formulas of the EIPs."""

from __future__ import annotations

import random

import pytest

from evmcore import _precompiles
from evmcore._rules import Revision
from tests.precompiles import MODEXP, call, gas_of, word


def encode(base: bytes, exponent: bytes, modulus: bytes) -> bytes:
    return word(len(base)) + word(len(exponent)) + word(len(modulus)) + base + exponent + modulus


def expected(base: bytes, exponent: bytes, modulus: bytes) -> bytes:
    m = int.from_bytes(modulus, "big")
    power = pow(int.from_bytes(base, "big"), int.from_bytes(exponent, "big"), m) if m else 0
    return power.to_bytes(len(modulus), "big")


def check(base: bytes, exponent: bytes, modulus: bytes) -> None:
    want = expected(base, exponent, modulus)
    got = call(MODEXP, encode(base, exponent, modulus), Revision.PRAGUE)
    assert got == want, f"base={base.hex()} exponent={exponent.hex()} modulus={modulus.hex()}"


def shaped_modulus(rng: random.Random, size: int) -> bytes:
    """Odd, even by a little or by much, a power of two, one less, short, zero, or anything."""
    bits = 8 * size
    value = rng.getrandbits(bits) if bits else 0
    shape = rng.randrange(9)
    if shape == 0 and bits:
        value |= 1
    elif shape == 1 and bits:
        value = value << rng.randrange(bits) & (1 << bits) - 1
    elif shape == 2 and bits:
        value = 1 << rng.randrange(bits)
    elif shape == 3 and bits:
        value = (1 << rng.randrange(1, bits + 1)) - 1
    elif shape == 4 and bits:
        value >>= rng.randrange(bits)
    elif shape == 5:
        value = rng.choice([0, 1, 2, 3]) & (1 << bits) - 1
    elif shape == 6 and bits:
        value = (1 << bits) - 1 - rng.getrandbits(min(bits, 8))
    return value.to_bytes(size, "big")


def shaped_number(rng: random.Random, size: int) -> bytes:
    kind = rng.randrange(6)
    if kind == 0:
        return bytes(size)
    if kind == 1:
        return b"\xff" * size
    if kind == 2:
        return rng.randbytes(rng.randrange(size + 1)).rjust(size, b"\0")
    return rng.randbytes(size)


def test_short_numbers() -> None:
    rng = random.Random(198)
    for _ in range(12_000):
        sizes = [rng.randrange(rng.choice([3, 9, 17, 33, 70])) for _ in range(3)]
        check(shaped_number(rng, sizes[0]), shaped_number(rng, sizes[1]), shaped_modulus(rng, sizes[2]))


def test_long_numbers() -> None:
    rng = random.Random(2565)
    for _ in range(1500):
        base, modulus = rng.randrange(1101), rng.randrange(1101)
        exponent = rng.randrange(rng.choice([2, 5, 20]))
        check(shaped_number(rng, base), shaped_number(rng, exponent), shaped_modulus(rng, modulus))


def test_long_exponents() -> None:
    rng = random.Random(7883)
    for _ in range(250):
        exponent = shaped_number(rng, rng.randrange(1101))
        check(shaped_number(rng, rng.randrange(60)), exponent, shaped_modulus(rng, rng.randrange(60)))


def test_longest_numbers_of_osaka() -> None:
    rng = random.Random(7823)
    for low in (1, 0):
        modulus = bytearray(rng.randbytes(1024))
        modulus[-1] = modulus[-1] & 0xFE | low
        check(rng.randbytes(1024), rng.randbytes(64), bytes(modulus))


@pytest.mark.parametrize("limbs", range(1, 20))
def test_every_small_number_of_limbs(limbs: int) -> None:
    rng = random.Random(limbs)
    for modulus in (
        2 ** (64 * limbs) - 1,
        2 ** (64 * limbs) - 2**32,
        2 ** (64 * limbs - 64) + 1,
        rng.getrandbits(64 * limbs) | 1,
    ):
        size = 8 * limbs
        for exponent in (b"\2", b"\1\0\1", rng.randbytes(9)):
            check(b"\xff" * size, exponent, modulus.to_bytes(size, "big"))
            check(rng.randbytes(size), exponent, modulus.to_bytes(size, "big"))


def test_zero_lengths() -> None:
    assert call(MODEXP, b"") == b""
    assert call(MODEXP, encode(b"", b"", b"")) == b""
    assert call(MODEXP, encode(b"", b"\5", b"")) == b""
    assert call(MODEXP, encode(b"\5", b"\5", b"")) == b""
    assert call(MODEXP, encode(b"", b"", b"\5")) == b"\1"  # 0^0 = 1
    assert call(MODEXP, encode(b"", b"", b"\1")) == b"\0"
    assert call(MODEXP, encode(b"", b"\5", b"\7")) == b"\0"
    assert call(MODEXP, encode(b"\3", b"", b"\0\0")) == b"\0\0"


def test_input_is_zero_beyond_its_end() -> None:
    rng = random.Random(32)
    for _ in range(300):
        full = encode(rng.randbytes(40), rng.randbytes(3), rng.randbytes(40))
        cut = rng.randrange(len(full))
        assert call(MODEXP, full[:cut]) == call(MODEXP, full[:cut].ljust(len(full), b"\0"))


def test_what_follows_the_numbers_is_ignored() -> None:
    data = encode(b"\3", b"\5", b"\x64")
    assert call(MODEXP, data + b"\xff" * 100) == call(MODEXP, data) == bytes([243 % 100])


def formula(revision: Revision, base: int, exponent_length: int, modulus: int, head: int) -> int:
    """EIP-198, EIP-2565 and EIP-7883 as their texts have it."""
    longest = max(base, modulus)
    words = (longest + 7) // 8
    head_bits = max(head.bit_length() - 1, 0)
    if revision >= Revision.OSAKA:
        complexity = 16 if longest <= 32 else 2 * words**2
        iterations = max(head_bits + (16 * (exponent_length - 32) if exponent_length > 32 else 0), 1)
        return max(500, complexity * iterations)
    iterations = max(head_bits + (8 * (exponent_length - 32) if exponent_length > 32 else 0), 1)
    if revision >= Revision.BERLIN:
        return max(200, words**2 * iterations // 3)
    if longest <= 64:
        complexity = longest**2
    elif longest <= 1024:
        complexity = longest**2 // 4 + 96 * longest - 3072
    else:
        complexity = longest**2 // 16 + 480 * longest - 199680
    return complexity * iterations // 20


RULES = [Revision.BYZANTIUM, Revision.ISTANBUL, Revision.BERLIN, Revision.PRAGUE, Revision.OSAKA]


@pytest.mark.parametrize("revision", RULES)
def test_gas(revision: Revision) -> None:
    rng = random.Random(int(revision))
    for _ in range(400):
        longest = rng.choice([33, 65, 1025])
        base, modulus = rng.randrange(longest), rng.randrange(longest)
        exponent = shaped_number(rng, rng.choice([rng.randrange(34), rng.randrange(200)]))
        # A modulus of zero keeps the work small; the price does not look at it.
        data = encode(bytes(base), exponent, bytes(modulus))
        head = int.from_bytes(exponent[:32], "big")
        assert gas_of(MODEXP, data, revision) == formula(revision, base, len(exponent), modulus, head)


def test_gas_of_more_than_1024_bytes() -> None:
    for revision in RULES[:-1]:
        for size in (1025, 5000):
            assert gas_of(MODEXP, word(size) + word(1) + word(0) + bytes(size) + b"\xff", revision) == formula(
                revision, size, 1, 0, 255
            )


@pytest.mark.parametrize("place", range(3))
def test_osaka_refuses_more_than_1024_bytes(place: int) -> None:
    lengths = [1, 1, 1]
    lengths[place] = 1024
    assert call(MODEXP, b"".join(map(word, lengths)), Revision.OSAKA) is not None
    lengths[place] = 1025
    assert call(MODEXP, b"".join(map(word, lengths)), Revision.OSAKA) is None
    assert call(MODEXP, b"".join(map(word, lengths)), Revision.PRAGUE) is not None


@pytest.mark.parametrize("revision", RULES)
@pytest.mark.parametrize("huge", [2**32, 2**40, 2**63, 2**64 - 1, 2**64, 2**100, 2**128 + 1, 2**256 - 1])
@pytest.mark.parametrize("place", range(3))
def test_huge_lengths_run_out_of_gas_at_once(revision: Revision, huge: int, place: int) -> None:
    lengths = [1, 1, 1]
    lengths[place] = huge
    data = b"".join(map(word, lengths)) + b"\2\2\2"
    assert _precompiles.run(MODEXP, revision, data, 10**9) == (False, 0, b"")


def test_a_huge_exponent_without_operands_is_free_before_osaka() -> None:
    for exponent in (2**64, 2**256 - 1):
        data = word(0) + word(exponent) + word(0)
        assert gas_of(MODEXP, data, Revision.BYZANTIUM) == 0
        assert gas_of(MODEXP, data, Revision.BERLIN) == 200
        assert call(MODEXP, data, Revision.BERLIN) == b""
        assert call(MODEXP, data, Revision.OSAKA) is None
