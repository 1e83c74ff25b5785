"""secp256k1 recovery and the ecrecover precompile against py_ecc."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from Crypto.Hash import keccak as pycryptodome_keccak
from py_ecc.secp256k1 import ecdsa_raw_recover, privtopub
from py_ecc.secp256k1.secp256k1 import N, P

from evmcore._crypto import address_of, recover_address, sign
from evmcore._rules import Revision
from evmcore.errors import InputError
from tests.precompiles import ECRECOVER, call, gas_of, word

Signed = tuple[bytes, int, int, int]


def address_of_point(point: tuple[int, int]) -> bytes:
    digest = pycryptodome_keccak.new(digest_bits=256, data=word(point[0]) + word(point[1])).digest()
    return bytes(digest[12:])


def expected(digest: bytes, r: int, s: int, parity: int) -> bytes | None:
    """Recovery by the textbook, for 0 < r, s < N."""
    if not (0 < r < N and 0 < s < N) or pow(r**3 + 7, (P - 1) // 2, P) != 1:
        return None
    point = ecdsa_raw_recover(digest, (27 + parity, r, s))
    return address_of_point(point) if point and point != (0, 0) else None


def precompile_input(digest: bytes, r: int, s: int, v: int) -> bytes:
    return digest + word(v) + word(r) + word(s)


def precompile_output(address: bytes | None) -> bytes:
    return bytes(12) + address if address else b""


@pytest.fixture(scope="module")
def signatures() -> list[tuple[bytes, Signed]]:
    rng = random.Random(155)
    found = []
    for _ in range(60):
        key, digest = word(rng.randrange(1, N)), rng.randbytes(32)
        found.append((key, (digest, *sign(digest, key))))
    return found


def test_address_of_a_key(signatures: list[tuple[bytes, Signed]]) -> None:
    for key, _ in signatures:
        assert address_of(key) == address_of_point(privtopub(key))


def test_signatures_recover_to_their_signer(signatures: list[tuple[bytes, Signed]]) -> None:
    for key, (digest, r, s, parity) in signatures:
        assert s <= N // 2
        assert recover_address(digest, r, s, parity) == address_of(key)
        assert recover_address(digest, r, N - s, 1 - parity) == address_of(key)  # high s is accepted here
        assert recover_address(digest, r, s, 1 - parity) != address_of(key)
        assert call(ECRECOVER, precompile_input(digest, r, s, 27 + parity)) == bytes(12) + address_of(key)


def test_any_numbers_recover_as_in_py_ecc() -> None:
    rng = random.Random(27)
    for _ in range(120):
        digest, r, s, parity = rng.randbytes(32), rng.randrange(N), rng.randrange(N), rng.randrange(2)
        want = expected(digest, r, s, parity)
        assert recover_address(digest, r, s, parity) == want
        assert call(ECRECOVER, precompile_input(digest, r, s, 27 + parity)) == precompile_output(want)


@pytest.mark.parametrize("value", [0, N, N + 1, P, 2**256 - 1])
def test_r_and_s_out_of_range_recover_nothing(signatures: list[tuple[bytes, Signed]], value: int) -> None:
    digest, r, s, parity = signatures[0][1]
    for bad in [(value, s), (r, value)]:
        assert recover_address(digest, *bad, parity) is None
        assert call(ECRECOVER, precompile_input(digest, *bad, 27 + parity)) == b""


def test_digest_may_be_above_the_group_order(signatures: list[tuple[bytes, Signed]]) -> None:
    for digest in (b"\xff" * 32, bytes(32), word(N), word(N - 1)):
        for key, _ in signatures[:3]:
            assert recover_address(digest, *sign(digest, key)) == address_of(key)


@pytest.mark.parametrize("v", [0, 1, 26, 29, 27 + 256, 28 + (1 << 255), 2**256 - 1])
def test_precompile_takes_v_of_27_and_28_only(signatures: list[tuple[bytes, Signed]], v: int) -> None:
    digest, r, s, _ = signatures[0][1]
    assert call(ECRECOVER, precompile_input(digest, r, s, v)) == b""


def test_precompile_input_is_zero_beyond_its_end() -> None:
    # A signature whose s ends in a zero byte, so that cutting the byte off changes nothing.
    key = word(1)
    digest, s_end = bytes(32), 1
    for i in range(10_000):
        digest = word(i)
        r, s, parity = sign(digest, key)
        s_end = s & 0xFF
        if s_end == 0:
            break
    assert s_end == 0
    data = precompile_input(digest, r, s, 27 + parity)
    assert call(ECRECOVER, data[:-1]) == call(ECRECOVER, data) == call(ECRECOVER, data + b"\xff" * 40)
    assert call(ECRECOVER, data) == bytes(12) + address_of(key)
    assert call(ECRECOVER, b"") == b""


def test_precompile_gas() -> None:
    for revision in (Revision.FRONTIER, Revision.OSAKA):
        assert gas_of(ECRECOVER, b"", revision) == 3000
        assert gas_of(ECRECOVER, bytes(500), revision) == 3000


def test_recovers_on_many_threads(signatures: list[tuple[bytes, Signed]]) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda signed: recover_address(*signed[1]), signatures * 20))
    assert found == [address_of(key) for key, _ in signatures] * 20


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((b"", 1, 1, 0), "digest"),
        (("0x", 1, 1, 0), "digest"),
        ((bytes(32), -1, 1, 0), "r"),
        ((bytes(32), 1, 2**256, 0), "s"),
        ((bytes(32), 1, "1", 0), "s"),
        ((bytes(32), 1, 1, 2), "parity"),
        ((bytes(32), 1, 1, 27), "parity"),
    ],
)
def test_bad_arguments_are_named(arguments: tuple[bytes, int, int, int], name: str) -> None:
    with pytest.raises(InputError, match=f"^{name}: "):
        recover_address(*arguments)


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(32), word(N), b"\xff" * 32, "0x01"])
def test_bad_private_keys_are_named(key: bytes) -> None:
    with pytest.raises(InputError, match="private_key"):
        address_of(key)
    with pytest.raises(InputError, match="private_key"):
        sign(bytes(32), key)
