"""Random EVM programs: mostly meaningful, so that they get somewhere, with edge values and some nonsense."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from evmcore.forks import Fork

# Opcodes by the fork that introduced them: (number, items taken). A fact sheet of its own, so that a mistake in the
# engine's table cannot hide here.
ARITHMETIC = {
    0x01: 2, 0x02: 2, 0x03: 2, 0x04: 2, 0x05: 2, 0x06: 2, 0x07: 2, 0x08: 3, 0x09: 3, 0x0A: 2, 0x0B: 2,
    0x10: 2, 0x11: 2, 0x12: 2, 0x13: 2, 0x14: 2, 0x15: 1, 0x16: 2, 0x17: 2, 0x18: 2, 0x19: 1, 0x1A: 2,
}  # fmt: skip
ENVIRONMENT = (0x30, 0x32, 0x33, 0x34, 0x36, 0x38, 0x3A, 0x41, 0x42, 0x43, 0x44, 0x45, 0x58, 0x59, 0x5A)
SINCE = {
    0x1B: Fork.CONSTANTINOPLE, 0x1C: Fork.CONSTANTINOPLE, 0x1D: Fork.CONSTANTINOPLE, 0x1E: Fork.OSAKA,
    0x3D: Fork.BYZANTIUM, 0x3E: Fork.BYZANTIUM, 0x3F: Fork.CONSTANTINOPLE, 0x46: Fork.ISTANBUL,
    0x47: Fork.ISTANBUL, 0x48: Fork.LONDON, 0x49: Fork.CANCUN, 0x4A: Fork.CANCUN, 0x5C: Fork.CANCUN,
    0x5D: Fork.CANCUN, 0x5E: Fork.CANCUN, 0x5F: Fork.SHANGHAI, 0xF4: Fork.HOMESTEAD,
    0xF5: Fork.CONSTANTINOPLE, 0xFA: Fork.BYZANTIUM, 0xFD: Fork.BYZANTIUM,
}  # fmt: skip

EDGES = (
    0, 1, 2, 3, 5, 7, 8, 31, 32, 33, 63, 64, 127, 128, 255, 256, 257, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 32, 1 << 63,
    (1 << 64) - 1, 1 << 64, (1 << 128) - 1, 1 << 128, (1 << 160) - 1, 1 << 255, (1 << 255) - 1, (1 << 256) - 1,
    (1 << 256) - 2, (1 << 256) - 32, (1 << 255) + 1,
)  # fmt: skip

SPREADS = (3, 20, 70)  # how many slots and accounts

CREATE, CALL, CALLCODE, RETURN, DELEGATECALL, CREATE2, STATICCALL, REVERT = (
    0xF0,
    0xF1,
    0xF2,
    0xF3,
    0xF4,
    0xF5,
    0xFA,
    0xFD,
)


def push(value: int, size: int | None = None) -> bytes:
    """The shortest PUSH1 to PUSH32 of `value`, or one of `size` bytes."""
    size = size or max(1, (value.bit_length() + 7) // 8)
    return bytes([0x5F + size]) + value.to_bytes(size, "big")


class ProgramWriter:
    """Writes one program for `fork`; `addresses` are those worth calling."""

    def __init__(self, random: Random, fork: Fork, addresses: Sequence[bytes], depth: int = 0) -> None:
        self.random = random
        self.fork = fork
        self.addresses = addresses
        self.depth = depth
        self.code = bytearray()
        self.tidy = False  # leave no word on the stack

    # ---- values

    def word(self) -> int:
        r = self.random
        kind = r.random()
        if kind < 0.35:
            return r.choice(EDGES)
        if kind < 0.65:
            return r.randrange(0, 8)
        if kind < 0.8:
            return int.from_bytes(r.choice(self.addresses), "big")
        return r.getrandbits(r.choice((8, 16, 64, 128, 200, 256)))

    def offset(self) -> int:
        r = self.random
        kind = r.random()
        if kind < 0.001:
            return r.choice(EDGES)
        if kind < 0.006:
            return r.choice((100_000, 262_112, 262_113, 262_144, 400_000, 600_000))  # frames share memory in pieces
        return r.randrange(0, 160) if kind < 0.95 else r.randrange(0, 6000)

    def size(self) -> int:
        r = self.random
        return (
            r.choice(EDGES)
            if r.random() < 0.001
            else r.choice((0, 0, 1, 31, 32, 33, 64, 96, 128, 192, 213, r.randrange(300)))
        )

    def has(self, op: int) -> bool:
        """True when the fork has `op`; sometimes true when it has not."""
        return self.fork >= SINCE.get(op, Fork.FRONTIER) or self.random.random() < 0.003

    def emit(self, *parts: int | bytes) -> None:
        for part in parts:
            if isinstance(part, int):
                self.code.append(part)
            else:
                self.code += part

    def push(self, value: int) -> None:
        if value == 0 and self.fork >= Fork.SHANGHAI and self.random.random() < 0.5:
            self.code.append(0x5F)
        elif self.random.random() < 0.05:
            self.code += push(value, 32)
        else:
            self.code += push(value)

    def use_result(self) -> None:
        """Makes the top of the stack count: keeps it in storage or memory, or drops it."""
        kind = self.random.random()
        if self.tidy:
            kind = kind * 0.9
        if kind < 0.12:
            self.push(self.random.randrange(6))
            self.emit(0x55)
        elif kind < 0.6:
            self.push(self.random.randrange(8) * 32)
            self.emit(0x52)
        elif kind < 0.9:
            self.emit(0x50)

    # ---- pieces

    def arithmetic(self) -> None:
        ops = dict(ARITHMETIC)
        ops.update({op: 2 for op in (0x1B, 0x1C, 0x1D) if self.has(op)})
        if self.has(0x1E):
            ops[0x1E] = 1
        op = self.random.choice(list(ops))
        for _ in range(ops[op]):
            self.push(self.word())
        self.emit(op)
        self.use_result()

    def environment(self) -> None:
        ops = [op for op in (*ENVIRONMENT, 0x3D, 0x46, 0x47, 0x48, 0x4A) if self.has(op)]
        self.emit(self.random.choice(ops))
        self.use_result()

    def query(self) -> None:
        op = self.random.choice([op for op in (0x31, 0x35, 0x3B, 0x3F, 0x40, 0x49, 0x54, 0x5C, 0x51) if self.has(op)])
        if op in (0x31, 0x3B, 0x3F):
            self.push(
                int.from_bytes(self.random.choice(self.addresses), "big") if self.random.random() < 0.9 else self.word()
            )
        elif op in (0x54, 0x5C):
            self.push(self.random.randrange(5) if self.random.random() < 0.9 else self.word())
        else:
            self.push(self.offset())
        self.emit(op)
        self.use_result()

    def store(self) -> None:
        op = self.random.choice([op for op in (0x52, 0x53, 0x55, 0x55, 0x55, 0x5D) if self.has(op)])
        self.push(self.random.randrange(3) if self.random.random() < 0.6 else self.word())
        self.push(self.random.randrange(5) if op in (0x55, 0x5D) and self.random.random() < 0.95 else self.offset())
        self.emit(op)

    def copy(self) -> None:
        op = self.random.choice([op for op in (0x37, 0x39, 0x3C, 0x3E, 0x5E) if self.has(op)])
        self.push(self.size() if op != 0x3E or self.random.random() < 0.1 else 0)
        self.push(self.offset() if op != 0x3E or self.random.random() < 0.1 else 0)
        self.push(self.offset())
        if op == 0x3C:
            self.push(int.from_bytes(self.random.choice(self.addresses), "big"))
        self.emit(op)

    def keccak(self) -> None:
        self.push(self.size())
        self.push(self.offset())
        self.emit(0x20)
        self.use_result()

    def log(self) -> None:
        topics = self.random.randrange(5)
        for _ in range(topics):
            self.push(self.word())
        self.push(self.size())
        self.push(self.offset())
        self.emit(0xA0 + topics)

    def stack(self) -> None:
        reach = self.random.randrange(16)
        for _ in range(reach + 2 if self.random.random() < 0.98 else reach):
            self.push(self.word())
        self.emit(self.random.choice((0x80, 0x90)) + reach)
        self.use_result()

    def loop(self) -> None:
        """Runs a piece a few times, counting down on the stack."""
        count = self.random.choice((1, 2, 3, 5, 20))
        self.emit(push(count))
        start = len(self.code)
        self.emit(0x5B)
        self.tidy = True
        for _ in range(self.random.randrange(1, 4)):
            self.piece((self.arithmetic, self.store, self.keccak, self.query, self.log, self.environment, self.copy))
        self.tidy = False
        self.emit(push(1), 0x90, 0x03, 0x80, push(start, 2), 0x57, 0x50)

    def spread(self) -> None:
        """Comes to many slots and accounts, one after the other: all that it does is to a number that counts down."""
        self.emit(push(self.random.choice(SPREADS)))
        start = len(self.code)
        self.emit(0x5B)
        for _ in range(self.random.randrange(1, 4)):
            op = self.random.choice(
                [op for op in (0x55, 0x54, 0x5D, 0x5C, 0x31, 0x3B, 0x3F, CALL, 0x20, 0xA1) if self.has(op)]
            )
            if op in (0x55, 0x5D):
                self.emit(0x80, 0x80, op)
            elif op == CALL:
                for value in (0, 0, 0, 0, self.random.choice((0, 1))):
                    self.emit(push(value))
                self.emit(0x85, push(self.random.choice((0, 1000))), op, 0x50)
            elif op == 0x20:
                self.emit(0x80, push(32), 0x52, push(64), push(0), op, 0x50)
            elif op == 0xA1:
                self.emit(0x80, push(0), push(0), op)
            else:
                self.emit(0x80, op, 0x50)
        self.emit(push(1), 0x90, 0x03, 0x80, push(start, 2), 0x57, 0x50)

    def branch(self) -> None:
        """Jumps over a piece, or not; sometimes to where no JUMPDEST is."""
        self.push(self.random.choice((0, 1, self.word())))
        at = len(self.code)
        self.emit(push(0, 2), 0x57)
        self.piece((self.arithmetic, self.store, self.log, self.copy))
        target = len(self.code)
        if self.random.random() < 0.01:
            target += self.random.randrange(-3, 4)
        self.code[at + 1 : at + 3] = (max(0, target) & 0xFFFF).to_bytes(2, "big")
        self.emit(0x5B)

    def call(self) -> None:
        op = self.random.choice([op for op in (CALL, CALL, CALLCODE, DELEGATECALL, STATICCALL) if self.has(op)])
        r = self.random
        if r.random() < 0.25:
            self.precompile(op)
            return
        self.push(self.size() % 300)
        self.push(self.offset())
        self.push(self.size())
        self.push(self.offset())
        if op in (CALL, CALLCODE):
            self.push(r.choice((0, 0, 0, 1, 1000, self.word())))
        self.push(int.from_bytes(r.choice(self.addresses), "big"))
        self.gas()
        self.emit(op)
        self.use_result()

    def gas(self) -> None:
        kind = self.random.random()
        if kind < 0.5:
            self.emit(0x5A)
        elif kind < 0.8:
            self.push(self.random.choice((0, 100, 2300, 5000, 20000, 60000)))
        else:
            self.push(self.word())

    def precompile(self, op: int) -> None:
        r = self.random
        number = r.choice((1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 0x100, 8, 13))
        size = r.choice((0, 1, 32, 64, 96, 128, 160, 192, 213, 256))
        if number == 5:
            lengths = [r.choice((0, 1, 2, 32, 33, r.randrange(70))) for _ in range(3)]
            if r.random() < 0.05:
                lengths[r.randrange(3)] = self.word()
            for i, length in enumerate(lengths):
                self.emit(push(length), push(32 * i), 0x52)
            for i in range(3):
                self.emit(push(self.word()), push(96 + 32 * i), 0x52)
            size = r.choice((0, 96, 160, 192, 128))
        elif number in (6, 7):
            for i, value in enumerate((1, 2, r.choice((1, 1, 0, self.word())), r.choice((2, 2, 0, self.word())))):
                self.emit(push(value), push(32 * i), 0x52)
            size = r.choice((0, 64, 96, 128, 127, 160))
        elif number == 9:
            self.emit(push(r.choice((0, 1, 12, 300)) << 224 | r.getrandbits(224)), push(0), 0x52)
            self.emit(push(r.choice((0, 1, 1, 2))), push(212), 0x53)
            size = r.choice((213, 213, 213, 212, 214))
        elif number == 8:
            size = r.choice((0, 0, 1, 191))  # real pairings take the specification seconds
        else:
            for i in range(r.randrange(4)):
                self.emit(push(self.word()), push(32 * i), 0x52)
        self.push(r.choice((0, 32, 64, 128)))
        self.push(r.choice((0, 256)))
        self.emit(push(size))
        self.push(0)
        if op in (CALL, CALLCODE):
            self.push(r.choice((0, 0, 1)))
        self.push(number)
        self.gas()
        self.emit(op)
        self.use_result()
        if r.random() < 0.5:
            self.emit(push(256), 0x51)
            self.use_result()

    def create(self) -> None:
        """Puts init code into memory word by word and creates; may call what it made."""
        op = CREATE2 if self.has(CREATE2) and self.random.random() < 0.5 else CREATE
        init = init_code(self.random, self.fork, self.addresses, self.depth + 1)
        for i in range(0, len(init), 32):
            self.emit(push(int.from_bytes(init[i : i + 32].ljust(32, b"\0"), "big"), 32), push(i), 0x52)
        if op == CREATE2:
            self.push(self.random.randrange(3))
        size = len(init) if self.random.random() < 0.95 else self.random.choice((self.size(), 49152, 49153))
        self.emit(push(size))
        self.push(0)
        self.push(self.random.choice((0, 0, 1, self.word())))
        self.emit(op)
        if self.random.random() < 0.5:
            # CALL(gas, created, 0, 0, 0, 0, 32)
            for value in (32, 0, 0, 0, 0):
                self.emit(push(value))
            self.emit(0x85, 0x5A, 0xF1)
        self.use_result()

    def nonsense(self) -> None:
        self.emit(bytes(self.random.randrange(256) for _ in range(self.random.randrange(1, 4))))

    def end(self) -> None:
        op = self.random.choice((0x00,) * 6 + (RETURN,) * 8 + (REVERT,) * 2 + (0xFF,) * 2 + (0xFE,))
        if op in (RETURN, REVERT):
            self.push(self.size() % 200)
            self.push(self.offset() % 200)
        elif op == 0xFF:
            self.push(int.from_bytes(self.random.choice(self.addresses), "big"))
        self.emit(op)

    def piece(self, among: Sequence[Callable[[], None]]) -> None:
        self.random.choice(among)()

    def write(self, length: int) -> bytes:
        pieces: list[Callable[[], None]] = [
            *[self.arithmetic] * 4, *[self.environment] * 3, *[self.query] * 2, *[self.store] * 2, *[self.call] * 2,
            self.copy, self.keccak, self.log, self.stack, self.loop, self.branch, self.spread,
        ]  # fmt: skip
        if self.depth < 2:
            pieces.append(self.create)
        for _ in range(length):
            self.piece(pieces)
            if self.random.random() < 0.001:
                self.nonsense()
            if self.random.random() < 0.01:
                self.end()
        self.end()
        return bytes(self.code)


def init_code(random: Random, fork: Fork, addresses: Sequence[bytes], depth: int = 0) -> bytes:
    """Code that runs a little and then returns a small program, or something else."""
    writer = ProgramWriter(random, fork, addresses, depth)
    for _ in range(random.randrange(3)):
        writer.piece((writer.arithmetic, writer.store, writer.query, writer.log))
    runtime = ProgramWriter(random, fork, addresses, depth + 1).write(random.randrange(1, 4))
    if random.random() < 0.1:
        runtime = random.choice((b"\xef" + runtime, b"", bytes(random.choice((24576, 24577, 100)))))
    if len(runtime) > 400:
        writer.emit(push(len(runtime), 3), push(0), RETURN)
    elif random.random() < 0.1:
        writer.end()
    else:
        # CODECOPY the tail of this very code and return it
        head = len(writer.code) + 2 * 3 + 2 + 1 + 3 + 2 + 1
        writer.emit(push(len(runtime), 2), push(head, 2), push(0), 0x39, push(len(runtime), 2), push(0), RETURN)
        writer.emit(runtime)
    return bytes(writer.code)


def program(random: Random, fork: Fork, addresses: Sequence[bytes]) -> bytes:
    """A random program of 2 to about 50 pieces."""
    return ProgramWriter(random, fork, addresses).write(random.choice((2, 4, 8, 12, 16, 24, 32, 48)))
