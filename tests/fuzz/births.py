"""Random blocks whose contracts create, use and destroy the same few contracts again and again.

Every contract knows where those are that any other can make by CREATE2. What is left of one when it is destroyed, made
anew, reverted or paid in between is what the blocks differ in.
"""

from __future__ import annotations

from random import Random
from typing import Any

from evmcore._hash import keccak256
from evmcore.forks import Fork
from evmcore.rlp import encode
from tests.fuzz.cases import ABSENT, COINBASE, CONTRACTS, FORKS, account, make_block
from tests.fuzz.programs import CALL, CALLCODE, CREATE, CREATE2, DELEGATECALL, REVERT, STATICCALL, push

# What a child does, by the first byte it is called with: counts in storage, destroys itself for whom the rest names,
# fails, creates an empty contract, keeps its caller; otherwise nothing.
COUNT, DESTROY, FAIL, BEAR, KEEP = range(1, 6)


def _when(value: int, body: bytes, at: int) -> bytes:
    """Code at `at` that runs `body` if calldata begins with the byte `value`."""
    test = push(0) + b"\x35" + push(0) + b"\x1a" + push(value) + b"\x14\x15"
    return test + push(at + len(test) + 4 + len(body), 2) + b"\x57" + body + b"\x5b"


def _runtime() -> bytes:
    code = b""
    # Before Constantinople BYTE serves where SHR would: the heir is the last 20 bytes of the first word.
    for value, body in (
        (COUNT, push(1) + push(0) + b"\x54\x01" + push(0) + b"\x55\x00"),
        (DESTROY, push(0) + b"\x35\xff"),
        (FAIL, b"\xfe"),
        (BEAR, push(0) + push(0) + push(0) + bytes([CREATE]) + push(2) + b"\x55\x00"),
        (KEEP, b"\x33" + push(3) + b"\x55\x00"),
    ):
        code += _when(value, body, len(code))
    return code


RUNTIME = _runtime()
_DEPLOY = push(len(RUNTIME), 2)


def _init(before: bytes) -> bytes:
    """Init code that does something and deploys the runtime, which is behind it."""
    head = len(before) + 17
    return before + _DEPLOY + push(head, 2) + push(0) + b"\x39" + _DEPLOY + push(0) + b"\xf3" + bytes(2) + RUNTIME


INITS = [
    _init(b""),
    _init(push(7) + push(5) + b"\x55"),
    _init(push(9) + push(0) + b"\x55" + push(0) + push(5) + b"\x55"),
    b"\x33\xff",  # destroyed by its constructor
    push(1) + push(0) + b"\x55" + push(0) + push(0) + b"\xfd",
    push(1) + push(1) + b"\x55",  # no code, but storage
]
SALTS = (0, 1)
CHILDREN = [
    keccak256(b"\xff" + creator + salt.to_bytes(32, "big") + keccak256(init))[12:]
    for creator in CONTRACTS
    for salt in SALTS
    for init in INITS[:4]
] + [keccak256(encode([creator, nonce]))[12:] for creator in CONTRACTS for nonce in (1, 2)]


class _Writer:
    def __init__(self, random: Random, fork: Fork, own: int) -> None:
        self.random, self.fork = random, fork
        creator = 8 * own  # its own children come first to its mind
        self.near = [*CHILDREN[creator : creator + 8], *CHILDREN[32 + 2 * own : 34 + 2 * own]]
        self.code = b""

    def child(self) -> bytes:
        return self.random.choice(self.near if self.random.random() < 0.8 else CHILDREN)

    def create(self) -> None:
        r = self.random
        init = r.choice([INITS[0], INITS[1], *INITS])
        for at in range(0, len(init), 32):
            self.code += push(int.from_bytes(init[at : at + 32].ljust(32, b"\0"), "big"), 32) + push(at) + b"\x52"
        again = self.fork >= Fork.CONSTANTINOPLE and r.random() < 0.8
        self.code += push(r.choice(SALTS)) if again else b""
        self.code += push(len(init)) + push(0) + push(r.choice((0, 0, 0, 3))) + bytes([CREATE2 if again else CREATE])
        self.code += push(r.randrange(10, 13)) + b"\x55"

    def call(self) -> None:
        r = self.random
        ops = [CALL] * 6 + [CALLCODE] + [DELEGATECALL] * (self.fork >= Fork.HOMESTEAD)
        op = r.choice([*ops, *[STATICCALL] * (self.fork >= Fork.BYZANTIUM)])
        child = self.child()
        act = r.choice((COUNT, COUNT, DESTROY, DESTROY, DESTROY, FAIL, BEAR, KEEP, 0))
        heir = r.choice([child, *CONTRACTS, ABSENT, COINBASE, self.child(), bytes(19) + b"\x02"])
        self.code += push(int.from_bytes(bytes([act]) + bytes(11) + heir, "big"), 32) + push(0) + b"\x52"
        self.code += push(0) + push(0) + push(32) + push(0)
        self.code += push(r.choice((0, 0, 0, 1, 5))) if op in (CALL, CALLCODE) else b""
        gas = push(r.choice((0, 2300, 9000, 30_000, 60_000, 60_000, 100_000, 100_000)))
        self.code += push(int.from_bytes(child, "big"), 20) + gas + bytes([op]) + b"\x50"

    def other(self) -> None:
        """Calls a contract like this one with some of the gas."""
        gas = push(self.random.choice((20_000, 100_000, 200_000, 400_000)))
        to = push(int.from_bytes(self.random.choice(CONTRACTS), "big"), 20)
        self.code += push(0) + push(0) + push(0) + push(0) + push(self.random.choice((0, 1))) + to + gas
        self.code += bytes([CALL]) + push(self.random.randrange(13, 15)) + b"\x55"

    def query(self) -> None:
        op = self.random.choice((0x31, 0x3B, 0x3F) if self.fork >= Fork.CONSTANTINOPLE else (0x31, 0x3B))
        self.code += push(int.from_bytes(self.child(), "big"), 20) + bytes([op])
        self.code += push(self.random.randrange(15, 18)) + b"\x55"

    def write(self) -> bytes:
        for _ in range(self.random.choice((2, 5, 9, 14))):
            self.random.choice((self.create, self.create, self.call, self.call, self.call, self.other, self.query))()
        end = self.random.random()
        if end < 0.1:
            self.code += b"\xfe"
        elif end < 0.2 and self.fork >= Fork.BYZANTIUM:
            self.code += push(0) + push(0) + bytes([REVERT])
        elif end < 0.3:
            self.code += push(int.from_bytes(self.child(), "big"), 20) + b"\xff"
        return self.code


def make_births(seed: int, fork_name: str = "") -> dict[str, Any]:
    """The block of `seed`, a pure function of it: one of `make_block` with other contracts, and gas enough for them."""
    block = make_block(seed, fork_name)
    random = Random(seed)
    fork = FORKS[block["fork"]]
    for number, contract in enumerate(CONTRACTS):
        code = _Writer(random, fork, number).write()
        block["alloc"]["0x" + contract.hex()] = account(nonce=1, balance=10**6, code=code)
    for transaction in block["txs"]:
        if transaction["to"] and random.random() < 0.9:
            to = random.choice([*CONTRACTS] * 6 + [*CHILDREN[:2], *CHILDREN[32:34]])
            transaction |= {"to": "0x" + to.hex(), "gas": hex(random.choice((300_000, 1_000_000, 2_000_000)))}
    return block
