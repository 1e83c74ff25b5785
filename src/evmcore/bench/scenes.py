"""Small blocks that are hard to execute in parallel: everybody waits for somebody, accounts come and go, or the block
is invalid. Made for comparing executors; the shapes are those that have broken other parallel engines.

The contracts are a few bytes each, written out below.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field
from typing import Any

from evmcore._crypto import address_of
from evmcore._hash import keccak256
from evmcore.bench.workloads import BENEFICIARY, ETHER, FIRST_BLOCK, FIRST_TIMESTAMP, Outcome, Workload
from evmcore.blocks import Block, Header
from evmcore.errors import TransactionReason
from evmcore.forks import Fork
from evmcore.transactions import Authorization, Transaction
from evmcore.types import Account

# PUSH0 SLOAD PUSH1 1 ADD PUSH0 SSTORE: counts its calls in slot 0
COUNT = bytes.fromhex("5f546001015f55")
# ... and notes its balance in slot 1: SELFBALANCE PUSH1 1 SSTORE
COUNT_AND_LOOK = COUNT + bytes.fromhex("47600155")
# Adds what was paid to slot 2: PUSH1 2 SLOAD CALLVALUE ADD PUSH1 2 SSTORE
COLLECT = bytes.fromhex("6002543401600255")
# Counts calls without data; with data: CALLER SELFDESTRUCT
MORTAL = bytes.fromhex("36600c57" + COUNT.hex() + "005b33ff")
# Init code of MORTAL: slot 1 is 7, then returns the 15 bytes
MORTAL_INIT = bytes.fromhex("60076001556e" + MORTAL.hex() + "5f52600f6011f3")
# CREATE2 with the first word of the data as salt and the rest as init code; the address is put into the salt's slot
FACTORY_CODE = bytes.fromhex("602036038060205f375f35905f5ff55f3555")
STOP = b"\0"

FACTORY = b"\xfa" * 20
COUNTER = b"\xc0" * 20
# EIP-7002 and EIP-7251: without them no block is valid from Prague on
REQUEST_CONTRACTS = [
    bytes.fromhex("00000961ef480eb55e80d19ad83579a64c007002"),
    bytes.fromhex("0000bbddc7ce488642fb579f8b00f3a590007251"),
]


def mortal_address(salt: int) -> bytes:
    """Where the factory puts a contract (EIP-1014)."""
    return keccak256(b"\xff" + FACTORY + salt.to_bytes(32, "big") + keccak256(MORTAL_INIT))[12:]


def person(number: int) -> bytes:
    return keccak256(b"evmcore.bench.scenes %d" % number)[12:]


@dataclass
class Scene:
    """A block that is being written. Fees are 1 wei a gas unless said otherwise, and there is no base fee."""

    fork: Fork = Fork.CANCUN
    coinbase: bytes = BENEFICIARY
    alloc: dict[bytes, Account] = field(default_factory=dict)
    transactions: list[Transaction] = field(default_factory=list)
    nonces: dict[bytes, int] = field(default_factory=dict)

    def people(self, count: int, balance: int = ETHER) -> list[bytes]:
        found = [person(number) for number in range(count)]
        self.alloc.update({address: Account(balance=balance) for address in found})
        return found

    def send(self, sender: bytes, to: bytes | None, value: int = 0, data: bytes = b"", **changes: Any) -> None:
        """Adds a transaction with the sender's next nonce."""
        nonce = self.nonces.get(sender, 0)
        self.nonces[sender] = nonce + 1
        fields: dict[str, Any] = {"gas_limit": 100_000 if data or to in self.alloc else 21_000, "gas_price": 1}
        fields |= {"nonce": nonce, "sender": sender, "to": to, "value": value, "data": data} | changes
        self.transactions.append(Transaction(**fields))

    def finish(
        self,
        name: str,
        storage: dict[bytes, dict[int, int]] | None = None,
        invalid: TransactionReason | None = None,
    ) -> Workload:
        """`storage`: what has to be there at the end."""
        header = Header(
            number=FIRST_BLOCK,
            timestamp=FIRST_TIMESTAMP,
            coinbase=self.coinbase,
            gas_limit=max(30_000_000, sum(tx.gas_limit for tx in self.transactions)),
            base_fee_per_gas=0,
            blob_gas_used=0,
            excess_blob_gas=0,
            parent_beacon_block_root=bytes(32),
            withdrawals_root=bytes(32),
        )
        alloc = dict(self.alloc)
        if self.fork >= Fork.PRAGUE:
            alloc |= {address: Account(nonce=1, code=STOP) for address in REQUEST_CONTRACTS}
        block = Block(header=header, transactions=tuple(self.transactions), withdrawals=())
        return Workload(name, alloc, (block,), Outcome(storage=storage or {}), self.fork, invalid)


