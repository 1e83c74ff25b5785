"""BLS12-381 (EIP-2537) and KZG point evaluation (EIP-4844) against py_ecc."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import pytest
from py_ecc.bls.hash_to_curve import clear_cofactor_G1, clear_cofactor_G2, map_to_curve_G1, map_to_curve_G2
from py_ecc.bls.point_compression import compress_G1, compress_G2, decompress_G1, decompress_G2
from py_ecc.bls.typing import G1Compressed, G2Compressed
from py_ecc.optimized_bls12_381 import (
    FQ,
    FQ2,
    G1,
    G2,
    Z1,
    Z2,
    add,
    b,
    curve_order,
    double,
    field_modulus,
    is_inf,
    is_on_curve,
    multiply,
    neg,
    normalize,
)

from evmcore import _precompiles
from evmcore._rules import Revision
from tests.precompiles import (
    G1_ADD,
    G1_MSM,
    G2_ADD,
    G2_MSM,
    MAP_FP2_TO_G2,
    MAP_FP_TO_G1,
    PAIRING,
    POINT_EVALUATION,
    call,
    gas_of,
    word,
)

pytestmark = pytest.mark.skipif(
    _precompiles.blst_unavailable() is not None, reason=str(_precompiles.blst_unavailable())
)

Point = Any  # py_ecc's projective points
# [tau] G1 of the KZG ceremony, g1_monomial[1] of the trusted setup; the pairing test below ties it to [tau] G2.
TAU_G1 = bytes.fromhex(
    "ad3eb50121139aa34db1d545093ac9374ab7bca2c0f3bf28e27c8dcd8fc7cb42d25926fc0c97b336e9f0fb35e5a04c81"
)
TAU_G2 = bytes.fromhex(
    "b5bfd7dd8cdeb128843bc287230af38926187075cbfbefa81009a2ce615ac53d2914e5870cb452d2afaaab24f3499f72"
    "185cbfee53492714734429b7b38608e23926c911cceceac9a36851477ba4c60b087041de621000edc98edada20c1def2"
)
POINT_EVALUATION_OUTPUT = word(4096) + word(curve_order)


def encode_fp(value: int) -> bytes:
    return value.to_bytes(64, "big")


def encode_g1(point: Point) -> bytes:
    return bytes(128) if is_inf(point) else b"".join(encode_fp(c.n) for c in normalize(point))


def encode_g2(point: Point) -> bytes:
    return bytes(256) if is_inf(point) else b"".join(encode_fp(int(p)) for c in normalize(point) for p in c.coeffs)


GROUPS = [
    pytest.param(G1_ADD, G1_MSM, G1, Z1, encode_g1, id="G1"),
    pytest.param(G2_ADD, G2_MSM, G2, Z2, encode_g2, id="G2"),
]


def curve_point_g1(rng: random.Random) -> Point:
    """A point of the curve that is, in all probability, outside the subgroup."""
    while True:
        x = rng.randrange(field_modulus)
        y = pow(x**3 + 4, (field_modulus + 1) // 4, field_modulus)
        point = FQ(x), FQ(y), FQ.one()
        if is_on_curve(point, b):
            return point


def curve_point_g2(rng: random.Random) -> Point:
    return map_to_curve_G2(FQ2([rng.randrange(field_modulus), rng.randrange(field_modulus)]))


def outside_subgroup(generator: Point, rng: random.Random) -> Point:
    point = curve_point_g1(rng) if generator is G1 else curve_point_g2(rng)
    assert not is_inf(multiply(point, curve_order))
    return point


@pytest.mark.parametrize(("add_number", "msm", "generator", "zero", "encode"), GROUPS)
def test_addition(add_number: int, msm: int, generator: Point, zero: Point, encode: Any) -> None:
    rng = random.Random(2537)
    for _ in range(8):
        p, q = (multiply(generator, rng.randrange(1, curve_order)) for _ in range(2))
        assert call(add_number, encode(p) + encode(q)) == encode(add(p, q))
        assert call(add_number, encode(p) + encode(p)) == encode(double(p))
        assert call(add_number, encode(p) + encode(neg(p))) == encode(zero)
        assert call(add_number, encode(p) + encode(zero)) == encode(p)
        assert call(add_number, encode(zero) + encode(p)) == encode(p)
    assert call(add_number, encode(zero) * 2) == encode(zero)


@pytest.mark.parametrize(("add_number", "msm", "generator", "zero", "encode"), GROUPS)
def test_addition_needs_no_subgroup_and_msm_does(
    add_number: int, msm: int, generator: Point, zero: Point, encode: Any
) -> None:
    rng = random.Random(4)
    for _ in range(4):
        p, q = outside_subgroup(generator, rng), multiply(generator, rng.randrange(1, curve_order))
        assert call(add_number, encode(p) + encode(q)) == encode(add(p, q))
        assert call(add_number, encode(p) * 2) == encode(double(p))
        for scalar in (0, 1, curve_order):
            assert call(msm, encode(p) + word(scalar)) is None
            assert call(msm, encode(q) + word(1) + encode(p) + word(scalar)) is None


@pytest.mark.parametrize(("add_number", "msm", "generator", "zero", "encode"), GROUPS)
@pytest.mark.parametrize("terms", [1, 2, 3, 8, 31, 33, 130])
def test_multi_scalar_multiplication(
    add_number: int, msm: int, generator: Point, zero: Point, encode: Any, terms: int
) -> None:
    # All points are known multiples of the generator, so the sum is one multiplication away.
    rng = random.Random(terms)
    small = [rng.randrange(1, 64) for _ in range(terms)]
    points = {k: encode(multiply(generator, k)) for k in set(small)}
    edges = [0, 1, curve_order - 1, curve_order, curve_order + 1, 2 * curve_order, 2**256 - 1, 2**255]
    for _ in range(3):
        scalars = [rng.choice(edges) if rng.randrange(4) == 0 else rng.getrandbits(256) for _ in range(terms)]
        total = sum(k * scalar for k, scalar in zip(small, scalars, strict=True)) % curve_order
        data = b"".join(points[k] + word(scalar) for k, scalar in zip(small, scalars, strict=True))
        assert call(msm, data) == encode(multiply(generator, total))
        assert call(msm, data + encode(zero) + word(7)) == encode(multiply(generator, total))


@pytest.mark.parametrize(("add_number", "msm", "generator", "zero", "encode"), GROUPS)
def test_multiplication_by_edge_scalars(add_number: int, msm: int, generator: Point, zero: Point, encode: Any) -> None:
    for scalar in [0, 1, 2, curve_order - 1, curve_order, curve_order + 1, 2 * curve_order + 3, 2**256 - 1, 1 << 255]:
        assert call(msm, encode(generator) + word(scalar)) == encode(multiply(generator, scalar % curve_order))
        assert call(msm, encode(zero) + word(scalar)) == encode(zero)
    cancelling = encode(generator) + word(5) + encode(neg(generator)) + word(5)
    assert call(msm, cancelling) == encode(zero)


def test_map_to_g1() -> None:
    rng = random.Random(0x10)
    for value in [0, 1, 2, field_modulus - 1, *(rng.randrange(field_modulus) for _ in range(8))]:
        assert call(MAP_FP_TO_G1, encode_fp(value)) == encode_g1(clear_cofactor_G1(map_to_curve_G1(FQ(value))))


def test_map_to_g2() -> None:
    rng = random.Random(0x11)
    values = [(0, 0), (0, 1), (1, 0), (field_modulus - 1, 1)]
    values += [(rng.randrange(field_modulus), rng.randrange(field_modulus)) for _ in range(4)]
    for real, imaginary in values:
        expected = clear_cofactor_G2(map_to_curve_G2(FQ2([real, imaginary])))
        assert call(MAP_FP2_TO_G2, encode_fp(real) + encode_fp(imaginary)) == encode_g2(expected)


def pairing(*pairs: tuple[Point, Point]) -> int | None:
    output = call(PAIRING, b"".join(encode_g1(p) + encode_g2(q) for p, q in pairs))
    assert output in (None, word(0), word(1))
    return None if output is None else output[31]


def test_pairing_is_bilinear_and_not_degenerate() -> None:
    rng = random.Random(12)
    assert pairing((G1, G2)) == 0
    for count in (1, 2, 5, 20):
        scalars = [(rng.randrange(1, curve_order), rng.randrange(1, curve_order)) for _ in range(count)]
        pairs = [(multiply(G1, x), multiply(G2, y)) for x, y in scalars]
        total = sum(x * y for x, y in scalars) % curve_order
        assert pairing(*pairs) == 0
        assert pairing(*pairs, (neg(multiply(G1, total)), G2)) == 1
        assert pairing(*pairs, (Z1, G2), (G1, Z2), (neg(multiply(G1, total)), G2)) == 1
        assert pairing(*pairs, (neg(multiply(G1, total + 1)), G2)) == 0


def test_pairings_with_infinity_are_one() -> None:
    assert pairing((Z1, Z2)) == pairing((G1, Z2)) == pairing((Z1, G2)) == 1
    assert pairing((Z1, G2), (G1, G2)) == 0


def test_pairing_refuses_points_outside_the_subgroups() -> None:
    rng = random.Random(14)
    p, q = outside_subgroup(G1, rng), outside_subgroup(G2, rng)
    assert pairing((p, G2)) is None
    assert pairing((p, Z2)) is None
    assert pairing((G1, q)) is None
    assert pairing((Z1, q)) is None
    assert pairing((G1, G2), (p, G2)) is None


def replaced(data: bytes, start: int, value: bytes) -> bytes:
    return data[:start] + value + data[start + len(value) :]


@pytest.mark.parametrize(
    ("number", "good"),
    [
        pytest.param(G1_ADD, encode_g1(G1) * 2, id="G1ADD"),
        pytest.param(G1_MSM, encode_g1(G1) + word(2), id="G1MSM"),
        pytest.param(G2_ADD, encode_g2(G2) * 2, id="G2ADD"),
        pytest.param(G2_MSM, encode_g2(G2) + word(2), id="G2MSM"),
        pytest.param(PAIRING, encode_g1(G1) + encode_g2(G2), id="PAIRING"),
        pytest.param(MAP_FP_TO_G1, encode_fp(3), id="MAP_FP_TO_G1"),
        pytest.param(MAP_FP2_TO_G2, encode_fp(3) + encode_fp(4), id="MAP_FP2_TO_G2"),
    ],
)
def test_bad_field_elements_and_sizes_fail(number: int, good: bytes) -> None:
    assert call(number, good) is not None
    for start in range(0, len(good) // 64 * 64, 64):
        value = int.from_bytes(good[start : start + 64], "big")
        for bad in (field_modulus, value + field_modulus, 2**384 - 1, value + (1 << 384), value + (1 << 511)):
            assert call(number, replaced(good, start, encode_fp(bad))) is None
    for size in (0, 1, len(good) - 1, len(good) + 1):
        assert call(number, (good * 2)[:size]) is None


@pytest.mark.parametrize(("add_number", "msm", "generator", "zero", "encode"), GROUPS)
def test_points_off_the_curve_fail(add_number: int, msm: int, generator: Point, zero: Point, encode: Any) -> None:
    good = encode(generator)
    for place in range(0, len(good), 64):
        bad = replaced(good, place + 63, bytes([good[place + 63] ^ 1]))
        assert call(add_number, bad + good) is None
        assert call(add_number, good + bad) is None
        assert call(msm, bad + word(0)) is None
        off_by_zero = replaced(bytes(len(good)), place + 63, b"\1")
        assert call(add_number, off_by_zero + good) is None


def test_fixed_prices() -> None:
    assert gas_of(G1_ADD, bytes(256)) == 375
    assert gas_of(G2_ADD, bytes(512)) == 600
    assert gas_of(MAP_FP_TO_G1, bytes(64)) == 5500
    assert gas_of(MAP_FP2_TO_G2, bytes(128)) == 23800
    for pairs in (1, 2, 9):
        assert gas_of(PAIRING, bytes(384 * pairs)) == 37700 + 32600 * pairs


# (terms, discount in thousandths), as EIP-2537's tables have them; the last holds for any greater number.
@pytest.mark.parametrize(
    ("terms", "g1", "g2"),
    [(1, 1000, 1000), (2, 949, 1000), (3, 848, 923), (16, 677, 717), (64, 576, 582), (127, 520, 524), (128, 519, 524),
     (129, 519, 524), (1000, 519, 524)],
)  # fmt: skip
def test_multi_scalar_prices(terms: int, g1: int, g2: int) -> None:
    assert gas_of(G1_MSM, bytes(160 * terms)) == 12000 * terms * g1 // 1000
    assert gas_of(G2_MSM, bytes(288 * terms)) == 22500 * terms * g2 // 1000


def versioned_hash(commitment: bytes) -> bytes:
    return b"\1" + hashlib.sha256(commitment).digest()[1:]


def evaluation(commitment: bytes, z: int, y: int, proof: bytes) -> bytes:
    return versioned_hash(commitment) + word(z) + word(y) + commitment + proof


def compressed(point: Point) -> bytes:
    return int(compress_G1(point)).to_bytes(48, "big")


def linear(constant: int, slope: int, z: int) -> bytes:
    """The proof that constant + slope * x, committed to with the ceremony's points, takes its value at z."""
    tau = decompress_G1(G1Compressed(int.from_bytes(TAU_G1, "big")))
    commitment = add(multiply(G1, constant), multiply(tau, slope))
    return evaluation(compressed(commitment), z, (constant + slope * z) % curve_order, compressed(multiply(G1, slope)))


