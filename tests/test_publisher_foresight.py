"""What the writer assumes before it knows what is stored: that most accounts are as they always were.

Where the answers then say otherwise, it asks again; where a block is refused, nothing was sent for the server to do.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from evmcore._diff import StateDiff
from evmcore.errors import EvmcoreError, StateCorrupted, StateError, WriterFenced, WrongParent
from evmcore.state import MemoryState
from evmcore.state.feed import decode_entry
from evmcore.state.layout import Keys
from evmcore.state.loading import Loader
from evmcore.state.publisher import Publisher
from evmcore.state.sources import from_memory
from evmcore.types import Account
from tests.redis_server import RedisServer
from tests.stored_state import ADDRESSES, GENESIS, child, random_diff, random_state, read_state, state_of

KEYS = Keys(1)
A, B = ADDRESSES[:2]


def slots_diff(address: bytes, slots: dict[int, tuple[int, int]]) -> StateDiff:
    """Slots of an account that stays as it is: key to old and new value."""
    changes = {hex(key): {"old": hex(old), "new": hex(new)} for key, (old, new) in slots.items()}
    return StateDiff.from_json({"accounts": {}, "storage": {"0x" + address.hex(): changes}, "codes": {}})


def rebirth_diff(state: MemoryState, address: bytes, slots: dict[int, int]) -> StateDiff:
    """The account is destroyed and made again with these slots alone: its storage has a new generation."""
    there = {
        "nonce": hex(state.nonce(address)),
        "balance": hex(state.balance(address)),
        "codeHash": "0x" + state.code_hash(address).hex(),
    }
    name = "0x" + address.hex()
    changes = {hex(key): {"old": hex(state.storage(address, key)), "new": hex(value)} for key, value in slots.items()}
    return StateDiff.from_json(
        {"accounts": {name: {"old": there, "new": there, "wiped": True}}, "storage": {name: changes}, "codes": {}}
    )


def load(client: Any, state: MemoryState) -> None:
    with Publisher(client, 1) as publisher:
        Loader(publisher, GENESIS, complete=True).run(from_memory(state))


def everything(client: Any) -> dict[bytes, bytes]:
    return {key: client.dump(key) for key in client.keys("*")}


def commands(server: RedisServer, *names: str) -> tuple[int, ...]:
    counts = server.command_counts()
    return tuple(counts.get(name, 0) for name in names)


def test_a_block_of_few_changes_is_one_transaction(client: Any, shared_redis: RedisServer) -> None:
    state = MemoryState({A: Account(balance=5, storage={1: 7, 2: 8}), B: Account(balance=1)})
    load(client, state)
    header = GENESIS
    with Publisher(client, 1) as publisher:
        shared_redis.reset_counts()
        for old, new in ((7, 70), (70, 0), (0, 7000)):
            header = child(header)
            diff = slots_diff(A, {1: (old, new), 3: (old, new)} if old != 7 else {1: (7, 70), 3: (0, 70)})
            publisher.publish(header, diff)
            state.apply(diff)
            assert read_state(client) == state_of(state)
    assert commands(shared_redis, "multi", "exec", "discard") == (3, 3, 0)


def test_storage_of_another_generation_is_written_anew(client: Any, shared_redis: RedisServer) -> None:
    state = MemoryState({A: Account(balance=5, storage={1: 7, 2: 8}), B: Account(balance=1, storage={1: 1})})
    load(client, state)
    blocks = [rebirth_diff(state, A, {1: 9}), slots_diff(B, {1: (1, 2)})]
    header = GENESIS
    for diff in blocks:
        header = child(header)
        with Publisher(client, 1) as publisher:
            publisher.publish(header, diff)
        state.apply(diff)
    with Publisher(client, 1) as publisher:
        header = child(header)
        publisher.publish(header, StateDiff())  # now it knows that the state is complete, but no generations
        shared_redis.reset_counts()
        before = header
        diff = slots_diff(A, {1: (9, 10), 5: (0, 6)})
        header = child(header)
        publisher.publish(header, diff)
        state.apply(diff)
        assert commands(shared_redis, "multi", "exec", "discard", "mget") == (1, 1, 0, 1)
        asked = commands(shared_redis, "hlen")
        assert read_state(client) == state_of(state)
        # The feed tells it once, and takes it back.
        ((stream_id, fields),) = client.xrevrange(KEYS.feed, count=1)
        (account,) = decode_entry(stream_id, fields, KEYS.feed).decode(KEYS.feed).accounts
        assert [(slot.key, slot.old, slot.new) for slot in account.slots] == [(1, 9, 10), (5, 0, 6)]
        # From now on it knows the generation.
        last = slots_diff(A, {1: (10, 11)})
        shared_redis.reset_counts()
        publisher.publish(child(header), last)
        assert commands(shared_redis, "hlen") < asked
        publisher.revert_to(before.hash)
        state.undo(diff)
        assert read_state(client) == state_of(state)


def test_the_head_again_sends_nothing(client: Any, shared_redis: RedisServer) -> None:
    state = MemoryState({A: Account(balance=5, storage={1: 7})})
    load(client, state)
    diff, first = slots_diff(A, {1: (7, 8)}), child(GENESIS)
    with Publisher(client, 1) as publisher:
        head = publisher.publish(first, diff)
        before = everything(client)
        shared_redis.reset_counts()
        assert publisher.publish(first, diff) == head
        assert commands(shared_redis, "multi", "exec", "discard") == (0, 0, 0)
        assert everything(client) == before
        publisher.publish(child(first), slots_diff(A, {1: (8, 9)}))
    assert read_state(client)[A] == (0, 5, b"", {1: 9})


@pytest.mark.parametrize("fault", ["parent", "value", "absent", "lost slot", "lost key", "fenced"])
def test_a_block_that_is_refused_leaves_nothing(client: Any, fault: str) -> None:
    state = MemoryState({A: Account(balance=5, storage={1: 7, 2: 8}), B: Account(balance=1)})
    load(client, state)
    first = child(GENESIS)
    with Publisher(client, 1) as publisher:
        publisher.publish(first, StateDiff())
        header, diff = child(first), slots_diff(A, {1: (7, 8)})
        error: type[EvmcoreError] = StateError
        if fault == "parent":
            header, error = child(child(first)), WrongParent
        elif fault == "value":
            diff = slots_diff(A, {1: (6, 8)})
        elif fault == "absent":
            diff = slots_diff(ADDRESSES[5], {1: (0, 8)})
        elif fault == "lost slot":
            client.hdel(KEYS.storage(A, 0), (2).to_bytes(32, "big"))
            error = StateCorrupted
        elif fault == "lost key":
            client.delete(KEYS.account(A))
        else:
            client.incr(KEYS.writer)
            error = WriterFenced
        before = everything(client)
        with pytest.raises(error):
            publisher.publish(header, diff)
        assert everything(client) == before
        if fault in ("parent", "value", "absent"):
            publisher.publish(child(first), slots_diff(A, {1: (7, 8)}))
            assert read_state(client)[A] == (0, 5, b"", {1: 8, 2: 8})


def test_writers_that_know_no_generations_come_to_the_same_state(client: Any, shared_redis: RedisServer) -> None:
    """Random blocks with accounts destroyed and made again, each by a writer that has just begun."""
    for seed in range(12):
        rng = random.Random(seed)
        client.flushall()
        state, header = random_state(rng), GENESIS
        load(client, state)
        for step in range(12):
            diff = random_diff(rng, state)
            with Publisher(client, 1) as publisher:
                header = child(header, salt=2 * step)
                publisher.publish(header, StateDiff())
                header = child(header, salt=2 * step + 1)
                publisher.publish(header, diff)
            state.apply(diff)
            assert read_state(client) == state_of(state)
