"""BN254 addition, multiplication and pairing (EIP-196, EIP-197, EIP-1108) against py_ecc."""

from __future__ import annotations

import random
from typing import Any

import pytest
from py_ecc import optimized_bn128
from py_ecc.optimized_bn128 import (
    FQ2,
    G1,
    G2,
    add,
    b2,
    curve_order,
    double,
    field_modulus,
    is_inf,
    is_on_curve,
    multiply,
    neg,
    normalize,
)

from evmcore._rules import Revision
from tests.precompiles import BN254_ADD, BN254_MUL, BN254_PAIRING, call, gas_of, word

Point = Any  # py_ecc's projective points; None for the point at infinity too
TWIST_COFACTOR = 2 * field_modulus - curve_order
SMALL_FACTOR = 10069  # of the twist's cofactor
LAMBDA = 0x30644E72E131A029048B6E193FD84104CC37A73FEC2BC5E9B8CA0B2D36636F23  # a cube root of one modulo the order


def encode_g1(point: Point) -> bytes:
    if point is None or is_inf(point):
        return bytes(64)
    x, y = normalize(point)
    return word(x.n) + word(y.n)


def encode_g2(point: Point) -> bytes:
    """Imaginary parts first."""
    if point is None or is_inf(point):
        return bytes(128)
    return b"".join(word(int(part)) for c in normalize(point) for part in reversed(c.coeffs))


def times(point: Point, scalar: int) -> Point:
    return multiply(point, scalar % curve_order)


def random_g1(rng: random.Random) -> Point:
    return multiply(G1, rng.randrange(1, curve_order))


