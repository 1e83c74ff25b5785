"""Random state-test cases: a tiny state, a block and one transaction, in the form of a state-test fixture."""

from __future__ import annotations

from random import Random
from typing import Any

import coincurve

from evmcore._hash import keccak256
from evmcore.forks import Fork
from evmcore.rlp import encode
from tests.fuzz.programs import EDGES, init_code, program

# The specification's module of the name Constantinople has Petersburg's rules, so Constantinople has no oracle here.
FORKS = {
    "Frontier": Fork.FRONTIER,
    "Homestead": Fork.HOMESTEAD,
    "EIP150": Fork.TANGERINE_WHISTLE,
    "EIP158": Fork.SPURIOUS_DRAGON,
    "Byzantium": Fork.BYZANTIUM,
    "ConstantinopleFix": Fork.PETERSBURG,
    "Istanbul": Fork.ISTANBUL,
    "MuirGlacier": Fork.MUIR_GLACIER,
    "Berlin": Fork.BERLIN,
    "London": Fork.LONDON,
    "ArrowGlacier": Fork.ARROW_GLACIER,
    "GrayGlacier": Fork.GRAY_GLACIER,
    "Paris": Fork.PARIS,
    "Shanghai": Fork.SHANGHAI,
    "Cancun": Fork.CANCUN,
    "Prague": Fork.PRAGUE,
    "Osaka": Fork.OSAKA,
    "BPO1": Fork.BPO1,
    "BPO2": Fork.BPO2,
}
# The newest rules are the ones in use: give them more cases.
WEIGHTS = [3 if fork >= Fork.CANCUN else 1 for fork in FORKS.values()]

SENDER_KEY = bytes(31) + b"\x2a"
SENDER_KEYS = [SENDER_KEY, *(bytes(31) + bytes([n]) for n in (0x2B, 0x2C, 0x2D))]
AUTHORITY_KEYS = [bytes(31) + bytes([n]) for n in (0x51, 0x52)]
COINBASE = bytes.fromhex("c0ba5e" + "00" * 16 + "01")
CONTRACTS = [bytes.fromhex("c0de" + "00" * 17 + f"{n:02x}") for n in range(1, 5)]
ABSENT = bytes.fromhex("dead" + "00" * 17 + "01")
# Not 0x03: the specification makes its exception to EIP-161 in calls that fail, nodes make it in transactions too.
PRECOMPILES = [bytes(19) + b"\x02", bytes(19) + b"\x04"]

# EIP-4788 and EIP-2935: contracts that keep their calldata. EIP-7002 and EIP-7251: one answers nothing, one a request.
SYSTEM_CONTRACTS = {
    "0x000f3df6d732807ef1319fb7b8bb8522d0beac02": "0x5f355f55",
    "0x0000f90827f1c53a10cb7a02335b175320002935": "0x5f356001554060025500",
    "0x00000961ef480eb55e80d19ad83579a64c007002": "0x00",
    "0x0000bbddc7ce488642fb579f8b00f3a590007251": "0x61c0de5f5260206000f3",
}


def address_of(key: bytes) -> bytes:
    """The address of a private key."""
    return keccak256(coincurve.PrivateKey(key).public_key.format(compressed=False)[1:])[12:]


SENDER = address_of(SENDER_KEY)
AUTHORITIES = [address_of(key) for key in AUTHORITY_KEYS]


def _hex(value: int | bytes) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else hex(value)


def account(
    nonce: int = 0, balance: int = 0, code: bytes = b"", storage: dict[int, int] | None = None
) -> dict[str, Any]:
    slots = {_hex(slot.to_bytes(32, "big")): _hex(value.to_bytes(32, "big")) for slot, value in (storage or {}).items()}
    return {"nonce": _hex(nonce), "balance": _hex(balance), "code": _hex(code), "storage": slots}


def _authorization(random: Random, contracts: list[bytes]) -> dict[str, str]:
    key = random.choice([*AUTHORITY_KEYS, SENDER_KEY])
    chain_id = random.choice((0, *[1] * 6, 2, 1 << 64, (1 << 64) + 1))
    address = random.choice([*contracts, bytes(20), AUTHORITIES[0], ABSENT, b"\0" * 19 + b"\x02"])
    nonce = random.choice((0, 0, 0, 1, 2, (1 << 64) - 1))
    digest = keccak256(b"\x05" + encode([chain_id, address, nonce]))
    signature = coincurve.PrivateKey(key).sign_recoverable(digest, hasher=None)
    r, s, parity = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]
    fault = random.random()
    if fault < 0.05:
        parity ^= 1
    elif fault < 0.1:
        # The other solution of the signature equation: s above half the group order, which EIP-7702 refuses.
        s, parity = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141 - s, parity ^ 1
    elif fault < 0.15:
        r = random.choice((0, 1, (1 << 256) - 1))
    elif fault < 0.18:
        parity = random.choice((2, 27, 255))
    return {
        "chainId": _hex(chain_id), "address": _hex(address), "nonce": _hex(nonce), "v": _hex(parity),
        "yParity": _hex(parity), "r": _hex(r), "s": _hex(s), "signer": _hex(address_of(key)),
    }  # fmt: skip