# ------------------------------------------------------------ who waits for whom


def chain_of_payments(count: int) -> Workload:
    """Everybody has enough for the fee only, and passes on what the one before paid."""
    scene = Scene()
    people = scene.people(count, balance=21_000)
    scene.alloc[people[0]] = Account(balance=2 * ETHER)
    for payer, payee in itertools.pairwise(people):
        scene.send(payer, payee, ETHER, gas_limit=21_000)
    return scene.finish("chain of payments")


def one_counter(count: int) -> Workload:
    """Every transaction adds one to the same slot."""
    scene = Scene()
    scene.alloc[COUNTER] = Account(nonce=1, code=COUNT, storage={0: 1})
    for sender in scene.people(count):
        scene.send(sender, COUNTER)
    return scene.finish("one counter", {COUNTER: {0: count + 1}})


def beneficiary_now_and_then(count: int, seed: int) -> Workload:
    """One transfer in eight is the beneficiary's, one in eight goes to it."""
    scene = Scene()
    chance = random.Random(seed)
    people = scene.people(count)
    scene.alloc[BENEFICIARY] = Account(balance=ETHER)
    for sender in people:
        turn = chance.randrange(8)
        payer = BENEFICIARY if turn == 0 else sender
        payee = BENEFICIARY if turn == 1 else chance.choice(people)
        scene.send(payer, payee, chance.randrange(1, 1 << 16), gas_limit=21_000)
    return scene.finish("beneficiary pays and is paid")


def beneficiary_last(count: int) -> Workload:
    """People pay themselves; the last transaction is the beneficiary's, which has nothing but their fees."""
    scene = Scene()
    people = scene.people(count)
    for sender in people:
        scene.send(sender, sender, 1, gas_limit=21_000)
    scene.send(BENEFICIARY, people[0], 21_000 * (count - 1), gas_limit=21_000)
    return scene.finish("beneficiary comes last")


def contract_beneficiary(count: int, seed: int) -> Workload:
    """The beneficiary is a contract that looks at its balance when it is called; every third transaction calls it."""
    scene = Scene(coinbase=COUNTER)
    chance = random.Random(seed)
    scene.alloc[COUNTER] = Account(nonce=1, code=COUNT_AND_LOOK)
    people = scene.people(count)
    calls = 0
    for number, sender in enumerate(people):
        if number % 3 == 2:
            calls += 1
            scene.send(sender, COUNTER, number, gas_limit=100_000, gas_price=number % 4)
        else:
            scene.send(sender, chance.choice(people), 1, gas_limit=21_000, gas_price=number % 4)
    return scene.finish("contract beneficiary", {COUNTER: {0: calls}})


def tiny(kind: int) -> Workload:
    """No transaction; one; one that the beneficiary sends to itself."""
    scene = Scene()
    if kind == 1:
        one, other = scene.people(2)
        scene.send(one, other, 5, gas_limit=21_000)
    elif kind == 2:
        scene.alloc[BENEFICIARY] = Account(balance=ETHER)
        scene.send(BENEFICIARY, BENEFICIARY, 5, gas_limit=21_000)
    return scene.finish(("empty block", "one transfer", "beneficiary to itself")[kind])


# ------------------------------------------------------------ accounts that come, change and go


