"""Mixes of requests, each with what the server has to answer.

Every mix is an endless iterator made from a world and a seed; `MIXES` names them.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from evmcore._hash import keccak256
from evmcore.bench.contracts import contract, word
from evmcore.bench.load.world import FLOOD_TOKENS, TIMESTAMP, LoadWorld

TOKEN, PAIR, QUOTER, MULTICALL = (contract(name) for name in ("Token", "Pair", "Quoter", "Multicall"))
AGGREGATE: Final = "aggregate3((address,bool,bytes)[])"
QUOTE: Final = "quotePath(address,uint256,address[])"

# JSON-RPC and geth.
PARSE_ERROR, INVALID_REQUEST, NO_METHOD, INVALID_PARAMS = -32700, -32600, -32601, -32602
REVERTED: Final = 3
EXECUTION_FAILED: Final = -32000


@dataclass(frozen=True)
class Request:
    """A JSON body, and the answer to it: a `result` that has to be equal, or one of the error `codes`.

    With neither, any result but null is right. `data` is the revert data that an error has to carry.
    """

    body: bytes
    result: Any = None
    codes: tuple[int, ...] = ()
    data: str | None = None
    ident: int | None = None


def rpc(ident: int, method: str, *params: Any) -> bytes:
    """The body of a JSON-RPC request."""
    return json.dumps(
        {"jsonrpc": "2.0", "id": ident, "method": method, "params": params}, separators=(",", ":")
    ).encode()


@dataclass(frozen=True)
class Call:
    """An eth_call without its number: to whom, with what, and what it returns or reverts with."""

    to: bytes
    data: bytes
    output: bytes | None = None
    revert: bytes | None = None
    codes: tuple[int, ...] = ()
    gas: int | None = None
    sender: bytes | None = None

    def request(self, ident: int) -> Request:
        fields = {"to": "0x" + self.to.hex(), "data": "0x" + self.data.hex()}
        if self.gas is not None:
            fields["gas"] = hex(self.gas)
        if self.sender is not None:
            fields["from"] = "0x" + self.sender.hex()
        result = None if self.output is None else "0x" + self.output.hex()
        codes = self.codes or ((REVERTED,) if self.revert is not None else ())
        data = None if self.revert is None else "0x" + self.revert.hex()
        return Request(rpc(ident, "eth_call", fields, "latest"), result, codes, data, ident)


class Calls:
    """The kinds of calls, on one world."""

    def __init__(self, world: LoadWorld) -> None:
        self.world = world

    def balance(self, token: int, holder: int) -> Call:
        of, who = self.world.tokens[token], self.world.holders[holder]
        return Call(of.address, TOKEN.call("balanceOf(address)", who), word(of.balances[who]))

    def allowance(self, token: int, holder: int) -> Call:
        of, who = self.world.tokens[token], self.world.holders[holder]
        data = TOKEN.call("allowance(address,address)", who, self.world.router)
        return Call(of.address, data, word(of.allowances[who]))

    def reserves(self, number: int) -> Call:
        pair = self.world.pairs[number]
        output = word(pair.reserves[0]) + word(pair.reserves[1]) + word(TIMESTAMP)
        return Call(pair.address, PAIR.call("getReserves()"), output)

    def quote(self, first: int, hops: int, amount: int) -> Call:
        """Along `hops` neighbours from a token on."""
        world = self.world
        path = [world.tokens[(first + step) % world.size].address for step in range(hops + 1)]
        data = QUOTER.call(QUOTE, world.router, amount, 3 * 32, len(path), *path)
        return Call(world.quoter, data, word(world.quote(amount, path)))

    def multicall(self, calls: Sequence[Call]) -> Call:
        """Several calls that all succeed, in one."""
        inner = [word(call.to) + word(1) + word(3 * 32) + word(len(call.data)) + _padded(call.data) for call in calls]
        data = MULTICALL.selectors[AGGREGATE] + word(32) + _array(inner)
        outputs = []
        for call in calls:
            assert call.output is not None, "only calls that succeed"
            outputs.append(word(1) + word(2 * 32) + word(len(call.output)) + _padded(call.output))
        return Call(self.world.multicall, data, word(32) + _array(outputs))

    def overdraft(self, token: int, holder: int) -> Call:
        """A transfer of more than the holder has: reverts with the token's own error."""
        of, who = self.world.tokens[token], self.world.holders[holder]
        balance = of.balances[who]
        reason = keccak256(b"InsufficientBalance(address,uint256,uint256)")[:4]
        revert = reason + word(who) + word(balance) + word(balance + 1)
        data = TOKEN.call("transfer(address,uint256)", self.world.router, balance + 1)
        return Call(of.address, data, revert=revert, sender=who)

    def no_path(self) -> Call:
        """A quote without a path: reverts with a reason in words."""
        data = QUOTER.call(QUOTE, self.world.router, 1, 3 * 32, 0)
        text = b"path too short"
        revert = keccak256(b"Error(string)")[:4] + word(32) + word(len(text)) + _padded(text)
        return Call(self.world.quoter, data, revert=revert)

    def spin(self, gas: int | None) -> Call:
        """A loop without end: uses up its gas, by default all that the server allows."""
        return Call(self.world.spinner, b"", codes=(EXECUTION_FAILED,), gas=gas)

    def nobody(self, number: int) -> Call:
        """A call to an account that does not exist: returns nothing."""
        return Call(keccak256(b"evmcore.bench.load nobody %d" % number)[12:], b"", b"")


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 32)


