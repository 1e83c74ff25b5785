"""Every precompile, price and failure against the executable specification, for every fork that changed one."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from evmcore import _precompiles
from evmcore._crypto import sign
from evmcore._rules import Revision
from evmcore.errors import InputError
from tests.fuzz import oracle
from tests.precompiles import (
    BLAKE2F,
    BN254_ADD,
    BN254_MUL,
    BN254_PAIRING,
    ECRECOVER,
    G1_ADD,
    G1_MSM,
    G2_MSM,
    IDENTITY,
    MODEXP,
    P256_VERIFY,
    POINT_EVALUATION,
    RIPEMD160,
    SHA256,
    word,
)

SCRIPT = Path(__file__).with_name("eels_precompiles.py")
FORKS = {
    Revision.FRONTIER: "frontier",
    Revision.SPURIOUS_DRAGON: "spurious_dragon",
    Revision.BYZANTIUM: "byzantium",
    Revision.PETERSBURG: "constantinople",
    Revision.ISTANBUL: "istanbul",
    Revision.BERLIN: "berlin",
    Revision.SHANGHAI: "shanghai",
    Revision.CANCUN: "cancun",
    Revision.PRAGUE: "prague",
    Revision.OSAKA: "osaka",
}
NUMBERS = [*range(0x14), 0xFF, 0x100, 0x101]


class Specification:
    """The specification's precompiles in a process of their own."""

    def __init__(self, python: Path) -> None:
        self.process = subprocess.Popen(
            [str(python), str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": ""}
        )

    def ask(self, revision: Revision, number: int, data: bytes, gas: int) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        case = {"fork": FORKS[revision], "number": number, "data": data.hex(), "gas": gas}
        self.process.stdin.write(json.dumps(case) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def check(self, revision: Revision, number: int, data: bytes, gas: int) -> None:
        success, left, output = _precompiles.run(number, revision, data, gas)
        got = {"ok": success, "left": left, "output": output.hex()}
        assert got == self.ask(revision, number, data, gas), f"{revision!r} {number:#x} gas={gas} data={data.hex()}"


@pytest.fixture(scope="module")
def specification() -> Iterator[Specification]:
    python = oracle.oracle_python()
    if python is None:
        pytest.skip(f"set {oracle.ENVIRONMENT_VARIABLE} to the Python of an environment with ethereum-execution")
    running = Specification(python)
    yield running
    assert running.process.stdin and running.process.stdout
    running.process.stdin.close()
    running.process.stdout.close()
    running.process.wait()


@pytest.mark.parametrize("revision", FORKS)
def test_each_fork_has_its_precompiles(specification: Specification, revision: Revision) -> None:
    for number in NUMBERS:
        address = number.to_bytes(20, "big")
        absent = "absent" in specification.ask(revision, number, b"", 0)
        assert _precompiles.number_at(address, revision) == (0 if absent else number)
        if absent:
            with pytest.raises(InputError, match="number"):
                _precompiles.run(number, revision, b"", 10**9)


def test_addresses_that_only_look_like_precompiles() -> None:
    for address in (b"\1" + bytes(18) + b"\1", bytes(17) + b"\1\1\0", bytes(18) + b"\2\0", b"\xff" * 20):
        assert _precompiles.number_at(address, Revision.OSAKA) == 0


def signature(rng: random.Random) -> bytes:
    digest, key = rng.randbytes(32), word(rng.randrange(1, 2**250))
    r, s, parity = sign(digest, key)
    return digest + word(27 + parity) + word(r) + word(s)


G1_GENERATOR = word(1) + word(2)
BLAKE2F_EXAMPLE = (3).to_bytes(4, "big") + bytes(range(208)) + b"\1"
MODEXP_EXAMPLE = word(3) + word(2) + word(5) + b"\1\2\3\4\5\6\7\x08\x09\x0a"


def changed(rng: random.Random, data: bytes) -> bytes:
    """Cut, lengthened, or with a few bytes changed; or as it is."""
    kind = rng.randrange(5)
    if kind == 0:
        return data[: rng.randrange(len(data) + 1)]
    if kind == 1:
        return data + rng.randbytes(rng.randrange(70))
    if kind == 2:
        mutable = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            if mutable:
                mutable[rng.randrange(len(mutable))] = rng.choice([0, 1, 255, rng.randrange(256)])
        return bytes(mutable)
    return data


def modexp_call(rng: random.Random) -> bytes:
    lengths = [rng.choice([0, 1, 2, 31, 32, 33, 64, 65, 100, rng.randrange(300)]) for _ in range(3)]
    body = b"".join(rng.choice([bytes(n), rng.randbytes(n), b"\xff" * n]) for n in lengths)
    if rng.randrange(8) == 0:
        lengths[rng.randrange(3)] = rng.choice([1024, 1025, 2**32, 2**64, 2**255])
    return b"".join(map(word, lengths)) + body


CALLS = {
    ECRECOVER: (signature, 100),
    SHA256: (lambda rng: rng.randbytes(rng.randrange(300)), 30),
    RIPEMD160: (lambda rng: rng.randbytes(rng.randrange(300)), 30),
    IDENTITY: (lambda rng: rng.randbytes(rng.randrange(300)), 30),
    MODEXP: (modexp_call, 400),
    BN254_ADD: (lambda rng: G1_GENERATOR + rng.choice([G1_GENERATOR, bytes(64)]), 40),
    BN254_MUL: (lambda rng: G1_GENERATOR + rng.randbytes(32), 40),
    BLAKE2F: (lambda rng: BLAKE2F_EXAMPLE, 60),
    P256_VERIFY: (lambda rng: rng.randbytes(160), 30),
}


@pytest.mark.parametrize("revision", [r for r in FORKS if r != Revision.SPURIOUS_DRAGON])
@pytest.mark.parametrize("number", CALLS)
def test_random_calls(specification: Specification, number: int, revision: Revision) -> None:
    if not _precompiles.number_at(number.to_bytes(20, "big"), revision):
        return
    make, count = CALLS[number]
    rng = random.Random(1000 * number + int(revision))
    for _ in range(count):
        data = changed(rng, make(rng))
        gas = rng.choice([10**9, 10**9, rng.randrange(60_000)])
        if number == MODEXP:
            gas = min(gas, 10**7)
        if number == BLAKE2F and len(data) == 213:
            data = bytes(2) + data[2:]  # the specification runs rounds in Python
        specification.check(revision, number, data, gas)


@pytest.mark.parametrize(("number", "size"), [(G1_MSM, 160), (G2_MSM, 288)])
def test_every_multi_scalar_price(specification: Specification, number: int, size: int) -> None:
    for terms in [*range(1, 131), 500]:
        data = bytes(size * terms)
        success, left, _ = _precompiles.run(number, Revision.PRAGUE, data, 10**9)
        assert success
        cost = 10**9 - left
        # One gas less is refused by the specification before it computes anything.
        assert specification.ask(Revision.PRAGUE, number, data, cost - 1)["ok"] is False
        assert specification.ask(Revision.PRAGUE, number, data, cost) == {
            "ok": True,
            "left": 0,
            "output": "00" * (64 * (2 if number == G1_MSM else 4)),
        }


def test_pairings_and_evaluation(specification: Specification) -> None:
    g2 = bytes.fromhex(
        "198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c21800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed"
        "090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa"
    )
    for data in (
        b"",
        G1_GENERATOR + g2,
        bytes(192),
        bytes(191),
        bytes(64) + g2,
        G1_GENERATOR + bytes(128),
        G1_GENERATOR + g2[:-1] + b"\0",
    ):
        specification.check(Revision.OSAKA, BN254_PAIRING, data, 200_000)
    infinity = b"\xc0" + bytes(47)
    versioned = b"\1" + bytes.fromhex("0657f37554c781402a22917dee2f75def7ab966d7b770905398eba3c444014")
    good = versioned + word(5) + word(0) + infinity * 2
    for data in (good, good[:-1], bytes(192), versioned + word(5) + word(1) + infinity * 2):
        for gas in (49_999, 50_000, 60_000):
            specification.check(Revision.CANCUN, POINT_EVALUATION, data, gas)
    specification.check(Revision.PRAGUE, G1_ADD, bytes(256), 1000)


def test_answers_do_not_depend_on_the_thread() -> None:
    rng = random.Random(4)
    calls = [(number, make(rng)) for number, (make, _) in CALLS.items() for _ in range(10)]
    calls += [(BN254_PAIRING, bytes(192)), (G1_MSM, bytes(320)), (MODEXP, MODEXP_EXAMPLE)]
    alone = [_precompiles.run(number, Revision.OSAKA, data, 10**7) for number, data in calls]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda each: _precompiles.run(each[0], Revision.OSAKA, each[1], 10**7), calls * 5))
    assert together == alone * 5
