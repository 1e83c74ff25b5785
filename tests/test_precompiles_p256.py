"""P256VERIFY (EIP-7951) against the `cryptography` package and against forged keys for the rare cases."""

from __future__ import annotations

import random

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature

from evmcore._rules import Revision
from tests.precompiles import P256_VERIFY, call, gas_of, word

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
Point = tuple[int, int]


def add(p: Point | None, q: Point | None) -> Point | None:
    if p is None or q is None:
        return p or q
    if p[0] == q[0]:
        if (p[1] + q[1]) % P == 0:
            return None
        slope = (3 * p[0] ** 2 - 3) * pow(2 * p[1], -1, P)
    else:
        slope = (q[1] - p[1]) * pow(q[0] - p[0], -1, P)
    x = (slope**2 - p[0] - q[0]) % P
    return x, (slope * (p[0] - x) - p[1]) % P


def multiply(p: Point, k: int) -> Point | None:
    result: Point | None = None
    power: Point | None = p
    for bit in reversed(f"{k % N:b}"):
        if bit == "1":
            result = add(result, power)
        power = add(power, power)
    return result


def point_at(x: int) -> Point | None:
    """A point with this x, if there is one."""
    square = (x**3 - 3 * x + B) % P
    y = pow(square, (P + 1) // 4, P)
    return (x, y) if y * y % P == square else None


def key_for(digest: int, r: int, s: int, ephemeral: Point) -> Point:
    """The public key under which (r, s) signs the digest with this ephemeral point."""
    inverse = pow(r, -1, N)
    key = add(multiply(ephemeral, s * inverse), multiply(G, -digest * inverse))
    assert key is not None
    return key


def encode(digest: int, r: int, s: int, key: Point) -> bytes:
    return b"".join(map(word, (digest, r, s, *key)))


def verify(digest: int, r: int, s: int, key: Point) -> bool:
    output = call(P256_VERIFY, encode(digest, r, s, key))
    assert output in (b"", word(1))
    return output == word(1)


def verify_elsewhere(digest: int, r: int, s: int, key: Point) -> bool:
    public = ec.EllipticCurvePublicNumbers(*key, ec.SECP256R1()).public_key()
    try:
        public.verify(encode_dss_signature(r, s), word(digest), ec.ECDSA(Prehashed(hashes.SHA256())))
    except InvalidSignature:
        return False
    return True


@pytest.fixture(scope="module")
def signatures() -> list[tuple[int, int, int, Point]]:
    rng = random.Random(7951)
    found = []
    for _ in range(150):
        private = ec.derive_private_key(rng.randrange(1, N), ec.SECP256R1())
        digest = rng.randbytes(32)
        r, s = decode_dss_signature(private.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256()))))
        numbers = private.public_key().public_numbers()
        found.append((int.from_bytes(digest, "big"), r, s, (numbers.x, numbers.y)))
    return found


def test_signatures_verify(signatures: list[tuple[int, int, int, Point]]) -> None:
    for digest, r, s, key in signatures:
        assert verify(digest, r, s, key)
        assert verify(digest, r, N - s, key)  # malleability is not checked


def test_changed_signatures_agree_with_cryptography(signatures: list[tuple[int, int, int, Point]]) -> None:
    rng = random.Random(186)
    for digest, r, s, key in signatures:
        flip = 1 << rng.randrange(256)
        changed = rng.choice(
            [(digest ^ flip, r, s, key), (digest, (r ^ flip) % N, s, key), (digest, r, (s ^ flip) % N, key)]
        )
        assert verify(*changed) == verify_elsewhere(*changed)


def test_digest_is_taken_modulo_the_order(signatures: list[tuple[int, int, int, Point]]) -> None:
    rng = random.Random(5)
    for digest in (0, 1, N - 1, N, N + 1, P, 2**256 - 1):
        ephemeral = multiply(G, rng.randrange(1, N))
        assert ephemeral
        r, s = ephemeral[0] % N, rng.randrange(1, N)
        key = key_for(digest, r, s, ephemeral)
        assert verify(digest, r, s, key)
        assert verify_elsewhere(digest, r, s, key)


def test_x_above_the_order_is_reduced() -> None:
    rng = random.Random(6)
    found = 0
    for offset in range(60):
        ephemeral = point_at(N + offset)
        if ephemeral is None or offset == 0:
            continue
        found += 1
        digest, s = rng.getrandbits(256), rng.randrange(1, N)
        key = key_for(digest, offset, s, ephemeral)
        assert verify(digest, offset, s, key)
        assert verify_elsewhere(digest, offset, s, key)
    assert found > 10


def test_small_r_does_not_match_another_x() -> None:
    # r + N is below P for these, so both candidates are tried, and neither fits.
    rng = random.Random(7)
    for r in range(1, 40):
        key = multiply(G, rng.randrange(1, N))
        assert key and not verify(rng.getrandbits(256), r, rng.randrange(1, N), key)


def test_sum_at_infinity_is_refused() -> None:
    # digest G + r Q = 0 for Q = -digest / r G
    digest, r = 1234567, 7654321
    key = multiply(G, -digest * pow(r, -1, N))
    assert key and not verify(digest, r, 99, key)


def test_points_that_meet_while_adding() -> None:
    # Public keys among the small multiples of the generator, where additions turn into doublings.
    rng = random.Random(8)
    for private in [*range(1, 20), N - 1, N - 2, N - 3]:
        key = multiply(G, private)
        for nonce in (1, 2, private):
            digest, ephemeral = rng.getrandbits(256), multiply(G, nonce)
            assert key and ephemeral
            r = ephemeral[0] % N
            s = (digest + r * private) * pow(nonce, -1, N) % N
            assert verify(digest, r, s, key)


def test_out_of_range_numbers_are_refused(signatures: list[tuple[int, int, int, Point]]) -> None:
    digest, r, s, (x, y) = signatures[0]
    for bad in (0, N, N + 1, 2**256 - 1):
        assert not verify(digest, bad, s, (x, y))
        assert not verify(digest, r, bad, (x, y))
    for bad in (P, P + 1, 2**256 - 1):
        assert not verify(digest, r, s, (bad, y))
        assert not verify(digest, r, s, (x, bad))


def test_numbers_congruent_to_valid_ones_are_refused() -> None:
    ephemeral = point_at(5)
    assert ephemeral
    key = key_for(1, 5, 3, ephemeral)
    assert verify(1, 5, 3, key)
    assert not verify(1, 5 + N, 3, key)
    assert not verify(1, 5, 3 + N, key)


def test_points_off_the_curve_are_refused(signatures: list[tuple[int, int, int, Point]]) -> None:
    digest, r, s, (x, y) = signatures[0]
    for key in [(0, 0), (x, y ^ 1), (x ^ 1, y), (0, 1), (y, x)]:
        assert not verify(digest, r, s, key)


@pytest.mark.parametrize("size", [0, 1, 32, 159, 161, 320])
def test_other_sizes_give_no_output(signatures: list[tuple[int, int, int, Point]], size: int) -> None:
    data = encode(*signatures[0])
    assert call(P256_VERIFY, (data + data)[:size]) == b""


def test_gas(signatures: list[tuple[int, int, int, Point]]) -> None:
    for data in (encode(*signatures[0]), b"", bytes(160)):
        assert gas_of(P256_VERIFY, data, Revision.OSAKA) == 6900