def transaction(random: Random, fork: Fork, base_fee: int) -> dict[str, Any]:
    """The transaction section of a state test."""
    types = [0, 0] + [1] * (fork >= Fork.BERLIN) + [2] * (fork >= Fork.LONDON) + [3] * (fork >= Fork.CANCUN)
    types += [4, 4] * (fork >= Fork.PRAGUE)
    kind = random.choice(types)
    create = random.random() < 0.08 and kind < 3
    addresses = [*CONTRACTS, SENDER, ABSENT, COINBASE, *AUTHORITIES]
    to = random.choice(
        [*CONTRACTS] * 8 + [SENDER, ABSENT, COINBASE, *AUTHORITIES, bytes(19) + b"\x04", bytes(19) + b"\x05"]
    )
    if create:
        data = init_code(random, fork, addresses)
        if random.random() < 0.05:
            data = data.ljust(random.choice((49152, 49153)), b"\0")  # EIP-3860
    else:
        data = random.choice(
            (b"", random.randbytes(random.randrange(100)), bytes(40), random.randbytes(200), random.randbytes(1500))
        )
    gas = random.choice((60_000, 100_000, 200_000, 400_000, 800_000, 800_000, 1_500_000, 1_500_000))
    if random.random() < 0.1:
        gas = random.choice((21_000, 21_500, 26_000, 30_000, 53_000))
    if create and random.random() < 0.3:
        gas = 8_000_000  # enough for the largest code
    value = random.choice((0, 0, 0, 1, 1000, 10**18, 10**30 if random.random() < 0.02 else 5))
    section: dict[str, Any] = {
        "nonce": _hex(random.choice((0,) * 80 + (1, 7))),
        "gasLimit": [_hex(gas + random.choice((0, 0, random.randrange(3000))))],
        "to": "" if create else _hex(to),
        "value": [_hex(value)],
        "data": [_hex(data)],
        "sender": _hex(SENDER),
        "secretKey": _hex(SENDER_KEY),
    }
    price = random.choice((base_fee, base_fee, base_fee + 1, base_fee + 10, base_fee + 10**9))
    if random.random() < 0.02:
        price = max(0, base_fee - 1)
    if kind < 2:
        section["gasPrice"] = _hex(price)
    else:
        section["maxFeePerGas"] = _hex(price)
        section["maxPriorityFeePerGas"] = _hex(
            random.choice((0, 1, price, price + 1 if random.random() < 0.04 else price // 2))
        )
    if kind:
        section["accessLists"] = [
            [
                {
                    "address": _hex(random.choice(addresses)),
                    "storageKeys": [_hex(random.randrange(4).to_bytes(32, "big")) for _ in range(random.randrange(3))],
                }
                for _ in range(random.randrange(3))
            ]
        ]
    if kind == 3:
        count = random.choice((1, 1, 2, 3, 6) + ((0, 7, 10) if random.random() < 0.1 else ()))
        version = 1 if random.random() < 0.97 else 2
        section["blobVersionedHashes"] = [_hex(bytes([version]) + random.randbytes(31)) for _ in range(count)]
        section["maxFeePerBlobGas"] = _hex(random.choice((1, 10, 1000, 10**9)))
    if kind == 4:
        count = random.choice((1, 1, 2, 3) + ((0,) if random.random() < 0.1 else ()))
        section["authorizationList"] = [_authorization(random, CONTRACTS) for _ in range(count)]
    return section


def state(random: Random, fork: Fork) -> dict[str, Any]:
    """A sender, one to four contracts with random code, and now and then a beneficiary and delegated accounts."""
    addresses = [*CONTRACTS, *CONTRACTS, SENDER, ABSENT, COINBASE, *AUTHORITIES, random.choice(PRECOMPILES)]
    balance = 10**20 if random.random() < 0.96 else random.choice((10**9, 10**15))
    pre: dict[str, Any] = {_hex(SENDER): account(balance=balance)}
    for contract in CONTRACTS[: random.choice((3, 4, 4, 4))]:
        pre[_hex(contract)] = account(
            nonce=random.choice((1, 1, 1, (1 << 64) - 1, 0)) if random.random() < 0.3 else 1,
            balance=random.choice((0, 1, 10**6, 10**18)),
            code=program(random, fork, addresses),
            storage={
                random.randrange(5): random.choice((1, 2, random.choice(EDGES) or 3))
                for _ in range(random.randrange(4))
            },
        )
    if random.random() < 0.3:
        pre[_hex(COINBASE)] = account(balance=random.choice((1, 10**18)))
    if fork >= Fork.PRAGUE and random.random() < 0.5:
        target = random.choice([*CONTRACTS, AUTHORITIES[0], bytes(19) + b"\x02", ABSENT])
        pre[_hex(AUTHORITIES[0])] = account(nonce=random.choice((1, 0)), balance=7, code=b"\xef\x01\x00" + target)
    if random.random() < 0.2:
        pre[_hex(AUTHORITIES[1])] = account(nonce=random.choice((0, 1)), balance=1, storage={})
    if random.random() < 0.2:
        _occupy(random, pre)
    if fork < Fork.PARIS and random.random() < 0.4:
        # Empty accounts, which EIP-161 clears when they are touched. From Paris on the specification knows of none.
        for address in random.sample([ABSENT, COINBASE, *AUTHORITIES, *PRECOMPILES], 3):
            pre.setdefault(_hex(address), account())
    return pre


def _occupy(random: Random, pre: dict[str, Any]) -> None:
    """Puts accounts where the contracts' first creations would be: to be taken over, or collided with."""
    for creator in CONTRACTS:
        if random.random() < 0.5:
            place = keccak256(encode([creator, random.choice((1, 1, 2))]))[12:]
            pre[_hex(place)] = random.choice(
                (
                    account(balance=5),
                    account(balance=1, storage={0: 1}),
                    account(nonce=1),
                    account(code=b"\x60\x01\x60\x02\x55", balance=1),
                )
            )


def environment(random: Random, fork: Fork, base_fee: int) -> dict[str, Any]:
    return {
        "currentCoinbase": _hex(random.choice([COINBASE] * 8 + [CONTRACTS[0], SENDER])),
        "currentDifficulty": "0x0" if fork >= Fork.PARIS else _hex(0x20000),
        "currentRandom": _hex(random.getrandbits(256).to_bytes(32, "big")),
        "currentGasLimit": _hex(random.choice((30_000_000,) * 60 + (100_000,))),
        "currentNumber": _hex(random.choice((1, 2, 300, 1000))),
        "currentTimestamp": _hex(random.choice((1000, 1_700_000_000))),
        "currentBaseFee": _hex(base_fee),
        "currentExcessBlobGas": _hex(random.choice((0, 0, 0x20000, 0x2000000))),
    }


def choose_fork(random: Random, fork_name: str) -> str:
    chosen = random.choices(list(FORKS), WEIGHTS)[0]
    return fork_name or chosen


def make_case(seed: int, fork_name: str = "") -> dict[str, Any]:
    """The state test of `seed`: a pure function of it. One fork, one post entry without expectations."""
    random = Random(seed)
    fork_name = choose_fork(random, fork_name)
    fork = FORKS[fork_name]
    base_fee = random.choice((0, 7, 10, 10**9)) if fork >= Fork.LONDON else random.choice((0, 1, 10))
    post = {fork_name: [{"indexes": {"data": 0, "gas": 0, "value": 0}}]}
    pre, env = state(random, fork), environment(random, fork, base_fee)
    return {"env": env, "pre": pre, "transaction": transaction(random, fork, base_fee), "post": post}


def make_block(seed: int, fork_name: str = "") -> dict[str, Any]:
    """The block of `seed`: transactions of four senders on one state, in the form that t8n reads.

    What one transaction leaves behind (storage, destroyed and created accounts, refunds, warmth) meets the next ones.
    """
    random = Random(seed)
    fork_name = choose_fork(random, fork_name)
    fork = FORKS[fork_name]
    base_fee = random.choice((0, 7, 10)) if fork >= Fork.LONDON else random.choice((0, 1, 10))
    alloc, env = state(random, fork), environment(random, fork, base_fee)
    for key in SENDER_KEYS:
        alloc[_hex(address_of(key))] = account(balance=10**20)
    if fork >= Fork.CANCUN:
        for address, code in SYSTEM_CONTRACTS.items():
            alloc[address] = account(nonce=1) | {"code": code}
    number = int(env["currentNumber"], 16)
    env["blockHashes"] = {_hex(n): _hex(keccak256(str(n).encode())) for n in range(max(0, number - 256), number)}
    env["parentBeaconBlockRoot"] = _hex(random.getrandbits(256).to_bytes(32, "big"))
    env["withdrawals"] = [
        {
            "index": _hex(i),
            "validatorIndex": _hex(random.randrange(9)),
            "address": _hex(random.choice([*CONTRACTS, ABSENT, COINBASE])),
            "amount": _hex(random.choice((0, 1, 10**9))),
        }
        for i in range(random.randrange(3) if fork >= Fork.SHANGHAI else 0)
    ]
    nonces = dict.fromkeys(SENDER_KEYS, 0)
    txs = []
    for _ in range(random.randrange(2, 9)):
        section = transaction(random, fork, base_fee)
        key = random.choice(SENDER_KEYS)
        tx = {k: v for k, v in section.items() if k not in ("data", "gasLimit", "value", "accessLists", "sender")}
        tx |= {"input": section["data"][0], "gas": section["gasLimit"][0], "value": section["value"][0]}
        if "accessLists" in section:
            tx["accessList"] = section["accessLists"][0]
        tx |= {"secretKey": _hex(key), "nonce": _hex(nonces[key])}
        nonces[key] += 1
        txs.append(tx)
    # A reward of nothing makes the specification's tool leave an empty account behind, against EIP-161.
    nothing = 0 if fork < Fork.SPURIOUS_DRAGON else -1
    reward = 0 if fork >= Fork.PARIS else random.choice((-1, nothing, 2 * 10**18, 5 * 10**18))
    return {"fork": fork_name, "alloc": alloc, "env": env, "txs": txs, "reward": reward}
