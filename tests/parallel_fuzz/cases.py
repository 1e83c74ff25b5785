"""A random block over a tiny hostile state, from a seed: the same seed always gives the same case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Any

from evmcore import rlp
from evmcore._crypto import address_of
from evmcore._hash import keccak256
from evmcore.bench.contracts import contract, mapping_slot
from evmcore.blocks import Block, Header
from evmcore.forks import Fork
from evmcore.transactions import Authorization, Transaction
from evmcore.types import Account, Withdrawal
from tests.parallel_fuzz.programs import AMOUNTS, SLOTS, Pool, ProgramWriter, forwarder, init_code, phoenix, token

FORKS = (
    Fork.FRONTIER,
    Fork.HOMESTEAD,
    Fork.SPURIOUS_DRAGON,
    Fork.BYZANTIUM,
    Fork.ISTANBUL,
    Fork.LONDON,
    Fork.SHANGHAI,
    Fork.CANCUN,
    Fork.PRAGUE,
    Fork.OSAKA,
)
KEYS = tuple(number.to_bytes(32, "big") for number in range(1, 7))
AUTHORITIES = tuple(address_of(key) for key in KEYS)
PEOPLE, GHOST = AUTHORITIES[:5], AUTHORITIES[5]  # the last one does not exist at first and never sends
CONTRACTS = tuple(bytes([0xC0 + number]) * 20 for number in range(4))
TOKEN = b"\x70" * 20
ERC20 = b"\x72" * 20  # a real one, made by a compiler
FORWARDER = b"\xf0" * 20
FACTORY = b"\xfa" * 20
EMPTY = b"\xe0" * 20  # exists and is empty, where that is possible
NOBODY = b"\x0d" * 20
COINBASE = b"\xcb" * 20
PRECOMPILES = tuple(number.to_bytes(20, "big") for number in (1, 2, 4, 9))
BEACON_ROOTS = bytes.fromhex("000f3df6d732807ef1319fb7b8bb8522d0beac02")
HISTORY = bytes.fromhex("0000f90827f1c53a10cb7a02335b175320002935")
REQUESTS = (
    bytes.fromhex("00000961ef480eb55e80d19ad83579a64c007002"),
    bytes.fromhex("0000bbddc7ce488642fb579f8b00f3a590007251"),
)
RICH = 10**21
BLOB_GAS = 1 << 17
# How often a block's transactions create, use the tokens, pay a person, pay an odd address, call a contract, or make,
# use and destroy the contract that is made again and again.
KINDS = ("create", "token", "erc20", "pay", "stray", "call", "phoenix")
MIXTURES = (
    *((10, 10, 10, 20, 5, 45, 5),) * 6,
    (0, 0, 0, 85, 10, 5, 0),
    (0, 10, 75, 10, 0, 5, 0),
    (5, 0, 0, 10, 3, 20, 70),
)
# Writes calldata's first word to slot 0 and one more than it to slot 1; returns slot 0.
SYSTEM_CODE = bytes.fromhex("600035600055" + "600154600101600155" + "60005460005260206000f3")


@dataclass(frozen=True)
class Case:
    """A block and the state on which to execute it. Header fields that need an execution are left as they are."""

    seed: int
    fork: Fork
    alloc: dict[bytes, Account]
    block: Block

    def with_transactions(self, transactions: Sequence[Transaction]) -> Case:
        return replace(self, block=replace(self.block, transactions=tuple(transactions)))


@cache
def authorization(key: bytes, target: bytes, nonce: int, chain_id: int) -> Authorization:
    return Authorization(chain_id, target, nonce).sign(key)


def make_case(seed: int, *, fork: Fork | None = None, delays: bool = True) -> Case:
    """The case of a seed. `delays`: contracts with busy loops between their steps."""
    random = Random(seed)
    chosen = random.choice(FORKS)
    return _Maker(seed, random, fork if fork is not None else chosen, delays).case()


class _Maker:
    def __init__(self, seed: int, random: Random, fork: Fork, delays: bool) -> None:
        self.seed, self.random, self.fork = seed, random, fork
        self.delays = delays and random.random() < 0.7
        self.base_fee = random.choice((0, 0, 7, 10**9)) if fork >= Fork.LONDON else 0
        self.price = random.choice((0, 1, 10**9))
        self.nonces = {address: random.choice((0, 0, 1, 5)) for address in PEOPLE} | {GHOST: 0}
        self.poor = random.choice(PEOPLE)  # sends only what it has just received
        self.senders = [person for person in PEOPLE if person != self.poor]
        self.mixture = random.choice(MIXTURES)
        self.most_blobs = random.choice((4, 4, 4, 20))
        self.pool = self.make_pool()
        self.factory, init, self.phoenix_code = phoenix(random, self.pool)
        self.phoenix = created_with(FACTORY, 0, init)
        if self.chance(0.3):
            self.pool.addresses = [*self.pool.addresses, self.phoenix]
        self.alloc: dict[bytes, Account] = {}
        self.coinbase = self.choose_coinbase()
        self.blob_gas = 0

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    # ---- state

    def program(self, pool: Pool, most: int) -> bytes:
        writer = ProgramWriter(self.random, pool, delays=self.delays)
        return writer.program(self.random.randint(1, most))

    def make_pool(self) -> Pool:
        known = [*PEOPLE[: self.random.randint(2, 4)], *CONTRACTS, EMPTY, NOBODY, self.random.choice(PRECOMPILES)]
        small = Pool(self.fork, known)
        preludes = (b"", b"", self.program(small, 2))
        inits = [init_code(self.random.choice(preludes), self.program(small, 2)) for _ in range(2)]
        if self.chance(0.3):
            inits.append(b"")
        made = []
        for creator in CONTRACTS[:2]:
            made.append(created_by(creator, self.random.choice((0, 1))))
            for init in inits:
                made.append(created_with(creator, self.random.randrange(2), init))
        made += [created_by(person, self.nonces[person] + self.random.randrange(2)) for person in PEOPLE[:2]]
        addresses = known + self.random.sample(made, 4)
        if self.fork >= Fork.PRAGUE:
            addresses.append(GHOST)
        if self.fork >= Fork.CANCUN:
            addresses += [BEACON_ROOTS, HISTORY, *REQUESTS][: self.random.choice((0, 1, 2, 4))]
        # Fewer accounts, more conflicts.
        if self.chance(0.5):
            addresses = self.random.sample(addresses, 5)
        return Pool(self.fork, addresses, inits)

    def choose_coinbase(self) -> bytes:
        return self.random.choice((COINBASE, COINBASE, NOBODY, EMPTY, *self.random.sample(self.pool.addresses, 3)))

    def fill(self) -> None:
        random, alloc = self.random, self.alloc
        for address in PEOPLE:
            balance = RICH if self.chance(0.97) else random.choice((0, 1, 10**5))
            if address == self.poor and self.chance(0.8):
                balance = 0
            alloc[address] = Account(self.nonces[address], balance)
            if self.fork >= Fork.PRAGUE and self.chance(0.25):
                target = random.choice(self.pool.addresses)
                alloc[address] = replace(alloc[address], code=b"\xef\x01\x00" + target)
        for address in CONTRACTS:
            storage = {slot: random.choice((1, 2, 255)) for slot in range(SLOTS) if self.chance(0.5)}
            alloc[address] = Account(1, random.choice((0, 1, 10**18)), self.program(self.pool, 6), storage)
        holders = {int.from_bytes(address, "big"): random.choice((1, 1000)) for address in PEOPLE if self.chance(0.8)}
        alloc[TOKEN] = Account(1, 0, token(), holders)
        if self.fork >= Fork.SHANGHAI:
            code = contract("Token")
            balances = {
                mapping_slot(code.slots["balanceOf"], holder): random.choice((1, 5, 1000))
                for holder in (*PEOPLE, FORWARDER)
                if self.chance(0.7)
            }
            alloc[ERC20] = Account(1, 0, code.runtime, balances)
            alloc[FORWARDER] = Account(1, 0, forwarder())
        alloc[FACTORY] = Account(1, 10, self.factory)
        if self.chance(0.5):
            alloc[self.phoenix] = Account(1, 3, self.phoenix_code, {0: 1, 1: 1, 3: 9})
        if self.chance(0.7):
            alloc[EMPTY] = Account()
        for address in self.pool.addresses:
            if address in alloc or address == NOBODY:
                continue
            if self.chance(0.15):
                alloc[address] = Account(random.choice((0, 0, 1)), random.choice((0, 1, 5)))
            elif self.chance(0.3) and address not in PRECOMPILES:
                # A contract at whose address one can be made again, or only its storage (EIP-7610).
                made = self.program(self.pool, 3) if self.chance(0.8) else b""
                alloc[address] = Account(1 if made else 0, random.choice((0, 5)), made, {0: 1, 2: 3})
        if self.fork >= Fork.CANCUN and self.chance(0.5):
            alloc[BEACON_ROOTS] = Account(1, 0, self.system_code())
        if self.fork >= Fork.PRAGUE:
            if self.chance(0.5):
                alloc[HISTORY] = Account(1, 0, self.system_code())
            for address in REQUESTS:
                alloc[address] = Account(1, 0, SYSTEM_CODE)

    def system_code(self) -> bytes:
        return SYSTEM_CODE if self.chance(0.7) else self.program(self.pool, 4)

    # ---- block

    def case(self) -> Case:
        self.fill()
        count = self.random.choice((2, 3, 4, 6, 10, 16, 24))
        transactions = self.transactions(count)
        return Case(
            self.seed,
            self.fork,
            self.alloc,
            Block(self.header(transactions), tuple(transactions), (), self.withdrawals()),
        )

    def header(self, transactions: Sequence[Transaction]) -> Header:
        fields: dict[str, Any] = {}
        fork, gas_limit = self.fork, 36_000_000
        if self.chance(0.08):
            gas_limit = int(sum(tx.gas_limit for tx in transactions) * self.random.uniform(0.4, 1.0)) + 21_000
        if fork >= Fork.LONDON:
            fields["base_fee_per_gas"] = self.base_fee
        if fork >= Fork.SHANGHAI:
            fields["withdrawals_root"] = bytes(32)
        if fork >= Fork.CANCUN:
            fields.update(blob_gas_used=0, excess_blob_gas=0, parent_beacon_block_root=b"\x0b" * 32)
        if fork >= Fork.PRAGUE:
            fields["requests_hash"] = bytes(32)
        return Header(
            parent_hash=b"\x0a" * 32,
            coinbase=self.coinbase,
            number=1000,
            timestamp=1_000_000,
            gas_limit=gas_limit,
            difficulty=0 if fork >= Fork.PARIS else 131_072,
            mix_hash=b"\x0c" * 32,
            **fields,
        )

    def withdrawals(self) -> tuple[Withdrawal, ...] | None:
        if self.fork < Fork.SHANGHAI:
            return None
        targets = [self.random.choice(self.pool.addresses) for _ in range(self.random.choice((0, 0, 1, 3)))]
        return tuple(Withdrawal(i, i, address, self.random.choice((0, 1, 5))) for i, address in enumerate(targets))

    def transactions(self, count: int) -> list[Transaction]:
        made: list[Transaction] = []
        favourite = self.random.choice(self.senders)
        chain = self.chance(0.2)
        while len(made) < count:
            sender = favourite if chain and self.chance(0.8) else self.random.choice(self.senders)
            made += self.funding(sender) if self.chance(0.06) else [self.transaction(sender)]
        if self.chance(0.15):
            at = self.random.choice((0, len(made) // 2, len(made)))
            made.insert(at, self.invalid(self.transaction(self.random.choice(self.senders))))
        return made

    def transaction(self, sender: bytes) -> Transaction:
        random = self.random
        if self.chance(0.02):
            sender = random.choice(CONTRACTS)  # EIP-3607, unless it is destroyed by then
        fields: dict[str, Any] = {
            "sender": sender,
            "nonce": self.nonces.get(sender, random.choice((0, 1))),
            "value": random.choice(AMOUNTS),
            "gas_limit": random.choice((21_000, 60_000, 200_000, 200_000, 600_000)),
            "data": self.data(),
        }
        kind = random.choices(KINDS, self.mixture)[0]
        if kind == "create":
            fields.update(to=None, data=random.choice(self.pool.inits), gas_limit=400_000)
        elif kind == "erc20" and self.fork >= Fork.SHANGHAI:
            fields.update(self.erc20_call(), value=0, gas_limit=150_000)
        elif kind in ("token", "erc20"):
            fields.update(to=TOKEN, value=0, gas_limit=100_000)
            fields["data"] = random.choice(PEOPLE).rjust(32, b"\0") + random.choice((0, 1, 5, 900)).to_bytes(32, "big")
        elif kind == "phoenix":
            fields["to"] = random.choice((FACTORY, self.phoenix, self.phoenix, self.phoenix))
            fields["gas_limit"] = 300_000
        elif kind == "pay":
            fields.update(to=random.choice((*self.pool.addresses, self.coinbase)), data=b"")
        elif kind == "stray":
            fields["to"] = random.choice((*PRECOMPILES, EMPTY, NOBODY, sender))
        else:
            fields["to"] = random.choice(CONTRACTS)
        self.nonces[sender] = fields["nonce"] + 1
        self.add_fees(fields)
        if fields["data"]:
            fields["gas_limit"] = max(fields["gas_limit"], 60_000)
        return Transaction(**fields)

    def erc20_call(self) -> dict[str, Any]:
        random, code = self.random, contract("Token")
        holders = (*PEOPLE, FORWARDER, self.coinbase)
        person, amount = random.choice(holders), random.choice((0, 1, 5, 400, 10**6))
        data = random.choice(
            (
                *(code.call("transfer(address,uint256)", person, amount),) * 5,
                code.call("transferFrom(address,address,uint256)", random.choice(PEOPLE), person, amount),
                code.call("approve(address,uint256)", person, amount),
                code.call("balanceOf(address)", person),
            )
        )
        if self.chance(0.2):
            return {"to": FORWARDER, "data": ERC20.rjust(32, b"\0") + data}
        return {"to": ERC20, "data": data}

    def data(self) -> bytes:
        """The words that programs read: a slot or amount, and an account."""
        if self.chance(0.1):
            return b""
        target = self.random.choice(self.pool.addresses)
        return self.random.randrange(8).to_bytes(32, "big") + target.rjust(32, b"\0")

    def add_fees(self, fields: dict[str, Any]) -> None:
        random, fork = self.random, self.fork
        kinds = [0, 0]
        if fork >= Fork.BERLIN:
            kinds.append(1)
        if fork >= Fork.LONDON:
            kinds += [2, 2]
        if fork >= Fork.CANCUN and fields["to"] is not None and self.blob_gas <= self.most_blobs * BLOB_GAS:
            kinds.append(3)
        if fork >= Fork.PRAGUE and fields["to"] is not None:
            kinds += [4, 4, 4]
        kind = random.choice(kinds)
        fields["type"] = kind
        if kind in (1, 2, 3, 4):
            fields["chain_id"] = 1
            if self.chance(0.3):
                slots = tuple(slot for slot in range(SLOTS) if self.chance(0.3))
                fields["access_list"] = ((random.choice(self.pool.addresses), slots),)
        if kind < 2:
            fields["gas_price"] = self.base_fee + self.price
        else:
            fields["max_fee_per_gas"] = self.base_fee + self.price + random.choice((0, 5))
            fields["max_priority_fee_per_gas"] = self.price
        if kind == 3:
            hashes = random.choice((1, 1, 2))
            self.blob_gas += hashes * BLOB_GAS
            fields["blob_versioned_hashes"] = (b"\x01" + bytes(31),) * hashes
            fields["max_fee_per_blob_gas"] = random.choice((1, 5))
        if kind == 4:
            fields["authorization_list"] = tuple(self.authorization() for _ in range(random.choice((1, 1, 2, 3))))
            fields["gas_limit"] = max(fields["gas_limit"], 200_000)

    def authorization(self) -> Authorization:
        random = self.random
        number = random.randrange(len(KEYS))
        authority = AUTHORITIES[number]
        nonce = self.nonces[authority]  # after the sender's nonce has been raised
        targets = (*CONTRACTS, *CONTRACTS, bytes(20), bytes(20), random.choice(self.pool.addresses), authority)
        if self.chance(0.15):
            nonce += random.choice((1, 2))
        else:
            self.nonces[authority] += 1
        return authorization(KEYS[number], random.choice(targets), nonce, random.choice((0, 1, 1, 1, 2)))

    def funding(self, rich: bytes) -> list[Transaction]:
        """A person without money receives just enough, or now and then one wei less, and spends it."""
        spend = replace(self.transaction(self.poor), value=1, sender=self.poor)
        price = spend.max_fee_per_gas if spend.max_fee_per_gas is not None else spend.gas_price
        blobs = len(spend.blob_versioned_hashes) * BLOB_GAS * (spend.max_fee_per_blob_gas or 0)
        needed = spend.gas_limit * (price or 0) + blobs + 1 - self.chance(0.1)
        gift = Transaction(
            type=0,
            sender=rich,
            nonce=self.nonces[rich],
            to=self.poor,
            value=needed,
            gas_price=self.base_fee + self.price,
            gas_limit=60_000,
        )
        self.nonces[rich] += 1
        return [gift, spend] if self.chance(0.9) else [spend, gift]

    def invalid(self, tx: Transaction) -> Transaction:
        random = self.random
        changes: list[dict[str, Any]] = [
            {"nonce": tx.nonce + random.choice((1, 2, 1000))},
            {"nonce": max(0, tx.nonce - 1)},
            {"nonce": 2**64 - 1},
            {"value": RICH * 1000},
            {"gas_limit": 40_000_000},
            {"gas_limit": 16_777_217},
            {"gas_limit": 20_999},
            {"sender": CONTRACTS[0]},
            {"sender": NOBODY},
        ]
        if tx.max_fee_per_gas is not None:
            changes += [{"max_fee_per_gas": max(0, self.base_fee - 1), "max_priority_fee_per_gas": 0}]
            changes += [{"max_priority_fee_per_gas": tx.max_fee_per_gas + 1}]
        if tx.type == 3:
            changes += [{"max_fee_per_blob_gas": 0}, {"blob_versioned_hashes": (b"\x01" + bytes(31),) * 9}]
            changes += [{"blob_versioned_hashes": ()}, {"blob_versioned_hashes": (bytes(32),)}]
        if tx.type == 4:
            changes += [{"authorization_list": ()}]
        return replace(tx, **random.choice(changes))


def created_by(creator: bytes, nonce: int) -> bytes:
    return keccak256(rlp.encode([creator, nonce]))[12:]


def created_with(creator: bytes, salt: int, init: bytes) -> bytes:
    return keccak256(b"\xff" + creator + salt.to_bytes(32, "big") + keccak256(init))[12:]
