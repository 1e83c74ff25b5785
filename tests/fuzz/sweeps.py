"""Random sweeps: a contract calls another with one amount of gas after the other, up to a little more than it needs.

The other's code is dense in the sequences that the engine fuses: it runs out of gas, of stack and of code at each of
their instructions, jumps over them and into them, and reads what gas is left between them.
"""

from __future__ import annotations

from random import Random
from typing import Any

from evmcore.engine import EVM, Status
from evmcore.forks import Fork
from evmcore.ops.fusion import SEQUENCES
from evmcore.ops.table import BY_NAME
from evmcore.state import MemoryState
from evmcore.types import Account
from tests.fuzz.cases import CONTRACTS, FORKS, SENDER, SENDER_KEY, account, choose_fork, environment
from tests.fuzz.programs import CALL, CALLCODE, DELEGATECALL, EDGES, STATICCALL, push

CALLER, CALLEE = CONTRACTS[0], CONTRACTS[1]
STACK_LIMIT = 1024
MOST_CALLS = 120
INSTRUCTIONS = 12_000  # about what all calls of a sweep take together
MOST_GAS = 4000
# What a PUSH holds of instructions, were it not data.
_TEMPTING = (0x5B, 0x56, 0x57, 0x60, 0x61, 0x7F, 0x00, 0x50, 0x90)
_BETWEEN = (0x5B, 0x5A, 0x58, 0x59, 0x50, 0x80, 0x90, 0x15, 0x19, 0x01, 0x0C, 0x21, 0xA5, 0x4B)


