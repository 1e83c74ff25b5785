"""Kinds of traffic: plain transfers, token transfers, swaps, computing; and the workloads of the `bench` command.

Each keeps its own books in Python integers: what the state has to hold at the end.
"""

from __future__ import annotations

from collections.abc import Sequence

from evmcore._hash import keccak256
from evmcore.bench.contracts import contract, mapping_slot
from evmcore.bench.workloads import (
    BLOCK_GAS,
    BLOCK_TIME,
    ETHER,
    FIRST_TIMESTAMP,
    FUNDS,
    GAS_PRICE,
    Order,
    Shape,
    Traffic,
    Turn,
    Workload,
    World,
    build,
)


def partner(world: World, family: Sequence[bytes], turn: Turn) -> bytes:
    """Whom a person deals with: one of the others of the family, or, if there are none, somebody new each time."""
    if len(family) == 1:
        return keccak256(family[0] + turn.round.to_bytes(8, "big"))[12:]
    return family[(turn.person + world.random.randrange(1, len(family))) % len(family)]


class Transfers:
    """Plain transfers of a few wei inside a family; a family of one person pays a stranger each time."""

    GAS = 21_000

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._people: list[list[list[bytes]]] = []
        self._balances: dict[bytes, int] = {}

    def open(self, world: World) -> None:
        shape = self.shape
        self._people = [
            [[world.person() for _ in range(shape.people)] for _ in range(shape.families)]
            for _ in range(shape.clusters)
        ]
        self._balances = {address: FUNDS for cluster in self._people for family in cluster for address in family}

    def send(self, world: World, turn: Turn) -> None:
        family = self._people[turn.cluster][turn.family]
        sender = family[turn.person]
        to = partner(world, family, turn)
        value = world.random.randrange(1, 1 << 16)
        world.send(sender, to, value=value, gas_limit=self.GAS)
        self._balances[sender] -= value + self.GAS * GAS_PRICE
        self._balances[to] = self._balances.get(to, 0) + value

    def close(self, world: World) -> None:
        world.outcome.balances.update(self._balances)


class TokenBook:
    """A token contract and what it has to hold."""

    SUPPLY = 10**9 * ETHER
    SHARE = 10**6 * ETHER

    def __init__(self, world: World, name: str, holders: Sequence[bytes], spender: bytes | None = None) -> None:
        code = contract("Token")
        self._balance_slot = code.slots["balanceOf"]
        self.balances = dict.fromkeys(holders, self.SHARE)
        # Short strings: the text on the left, twice its length in the last byte.
        text = int.from_bytes(name.encode().ljust(31, b"\0"), "big") << 8 | 2 * len(name)
        storage = {
            code.slots["totalSupply"]: self.SUPPLY,
            code.slots["name"]: text,
            code.slots["symbol"]: text,
        }
        if spender is not None:
            for holder in holders:
                storage[mapping_slot(code.slots["allowance"], holder, spender)] = 2**256 - 1
        self.address = world.contract(code, storage)
        self._storage = storage
        self._write()

    def _write(self) -> None:
        for holder, balance in self.balances.items():
            self._storage[mapping_slot(self._balance_slot, holder)] = balance

    def give(self, holder: bytes, amount: int) -> None:
        """Puts more into the pre-state; only before the first transaction."""
        self.balances[holder] = self.balances.get(holder, 0) + amount
        self._write()

    def move(self, sender: bytes, to: bytes, value: int) -> None:
        self.balances[sender] -= value
        self.balances[to] = self.balances.get(to, 0) + value

    def close(self, world: World) -> None:
        world.outcome.storage.setdefault(self.address, {}).update(
            {mapping_slot(self._balance_slot, holder): balance for holder, balance in self.balances.items()}
        )


