"""256-bit arithmetic against Python's integers: at least 100,000 seeded, edge-biased cases for every operation."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from evmcore._u256 import apply, from_bytes, to_address, to_bytes
from evmcore.errors import InputError

BITS = 256
MODULUS = 1 << BITS
MASK = MODULUS - 1
LIMB = (1 << 64) - 1
CASES = 100_000
ALIASED_CASES = 10_000

Operand = Callable[[random.Random], int]


def signed(x: int) -> int:
    return x - MODULUS if x >> 255 else x


def edge(rng: random.Random) -> int:
    """A 256-bit value, mostly one of the shapes where carries, limbs and quotient guesses go wrong."""
    shape = rng.randrange(12)
    if shape == 0:
        return rng.choice((0, 1, 2, 3, LIMB, LIMB + 1, MASK, MASK - 1, 1 << 255, (1 << 255) - 1))
    if shape == 1:
        return 1 << rng.randrange(BITS)
    if shape == 2:
        return (1 << rng.randrange(BITS + 1)) - 1
    if shape == 3:
        return MASK ^ (1 << rng.randrange(BITS))
    if shape == 4:
        return rng.randrange(1 << 10)
    if shape == 5:
        return MASK - rng.randrange(1 << 10)
    if shape in (6, 7):  # each limb empty, full, near empty, near full, half, or random
        limbs = (0, 0, LIMB, LIMB, 1, LIMB - 1, 1 << 63, (1 << 63) - 1, rng.getrandbits(64))
        return sum(rng.choice(limbs) << 64 * i for i in range(4))
    if shape == 8:  # a run of ones
        low = rng.randrange(BITS)
        return ((1 << rng.randrange(BITS - low + 1)) - 1) << low
    if shape == 9:
        return rng.getrandbits(BITS)
    return rng.getrandbits(rng.randrange(1, BITS + 1))


def shift_count(rng: random.Random) -> int:
    return rng.randrange(260) if rng.random() < 0.9 else edge(rng)


def byte_index(rng: random.Random) -> int:
    return rng.randrange(34) if rng.random() < 0.9 else edge(rng)


def limb(rng: random.Random) -> int:
    return edge(rng) & LIMB


def near(values: Operand) -> Operand:
    """Half of the time a value close to the one before, so that comparisons and quotients meet their borders."""
    last = 0

    def pick(rng: random.Random) -> int:
        nonlocal last
        last = (last + rng.choice((-1, 0, 0, 1))) & MASK if rng.random() < 0.3 else values(rng)
        return last

    return pick


def operands(name: str, kinds: tuple[Operand, ...], count: int) -> list[tuple[int, ...]]:
    rng = random.Random(name)
    return [tuple(kind(rng) for kind in kinds) for _ in range(count)]


def sdiv(a: int, b: int) -> int:
    a, b = signed(a), signed(b)
    if b == 0:
        return 0
    quotient = abs(a) // abs(b)
    return (-quotient if (a < 0) != (b < 0) else quotient) & MASK


def smod(a: int, b: int) -> int:
    a, b = signed(a), signed(b)
    if b == 0:
        return 0
    rest = abs(a) % abs(b)
    return (-rest if a < 0 else rest) & MASK


def signextend(index: int, x: int) -> int:
    if index >= 31:
        return x
    bits = 8 * (index + 1)
    x &= (1 << bits) - 1
    return (x - (1 << bits)) & MASK if x >> (bits - 1) else x


UNARY: tuple[Operand, ...] = (edge,)
# Both operands of a pair are drawn by the same closure, so the second is often close to the first.
PAIR_DRAW = near(edge)
PAIR: tuple[Operand, ...] = (PAIR_DRAW, PAIR_DRAW)
TRIPLE: tuple[Operand, ...] = (PAIR_DRAW, PAIR_DRAW, PAIR_DRAW)

# name: (how operands are drawn, what Python says)
OPERATIONS: dict[str, tuple[tuple[Operand, ...], Callable[..., Any]]] = {
    "add": (PAIR, lambda a, b: (a + b) & MASK),
    "sub": (PAIR, lambda a, b: (a - b) & MASK),
    "mul": (PAIR, lambda a, b: a * b & MASK),
    "div": (PAIR, lambda a, b: a // b if b else 0),
    "mod": (PAIR, lambda a, b: a % b if b else 0),
    "sdiv": (PAIR, sdiv),
    "smod": (PAIR, smod),
    "addmod": (TRIPLE, lambda a, b, m: (a + b) % m if m else 0),
    "mulmod": (TRIPLE, lambda a, b, m: a * b % m if m else 0),
    "exp": (PAIR, lambda a, b: pow(a, b, MODULUS)),
    "signextend": ((byte_index, edge), signextend),
    "and": (PAIR, lambda a, b: a & b),
    "or": (PAIR, lambda a, b: a | b),
    "xor": (PAIR, lambda a, b: a ^ b),
    "not": (UNARY, lambda a: a ^ MASK),
    "byte": ((byte_index, edge), lambda i, x: x >> (248 - 8 * i) & 0xFF if i < 32 else 0),
    "shl": ((shift_count, edge), lambda n, x: x << n & MASK if n < BITS else 0),
    "shr": ((shift_count, edge), lambda n, x: x >> n if n < BITS else 0),
    "sar": ((shift_count, edge), lambda n, x: signed(x) >> min(n, BITS) & MASK),
    "clz": (UNARY, lambda a: BITS - a.bit_length()),
    "copy": (UNARY, lambda a: a),
    "add64": ((edge, limb), lambda a, b: (a + b) & MASK),
    "add_carry": (PAIR, lambda a, b: ((a + b) & MASK, a + b > MASK)),
    "sub_borrow": (PAIR, lambda a, b: ((a - b) & MASK, a < b)),
    "mul64_carry": ((edge, limb), lambda a, b: (a * b & MASK, a * b > MASK)),
    "is_zero": (UNARY, lambda a: a == 0),
    "eq": (PAIR, lambda a, b: a == b),
    "lt": (PAIR, lambda a, b: a < b),
    "slt": (PAIR, lambda a, b: signed(a) < signed(b)),
    "fits64": (UNARY, lambda a: a <= LIMB),
    "sat64": (UNARY, lambda a: min(a, LIMB)),
    "bits": (UNARY, lambda a: a.bit_length()),
    "byte_len": (UNARY, lambda a: (a.bit_length() + 7) // 8),
}
IN_PLACE = [
    name for name in OPERATIONS if name not in ("is_zero", "eq", "lt", "slt", "fits64", "sat64", "bits", "byte_len")
]


def check(name: str, cases: Sequence[tuple[int, ...]], alias: int = -1) -> None:
    oracle = OPERATIONS[name][1]
    expected = [oracle(*case) for case in cases]
    results = apply(name, cases, alias)
    if results != expected:
        wrong = next(i for i in range(len(cases)) if results[i] != expected[i])
        shown = ", ".join(map(hex, cases[wrong]))
        pytest.fail(f"{name}({shown}), alias {alias}: got {results[wrong]}, expected {expected[wrong]}")


@pytest.mark.parametrize("name", OPERATIONS)
def test_agrees_with_python(name: str) -> None:
    check(name, operands(name, OPERATIONS[name][0], CASES))


@pytest.mark.parametrize("name", IN_PLACE)
def test_result_may_share_memory_with_any_operand(name: str) -> None:
    kinds = OPERATIONS[name][0]
    cases = operands(f"{name} in place", kinds, ALIASED_CASES)
    for alias in range(len(kinds)):
        check(name, cases, alias)


def test_mulmod_by_the_same_modulus_again_and_again() -> None:
    """From its second use in a row a modulus is prepared, which is another path."""
    rng = random.Random("same modulus")
    cases = []
    for _ in range(CASES // 10):
        modulus = edge(rng)
        close = near(edge)
        for _ in range(10):
            factors = [close(rng), close(rng)]
            kind = rng.randrange(4)
            if modulus and kind < 2:  # as field arithmetic does, and with products just off a multiple
                factors = [x % modulus for x in factors]
            elif kind == 2:
                factors[1] = (modulus + rng.choice((-1, 0, 1))) & MASK
            cases.append((factors[0], factors[1], modulus))
    check("mulmod", cases)
    check("mulmod", cases, 0)
    check("mulmod", cases, 1)


def quotient_guess_traps(rng: random.Random) -> tuple[int, int]:
    """A dividend whose leading limbs repeat the divisor's, where a quotient limb is guessed one too high or too big."""
    limbs = rng.randrange(2, 5)
    bits = 64 * limbs - rng.randrange(64)
    top = rng.choice((1 << 63, LIMB, (1 << 63) + 1, rng.getrandbits(64) | 1 << 63))
    divisor = (top << 64 * (limbs - 1) | rng.choice((0, 1, LIMB, rng.getrandbits(64))) << 64 * (limbs - 2)) >> (
        64 * limbs - bits
    )
    divisor |= edge(rng) & ((1 << 64 * (limbs - 2)) - 1)
    divisor = divisor or 1
    quotient = rng.choice((LIMB, 1 << 63, LIMB - 1, 1, LIMB << 64 | LIMB, edge(rng)))
    dividend = divisor * quotient + rng.choice((-1, 0, 1, divisor - 1, divisor - 2, rng.randrange(divisor)))
    return dividend & MASK if dividend > 0 else divisor, divisor


