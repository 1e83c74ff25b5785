"""The instruction sequences that are fused into one handler, and the code that finds them.

A fused sequence is one entry in the executed copy of the code: its first byte is replaced by a number that no fork
assigns to an opcode; the bytes after it stay, so offsets and PUSH data do not change. A jump can never land inside a
sequence, because no sequence contains JUMPDEST. Stack and gas are checked once for the whole sequence. Each part has a
fixed price, and the frame loses all gas if any part fails; so the outcome is the same as that of the single parts. A
sequence that ends in a jump to a constant is fused only if that constant is a jump destination, which is then neither
checked nor dispatched at run time.

Most sequences are the most frequent ones in a count over 1.4 million instructions of nine mainnet blocks (12,244,000 to
24,647,140), from about 0.1 % of all pairs, triples, ... of neighbours upwards. A few that the count did not rank, such
as the jumps after PUSH1 and the selector's shift, were chosen by judgement.
"""

from __future__ import annotations

from dataclasses import dataclass

from .table import BY_NAME, OPS, Op

SEQUENCES = [
    "PUSH2 JUMP",
    "PUSH1 JUMP",
    "ADD PUSH2 JUMP",
    "SWAP1 PUSH2 JUMP",
    "PUSH1 ADD PUSH2 JUMP",
    "SWAP2 SWAP1 PUSH2 JUMP",
    "POP JUMP",
    "POP POP JUMP",
    "POP POP POP JUMP",
    "SWAP1 JUMP",
    "SWAP1 POP JUMP",
    "SWAP2 POP POP JUMP",
    "SWAP2 SWAP1 POP JUMP",
    "SWAP3 SWAP2 POP POP JUMP",
    "PUSH2 JUMPI",
    "PUSH1 JUMPI",
    "DUP1 PUSH2 JUMPI",
    "ISZERO PUSH2 JUMPI",
    "ISZERO PUSH1 JUMPI",
    "ISZERO ISZERO PUSH2 JUMPI",
    "DUP1 ISZERO PUSH2 JUMPI",
    "ISZERO DUP1 ISZERO PUSH2 JUMPI",
    "EQ PUSH2 JUMPI",
    "DUP2 EQ PUSH2 JUMPI",
    "LT PUSH2 JUMPI",
    "DUP2 LT PUSH2 JUMPI",
    "LT ISZERO PUSH2 JUMPI",
    "DUP2 LT ISZERO PUSH2 JUMPI",
    "GT PUSH2 JUMPI",
    "GT ISZERO PUSH2 JUMPI",
    "DUP2 GT ISZERO PUSH2 JUMPI",
    "AND ISZERO PUSH2 JUMPI",
    "OR PUSH2 JUMPI",
    "DUP1 PUSH4 EQ PUSH2 JUMPI",
    "DUP1 PUSH4 GT PUSH2 JUMPI",
    "PUSH1 ADD",
    "PUSH2 ADD",
    "PUSH1 ADD SWAP1",
    "PUSH1 DUP2 ADD",
    "PUSH1 DUP3 ADD",
    "PUSH1 DUP4 ADD",
    "DUP2 ADD",
    "DUP3 ADD",
    "DUP4 ADD",
    "ADD SWAP1",
    "PUSH1 SHL",
    "PUSH1 SHR",
    "PUSH1 SHL SUB",
    "PUSH1 PUSH1 SHL SUB",
    "PUSH1 PUSH1 PUSH1 SHL SUB",
    "PUSH1 PUSH1 PUSH1 SHL SUB AND",
    "PUSH1 AND",
    "PUSH20 AND",
    "PUSH32 AND",
    "DUP2 AND",
    "AND DUP2",
    "DUP2 SUB",
    "SUB SWAP1",
    "DUP2 LT",
    "PUSH1 PUSH1",
    "PUSH1 DUP1",
    "PUSH1 DUP2",
    "PUSH1 DUP3",
    "PUSH1 DUP4",
    "PUSH1 SWAP1",
    "DUP1 PUSH1",
    "ADD PUSH1",
    "PUSH1 MLOAD",
    "PUSH2 MLOAD",
    "PUSH1 MLOAD DUP1",
    "PUSH1 MSTORE",
    "PUSH1 PUSH1 MSTORE",
    "DUP2 MSTORE",
    "DUP2 MSTORE PUSH1 ADD",
    "DUP1 MLOAD",
    "PUSH1 SLOAD",
    "PUSH1 CALLDATALOAD PUSH1 SHR",
    "POP POP",
    "POP POP POP",
    "POP POP POP POP",
    "POP SWAP1",
    "SWAP1 POP",
    "SWAP1 POP SWAP1 POP",
    "SWAP2 POP",
    "SWAP2 POP POP",
    "SWAP3 POP",
    "SWAP2 SWAP1 POP",
    "SWAP3 SWAP2 POP POP",
    "SWAP2 SWAP1",
    "SWAP3 SWAP2",
    "SWAP1 SWAP2",
    "SWAP1 DUP2",
    "DUP1 DUP3",
    "DUP2 DUP2",
]