def _array(items: Sequence[bytes]) -> bytes:
    """An ABI array of dynamic tuples: their number, where each begins, and the tuples."""
    starts = itertools.accumulate((len(item) for item in items[:-1]), initial=32 * len(items))
    return word(len(items)) + b"".join(word(start) for start in starts) + b"".join(items)


class Zipf:
    """Numbers below `count`; number k comes with a frequency of 1/(k+1)."""

    def __init__(self, count: int, dice: random.Random) -> None:
        self._dice = dice
        self._numbers = range(count)
        self._weights = list(itertools.accumulate(1 / (number + 1) for number in range(count)))

    def __call__(self) -> int:
        return self._dice.choices(self._numbers, cum_weights=self._weights)[0]


# ---- the mixes


def noop(world: LoadWorld, seed: int) -> Iterator[Request]:
    """What the server does beside calling: `eth_blockNumber`."""
    for ident in itertools.count():
        yield Request(rpc(ident, "eth_blockNumber"), ident=ident)


def flood(world: LoadWorld, seed: int) -> Iterator[Request]:
    """flood's nine calls (three tokens, three constant or nearly constant getters), at the latest block."""
    dice = random.Random(f"flood {seed}")
    calls = []
    for token in world.flood_tokens:
        name = word(32) + word(len(token.name)) + _padded(token.name.encode())
        for data, output in (
            (TOKEN.call("decimals()"), word(18)),
            (TOKEN.call("totalSupply()"), word(token.supply)),
            (TOKEN.call("symbol()"), name),
        ):
            calls.append(Call(token.address, data, output))
    assert len(calls) == 3 * len(FLOOD_TOKENS)
    for ident in itertools.count():
        yield dice.choice(calls).request(ident)


def hot(world: LoadWorld, seed: int) -> Iterator[Request]:
    """What wallets and interfaces ask: few contracts and people make up most of it (Zipf).

    40 % balances, 15 % allowances, 20 % reserves, 15 % quotes over 1 to 3 pairs, 10 % multicalls of 8 of the former.
    """
    dice = random.Random(f"hot {seed}")
    calls, token, holder = Calls(world), Zipf(world.size, dice), Zipf(len(world.holders), dice)

    def simple() -> Call:
        kind = dice.random() * 90
        if kind < 40:
            return calls.balance(token(), holder())
        if kind < 55:
            return calls.allowance(token(), holder())
        if kind < 75:
            return calls.reserves(token())
        return calls.quote(token(), dice.randint(1, min(3, world.size - 1)), 10**15)

    for ident in itertools.count():
        call = calls.multicall([simple() for _ in range(8)]) if dice.random() < 0.1 else simple()
        yield call.request(ident)


def cold(world: LoadWorld, seed: int) -> Iterator[Request]:
    """Nobody twice: a different holder each time, until all have been asked for; then again.

    60 % balances, 30 % allowances, 10 % multicalls of 8 balances.
    """
    dice = random.Random(f"cold {seed}")
    calls = Calls(world)
    everybody = [(token, holder) for token in range(world.size) for holder in range(len(world.holders))]
    dice.shuffle(everybody)
    people = itertools.cycle(everybody)
    for ident in itertools.count():
        kind = dice.random()
        if kind < 0.6:
            call = calls.balance(*next(people))
        elif kind < 0.9:
            call = calls.allowance(*next(people))
        else:
            call = calls.multicall([calls.balance(*next(people)) for _ in range(8)])
        yield call.request(ident)


def adversarial(world: LoadWorld, seed: int) -> Iterator[Request]:
    """What a public endpoint gets: cold and reverting calls, endless loops, nonsense.

    35 % cold balances, 10 % cold multicalls of 50 balances, 20 % reverts with an error of the contract's own, 10 % with
    a reason in words, 9 % loops of a million gas, 1 % loops up to the server's own limit, 5 % calls to nobody, 10 % no
    valid request.
    """
    dice = random.Random(f"adversarial {seed}")
    calls = Calls(world)

    def somebody() -> tuple[int, int]:
        return dice.randrange(world.size), dice.randrange(len(world.holders))

    for ident in itertools.count():
        kind = dice.random() * 100
        if kind < 35:
            call = calls.balance(*somebody())
        elif kind < 45:
            call = calls.multicall([calls.balance(*somebody()) for _ in range(50)])
        elif kind < 65:
            call = calls.overdraft(*somebody())
        elif kind < 75:
            call = calls.no_path()
        elif kind < 84:
            call = calls.spin(1_000_000)
        elif kind < 85:
            call = calls.spin(None)
        elif kind < 90:
            call = calls.nobody(ident)
        else:
            yield _nonsense(ident, dice)
            continue
        yield call.request(ident)


def _nonsense(ident: int, dice: random.Random) -> Request:
    address = "0x" + bytes(20).hex()
    return dice.choice(
        (
            Request(b'{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{', codes=(PARSE_ERROR,)),
            Request(b"[]", codes=(INVALID_REQUEST,)),
            Request(rpc(ident, "eth_noSuchMethod"), codes=(NO_METHOD,), ident=ident),
            Request(rpc(ident, "eth_call", {"to": "0x12"}, "latest"), codes=(INVALID_PARAMS,), ident=ident),
            Request(rpc(ident, "eth_call", {"to": address}, "newest"), codes=(INVALID_PARAMS,), ident=ident),
            Request(rpc(ident, "eth_getBalance"), codes=(INVALID_PARAMS,), ident=ident),
        )
    )


MIXES: Final[dict[str, Callable[[LoadWorld, int], Iterator[Request]]]] = {
    "noop": noop,
    "flood": flood,
    "hot": hot,
    "cold": cold,
    "adversarial": adversarial,
}