def test_ceremony_points_belong_together() -> None:
    # e([tau] G1, G2) = e(G1, [tau] G2)
    halves = int.from_bytes(TAU_G2[:48], "big"), int.from_bytes(TAU_G2[48:], "big")
    tau_g2 = decompress_G2(G2Compressed(halves))
    tau_g1 = decompress_G1(G1Compressed(int.from_bytes(TAU_G1, "big")))
    assert compress_G2(tau_g2) == halves
    assert pairing((tau_g1, G2), (neg(G1), tau_g2)) == 1


def test_true_evaluations_are_accepted() -> None:
    rng = random.Random(4844)
    for _ in range(10):
        constant, slope, z = (rng.randrange(curve_order) for _ in range(3))
        assert call(POINT_EVALUATION, linear(constant, slope, z)) == POINT_EVALUATION_OUTPUT
    for constant, slope, z in [(0, 0, 0), (5, 0, 9), (0, 1, 0), (0, 1, curve_order - 1), (curve_order - 1, 1, 1)]:
        assert call(POINT_EVALUATION, linear(constant, slope, z)) == POINT_EVALUATION_OUTPUT


def test_false_evaluations_fail() -> None:
    data = linear(11, 22, 33)
    z, y, commitment, proof = 33, 11 + 22 * 33, data[96:144], data[144:]
    assert call(POINT_EVALUATION, evaluation(commitment, z, y, proof)) == POINT_EVALUATION_OUTPUT
    other = compressed(multiply(G1, 23))
    for bad in [(commitment, z + 1, y, proof), (commitment, z, y + 1, proof), (commitment, z, y, other)]:
        assert call(POINT_EVALUATION, evaluation(*bad)) is None
    assert call(POINT_EVALUATION, evaluation(other, z, y, proof)) is None