@pytest.mark.parametrize("name", ["div", "mod", "sdiv", "smod"])
def test_division_where_quotient_guesses_go_wrong(name: str) -> None:
    rng = random.Random(f"guesses of {name}")
    check(name, [quotient_guess_traps(rng) for _ in range(CASES // 2)])


@pytest.mark.parametrize("name", ["addmod", "mulmod"])
def test_modular_arithmetic_where_quotient_guesses_go_wrong(name: str) -> None:
    rng = random.Random(f"guesses of {name}")
    cases = []
    for _ in range(CASES // 2):
        dividend, modulus = quotient_guess_traps(rng)
        factor = rng.choice((LIMB, 1 << 64, MASK, modulus - 1, edge(rng)))
        cases.append((dividend, factor, modulus))
    check(name, cases)


def test_division_by_powers_of_two() -> None:
    rng = random.Random("powers of two")
    for name in ("div", "mod", "sdiv", "smod"):
        check(name, [(edge(rng), 1 << k) for k in range(BITS) for _ in range(40)])


def test_powers_of_powers_of_two() -> None:
    cases = [(1 << k, e) for k in range(0, BITS, 3) for e in (*range(260), LIMB, LIMB + 1, 1 << 255, MASK)]
    check("exp", cases)


def test_bytes_both_ways() -> None:
    rng = random.Random("bytes")
    for _ in range(CASES):
        x = edge(rng)
        raw = x.to_bytes(32, "big")
        assert to_bytes(x) == raw
        assert from_bytes(raw) == x
        assert to_address(x) == raw[12:]
        assert from_bytes(raw[12:]) == x % (1 << 160)


def test_short_big_endian_bytes() -> None:
    rng = random.Random("short bytes")
    for length in range(33):
        for _ in range(1000):
            raw = rng.randbytes(length)
            assert from_bytes(raw) == int.from_bytes(raw, "big")


@pytest.mark.parametrize("bad", [-1, 1 << 256, -(1 << 300), "1", 1.0, None])
def test_rejects_what_is_not_a_256_bit_int(bad: Any) -> None:
    with pytest.raises(InputError, match="value"):
        to_bytes(bad)


def test_rejects_unknown_operations_and_shapes() -> None:
    with pytest.raises(InputError, match="operation"):
        apply("root", [(1,)])
    with pytest.raises(InputError, match="operands"):
        apply("add", [()])
    with pytest.raises(InputError, match="alias"):
        apply("add", [(1, 2)], 3)
    with pytest.raises(InputError, match="data"):
        from_bytes(bytes(33))
