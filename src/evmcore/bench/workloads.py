"""Workloads: seeded transactions over a made-up state, packed into blocks, with the outcome they must have.

A workload is built from *traffic* (see `evmcore.bench.traffic` for its kinds). The people of a traffic are
grouped: those of one *family* deal only with each other, the families of one *cluster* share its contracts, and
clusters share nothing but the block's beneficiary. So the shape says how much of a block depends on what, which is what
an executor on many threads is measured by. Every traffic keeps its own books in Python integers while it makes
transactions; `Workload.outcome` is what an engine has to arrive at.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from evmcore._crypto import address_of
from evmcore._hash import keccak256
from evmcore.bench.contracts import Contract
from evmcore.blocks import Block, Header
from evmcore.errors import TransactionReason
from evmcore.forks import Fork
from evmcore.transactions import Transaction
from evmcore.types import Account

BASE_FEE = 10 * 10**9  # wei a gas
PRIORITY_FEE = 10**9
GAS_PRICE = BASE_FEE + PRIORITY_FEE
BLOCK_GAS = 30_000_000
FIRST_BLOCK = 20_000_000
FIRST_TIMESTAMP = 1_720_000_000  # Cancun on mainnet
BLOCK_TIME = 12  # seconds
BENEFICIARY = keccak256(b"evmcore.bench beneficiary")[12:]

ETHER = 10**18
FUNDS = 1_000 * ETHER  # of every person


class Order(Enum):
    """How the turns of a workload follow each other."""

    CLUSTERED = "clustered"  # cluster after cluster; inside one: round, family, person
    INTERLEAVED = "interleaved"  # round by round over all clusters
    SHUFFLED = "shuffled"  # at random


@dataclass(frozen=True)
class Shape:
    """Sizes of a traffic: it makes `clusters * families * people * rounds` transactions."""

    clusters: int = 1
    families: int = 1
    people: int = 1
    rounds: int = 1

    def __post_init__(self) -> None:
        for name in ("clusters", "families", "people", "rounds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: at least 1 is needed, got {getattr(self, name)}")

    @property
    def transactions(self) -> int:
        return self.clusters * self.families * self.people * self.rounds


@dataclass(frozen=True)
class Turn:
    """One transaction to be made: whose it is, and which of that person's."""

    round: int
    cluster: int
    family: int
    person: int