def delegations(rounds: int) -> Workload:
    """EIP-7702: accounts are delegated, called, delegated elsewhere, called, cleared and called; they send, too."""
    scene = Scene(fork=Fork.PRAGUE)
    delegates = [b"\xd1" * 20, b"\xd2" * 20, bytes(20)]
    scene.alloc[delegates[0]] = Account(nonce=1, code=COUNT)
    scene.alloc[delegates[1]] = Account(nonce=1, code=COLLECT)
    keys = [bytes(31) + bytes((number,)) for number in range(1, 5)]
    people = scene.people(3 * len(keys) * rounds)
    for key in keys:
        scene.alloc[address_of(key)] = Account(balance=ETHER)
    at = 0
    nonces = dict.fromkeys(keys, 0)
    for turn in range(rounds):
        for key in keys:
            authority = address_of(key)
            permission = Authorization(1, delegates[turn % 3], nonces[key]).sign(key)
            nonces[key] += 1
            scene.send(
                people[at],
                authority,
                3,
                gas_limit=200_000,
                gas_price=None,
                max_fee_per_gas=1,
                max_priority_fee_per_gas=1,
                type=4,
                chain_id=1,
                authorization_list=(permission,),
            )
            scene.send(people[at + 1], authority, 4, gas_limit=100_000)
            at += 2
        for key in keys:
            # A delegated account may send, too; its nonce has moved with each permission.
            authority = address_of(key)
            scene.nonces[authority] = nonces[key]
            nonces[key] += 1
            scene.send(authority, people[at], 1, gas_limit=100_000)
            at += 1
    counted = len([turn for turn in range(rounds) if turn % 3 == 0])
    collected = len([turn for turn in range(rounds) if turn % 3 == 1])
    expected = {0: 2 * counted, 2: 7 * collected}
    return scene.finish("delegations", {address_of(key): expected for key in keys})


def destroyed_and_made_again(rounds: int) -> Workload:
    """Before Cancun: contracts are made by CREATE2, called, paid, destroyed and made again, by turns."""
    scene = Scene(fork=Fork.SHANGHAI)
    scene.alloc[FACTORY] = Account(nonce=1, code=FACTORY_CODE)
    salts = [1, 2, 3]
    people = iter(scene.people(6 * len(salts) * rounds))
    for turn in range(rounds):
        for salt in salts:
            init = salt.to_bytes(32, "big") + MORTAL_INIT
            scene.send(next(people), FACTORY, data=init, gas_limit=200_000)
        for salt in salts:
            for _ in range(1 + salt):
                scene.send(next(people), mortal_address(salt), 2, gas_limit=100_000)
        for salt in salts:
            if turn < rounds - 1 or salt != 3:
                scene.send(next(people), mortal_address(salt), 1, b"\1", gas_limit=100_000)
    gone = {mortal_address(salt): {0: 0, 1: 0} for salt in salts[:2]}
    return scene.finish("destroyed and made again", gone | {mortal_address(3): {0: 4, 1: 7}})


def one_address_twice(count: int) -> Workload:
    """CREATE2 at addresses where there is something already: the second one of each pair fails."""
    scene = Scene(fork=Fork.CANCUN)
    scene.alloc[FACTORY] = Account(nonce=1, code=FACTORY_CODE)
    people = scene.people(2 * count)
    for number, sender in enumerate(people):
        init = (1 + number % count).to_bytes(32, "big") + MORTAL_INIT
        # What fails takes all the gas it was given: there has to be enough left to note that nothing was made.
        scene.send(sender, FACTORY, data=init, gas_limit=2_000_000)
    return scene.finish("one address twice", {FACTORY: dict.fromkeys(range(1, count + 1), 0)})


# ------------------------------------------------------------ blocks that are not valid


def invalid(place: str, count: int) -> Workload:
    """A transaction with a nonce too high at the `start`, `middle` or `end` of payments and counting."""
    at = {"start": 0, "middle": count // 2, "end": count - 1}[place]
    scene = Scene()
    scene.alloc[COUNTER] = Account(nonce=1, code=COUNT)
    people = scene.people(count)
    for number, sender in enumerate(people):
        scene.send(sender, COUNTER if number % 2 else person(count + number), 1, gas_limit=100_000)
    wrong = scene.transactions[at]
    scene.nonces[people[at]] = 7
    scene.send(people[at], wrong.to, 1, gas_limit=100_000)
    scene.transactions[at] = scene.transactions.pop()
    return scene.finish(f"invalid at the {place}", invalid=TransactionReason.NONCE_MISMATCH_TOO_HIGH)


def scenes(seed: int = 1, size: int = 120) -> list[Workload]:
    """All of them, most with `size` transactions."""
    return [
        chain_of_payments(size),
        one_counter(size),
        beneficiary_now_and_then(size, seed),
        beneficiary_last(size),
        contract_beneficiary(size, seed),
        *(tiny(kind) for kind in range(3)),
        delegations(max(3, size // 12)),
        destroyed_and_made_again(max(2, size // 16)),
        one_address_twice(max(2, size // 8)),
        *(invalid(place, size) for place in ("start", "middle", "end")),
    ]
