"""Analysis of code: what is found in it and what is made of it, against a plain walk over its instructions; and that
code gives the same whether its places were reached before, are reached for the first time, or by threads together.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

import pytest

from evmcore import EVM, Account, MemoryState
from evmcore._code import analysis
from evmcore.ops.fusion import FREE_NUMBERS, UNREACHED, Sequence, sequences
from evmcore.ops.table import OPS

JUMPDEST, INVALID, PUSH1, PUSH32 = 0x5B, 0xFE, 0x60, 0x7F
NAMES = {op.number: op.name for op in OPS}
ENDS = ("STOP", "JUMP", "RETURN", "REVERT", "INVALID", "SELFDESTRUCT", "JUMPDEST")
TO = bytes(19) + b"\xaa"


# ---- the plain walk


def instructions(code: bytes) -> list[int]:
    """Offsets of all instructions."""
    found, at = [], 0
    while at < len(code):
        found.append(at)
        at += code[at] - PUSH1 + 2 if PUSH1 <= code[at] <= PUSH32 else 1
    return found


def destinations(code: bytes) -> list[int]:
    return [at for at in instructions(code) if code[at] == JUMPDEST]


def entries(code: bytes) -> list[int]:
    """Where execution can enter: at the start, and behind each jump destination (which a jump does not visit)."""
    return [at for at in (0, *(at + 1 for at in destinations(code))) if at < len(code)]


def plain_copy(code: bytes) -> bytearray:
    """The executed copy without any sequence fused."""
    copy = bytearray(code)
    for at in instructions(code):
        if code[at] in FREE_NUMBERS:
            copy[at] = INVALID
    return copy


def first_copy(code: bytes) -> bytes:
    copy = plain_copy(code)
    for at in entries(code):
        copy[at] = UNREACHED
    return bytes(copy)


BY_FIRST = {op.number: [s for s in sequences() if s.ops[0] is op] for op in OPS}


def longest_at(code: bytes, at: int, targets: set[int]) -> Sequence | None:
    """The longest sequence that starts at an instruction. A constant jump has to go to a destination."""

    def starts_here(sequence: Sequence) -> bool:
        offset = at
        for op in sequence.ops:
            if offset >= len(code) or code[offset] != op.number:
                return False
            last, offset = offset, offset + (op.argument + 1 if op.shape == "push" and op.argument else 1)
        if sequence.constant_target is None:
            return True
        width = sequence.constant_target.argument or 0
        return int.from_bytes(code[last - width : last], "big") in targets

    return max(filter(starts_here, BY_FIRST[code[at]]), key=lambda sequence: sequence.length, default=None)


def reached_copy(code: bytes) -> bytes:
    copy = plain_copy(code)
    targets = set(destinations(code))
    for at in entries(code):
        while at < len(code) and NAMES.get(code[at], "INVALID") not in ENDS:
            sequence = longest_at(code, at, targets)
            if sequence is None:
                at += code[at] - PUSH1 + 2 if PUSH1 <= code[at] <= PUSH32 else 1
                continue
            copy[at] = sequence.number
            if sequence.ops[-1].name in ENDS:
                break
            at += sequence.length
    return bytes(copy)


# ---- codes


def likely_code(rng: random.Random, size: int) -> bytes:
    """Random code of sequences that are fused, their parts, destinations and constants that often are one."""
    code = bytearray()
    known = sequences()
    while len(code) < size:
        kind = rng.randrange(10)
        if kind < 5:
            ops = list(rng.choice(known).ops)[: rng.randrange(1, 7)]
        elif kind < 8:
            ops = [rng.choice(OPS)]
        else:
            code.append(rng.choice((JUMPDEST, rng.randrange(256))))
            continue
        for op in ops:
            code.append(op.number)
            width = op.argument or 0 if op.shape == "push" else 0
            if width in (1, 2) and rng.randrange(2) and JUMPDEST in code:
                target = rng.choice([at for at, byte in enumerate(code) if byte == JUMPDEST])
                code += (target % 256**width).to_bytes(width, "big")
            else:
                code += rng.choice((rng.randbytes(width), bytes([JUMPDEST]) * width, bytes([PUSH32]) * width))
    return bytes(code[:size])


HOSTILE = {
    "empty": b"",
    "a jump destination": b"\x5b",
    "each byte alone": bytes(range(256)),
    "each byte behind a destination": b"".join(b"\x5b" + bytes([byte]) for byte in range(256)),
    "each PUSH at the end": b"".join(bytes([push]) + b"\x5b" * (push - 0x5F) for push in range(PUSH1, PUSH32 + 1)),
    "a designator (EIP-7702)": b"\xef\x01\x00" + b"\x5b" * 20,
    "a container (EIP-3540)": b"\xef\x00\x01" + bytes(range(60)),
    "PUSH32 of PUSH32": b"\x7f" * 24_576,
    "PUSH1 of JUMPDEST": b"\x60\x5b" * 12_288,
    "PUSH1 of PUSH1, then JUMPDEST": b"\x60\x60\x5b" * 8_192,
    "PUSH2 JUMP to the start": b"\x5b\x61\x00\x00\x56" * 4_915,
    "PUSH2 JUMPI into data": b"\x61\x00\x01\x57" * 6_144,
}


def codes() -> Iterator[tuple[str, bytes]]:
    rng = random.Random(20_261)
    yield from HOSTILE.items()
    for push in range(PUSH1, PUSH32 + 1):
        for missing in (0, 1, 2, push - 0x5F):
            yield f"PUSH{push - 0x5F} short of {missing}", bytes([push]) + b"\x5b" * (push - 0x5F - missing)
    for sequence in sequences():
        body = b"".join(
            bytes([op.number]) + bytes(op.argument or 0 if op.shape == "push" else 0) for op in sequence.ops
        )
        yield f"{sequence.name} to a destination", b"\x5b" + body
        yield f"{sequence.name} to none", body
        yield f"{sequence.name}, cut", b"\x5b" + body[:-1]
    for size in (*range(1, 200), 255, 256, 257, 1000, 24_576):
        yield f"{size} random bytes", rng.randbytes(size)
        yield f"{size} likely bytes", likely_code(rng, size)
        yield (
            f"{size} pushes and destinations",
            bytes(rng.choice(b"\x5b\x5b\x60\x61\x62\x7f\x7e\x00") for _ in range(size)),
        )


@pytest.mark.parametrize("byte", range(256))
def test_many_of_one_opcode(byte: int) -> None:
    """24 KB, as long as a contract can be, for those that are longer than a byte or do something."""
    code = bytes([byte]) * (
        24_576 if byte in (0, 1, JUMPDEST, INVALID, UNREACHED, PUSH1, 0x61, 0x63, PUSH32) else 2_000
    )
    assert analysis(code, False) == (destinations(code), first_copy(code))
    assert analysis(code, True) == (destinations(code), reached_copy(code))


def test_destinations_and_the_copy_are_those_of_a_plain_walk() -> None:
    for name, code in codes():
        assert analysis(code, False) == (destinations(code), first_copy(code)), name


def test_what_is_fused_is_what_a_plain_search_finds() -> None:
    fused = set()
    for name, code in codes():
        expected = reached_copy(code)
        assert analysis(code, True) == (destinations(code), expected), name
        fused |= {expected[at] for at in instructions(code)} & set(FREE_NUMBERS)
    assert fused == {sequence.number for sequence in sequences()}


def test_every_place_across_the_border_of_64_bytes() -> None:
    """Each PUSH at each offset before a border, with destinations all around it."""
    for push in range(PUSH1, PUSH32 + 1):
        for before in range(30, 100):
            code = b"\x01" * before + bytes([push]) + b"\x5b" * 70
            assert analysis(code, False) == (destinations(code), first_copy(code)), (push, before)


# ---- execution


def jumping_code(rng: random.Random) -> bytes:
    """Blocks of arithmetic that jump to each other, by constants and by the stack; what it gives depends on its way."""
    blocks = rng.randrange(3, 30)
    labels: list[int] = []
    code = bytearray()
    uses: list[int] = []

    def push_label() -> None:
        code.append(0x61)
        uses.append(len(code))
        code.extend(b"\0\0")

    code += b"\x60\x01\x60\x02"
    for _ in range(blocks):
        labels.append(len(code))
        code.append(JUMPDEST)
        for _ in range(rng.randrange(1, 8)):
            value = bytes([rng.choice((JUMPDEST, *range(0x60, 0x80), rng.choice(FREE_NUMBERS)))])
            code += rng.choice(
                (b"\x60" + value + b"\x01", b"\x90", b"\x80\x81\x03\x01", b"\x60" + value + b"\x81\x01\x91\x50")
            )
        # Counts turns in memory and ends after 200.
        code += b"\x60\x01\x5f\x51\x01\x80\x5f\x52\x60\xc8\x10\x15"
        code += b"\x61\x00\x00\x57" if rng.randrange(4) == 0 else b"\x61" + b"\xff\xfe" + b"\x57"
        kind = rng.randrange(3)
        if kind == 0:
            push_label()
            code.append(0x56)
        elif kind == 1:
            code += b"\x80\x60\x01\x16"  # DUP1 PUSH1 1 AND
            push_label()
            code.append(0x57)
        else:
            push_label()
            code += b"\x90\x50" if rng.randrange(2) else b"\x80\x50\x56"
    end = len(code)
    code += b"\x5b\x60\x20\x52\x60\x40\x5f\xf3"  # what is on top, and the turns
    for at in range(len(code) - 1):
        if code[at : at + 2] == b"\xff\xfe":
            code[at : at + 2] = end.to_bytes(2, "big")
    for at in uses:
        code[at : at + 2] = rng.choice(labels).to_bytes(2, "big")
    return bytes(code)


def outcome(code: bytes, switch: bool) -> tuple[bool, bytes, int, str]:
    evm = EVM(MemoryState({TO: Account(code=code)}), fork="osaka", switch_dispatch=switch)
    result = evm.message(TO, b"", gas=200_000)
    return result.success, result.output, result.gas_used, str(result.status)


def test_code_gives_the_same_at_first_again_and_without_any_fusion() -> None:
    rng = random.Random(7_702)
    ended = set()
    for _ in range(400):
        code = jumping_code(rng)
        expected = outcome(code, True)
        assert outcome(code, False) == expected, code.hex()
        assert outcome(code, False) == expected, code.hex()
        ended.add(expected[3])
    assert len(ended) > 1, "programs should end in different ways"


def test_threads_that_reach_new_code_together_agree() -> None:
    rng = random.Random(64)
    for _ in range(60):
        code = jumping_code(rng)
        expected = outcome(code, True)
        start = threading.Barrier(4)
        seen: list[object] = []

        def run(code: bytes = code, start: threading.Barrier = start, seen: list[object] = seen) -> None:
            start.wait()
            seen.append(outcome(code, False))

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [expected] * 4, code.hex()