def square_root(value: FQ2) -> FQ2 | None:
    """A square root in Fp2, by the norm."""
    a, b = (int(c) for c in value.coeffs)
    p, half = field_modulus, pow(2, -1, field_modulus)
    norm = pow(a * a + b * b, (p + 1) // 4, p)
    for root in (norm, -norm):
        real = pow((a + root) * half % p, (p + 1) // 4, p)
        if real and real * real % p == (a + root) * half % p:
            candidate = FQ2([real, b * half * pow(real, -1, p) % p])
            if candidate * candidate == value:
                return candidate
    return None


def twist_point(rng: random.Random) -> Point:
    """A point of the twist that is, in all probability, outside the subgroup."""
    while True:
        x = FQ2([rng.randrange(field_modulus), rng.randrange(field_modulus)])
        y = square_root(x * x * x + b2)
        if y is not None:
            point = x, y, FQ2.one()
            assert is_on_curve(point, b2)
            return point


def pairing(*pairs: tuple[Point, Point]) -> int | None:
    output = call(BN254_PAIRING, b"".join(encode_g1(p) + encode_g2(q) for p, q in pairs))
    assert output in (None, word(0), word(1))
    return None if output is None else output[31]


def test_addition() -> None:
    rng = random.Random(196)
    for _ in range(150):
        p, q = random_g1(rng), random_g1(rng)
        assert call(BN254_ADD, encode_g1(p) + encode_g1(q)) == encode_g1(add(p, q))


def test_addition_of_related_points() -> None:
    rng = random.Random(7)
    for p in [G1, *(random_g1(rng) for _ in range(20))]:
        assert call(BN254_ADD, encode_g1(p) * 2) == encode_g1(double(p))
        assert call(BN254_ADD, encode_g1(p) + encode_g1(neg(p))) == bytes(64)
        assert call(BN254_ADD, encode_g1(p) + bytes(64)) == encode_g1(p)
        assert call(BN254_ADD, bytes(64) + encode_g1(p)) == encode_g1(p)
    assert call(BN254_ADD, bytes(128)) == bytes(64)


SCALARS = [
    *range(40),
    *(curve_order + d for d in range(-20, 20)),
    *(2 * curve_order + d for d in (-1, 0, 1)),
    *(5 * curve_order + d for d in (-1, 0, 1)),
    *(LAMBDA + d for d in range(-3, 4)),
    *(curve_order - LAMBDA + d for d in range(-3, 4)),
    *(1 << n for n in range(0, 256, 5)),
    *((1 << n) - 1 for n in range(60, 257, 4)),
    field_modulus,
]


@pytest.mark.parametrize("base", ["generator", "random"])
def test_multiplication_by_edge_scalars(base: str) -> None:
    p = G1 if base == "generator" else random_g1(random.Random(3))
    for scalar in SCALARS:
        assert call(BN254_MUL, encode_g1(p) + word(scalar)) == encode_g1(times(p, scalar)), scalar


def test_multiplication_by_random_scalars() -> None:
    rng = random.Random(197)
    p = random_g1(rng)
    for _ in range(400):
        scalar = rng.getrandbits(rng.choice([64, 128, 192, 253, 254, 256]))
        assert call(BN254_MUL, encode_g1(p) + word(scalar)) == encode_g1(times(p, scalar)), scalar
        if rng.randrange(20) == 0:
            p = random_g1(rng)


def test_multiples_of_infinity() -> None:
    for scalar in (0, 1, curve_order, 2**256 - 1):
        assert call(BN254_MUL, bytes(64) + word(scalar)) == bytes(64)


def test_input_is_zero_beyond_its_end_and_free_after_it() -> None:
    assert call(BN254_ADD, b"") == bytes(64)
    assert call(BN254_ADD, encode_g1(G1)) == encode_g1(G1)
    assert call(BN254_ADD, encode_g1(G1) * 2 + b"\xff" * 99) == encode_g1(double(G1))
    assert call(BN254_MUL, b"") == bytes(64)
    assert call(BN254_MUL, encode_g1(G1) + b"\1") == encode_g1(times(G1, 1 << 248))
    assert call(BN254_MUL, encode_g1(G1) + word(9) + b"\xff") == encode_g1(multiply(G1, 9))


BAD_G1 = [
    word(1) + word(3),
    word(0) + word(1),
    word(1) + word(0),
    word(field_modulus) + word(0),
    word(0) + word(field_modulus),
    word(1 + field_modulus) + word(2),
    word(1) + word(2 + field_modulus),
    word(2**256 - 1) + word(2),
]


@pytest.mark.parametrize("bad", BAD_G1)
def test_what_is_not_a_point_fails(bad: bytes) -> None:
    assert call(BN254_ADD, bad + encode_g1(G1)) is None
    assert call(BN254_ADD, encode_g1(G1) + bad) is None
    assert call(BN254_MUL, bad + word(0)) is None
    assert call(BN254_PAIRING, bad + encode_g2(G2)) is None
    assert call(BN254_PAIRING, bad + bytes(128)) is None


def test_no_pairs_multiply_to_one() -> None:
    assert pairing() == 1


def test_pairings_with_infinity_are_one() -> None:
    assert pairing((None, None)) == 1
    assert pairing((G1, None)) == 1
    assert pairing((None, G2)) == 1
    assert pairing((None, G2), (G1, None)) == 1
    assert pairing((None, G2), (G1, G2)) == 0


def test_pairing_is_bilinear_and_not_degenerate() -> None:
    rng = random.Random(1108)
    assert pairing((G1, G2)) == 0
    for _ in range(12):
        a, b = rng.randrange(1, curve_order), rng.randrange(1, curve_order)
        p, q = multiply(G1, a), multiply(G2, b)
        assert pairing((p, q)) == 0
        assert pairing((p, q), (neg(p), q)) == 1
        assert pairing((p, q), (p, neg(q))) == 1
        assert pairing((p, q), (neg(times(G1, a * b)), G2)) == 1
        assert pairing((p, q), (G1, neg(times(G2, a * b)))) == 1
        assert pairing((p, q), (neg(times(G1, a * b + 1)), G2)) == 0


def test_product_of_pairings_agrees_with_py_ecc() -> None:
    # e(a P, Q) e(b P, Q) e(-(a + b) P, Q) and the same by py_ecc's own pairing
    rng = random.Random(11)
    a, b = rng.randrange(1, 1000), rng.randrange(1, 1000)
    triple = [(multiply(G1, a), G2), (multiply(G1, b), G2), (neg(multiply(G1, a + b)), G2)]
    product = optimized_bn128.FQ12.one()
    for p, q in triple:
        product *= optimized_bn128.pairing(q, p)
    assert product == optimized_bn128.FQ12.one()
    assert pairing(*triple) == 1


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 31, 32, 33, 50])
def test_many_pairs(count: int) -> None:
    rng = random.Random(count)
    scalars = [(rng.randrange(1, 2**32), rng.randrange(1, 2**32)) for _ in range(count)]
    pairs = [(multiply(G1, a), multiply(G2, b)) for a, b in scalars]
    total = sum(a * b for a, b in scalars)
    assert pairing(*pairs, (neg(times(G1, total)), G2)) == 1
    assert pairing(*pairs, (None, G2), (neg(times(G1, total + 1)), G2)) == 0


