"""What is in Redis, read by a test with redis-py alone, with everything checked that has to fit together."""

from __future__ import annotations

import random
import zlib
from typing import Any

from Crypto.Hash import keccak

from evmcore._diff import StateDiff
from evmcore.blocks import Header
from evmcore.state import MemoryState
from evmcore.types import Account

EMPTY = keccak.new(digest_bits=256, data=b"").digest()

# address -> (nonce, balance, code, slots); None: known not to exist
Stored = dict[bytes, tuple[int, int, bytes, dict[int, int]] | None]


def keccak256(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


def read_state(client: Any, chain_id: int = 1) -> Stored:
    """Every account under a chain's keys; asserts that records, storage hashes and codes fit together."""
    prefix = b"{evm:%d}:" % chain_id
    state: Stored = {}
    storage_keys = set()
    for key in client.keys(prefix + b"a:*"):
        address = key[len(prefix) + 2 :]
        record = client.get(key)
        assert record[:1] == b"\1" and zlib.crc32(record[:-4]).to_bytes(4, "big") == record[-4:]
        flags, generation = record[1], int.from_bytes(record[2:6], "big")
        count, nonce = int.from_bytes(record[6:14], "big"), int.from_bytes(record[14:22], "big")
        code_hash, balance = record[22:54], int.from_bytes(record[55:-4], "big")
        assert record[54] == len(record) - 59
        storage_key = prefix + b"s:" + address + (b"%d" % generation if generation else b"")
        fields = client.hgetall(storage_key)
        assert len(fields) == count, f"{address.hex()}: {len(fields)} slots, {count} in the record"
        assert all(len(name) == 32 and len(value) <= 32 and value[:1] != b"\0" for name, value in fields.items())
        assert flags != 1 or all(fields.values()), "a zero is stored"
        if count:
            storage_keys.add(storage_key)
        code = b"" if code_hash == EMPTY else client.get(prefix + b"c:" + code_hash)
        assert keccak256(code) == code_hash
        slots = {int.from_bytes(name, "big"): int.from_bytes(value, "big") for name, value in fields.items()}
        state[address] = None if flags & 2 else (nonce, balance, code, slots)
    assert set(client.keys(prefix + b"s:*")) == storage_keys, "a storage hash that no account has"
    return state


def state_of(memory: MemoryState) -> Stored:
    """A memory state in the same form."""
    return {
        address: (memory.nonce(address), memory.balance(address), memory.code(address), memory.slots(address))
        for address in memory.addresses()
    }


# ---- random chains

ADDRESSES = [bytes([i]) * 20 for i in range(1, 7)]
CODES = [b"", b"\x00", b"\x60\x00", bytes(300)]
GENESIS = Header(number=0, timestamp=1)


def random_state(rng: random.Random) -> MemoryState:
    return MemoryState(
        {
            address: Account(
                rng.randrange(3),
                rng.choice((0, 1, rng.getrandbits(256))),
                rng.choice(CODES),
                {rng.randrange(8): rng.getrandbits(rng.choice((1, 256))) | 1 for _ in range(rng.randrange(6))},
            )
            for address in ADDRESSES
            if rng.randrange(3)
        }
    )


def random_diff(rng: random.Random, state: MemoryState) -> StateDiff:
    """A diff from a state to a random one, as an execution collects it: wiped accounts list few of their slots."""
    after = state.copy()
    document: dict[str, Any] = {"accounts": {}, "storage": {}, "codes": {}}

    def fields(memory: MemoryState, address: bytes) -> dict[str, str] | None:
        if address not in memory:
            return None
        return {
            "nonce": hex(memory.nonce(address)),
            "balance": hex(memory.balance(address)),
            "codeHash": "0x" + memory.code_hash(address).hex(),
        }

    for address in ADDRESSES:
        if not rng.randrange(3):
            continue
        name = "0x" + address.hex()
        existed = address in state
        wiped = False
        written: set[int] = set()
        fate = rng.randrange(5)
        if fate == 0 and existed:
            after.delete_account(address)
            wiped = True
        elif fate == 1 and existed:
            after.delete_account(address)
            wiped = True
            after.set_account(address, Account(rng.randrange(3), rng.getrandbits(64), rng.choice(CODES)))
        elif existed or fate > 1:
            after.set_balance(address, rng.getrandbits(rng.choice((8, 256))))
            if rng.randrange(2):
                after.set_nonce(address, rng.randrange(4))
            if not existed:
                after.set_code(address, rng.choice(CODES))
        if address in after:
            for _ in range(rng.randrange(5)):
                slot = rng.randrange(8)
                after.set_storage(address, slot, rng.choice((0, 1, rng.getrandbits(256))))
                written.add(slot)
        old, new = fields(state, address), fields(after, address)
        if old != new or wiped:
            document["accounts"][name] = {"old": old, "new": new, **({"wiped": True} if wiped else {})}
            if new is not None:
                document["codes"][new["codeHash"]] = "0x" + after.code(address).hex()
        slots = {
            slot: (state.storage(address, slot), after.storage(address, slot))
            for slot in (written | set(rng.sample(range(8), 2)) if wiped else written)
        }
        changes = {
            f"0x{slot:064x}": {"old": f"0x{old:064x}", "new": f"0x{new:064x}"}
            for slot, (old, new) in slots.items()
            if old != new or (wiped and new)
        }
        if changes:
            document["storage"][name] = changes
    return StateDiff.from_json(document)


def child(header: Header, salt: int = 0) -> Header:
    """A header on another; `salt` makes siblings differ."""
    return Header(parent_hash=header.hash, number=header.number + 1, timestamp=header.timestamp + 1, gas_used=salt)


def balance_diff(state: MemoryState, address: bytes, balance: int) -> StateDiff:
    """The diff that sets one balance and leaves the rest of the account as it is."""
    fields = {"nonce": hex(state.nonce(address)), "codeHash": "0x" + state.code_hash(address).hex()}
    old = {**fields, "balance": hex(state.balance(address))} if address in state else None
    new = {**fields, "balance": hex(balance)}
    return StateDiff.from_json(
        {"accounts": {"0x" + address.hex(): {"old": old, "new": new}}, "storage": {}, "codes": {}}
    )