# Numbers without a meaning in any fork up to Osaka.
FREE_NUMBERS = [*range(0x21, 0x30), *range(0xA5, 0xF0), *range(0x0C, 0x10), *range(0x4B, 0x50)]


@dataclass(frozen=True)
class Sequence:
    number: int
    ops: tuple[Op, ...]

    @property
    def name(self) -> str:
        return "_".join(op.name for op in self.ops)

    @property
    def length(self) -> int:
        return sum(width(op) for op in self.ops)

    @property
    def jump(self) -> Op | None:
        """The jump at the end, JUMP or JUMPI."""
        return self.ops[-1] if self.ops[-1].shape == "jump" else None

    @property
    def constant_target(self) -> Op | None:
        """The PUSH of the jump's destination."""
        return self.ops[-2] if self.jump and self.ops[-2].shape == "push" else None

    @property
    def since(self) -> int:
        return max(op.since for op in self.ops)


def width(op: Op) -> int:
    return 1 + (op.argument or 0) if op.shape == "push" else 1


def sequences() -> list[Sequence]:
    parsed = [tuple(BY_NAME[name] for name in text.split()) for text in SEQUENCES]
    assert not {op.number for op in OPS} & set(FREE_NUMBERS)
    assert len(set(parsed)) == len(parsed) < len(FREE_NUMBERS)
    # A memory access may restart the sequence, so nothing before it may change the stack words that the sequence found.
    for ops in parsed:
        kinds = [op.shape for op in ops]
        if "memory" in kinds:
            assert all(op.shape == "push" or op.name.startswith("DUP") for op in ops[: kinds.index("memory")])
    return [Sequence(number, ops) for number, ops in zip(FREE_NUMBERS, parsed, strict=False)]


# Marks an instruction at which execution can enter, in code that was not entered there yet.
UNREACHED = FREE_NUMBERS[-1]
INVALID = BY_NAME["INVALID"].number
# After these opcodes, and after numbers without a meaning, execution continues elsewhere or not at all. A JUMPDEST
# begins a new run.
ENDS = {"STOP", "JUMP", "RETURN", "REVERT", "INVALID", "SELFDESTRUCT", "JUMPDEST"}


def _matches(sequence: Sequence) -> str:
    """The condition that `sequence` starts at `raw[at]`; the caller has compared its first two opcodes."""
    offset = width(sequence.ops[0])
    terms = []
    for op in sequence.ops[1:]:
        terms.append(f"raw[at + {offset}] == {op.number}")
        offset += width(op)
    push = sequence.constant_target
    if push:
        data = offset - 1 - (push.argument or 0)
        value = (
            f"raw[at + {data}]" if push.argument == 1 else f"(<uint64_t>raw[at + {data}] << 8 | raw[at + {data + 1}])"
        )
        terms.append(f"is_marked(jumpdests, size, {value})")
    return " and ".join(terms[1:]) or "True"


def _c_table(name: str, rows: list[list[int]]) -> list[str]:
    body = ",\n".join("    {" + ", ".join(map(str, row)) + "}" for row in rows)
    return [f"    static const uint8_t {name}[{len(rows)}][256] = {{", body, "    };"]


