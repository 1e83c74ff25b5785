"""Random chains: blocks with headers, ommers, signed transactions and withdrawals, sound ones and ones with a flaw.

A case says what each block is to hold; the specification makes the blocks (`eels_chain`), so that one with a single
flaw is right in everything else.
"""

from __future__ import annotations

from random import Random
from typing import Any

import coincurve

from evmcore._hash import keccak256
from evmcore.forks import Fork
from evmcore.rlp import Encodable, decode, encode
from tests.fuzz import loose_rlp
from tests.fuzz.cases import (
    ABSENT,
    COINBASE,
    CONTRACTS,
    FORKS,
    SENDER_KEYS,
    SYSTEM_CONTRACTS,
    account,
    address_of,
    choose_fork,
    state,
    transaction,
)

# Each transaction has a sender of its own, so that one that is refused spoils no later nonce.
KEYS = [bytes(30) + bytes([0x10 + number // 256, number % 256]) for number in range(64)]
ADDRESSES = [address_of(key) for key in KEYS]
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

DEPOSIT_CONTRACT = bytes.fromhex("00000000219ab540356cbb839cbe05303d7705fa")
DEPOSIT_TOPIC = bytes.fromhex("649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5")
# Logs its calldata under the topic of a deposit; with a value of 1 wei under none, of 2 under another.
DEPOSIT_CODE = bytes.fromhex(
    "36600060003734600214603a57346001146042577f" + DEPOSIT_TOPIC.hex() + "366000a1005b60ff366000a1005b366000a000"
)
# What the contracts of EIP-7002 and EIP-7251 do: answer nothing, a request, a part of one; revert, fail, not exist.
REQUEST_CODES = ("0x00", "0x61c0de5f5260206000f3", "0x7f" + "ab" * 32 + "5f526030600af3", "0x5f5ffd", "0xfe", "0x")

_TIMESTAMP, _EXTRA, _MIX, _NONCE = 11, 12, 13, 14
_HEADER_FIELDS = 21


def _number(value: int) -> str:
    return value.to_bytes((value.bit_length() + 7) // 8, "big").hex()


def _header(random: Random, fork: Fork) -> list[str]:
    """Fields of a header in their order, as hex; what the oracle computes is left zero."""
    sizes = {0: 32, 1: 32, 3: 32, 4: 32, 5: 32, 6: 256, _MIX: 32, _NONCE: 8, 16: 32, 19: 32, 20: 32}
    header = [bytes(sizes.get(place, 0)).hex() for place in range(_HEADER_FIELDS)]
    header[2] = random.choice([COINBASE, COINBASE, CONTRACTS[0], ADDRESSES[0], ABSENT]).hex()
    header[_EXTRA] = random.randbytes(random.choice((0, 0, 5, 32))).hex()
    header[_MIX] = random.randbytes(32).hex()
    header[_NONCE] = bytes(8).hex() if fork >= Fork.PARIS else random.randbytes(8).hex()
    header[19] = random.randbytes(32).hex()
    return header


def _genesis(random: Random, fork: Fork) -> list[str]:
    header = _header(random, fork)
    header[1] = keccak256(b"\xc0").hex()
    header[4] = header[5] = header[16] = keccak256(b"\x80").hex()
    number = random.choice((0, 0, 1, 250, 199_998, 299_997, 5_400_000, 9_300_000, 15_000_000))
    limit = random.choice((5000, 5010, 1_000_000, *[8_000_000] * 4, *[30_000_000] * 4))
    header[7] = "" if fork >= Fork.PARIS else _number(random.choice((131_072, 131_073, 10**6, 10**12)))
    header[8], header[9] = _number(number), _number(limit)
    header[10] = _number(random.choice((0, limit, limit // 2, limit // 2 + 1, random.randrange(limit))))
    header[11] = _number(random.choice((0, 1000, 1_700_000_000)))
    header[15] = _number(random.choice((0, 1, 7, 8, 100, 10**9, 20 * 10**9)))
    header[17] = _number(131_072 * random.randrange(7))
    header[18] = _number(random.choice((0, 0, 131_072, 393_216, 786_432, 5_000_000, 20_000_000)))
    header[20] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    return header


# What stands where something else should, in a transaction, in a header, and among the members of a block's lists.
_WRONG_FIELDS: tuple[Encodable, ...] = (
    b"", b"\x00", b"\x00\x01", b"\x01", bytes(19), bytes(21), b"\xff" * 8, b"\xff" * 9, b"\xff" * 32, b"\xff" * 33,
    [], [[]], [b""], [bytes(20)], [[bytes(20), [bytes(31)]]], [[bytes(21), []]], [b"\x01" + bytes(30)],
)  # fmt: skip
_WRONG_HEADER_FIELDS: tuple[Encodable, ...] = (
    b"", b"\x00", b"\x01", bytes(8), bytes(20), bytes(32), bytes(31), bytes(33), b"\xff" * 8, b"\x01" + bytes(8),
    [], [b""],
)  # fmt: skip
_WRONG_MEMBERS: tuple[Encodable, ...] = (b"", b"\x00", b"\x01", b"\x80", [], [[]], [b""], bytes(32))


# ---- transactions


def _integer(text: str) -> int:
    return int(text, 16)


def _data(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def _signed(random: Random, section: dict[str, Any], key: bytes, nonce: int, fork: Fork) -> bytes:
    """The encoding of a transaction, now and then with a fault in a field, the signature or the encoding."""
    fault = random.random() < 0.06
    fields: list[Encodable] = [nonce]
    kind = 0
    if "gasPrice" in section:
        fields.append(_integer(section["gasPrice"]))
    else:
        kind = 2
        fields += [_integer(section["maxPriorityFeePerGas"]), _integer(section["maxFeePerGas"])]
    fields += [_integer(section["gasLimit"][0]), _data(section["to"] or "0x"), _integer(section["value"][0])]
    fields.append(_data(section["data"][0]))
    chain_id = 1
    if "accessLists" in section:
        kind = kind or 1
        entries: list[Encodable] = [
            [_data(entry["address"]), [_data(slot) for slot in entry["storageKeys"]]]
            for entry in section["accessLists"][0]
        ]
        chain_id = 1 << 64 if fault and random.random() < 0.1 else 1
        fields = [chain_id, *fields, entries]
    if "blobVersionedHashes" in section:
        kind = 3
        hashes: list[Encodable] = [_data(value) for value in section["blobVersionedHashes"]]
        fields += [_integer(section["maxFeePerBlobGas"]), hashes]
    if "authorizationList" in section:
        kind = 4
        names = ("chainId", "address", "nonce", "yParity", "r", "s")
        fields.append(
            [[_data(e[n]) if n == "address" else _integer(e[n]) for n in names] for e in section["authorizationList"]]
        )
    if fault and random.random() < 0.5:
        # Not the chain id: the specification does not mind that of another chain.
        place = random.randrange(1 if kind else 0, len(fields))
        fields[place] = random.choice(_WRONG_FIELDS)
    protected = kind == 0 and random.random() < (0.6 if fork >= Fork.SPURIOUS_DRAGON else 0.03)
    signed_chain = random.choice((1, 1, 0, 2)) if fault else 1
    to_sign = encode([*fields, signed_chain, 0, 0] if protected else fields)
    digest = keccak256(to_sign if kind == 0 else bytes([kind]) + to_sign)
    signature = coincurve.PrivateKey(key).sign_recoverable(digest, hasher=None)
    r, s, parity = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]
    if random.random() < (0.2 if fork < Fork.HOMESTEAD else 0.01):
        s, parity = ORDER - s, parity ^ 1
    if fault and random.random() < 0.3:
        r = random.choice((r, 0, ORDER, ORDER - 1, (1 << 256) - 1, r ^ 1))
        s = random.choice((s, 0, ORDER, ORDER // 2, ORDER // 2 + 1, s ^ 1))
        parity = random.choice((parity, 2, 3, 27, 255))
    v = parity if kind else parity + (35 + 2 * signed_chain if protected else 27)
    fields += [v, r, s, *([b""] if fault and random.random() < 0.05 else [])]
    encoding = encode(fields)
    if kind and fault and random.random() < 0.2:
        plain = decode(encoding)
        encoding = loose_rlp.encode(plain, random.randrange(loose_rlp.count(plain)), random.choice(loose_rlp.WAYS))
    if kind == 0:
        return encoding
    return bytes([random.choice((0, 5, 1, 2, 3, 4, 0x7F)) if fault and random.random() < 0.2 else kind]) + encoding


def _deposit(random: Random) -> bytes:
    """The data of a deposit event (EIP-6110); now and then it is not one."""
    parts = (48, 32, 8, 96, 8)
    data, tail = b"", b""
    for size in parts:
        data += (32 * len(parts) + len(tail)).to_bytes(32, "big")
        tail += size.to_bytes(32, "big") + random.randbytes(size) + bytes(-size % 32)
    data += tail
    if random.random() < 0.25:
        place = random.choice((random.randrange(160), random.choice((160, 256, 320, 384, 512)) + random.randrange(32)))
        place = random.choice((place, random.randrange(576)))
        data = data[:place] + bytes([data[place] ^ 1 << random.randrange(8)]) + data[place + 1 :]
    return data[: random.choice((575, 64, 0))] if random.random() < 0.05 else data + bytes(random.random() < 0.03)


def _transactions(random: Random, fork: Fork, base_fee: int, keys: list[int], gas_limit: int) -> list[str]:
    transactions: list[str] = []
    if gas_limit < 1_000_000 and random.random() < 0.9:
        return transactions
    for _ in range(random.choice((0, 1, 1, 2, 3))):
        if not keys:
            break
        section = transaction(random, fork, base_fee + base_fee // 4)
        key = keys.pop()
        if fork >= Fork.PRAGUE and random.random() < 0.3:
            section |= {"to": "0x" + DEPOSIT_CONTRACT.hex(), "data": ["0x" + _deposit(random).hex()]}
            section |= {"value": [hex(random.choice((0, 0, 0, 1, 2)))], "gasLimit": [hex(100_000)]}
        if random.random() < 0.7:
            section["value"] = [hex(min(_integer(section["value"][0]), 10**18))]
        if _integer(section["gasLimit"][0]) < 150_000 and random.random() < 0.9:
            section["gasLimit"] = [hex(random.choice((150_000, 200_000)))]
        for nonce in range(2 if random.random() < 0.1 else 1):
            wrong = random.random() < 0.01
            transactions.append(_signed(random, section, KEYS[key], nonce + wrong, fork).hex())
    return transactions


# ---- blocks


def _withdrawals(random: Random) -> list[str]:
    result = []
    for index in range(random.choice((0, 0, 1, 2, 5))):
        amount = random.choice((0, 0, 1, 10**9, (1 << 64) - 1))
        address = random.choice([*CONTRACTS, ABSENT, COINBASE, bytes(20), bytes(19) + b"\x02", ADDRESSES[1]])
        fields: list[Encodable] = [index, random.randrange(9), address, amount]
        if random.random() < 0.02:
            fields[random.randrange(4)] = random.choice((b"\x00", bytes(19), bytes(21), [], b"", b"\xff" * 33))
        if random.random() < 0.01:
            fields = fields[:3] if random.random() < 0.5 else [*fields, b""]
        result.append(encode(fields).hex())
    return result


def _header_edit(random: Random, fork: Fork) -> dict[str, Any]:
    """A change of one field of a header. The specification alone has timestamps of more than 64 bits: none of those."""
    edit = _any_header_edit(random, fork)
    while edit["path"] == [_TIMESTAMP] and (edit.get("add", 0) >= 1 << 63 or len(edit.get("set", "")) > 16):
        edit = _any_header_edit(random, fork)
    return edit


def _any_header_edit(random: Random, fork: Fork) -> dict[str, Any]:
    count = (
        21 if fork >= Fork.PRAGUE else 20 if fork >= Fork.CANCUN else 17 if fork >= Fork.SHANGHAI
        else 16 if fork >= Fork.LONDON else 15
    )  # fmt: skip
    place = random.choice((*range(count), 7, 8, 9, 11, _EXTRA, count - 1, count))
    kind = random.random()
    if kind < 0.45:
        return {"path": [place], "add": random.choice((1, -1, 1, -1, 2, 13, 131_072, -131_072, 1 << 63, 1 << 64))}
    if kind < 0.9:
        size = random.choice((8, 20, 32, 33))
        value = random.choice((*_WRONG_HEADER_FIELDS, random.randbytes(size), random.randbytes(size)))
        return {"path": [place], random.choice(("set", "set", "set", "insert")): encode(value).hex()}
    return {"path": [place], **random.choice(({"repeat": 1}, {"delete": 1}))}


def _variant(random: Random, fork: Fork) -> dict[str, Any]:
    """A change of a block that is sealed already."""
    kind = random.random()
    if kind < 0.55:
        edit = _header_edit(random, fork)
        return edit | {"path": [0, *edit["path"]]}
    if kind < 0.7:
        # Fields that nothing depends on: another block that is valid too, but for the nonce after the merge.
        place, size = random.choice(((_EXTRA, 32), (_EXTRA, 33), (_EXTRA, 7), (_MIX, 32), (_NONCE, 8), (2, 20)))
        return {"path": [0, place], "set": encode(random.randbytes(size)).hex()}
    if kind < 0.77:
        return {"loose": random.randrange(1 << 20), "way": random.choice(loose_rlp.WAYS)}
    if kind < 0.82:
        return {"byte": random.randrange(1 << 20), "xor": 1 << random.randrange(8)}
    part = random.choice((1, 1, 2, 3))
    path = random.choice(([part], [part, 0], [part, 1], [part, 0, random.randrange(9)], [4]))
    value = encode(random.choice(_WRONG_MEMBERS)).hex()
    actions: list[dict[str, Any]] = [
        {"delete": 1}, {"repeat": 1}, {"swap": random.randrange(4)}, {"set": value}, {"insert": value},
        {"add": random.choice((1, -1))},
    ]  # fmt: skip
    return {"path": path} | random.choice(actions)


def _ommers(random: Random, fork: Fork, number: int) -> list[dict[str, Any]]:
    """Ommers of step `number`: changed headers of the steps before it."""
    if fork >= Fork.PARIS or random.random() < 0.4 or number == 0:
        return []
    result: list[dict[str, Any]] = []
    for _ in range(random.choice((1, 1, 2, 3))):
        # One step back is the parent, its changed header a brother; or it was refused, and is a brother of the block.
        of = max(0, number - random.choice((1, 1, 2, 2, 3, 5, 6, 7, 8)))
        edits = [{"path": [_EXTRA], "set": encode(random.randbytes(random.choice((3, 3, 32, 32, 33)))).hex()}]
        if random.random() < 0.12:
            edits = [_header_edit(random, fork)]
        if random.random() < 0.1:
            edits = []
        if random.random() < 0.3:
            edits.append({"path": [2], "set": encode(ADDRESSES[3]).hex()})
        result.append({"of": of, "edits": edits})
    return result + result[:1] if random.random() < 0.05 else result


def _step(random: Random, fork: Fork, number: int, base_fee: int, keys: list[int], gas_limit: int) -> dict[str, Any]:
    edge = random.choice((0, 0, 0, 1, -1))
    change = random.choice((0, 1, -1, -1, 1)) if edge else random.choice((0, 0, 0, 1, -1))
    if edge and random.random() < 0.6:
        change = -edge  # the farthest that is allowed
    flaw = random.random() < 0.1
    return {
        "header": _header(random, fork),
        "gas_limit_edges": edge,
        "gas_limit_change": change,
        "seconds": random.choice((1, 1, 8, 9, 10, 12, 13, 14, 100, 1000, 0 if random.random() < 0.1 else 5)),
        "edits": [_header_edit(random, fork)] if flaw else [],
        "ommers": _ommers(random, fork, number),
        "transactions": _transactions(random, fork, base_fee, keys, gas_limit),
        "withdrawals": _withdrawals(random) if fork >= Fork.SHANGHAI else [],
        "variants": [_variant(random, fork) for _ in range(random.choice((0, 2, 4)))],
    }


def make_chain(seed: int, fork_name: str = "") -> dict[str, Any]:
    """The chain of `seed`: a pure function of it."""
    random = Random(seed)
    fork_name = choose_fork(random, fork_name)
    fork = FORKS[fork_name]
    alloc = state(random, fork)
    for address in [*ADDRESSES, *map(address_of, SENDER_KEYS)]:
        alloc["0x" + address.hex()] = account(balance=10**22)
    if fork >= Fork.CANCUN:
        for system, code in SYSTEM_CONTRACTS.items():
            alloc[system] = account(nonce=1) | {"code": code}
    if fork >= Fork.PRAGUE:
        alloc["0x" + DEPOSIT_CONTRACT.hex()] = account(nonce=1, code=DEPOSIT_CODE)
        for system in list(SYSTEM_CONTRACTS)[2:]:
            alloc[system]["code"] = REQUEST_CODES[
                random.choice((0, 1, 2)) if random.random() < 0.95 else 5 - random.randrange(3)
            ]
    genesis = _genesis(random, fork)
    base_fee = int(genesis[15] or "0", 16) if fork >= Fork.LONDON else 1
    gas_limit = int(genesis[9], 16)
    keys = list(range(len(KEYS)))
    random.shuffle(keys)
    long = 9 if fork < Fork.PARIS else 4
    steps = [_step(random, fork, n, base_fee, keys, gas_limit) for n in range(random.randrange(1, long))]
    module = "constantinople" if fork == Fork.PETERSBURG else fork.name.lower()
    return {"fork": fork_name, "module": module, "alloc": alloc, "genesis": genesis, "steps": steps}
