"""Random contracts for hostile blocks: few accounts, few slots, and every way to make one depend on another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from evmcore.forks import Fork
from evmcore.ops.table import BY_NAME

SLOTS = 4
AMOUNTS = (0, 0, 1, 1, 2, 7, 1000, 10**15)


@dataclass
class Pool:
    """What programs may name: accounts worth touching, init codes worth deploying."""

    fork: Fork
    addresses: Sequence[bytes]
    inits: list[bytes] = field(default_factory=list)


def init_code(prelude: bytes, runtime: bytes) -> bytes:
    """Runs `prelude`, which must leave the stack empty, and then deploys `runtime`."""
    size, start = len(runtime), len(prelude) + 15
    copy = b"\x61%b\x61%b\x60\x00\x39\x61%b\x60\x00\xf3" % (
        size.to_bytes(2, "big"),
        start.to_bytes(2, "big"),
        size.to_bytes(2, "big"),
    )
    return prelude + copy + runtime


class ProgramWriter:
    """Writes one random program. `delays`: busy loops between the steps, so that threads meet in every order."""

    def __init__(self, random: Random, pool: Pool, *, delays: bool = True) -> None:
        self.random = random
        self.pool = pool
        self.delays = delays
        self.code = bytearray()

    def program(self, statements: int) -> bytes:
        for _ in range(statements):
            self.statement(depth=0)
        return bytes(self.code)

    # ---- parts

    def op(self, *names: str) -> None:
        for name in names:
            self.code.append(BY_NAME[name].number)

    def push(self, value: int | bytes) -> None:
        data = value if isinstance(value, bytes) else value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
        self.code.append(0x5F + len(data))
        self.code += data

    def address(self) -> None:
        if self.random.random() < 0.2:
            self.push(32)
            self.op("CALLDATALOAD")
        else:
            self.push(self.random.choice(self.pool.addresses))

    def slot(self) -> None:
        if self.random.random() < 0.3:
            self.push(0)
            self.op("CALLDATALOAD")
            self.push(SLOTS - 1)
            self.op("AND")
        else:
            self.push(self.random.randrange(SLOTS))

    def value(self, depth: int = 0) -> None:
        """Leaves one word on the stack."""
        since, draw = self.pool.fork, self.random.random()
        if draw < 0.3:
            self.slot()
            self.op("SLOAD")
        elif draw < 0.45:
            self.address()
            self.op("BALANCE")
        elif draw < 0.55:
            self.address()
            self.op("EXTCODEHASH" if since >= Fork.CONSTANTINOPLE and self.random.random() < 0.6 else "EXTCODESIZE")
        elif draw < 0.62:
            self.op("SELFBALANCE" if since >= Fork.ISTANBUL else "CALLVALUE")
        elif draw < 0.7:
            self.push(self.random.choice(AMOUNTS))
        elif draw < 0.78:
            self.push(0)
            self.op("CALLDATALOAD")
        elif draw < 0.85:
            self.op(self.random.choice(("CALLER", "COINBASE", "CALLVALUE", "ORIGIN", "GAS", "GASPRICE", "CODESIZE")))
        elif draw < 0.88 and since >= Fork.CANCUN:
            self.slot()
            self.op("TLOAD")
        elif depth < 2:
            self.value(depth + 1)
            self.value(depth + 1)
            self.op(self.random.choice(("ADD", "ADD", "SUB", "XOR", "LT", "EQ")))
        else:
            self.push(1)

    def delay(self) -> None:
        """A loop of up to a few thousand steps: tens of microseconds, some 26 gas each."""
        self.push(self.random.choice((20, 100, 300, 1000, 2500)))
        start = len(self.code)
        self.op("JUMPDEST")
        self.push(1)
        self.op("SWAP1", "SUB", "DUP1")
        self.push(start.to_bytes(2, "big"))
        self.op("JUMPI", "POP")

    def outcome(self) -> None:
        """Uses the word on the stack, the outcome of a call or creation, in some way."""
        draw = self.random.random()
        if draw < 0.4:
            self.slot()
            self.op("SSTORE")
        elif draw < 0.5 and self.pool.fork >= Fork.BYZANTIUM:
            self.when(lambda: self.stop("REVERT"), invert=True)
        else:
            self.op("POP")

    def when(self, body: Callable[[], None], *, invert: bool = False) -> None:
        """Runs `body` if the word on the stack is not zero (or is zero, with `invert`)."""
        if not invert:
            self.op("ISZERO")
        at = len(self.code) + 1
        self.push(b"\x00\x00")
        self.op("JUMPI")
        body()
        self.code[at : at + 2] = len(self.code).to_bytes(2, "big")
        self.op("JUMPDEST")

    def stop(self, how: str) -> None:
        if how in ("REVERT", "RETURN"):
            self.push(32)
            self.push(0)
        self.op(how)

    # ---- statements

    def statement(self, depth: int) -> None:
        kinds: list[tuple[int, Callable[[], None]]] = [
            (8, self.store),
            (5, self.call),
            (3, self.pay),
            (2, self.log),
            (2, self.create),
            (1, self.destroy),
            (1, self.end),
        ]
        if depth < 2:
            kinds.append((4, lambda: self.branch(depth)))
        if self.delays:
            kinds.append((3, self.delay))
        if self.pool.fork >= Fork.CANCUN:
            kinds.append((1, self.store_transient))
        self.random.choices([kind for _, kind in kinds], [weight for weight, _ in kinds])[0]()

    def store(self) -> None:
        if self.random.random() < 0.4:
            self.slot()
            self.op("DUP1", "SLOAD")
            self.push(self.random.randrange(1, 4))
            self.op(self.random.choice(("ADD", "XOR")), "SWAP1")
        elif self.random.random() < 0.3:
            self.push(0)
            self.slot()
        else:
            self.value()
            self.slot()
        self.op("SSTORE")

    def store_transient(self) -> None:
        self.value()
        self.slot()
        self.op("TSTORE")

    def branch(self, depth: int) -> None:
        self.value()
        self.push(self.random.choice((1, 1, 2, 3)))
        self.op("AND")
        self.when(lambda: self.statement(depth + 1), invert=self.random.random() < 0.3)

    def call(self) -> None:
        fork, random = self.pool.fork, self.random
        kinds = ["CALL", "CALL", "CALL", "CALLCODE"]
        if fork >= Fork.HOMESTEAD:
            kinds.append("DELEGATECALL")
        if fork >= Fork.BYZANTIUM:
            kinds.append("STATICCALL")
        kind = random.choice(kinds)
        self.value(1)
        self.push(0)
        self.op("MSTORE")
        self.push(random.choice(self.pool.addresses).rjust(32, b"\0"))
        self.push(32)
        self.op("MSTORE")
        for size in (random.choice((0, 32)), 0, 64, 0):
            self.push(size)
        if kind in ("CALL", "CALLCODE"):
            self.push(random.choice(AMOUNTS))
        self.address()
        if fork >= Fork.TANGERINE_WHISTLE and random.random() < 0.5:
            self.op("GAS")
        else:
            self.push(random.choice((0, 700, 3000, 25_000, 60_000)))
        self.op(kind)
        self.outcome()

    def call_top(self, value: int) -> None:
        """Calls the account on the stack without data."""
        for word in (0, 0, 0, 0, value):
            self.push(word)
        self.op("DUP6")
        self.push(60_000)
        self.op("CALL", "POP")

    def pay(self) -> None:
        """A plain payment, now and then of nothing, to an account that does not exist, or of the whole balance."""
        for _ in range(4):
            self.push(0)
        if self.pool.fork >= Fork.ISTANBUL and self.random.random() < 0.15:
            self.op("SELFBALANCE")
        else:
            self.push(self.random.choice(AMOUNTS))
        if self.random.random() < 0.3:
            self.op("COINBASE")
        else:
            self.address()
        self.push(0)
        self.op("CALL")
        self.outcome()

    def log(self) -> None:
        self.value()
        self.push(0)
        self.op("MSTORE")
        topics = self.random.randrange(3)
        for _ in range(topics):
            self.value(1)
        self.push(32)
        self.push(0)
        self.op(f"LOG{topics}")

    def create(self) -> None:
        if not self.pool.inits:
            self.store()
            return
        self.create_from(self.random.choice(self.pool.inits))
        self.outcome()

    def create_from(self, init: bytes, salt: int | None = None) -> None:
        """CREATE or, with `salt` or by chance, CREATE2."""
        for at in range(0, len(init), 32):
            self.push(init[at : at + 32].ljust(32, b"\0"))
            self.push(at)
            self.op("MSTORE")
        twice = self.pool.fork >= Fork.CONSTANTINOPLE and (salt is not None or self.random.random() < 0.7)
        if twice:
            self.push(self.random.randrange(2) if salt is None else salt)
        self.push(len(init))
        self.push(0)
        self.push(self.random.choice((0, 0, 1)))
        self.op("CREATE2" if twice else "CREATE")

    def destroy(self) -> None:
        if self.random.random() < 0.2:
            self.op(self.random.choice(("ADDRESS", "COINBASE", "CALLER")))
        else:
            self.address()
        self.op("SELFDESTRUCT")

    def end(self) -> None:
        kinds = ["STOP", "RETURN", "INVALID"]
        if self.pool.fork >= Fork.BYZANTIUM:
            kinds += ["REVERT", "REVERT"]
        self.stop(self.random.choice(kinds))


def token() -> bytes:
    """An ERC-20-like contract: calldata is recipient and amount, balances lie in the slots named by the holders."""
    writer = ProgramWriter(Random(0), Pool(Fork.FRONTIER, ()))
    writer.push(32)
    writer.op("CALLDATALOAD", "CALLER", "SLOAD", "DUP1", "DUP3", "GT")  # amount, balance, balance < amount
    writer.when(lambda: writer.op("INVALID"))
    writer.op("DUP2", "SWAP1", "SUB", "CALLER", "SSTORE")  # amount
    writer.push(0)
    writer.op("CALLDATALOAD", "DUP1", "SLOAD", "DUP3", "ADD", "DUP2", "SSTORE")  # amount, recipient
    writer.op("SWAP1")
    writer.push(0)
    writer.op("MSTORE", "CALLER")
    writer.push(32)
    writer.push(0)
    writer.op("LOG2")
    return bytes(writer.code)


def forwarder() -> bytes:
    """Calls the account in calldata's first word with the rest of it; stores what the call returns, and whether it
    succeeded."""
    writer = ProgramWriter(Random(0), Pool(Fork.SHANGHAI, ()))
    writer.push(32)
    writer.op("CALLDATASIZE", "SUB", "DUP1")
    writer.push(32)
    writer.push(0)
    writer.op("CALLDATACOPY")
    writer.push(32)
    writer.push(0)
    writer.op("DUP3")
    for _ in range(3):
        writer.push(0)
    writer.op("CALLDATALOAD", "GAS", "CALL")
    writer.push(1)
    writer.op("SSTORE")
    writer.push(0)
    writer.op("MLOAD")
    writer.push(0)
    writer.op("SSTORE")
    return bytes(writer.code)


def phoenix(random: Random, pool: Pool) -> tuple[bytes, bytes, bytes]:
    """A factory that makes one contract at one address again and again, the contract's init code, and its code.

    The contract destroys itself for odd calldata; for odd calldata the factory also calls what it has made."""
    child = ProgramWriter(random, pool)
    child.push(0)
    child.op("CALLDATALOAD")
    child.push(1)
    child.op("AND")
    child.when(child.destroy)
    for _ in range(2):
        child.store()
    runtime = child.program(2)
    init = init_code(b"", runtime)
    factory = ProgramWriter(random, pool)
    factory.create_from(init, salt=0)
    factory.push(0)
    factory.op("CALLDATALOAD")
    factory.push(1)
    factory.op("AND")
    factory.when(lambda: factory.call_top(random.choice((0, 5))))
    return bytes(factory.code), init, runtime
