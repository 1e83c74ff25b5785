"""The contracts and people that a load test calls: a genesis made from a seed, whose every answer is known.

Tokens, a ring of markets between them, a router that knows the markets, a quoter and a multicall contract; three more
tokens at the mainnet addresses that flood calls; and a contract that never stops. The server under test starts from
`genesis`, the generator makes the same world again from the same seed and size and so knows what each call returns.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from evmcore._hash import keccak256
from evmcore.bench.contracts import Contract, contract, mapping_slot, word
from evmcore.types import Account

CHAIN_ID: Final = 1337
ETHER: Final = 10**18
TIMESTAMP: Final = 1_750_000_000
GAS_LIMIT: Final = 60_000_000

# The contracts of flood's eth_call test, with its names for them.
FLOOD_TOKENS: Final = {
    "USDC": bytes.fromhex("a0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"),
    "DAI": bytes.fromhex("6b175474e89094c44da98b954eedeac495271d0f"),
    "LUSD": bytes.fromhex("5f98805a4e8be255a32880fdec7f6728c6568ba0"),
}
# JUMPDEST, PUSH1 0, JUMP: until the gas is used up.
SPINNER_CODE: Final = bytes.fromhex("5b600056")


@dataclass(frozen=True)
class Token:
    """A token and who holds it: `balances` and `allowances` (to the router) by holder."""

    address: bytes
    name: str
    supply: int
    balances: Mapping[bytes, int]
    allowances: Mapping[bytes, int]


@dataclass(frozen=True)
class Pair:
    """A market: the tokens' addresses in ascending order, and the reserves of each."""

    address: bytes
    tokens: tuple[bytes, bytes]
    reserves: tuple[int, int]

    def reserves_from(self, token: bytes) -> tuple[int, int]:
        """Of what comes in and of what goes out, for somebody who sells `token`."""
        return self.reserves if token == self.tokens[0] else self.reserves[::-1]