@dataclass
class Outcome:
    """What has to be in the state at the end, as far as the generator can tell."""

    balances: dict[bytes, int] = field(default_factory=dict)  # wei
    storage: dict[bytes, dict[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Workload:
    """A pre-state and the blocks to execute on it, one after the other. Header fields that need roots are left zero.

    With `invalid` the last block is invalid for that reason.
    """

    name: str
    alloc: dict[bytes, Account]
    blocks: tuple[Block, ...]
    outcome: Outcome
    fork: Fork = Fork.CANCUN
    invalid: TransactionReason | None = None

    @property
    def transactions(self) -> int:
        return sum(len(block.transactions) for block in self.blocks)


class World:
    """What a traffic builds in: accounts, contracts, and the block that is being filled."""

    def __init__(self, seed: int, block_gas: int = BLOCK_GAS, signed: bool = False) -> None:
        """`signed`: people have keys, and sign their transactions; otherwise these only name their senders."""
        self.random = random.Random(seed)
        self.outcome = Outcome()
        self._accounts: dict[bytes, tuple[Contract | None, int, dict[int, int]]] = {}
        self._seed = seed
        self._block_gas = block_gas
        self._nonces: dict[bytes, int] = {}
        self._signed = signed
        self._keys: dict[bytes, bytes] = {}
        self._full: list[list[Transaction]] = []
        self._open: list[Transaction] = []
        self._gas_left = block_gas

    @property
    def timestamp(self) -> int:
        """Of the block that the next transaction is put into, if it fits."""
        return FIRST_TIMESTAMP + len(self._full) * BLOCK_TIME

    def person(self) -> bytes:
        """A new account without code and with `FUNDS`. Returns its address."""
        if not self._signed:
            return self._add(None, FUNDS, {})
        key = keccak256(b"evmcore.bench key %d %d" % (self._seed, len(self._accounts)))
        address: bytes = address_of(key)
        self._accounts[address] = (None, FUNDS, {})
        self._keys[address] = key
        return address

    def contract(self, code: Contract, storage: dict[int, int]) -> bytes:
        """A new contract. Returns its address; `storage` may be added to until the workload is finished."""
        return self._add(code, 0, storage)

    def _add(self, code: Contract | None, balance: int, storage: dict[int, int]) -> bytes:
        address = keccak256(b"evmcore.bench %d %d" % (self._seed, len(self._accounts)))[12:]
        self._accounts[address] = (code, balance, storage)
        return address

    def reserve(self, gas_limit: int) -> None:
        """Closes the open block if a transaction with this gas limit would not fit into it."""
        if gas_limit > self._block_gas:
            raise ValueError(f"gas_limit: {gas_limit} is more than a whole block's {self._block_gas}")
        if gas_limit > self._gas_left:
            self._full.append(self._open)
            self._open = []
            self._gas_left = self._block_gas

    def send(self, sender: bytes, to: bytes, data: bytes = b"", value: int = 0, gas_limit: int = 21_000) -> None:
        """Adds a transaction with the sender's next nonce."""
        self.reserve(gas_limit)
        self._gas_left -= gas_limit
        nonce = self._nonces.get(sender, 0)
        self._nonces[sender] = nonce + 1
        transaction = Transaction(
            type=2,
            chain_id=1,
            nonce=nonce,
            max_fee_per_gas=2 * GAS_PRICE,
            max_priority_fee_per_gas=PRIORITY_FEE,
            gas_limit=gas_limit,
            to=to,
            value=value,
            data=data,
            sender=sender,
        )
        self._open.append(transaction.sign(self._keys[sender]) if self._signed else transaction)

    def finish(self, name: str) -> Workload:
        batches = [*self._full, self._open] if self._open else self._full
        blocks = tuple(
            Block(
                header=Header(
                    number=FIRST_BLOCK + index,
                    timestamp=FIRST_TIMESTAMP + index * BLOCK_TIME,
                    coinbase=BENEFICIARY,
                    gas_limit=self._block_gas,
                    base_fee_per_gas=BASE_FEE,
                    blob_gas_used=0,
                    excess_blob_gas=0,
                    parent_beacon_block_root=bytes(32),
                    withdrawals_root=bytes(32),
                ),
                transactions=tuple(batch),
                withdrawals=(),
            )
            for index, batch in enumerate(batches)
        )
        alloc = {
            address: Account(nonce=1, code=code.runtime, storage=storage) if code else Account(balance=balance)
            for address, (code, balance, storage) in self._accounts.items()
        }
        return Workload(name, alloc, blocks, self.outcome)


class Traffic(Protocol):
    """A kind of transaction. `open` makes people and contracts, `send` one transaction, `close` writes the outcome."""

    shape: Shape

    def open(self, world: World) -> None: ...

    def send(self, world: World, turn: Turn) -> None: ...

    def close(self, world: World) -> None: ...


def turns(shape: Shape, order: Order) -> Iterator[Turn]:
    """Every turn of a shape, clustered or interleaved."""
    if order is Order.CLUSTERED:
        for cluster in range(shape.clusters):
            for round_ in range(shape.rounds):
                for family in range(shape.families):
                    for person in range(shape.people):
                        yield Turn(round_, cluster, family, person)
    else:
        for round_ in range(shape.rounds):
            for cluster in range(shape.clusters):
                for family in range(shape.families):
                    for person in range(shape.people):
                        yield Turn(round_, cluster, family, person)


def build(
    name: str,
    traffic: Sequence[Traffic],
    *,
    order: Order = Order.CLUSTERED,
    seed: int = 1,
    block_gas: int = BLOCK_GAS,
    signed: bool = False,
) -> Workload:
    """Makes the blocks of one or more kinds of traffic. The same arguments give the same workload. `signed`: with
    signatures, so that blocks can be imported from their bytes.

    Blocks are filled by gas *limits*, which every traffic keeps close to what is used. With `Order.SHUFFLED` the turns
    of all kinds are mixed; otherwise one kind follows the other.
    """
    world = World(seed, block_gas, signed)
    for kind in traffic:
        kind.open(world)
    schedule = [(kind, turn) for kind in traffic for turn in turns(kind.shape, order)]
    if order is Order.SHUFFLED:
        world.random.shuffle(schedule)
    for kind, turn in schedule:
        kind.send(world, turn)
    for kind in traffic:
        kind.close(world)
    return world.finish(name)