def test_numbers_not_below_the_modulus_fail() -> None:
    data = linear(11, 22, 33)
    for place, value in ((32, 33), (64, 11 + 22 * 33)):
        for bad in (value + curve_order, curve_order, 2**256 - 1):
            assert call(POINT_EVALUATION, replaced(data, place, word(bad))) is None


def test_versioned_hash_must_be_the_commitments() -> None:
    data = linear(11, 22, 33)
    for place in (0, 1, 31):
        assert call(POINT_EVALUATION, replaced(data, place, bytes([data[place] ^ 1]))) is None


def test_bad_commitments_and_proofs_fail() -> None:
    infinity = b"\xc0" + bytes(47)
    outside = compressed(outside_subgroup(G1, random.Random(1)))
    bad_points = {
        "no flags": bytes(48),
        "not compressed": replaced(compressed(G1), 0, bytes([compressed(G1)[0] & 0x7F])),
        "infinity with a sign": b"\xe0" + bytes(47),
        "infinity with a coordinate": replaced(infinity, 47, b"\1"),
        "x at the modulus": (field_modulus + (1 << 383)).to_bytes(48, "big"),
        "all ones": b"\xff" * 48,
        "outside the subgroup": outside,
    }
    assert call(POINT_EVALUATION, evaluation(infinity, 3, 0, infinity)) == POINT_EVALUATION_OUTPUT
    for why, bad in bad_points.items():
        assert call(POINT_EVALUATION, evaluation(bad, 3, 0, infinity)) is None, why
        assert call(POINT_EVALUATION, evaluation(infinity, 3, 0, bad)) is None, why


@pytest.mark.parametrize("size", [0, 1, 191, 193, 384])
def test_point_evaluation_refuses_other_sizes(size: int) -> None:
    assert call(POINT_EVALUATION, (linear(1, 2, 3) * 2)[:size]) is None


def test_point_evaluation_price() -> None:
    assert gas_of(POINT_EVALUATION, linear(1, 2, 3), Revision.CANCUN) == 50000