class TokenTransfers:
    """ERC-20 transfers, one token a cluster, to somebody of the same family; a family of one pays a stranger."""

    GAS = 52_000

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        # A recipient who holds some already costs 17,100 gas less.
        self._gas = 35_000 if shape.people > 1 else self.GAS
        self._people: list[list[list[bytes]]] = []
        self._tokens: list[TokenBook] = []

    def open(self, world: World) -> None:
        shape = self.shape
        for cluster in range(shape.clusters):
            families = [[world.person() for _ in range(shape.people)] for _ in range(shape.families)]
            holders = [address for family in families for address in family]
            self._people.append(families)
            self._tokens.append(TokenBook(world, f"Token {cluster}", holders))

    def send(self, world: World, turn: Turn) -> None:
        family = self._people[turn.cluster][turn.family]
        token = self._tokens[turn.cluster]
        sender = family[turn.person]
        to = partner(world, family, turn)
        value = world.random.randrange(1, 1 << 32)
        data = contract("Token").call("transfer(address,uint256)", to, value)
        world.send(sender, token.address, data, gas_limit=self._gas)
        token.move(sender, to, value)

    def close(self, world: World) -> None:
        for token in self._tokens:
            token.close(world)


class Market:
    """Two tokens, their pair and a router, and what the pair has to hold."""

    RESERVE = 10**8 * ETHER

    def __init__(self, world: World, number: int, traders: Sequence[bytes]) -> None:
        code = contract("Router")
        routes: dict[int, int] = {}
        self.router = world.contract(code, routes)
        first, second = (TokenBook(world, f"Asset {number}{side}", traders, self.router) for side in "AB")
        self.tokens = (first, second) if first.address < second.address else (second, first)
        self._slots = contract("Pair").slots
        self.reserves = [self.RESERVE, self.RESERVE]
        self._integrals = [1, 1]  # as if it had traded before: a first value in a slot costs 17,100 gas more
        self._updated = FIRST_TIMESTAMP - BLOCK_TIME
        low, high = (token.address for token in self.tokens)
        self.pair = world.contract(
            contract("Pair"),
            {
                self._slots["token0"]: int.from_bytes(low, "big"),
                self._slots["token1"]: int.from_bytes(high, "big"),
                self._slots["reserve0"]: self._packed(),
                self._slots["priceIntegral0"]: self._integrals[0],
                self._slots["priceIntegral1"]: self._integrals[1],
                self._slots["entered"]: 1,
            },
        )
        for token in self.tokens:
            token.give(self.pair, self.RESERVE)
        pair = int.from_bytes(self.pair, "big")
        routes[mapping_slot(code.slots["pairOf"], low, high)] = pair
        routes[mapping_slot(code.slots["pairOf"], high, low)] = pair

    def _packed(self) -> int:
        return self.reserves[0] | self.reserves[1] << 112 | self._updated << 224

    def swap(self, trader: bytes, input_side: int, amount: int, timestamp: int) -> None:
        """Books an exact-input swap: the product of the reserves is kept after a fee of 0.3 %."""
        output_side = 1 - input_side
        before = tuple(self.reserves)
        net = amount * 997
        output = net * before[output_side] // (before[input_side] * 1000 + net)
        self.tokens[input_side].move(trader, self.pair, amount)
        self.tokens[output_side].move(self.pair, trader, output)
        self.reserves[input_side] += amount
        self.reserves[output_side] -= output
        elapsed = timestamp - self._updated
        for side in (0, 1):
            self._integrals[side] += ((before[1 - side] << 112) // before[side]) * elapsed
        self._updated = timestamp

    def close(self, world: World) -> None:
        for token in self.tokens:
            token.close(world)
        world.outcome.storage[self.pair] = {
            self._slots["reserve0"]: self._packed(),
            self._slots["priceIntegral0"]: self._integrals[0],
            self._slots["priceIntegral1"]: self._integrals[1],
            self._slots["entered"]: 1,
        }


class Swaps:
    """Exact-input swaps through a router and a constant-product pair, one market a cluster, in both directions."""

    GAS = 104_000  # about 88,000 are used, 98,000 by the first swap of a pair in a block

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._people: list[list[list[bytes]]] = []
        self._markets: list[Market] = []

    def open(self, world: World) -> None:
        shape = self.shape
        for cluster in range(shape.clusters):
            families = [[world.person() for _ in range(shape.people)] for _ in range(shape.families)]
            self._people.append(families)
            self._markets.append(Market(world, cluster, [address for family in families for address in family]))

    def send(self, world: World, turn: Turn) -> None:
        market = self._markets[turn.cluster]
        trader = self._people[turn.cluster][turn.family][turn.person]
        side = world.random.randrange(2)
        amount = world.random.randrange(10**6, 10**4 * ETHER)
        world.reserve(self.GAS)
        timestamp = world.timestamp
        path = [market.tokens[side].address, market.tokens[1 - side].address]
        # The fourth argument is a dynamic array: its place is given in bytes from the first word.
        data = contract("Router").call(
            "swapExactInput(uint256,uint256,address[],address,uint256)", amount, 1, 5 * 32, trader, timestamp, 2, *path
        )
        world.send(trader, market.router, data, gas_limit=self.GAS)
        market.swap(trader, side, amount, timestamp)

    def close(self, world: World) -> None:
        for market in self._markets:
            market.close(world)


class Computing:
    """A sieve, a chain of hashes and a modular power in one contract a cluster; stores a digest for the sender."""

    GAS = 830_000
    LIMIT = 1_000  # of the sieve
    HASHES = 1_000
    PRIME = 2**255 - 19

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._people: list[list[list[bytes]]] = []
        self._contracts: list[bytes] = []
        self._digests: list[dict[bytes, int]] = []
        sieve = [n for n in range(2, self.LIMIT) if all(n % d for d in range(2, int(n**0.5) + 1))]
        self._primes = len(sieve) * sum(sieve)

    def open(self, world: World) -> None:
        shape = self.shape
        for _ in range(shape.clusters):
            families = [[world.person() for _ in range(shape.people)] for _ in range(shape.families)]
            self._people.append(families)
            self._contracts.append(world.contract(contract("Compute"), {}))
            self._digests.append({})

    def send(self, world: World, turn: Turn) -> None:
        sender = self._people[turn.cluster][turn.family][turn.person]
        seed = world.random.getrandbits(256)
        data = contract("Compute").call("run(uint256,uint256,uint256)", self.LIMIT, self.HASHES, seed)
        world.send(sender, self._contracts[turn.cluster], data, gas_limit=self.GAS)
        self._digests[turn.cluster][sender] = self._digest(seed)

    def _digest(self, seed: int) -> int:
        last = seed.to_bytes(32, "big")
        for number in range(self.HASHES):
            last = keccak256(last + number.to_bytes(32, "big"))
        return (pow(int.from_bytes(last, "big"), seed, self.PRIME) + self._primes) % self.PRIME

    def close(self, world: World) -> None:
        slot = contract("Compute").slots["digestOf"]
        for address, digests in zip(self._contracts, self._digests, strict=True):
            world.outcome.storage[address] = {mapping_slot(slot, sender): d for sender, d in digests.items()}


def standard(seed: int = 1, blocks: int = 3, signed: bool = False) -> list[Workload]:
    """The workloads of the `bench` command, each about `blocks` blocks of 30 million gas."""

    def fit(gas: int) -> int:
        return blocks * (BLOCK_GAS // gas)

    def make(name: str, *traffic: Traffic, order: Order = Order.SHUFFLED) -> Workload:
        return build(name, traffic, order=order, seed=seed, signed=signed)

    token_gas = TokenTransfers(Shape(people=2)).GAS
    return [
        make("transfers", Transfers(Shape(families=fit(Transfers.GAS) // 2, people=2))),
        make("erc20", TokenTransfers(Shape(families=fit(35_000) // 2, people=2))),
        make("erc20 clusters", TokenTransfers(Shape(10, 3, 8, fit(35_000) // 240))),
        make("swaps", Swaps(Shape(clusters=10, people=max(1, fit(Swaps.GAS) // 10)))),
        make("compute", Computing(Shape(families=fit(Computing.GAS)))),
        make(
            "mixed",
            Transfers(Shape(families=fit(4 * Transfers.GAS))),
            TokenTransfers(Shape(clusters=5, families=max(1, fit(4 * token_gas) // 50), people=10)),
            Swaps(Shape(clusters=4, people=max(1, fit(4 * Swaps.GAS) // 4))),
            Computing(Shape(families=max(1, fit(4 * Computing.GAS)))),
        ),
    ]