def _target_depth(ops: list[str]) -> int | None:
    """How deep on the stack, as the sequence finds it, the destination of the JUMP at its end is; None: not there."""
    stack = list(range(STACK_LIMIT // 64))
    for op in ops[:-1]:
        if op == "POP":
            stack.pop(0)
        elif op.startswith("SWAP"):
            depth = int(op[4:])
            stack[0], stack[depth] = stack[depth], stack[0]
        else:
            return None
    return stack[0]


class SweepWriter:
    """Writes the code that is called."""

    def __init__(self, random: Random, fork: Fork) -> None:
        self.random = random
        self.code = bytearray()
        revision = fork.revision
        self.sequences = [
            names
            for names in (text.split() for text in SEQUENCES)
            if all(BY_NAME[name].since <= revision for name in names) or random.random() < 0.02
        ]

    def word(self) -> int:
        r = self.random
        kind = r.random()
        if kind < 0.7:
            return r.randrange(0, 70)
        if kind < 0.9:
            return r.choice(EDGES)
        return r.getrandbits(256)

    def immediate(self, size: int) -> bytes:
        r = self.random
        if size == 1 or r.random() < 0.4:
            return self.small(size)
        return bytes(r.choice(_TEMPTING) if r.random() < 0.5 else r.randrange(256) for _ in range(size))

    def small(self, size: int) -> bytes:
        return self.random.choice((0, 1, 2, 31, 32, 64, 5, 0x5B if size == 1 else 3)).to_bytes(size, "big")

    def fill(self) -> None:
        """Puts words on the stack: some, or nearly as many as there is room for."""
        if self.random.random() < 0.25:
            self.code += push(self.word()) + bytes([0x80]) * (STACK_LIMIT - 1 - self.random.randrange(5))
        else:
            for _ in range(self.random.choice((0, 3, 20, 20, 20, 30))):
                self.code += push(self.word())

    def sequence(self) -> None:
        """One sequence, whole or with something left out of it or put in."""
        r = self.random
        names = r.choice(self.sequences)
        jumps = names[-1] in ("JUMP", "JUMPI")
        constant = jumps and names[-2].startswith("PUSH")
        patches: list[tuple[int, int]] = []  # where the destination is to be written, and in how many bytes
        if jumps and not constant and (depth := _target_depth(names)) is not None:
            for place in range(depth, -1, -1):
                if place == depth:
                    patches.append((len(self.code) + 1, 2))
                    self.code += push(0, 2)
                else:
                    self.code += push(self.word())
        for place, name in enumerate(names):
            if r.random() < 0.01:
                continue
            if r.random() < 0.01:
                self.code.append(r.choice(_BETWEEN))
            self.code.append(BY_NAME[name].number)
            if name.startswith("PUSH"):
                size = int(name[4:])
                if constant and place == len(names) - 2:
                    patches.append((len(self.code), size))
                self.code += self.immediate(size)
        if jumps:
            target = self.landing()
            for at, size in patches:
                if target < 1 << 8 * size:
                    self.code[at : at + size] = target.to_bytes(size, "big")

    def landing(self) -> int:
        """Where the jump before this goes: here mostly, past some code, back, or where no JUMPDEST is."""
        r = self.random
        kind = r.random()
        if kind < 0.3:
            for _ in range(r.randrange(1, 4)):
                self.code.append(r.choice((0x50, 0x80, 0x00, 0xFE, 0x5A, 0x60)))
        elif kind < 0.36:
            earlier = [at for at, byte in enumerate(self.code) if byte == 0x5B]
            if earlier:
                self.code.append(0x5B)
                return r.choice(earlier)
        elif kind < 0.38:
            return len(self.code) + r.randrange(4)
        self.code.append(0x5B)
        return len(self.code) - 1

    def other(self) -> None:
        """An instruction that is in no sequence, or ends one."""
        kind = self.random.random()
        if kind < 0.35:
            self.code += bytes([0x5A]) + push(32 * self.random.randrange(3)) + bytes([0x52])  # keep what gas is left
        elif kind < 0.7:
            self.code += push(self.word())
        elif kind < 0.8:
            self.code += push(self.random.randrange(3)) + push(self.random.randrange(3)) + bytes([0x55])
        else:
            self.code.append(self.random.choice(_BETWEEN))

    def write(self) -> bytes:
        self.fill()
        for _ in range(self.random.choice((1, 3, 6, 12, 20))):
            if self.random.random() < 0.75:
                self.sequence()
            else:
                self.other()
        kind = self.random.random()
        if kind < 0.4:
            self.code += push(0x40) + push(0) + bytes([self.random.choice((0xF3, 0xF3, 0xFD))])
        elif kind < 0.7:
            # In the midst of a sequence or a PUSH.
            del self.code[max(1, len(self.code) - self.random.randrange(1, 5)) :]
        return bytes(self.code)


def _needed(code: bytes, fork: Fork) -> int:
    """The least gas with which the code does not end for want of it, as the engine has it; a lot where none is enough.
    It says only which amounts are worth a call."""
    evm = EVM(MemoryState({CALLEE: Account(code=code)}), fork=fork)
    low, high = 0, MOST_GAS
    while low < high:
        middle = (low + high) // 2
        if evm.message(CALLEE, b"", gas=middle).status == Status.OUT_OF_GAS:
            low = middle + 1
        else:
            high = middle
    return low


def _caller(op: int, first: int, last: int) -> bytes:
    """Calls with `first`, `first` + 1, ... up to `last` gas; slot 0 then has a hash over all that can be seen of it."""
    loop = bytearray(push(first, 3) + b"\x5b")
    value = push(0) if op in (CALL, CALLCODE) else b""
    loop += push(0x40) + push(0x60) + push(0) + push(0) + value + push(int.from_bytes(CALLEE, "big"), 20)
    loop += bytes([0x86 if value else 0x85, op]) + push(0x20) + b"\x52"
    loop += b"\x5a" + push(0x40) + b"\x52" + push(0xA0) + push(0) + b"\x20" + push(0) + b"\x52"
    loop += push(1) + b"\x01" + push(last + 1, 3) + b"\x81\x10" + push(4, 1) + b"\x57"
    return bytes(loop + push(0) + b"\x51" + push(0) + b"\x55")


def make_sweep(seed: int, fork_name: str = "") -> dict[str, Any]:
    """The sweep of `seed`, a state test: a pure function of it."""
    random = Random(seed)
    fork_name = choose_fork(random, fork_name)
    fork = FORKS[fork_name]
    code = SweepWriter(random, fork).write()
    last = _needed(code, fork) + 2
    calls = min(MOST_CALLS, INSTRUCTIONS // (last // 3 + 1))
    ops = [CALL, CALLCODE] + [DELEGATECALL] * (fork >= Fork.HOMESTEAD) + [STATICCALL] * (fork >= Fork.BYZANTIUM)
    caller = _caller(random.choice(ops), max(0, last - calls), last)
    pre = {
        "0x" + SENDER.hex(): account(balance=10**20),
        "0x" + CALLER.hex(): account(nonce=1, code=caller),
        "0x" + CALLEE.hex(): account(nonce=1, code=code, storage={1: 7}),
    }
    transaction = {
        "nonce": "0x0", "gasLimit": [hex(16_000_000)], "to": "0x" + CALLER.hex(), "value": ["0x0"], "data": ["0x"],
        "sender": "0x" + SENDER.hex(), "secretKey": "0x" + SENDER_KEY.hex(), "gasPrice": hex(10),
    }  # fmt: skip
    post = {fork_name: [{"indexes": {"data": 0, "gas": 0, "value": 0}}]}
    env = environment(random, fork, 7) | {"currentGasLimit": hex(30_000_000)}
    return {"env": env, "pre": pre, "transaction": transaction, "post": post}