class LoadWorld:
    """`size` tokens with `100 * size` holders each. The same seed and size make the same world."""

    def __init__(self, seed: int = 1, size: int = 20) -> None:
        if size < 2:
            raise ValueError(f"size: at least 2 is needed, got {size}")
        self.seed, self.size = seed, size
        dice = random.Random(f"evmcore.bench.load {seed} {size}")
        self.router, self.quoter, self.multicall, self.spinner = (
            self._address(name) for name in ("router", "quoter", "multicall", "spinner")
        )
        self.holders = [self._address(f"holder {number}") for number in range(100 * size)]
        self.tokens = [self._token(self._address(f"token {number}"), f"T{number}", dice) for number in range(size)]
        self.flood_tokens = [self._token(address, name, dice) for name, address in FLOOD_TOKENS.items()]
        self.pairs = [self._pair(number, dice) for number in range(size)]

    def _address(self, name: str) -> bytes:
        return keccak256(f"evmcore.bench.load {self.seed} {name}".encode())[12:]

    def _token(self, address: bytes, name: str, dice: random.Random) -> Token:
        holders = self.holders if name not in FLOOD_TOKENS else ()
        balances = {holder: 1 + dice.getrandbits(80) for holder in holders}
        allowances = {holder: 1 + dice.getrandbits(72) for holder in holders}
        return Token(address, name, sum(balances.values()) + ETHER, balances, allowances)

    def _pair(self, number: int, dice: random.Random) -> Pair:
        """Between a token and the next, the last and the first."""
        a, b = self.tokens[number].address, self.tokens[(number + 1) % self.size].address
        reserves = (dice.randrange(ETHER, 10**6 * ETHER), dice.randrange(ETHER, 10**6 * ETHER))
        return Pair(self._address(f"pair {number}"), (min(a, b), max(a, b)), reserves)

    def pair_of(self, a: bytes, b: bytes) -> Pair:
        """The market of two tokens. Raises KeyError where there is none."""
        return self._routes[min(a, b), max(a, b)]

    @cached_property
    def _routes(self) -> dict[tuple[bytes, bytes], Pair]:
        return {pair.tokens: pair for pair in self.pairs}

    def quote(self, amount: int, path: Sequence[bytes]) -> int:
        """What a swap along a path of tokens gives: constant products after a fee of 0.3 %, rounded down."""
        for sold, bought in itertools.pairwise(path):
            reserve_in, reserve_out = self.pair_of(sold, bought).reserves_from(sold)
            net = amount * 997
            amount = net * reserve_out // (reserve_in * 1000 + net)
        return amount

    # ---- as a state

    def alloc(self) -> dict[bytes, Account]:
        """Every account. People have some ether."""
        code = {name: contract(name) for name in ("Token", "Pair", "Router", "Quoter", "Multicall")}
        made = {holder: Account(balance=ETHER + number) for number, holder in enumerate(self.holders)}
        for token in (*self.tokens, *self.flood_tokens):
            made[token.address] = _account(code["Token"], self._token_storage(code["Token"], token))
        for pair in self.pairs:
            made[pair.address] = _account(code["Pair"], self._pair_storage(code["Pair"], pair))
        routes = {}
        for (a, b), pair in self._routes.items():
            for first, second in ((a, b), (b, a)):
                routes[mapping_slot(code["Router"].slots["pairOf"], first, second)] = _number(pair.address)
        made[self.router] = _account(code["Router"], routes)
        made[self.quoter] = _account(code["Quoter"], {})
        made[self.multicall] = _account(code["Multicall"], {})
        made[self.spinner] = Account(nonce=1, code=SPINNER_CODE)
        return made

    def _token_storage(self, code: Contract, token: Token) -> dict[int, int]:
        # Short strings: the text on the left, twice its length in the last byte.
        text = int.from_bytes(token.name.encode().ljust(31, b"\0"), "big") << 8 | 2 * len(token.name)
        slots = code.slots
        storage = {slots["totalSupply"]: token.supply, slots["name"]: text, slots["symbol"]: text}
        for holder, balance in token.balances.items():
            storage[mapping_slot(slots["balanceOf"], holder)] = balance
            storage[mapping_slot(slots["allowance"], holder, self.router)] = token.allowances[holder]
        return storage

    def _pair_storage(self, code: Contract, pair: Pair) -> dict[int, int]:
        return {
            code.slots["token0"]: _number(pair.tokens[0]),
            code.slots["token1"]: _number(pair.tokens[1]),
            code.slots["reserve0"]: pair.reserves[0] | pair.reserves[1] << 112 | TIMESTAMP << 224,
            code.slots["priceIntegral0"]: 1,
            code.slots["priceIntegral1"]: 1,
            code.slots["entered"]: 1,
        }

    def genesis(self) -> dict[str, Any]:
        """A geth-style genesis file: every fork up to Prague from the first block on."""
        blocks = (
            "homestead eip150 eip155 eip158 byzantium constantinople petersburg istanbul berlin london mergeNetsplit"
        )
        config: dict[str, Any] = {"chainId": CHAIN_ID, **{f"{name}Block": 0 for name in blocks.split()}}
        config |= {"terminalTotalDifficulty": 0, "shanghaiTime": 0, "cancunTime": 0, "pragueTime": 0}
        return {
            "config": config,
            "timestamp": hex(TIMESTAMP),
            "gasLimit": hex(GAS_LIMIT),
            "difficulty": "0x0",
            "alloc": {
                "0x" + address.hex(): {
                    "nonce": hex(account.nonce),
                    "balance": hex(account.balance),
                    **({"code": "0x" + account.code.hex()} if account.code else {}),
                    **({"storage": _hex_storage(account.storage)} if account.storage else {}),
                }
                for address, account in self.alloc().items()
            },
        }

    def write(self, path: Path) -> int:
        """Writes the genesis file. Returns the number of storage slots in it."""
        genesis = self.genesis()
        path.write_text(json.dumps(genesis, separators=(",", ":")) + "\n")
        return sum(len(account.get("storage", ())) for account in genesis["alloc"].values())


def _account(code: Contract, storage: dict[int, int]) -> Account:
    return Account(nonce=1, code=code.runtime, storage=storage)


def _number(address: bytes) -> int:
    return int.from_bytes(address, "big")


def _hex_storage(storage: Mapping[int, int]) -> dict[str, str]:
    return {"0x" + word(slot).hex(): "0x" + word(value).hex() for slot, value in storage.items()}