def test_points_of_the_subgroup_are_accepted() -> None:
    rng = random.Random(13)
    for scalar in [*range(1, 30), curve_order - 1, curve_order - 2, *(rng.randrange(curve_order) for _ in range(20))]:
        assert pairing((None, multiply(G2, scalar))) == 1


def test_points_outside_the_subgroup_fail() -> None:
    rng = random.Random(17)
    for _ in range(30):
        point = twist_point(rng)
        assert not is_inf(multiply(point, curve_order))
        assert pairing((G1, point)) is None
        assert pairing((None, point)) is None
        cleared = multiply(point, TWIST_COFACTOR)
        assert pairing((None, cleared)) == 1


def test_points_of_small_order_fail() -> None:
    assert TWIST_COFACTOR % SMALL_FACTOR == 0
    small = multiply(twist_point(random.Random(19)), curve_order * (TWIST_COFACTOR // SMALL_FACTOR))
    assert not is_inf(small) and is_inf(multiply(small, SMALL_FACTOR))
    for k in (1, 2, 3, SMALL_FACTOR - 1):
        assert pairing((None, multiply(small, k))) is None
        assert pairing((G1, add(multiply(G2, k), multiply(small, k)))) is None


def test_g2_encodings_that_are_not_points_fail() -> None:
    good = encode_g2(G2)
    for place in range(4):
        value = int.from_bytes(good[32 * place : 32 * place + 32], "big")
        for bad in (value + field_modulus, value ^ 1, field_modulus, 2**256 - 1):
            data = good[: 32 * place] + word(bad) + good[32 * place + 32 :]
            assert call(BN254_PAIRING, encode_g1(G1) + data) is None
            assert call(BN254_PAIRING, bytes(64) + data) is None
    assert call(BN254_PAIRING, bytes(64) + bytes(96) + word(field_modulus)) is None


def test_a_bad_pair_after_good_ones_fails() -> None:
    good = encode_g1(G1) + encode_g2(G2)
    assert call(BN254_PAIRING, good * 20 + BAD_G1[0] + encode_g2(G2)) is None


@pytest.mark.parametrize("size", [1, 64, 191, 193, 383])
def test_pairing_refuses_sizes_that_are_not_whole_pairs(size: int) -> None:
    assert call(BN254_PAIRING, bytes(size)) is None


@pytest.mark.parametrize("revision", [Revision.BYZANTIUM, Revision.PETERSBURG, Revision.ISTANBUL, Revision.OSAKA])
def test_gas(revision: Revision) -> None:
    cheap = revision >= Revision.ISTANBUL
    assert gas_of(BN254_ADD, b"", revision) == (150 if cheap else 500)
    assert gas_of(BN254_MUL, b"", revision) == (6000 if cheap else 40000)
    for pairs in (0, 1, 3):
        cost = 45000 + 34000 * pairs if cheap else 100000 + 80000 * pairs
        assert gas_of(BN254_PAIRING, bytes(192 * pairs), revision) == cost