def _reserved_ranges() -> list[tuple[int, int]]:
    """FREE_NUMBERS as ranges, both ends included."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(FREE_NUMBERS):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ranges


def _numbers() -> list[str]:
    ranges = ", ".join(f"{{{first}, {last}}}" for first, last in _reserved_ranges())
    return [
        "    struct Numbers {",
        f"        static constexpr uint8_t invalid = {INVALID};",
        f"        static constexpr uint8_t unreached = {UNREACHED};",
        f"        static constexpr uint8_t reserved[{len(_reserved_ranges())}][2] = {{{ranges}}};",
        "    };",
    ]


def fuse_source() -> str:
    """The source of `_code`'s tables of numbers, and of its function `fuse`: two table look-ups per instruction tell
    whether a sequence may start there; then the longest match is taken. Reads stay within the padding."""
    groups: dict[tuple[int, int], list[Sequence]] = {}
    for sequence in sequences():
        groups.setdefault((sequence.ops[0].number, sequence.ops[1].number), []).append(sequence)
    assert len(groups) < 256
    widths = [0] * 256
    for op in OPS:
        widths[op.number] = 0 if op.name in ENDS else width(op)
    classes = [0] * 256
    plain = [INVALID if number in FREE_NUMBERS else number for number in range(256)]
    pairs = [[0] * 256]
    cases = []
    for group, ((first, second), members) in enumerate(sorted(groups.items()), 1):
        if not classes[first]:
            classes[first] = len(pairs)
            pairs.append([0] * 256)
        pairs[classes[first]][second] = group
        cases.append(f"            {'if' if group == 1 else 'elif'} group == {group}:")
        inner = "if"
        for sequence in sorted(members, key=lambda s: -s.length):
            cases.append(f"                {inner} {_matches(sequence)}:      # {sequence.name}")
            cases.append(f"                    atomic_store8(ops + at, {sequence.number})")
            goes_on = sequence.ops[-1].name not in ENDS
            cases.append(f"                    {f'length = {sequence.length}' if goes_on else 'return'}")
            inner = "elif"
    out = [
        "# Generated by ops/generate.py from ops/fusion.py.",
        "",
        "cdef extern from *:",
        '    """',
        '    #include "include/code_scan.h"',
        *_numbers(),
        "    static void scan_code(const uint8_t* raw, uint32_t size, uint8_t* ops, uint64_t* jumpdests) {",
        "        evmcore::scan_code<Numbers>(raw, size, ops, jumpdests);",
        "    }",
        *_c_table("FUSE_TABLES", [widths, classes, plain]),
        *_c_table("FUSE_PAIRS", pairs),
        '    """',
        "    void scan_code(const uint8_t* raw, uint32_t size, uint8_t* ops, uint64_t* jumpdests) nogil",
        "    const uint8_t[256]* FUSE_TABLES    # widths, 0 where a run ends; classes of first opcodes;",
        "                                       # what stands for instructions outside of sequences",
        "    const uint8_t[256]* FUSE_PAIRS     # group of sequences by class and second opcode, 0 for none",
        "",
        "",
        "cdef inline bint is_marked(const uint64_t* jumpdests, size_t size, uint64_t offset) noexcept nogil:",
        "    return offset < size and (jumpdests[offset >> 6] >> (offset & 63)) & 1",
        "",
        "",
        "cdef void fuse(",
        "    size_t at, const uint8_t* raw, uint8_t* ops, const uint64_t* jumpdests, uint32_t size",
        ") noexcept nogil:",
        '    """Marks every fused sequence from the instruction at `at` to the end of its run: to where execution',
        '    cannot go on with the next instruction, or to a JUMPDEST."""',
        "    cdef size_t length",
        "    cdef uint8_t group",
        "    atomic_store8(ops + at, FUSE_TABLES[2][raw[at]])",
        "    while True:",
        "        length = FUSE_TABLES[0][raw[at]]",
        "        if length == 0:",
        "            return",
        "        group = FUSE_PAIRS[FUSE_TABLES[1][raw[at]]][raw[at + length]]",
        "        if group:",
        *cases,
        "        at += length",
    ]
    return "\n".join(out) + "\n"
