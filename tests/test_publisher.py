"""The writer of state in Redis: what is stored is what the blocks say, whole blocks only, by one writer only."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from evmcore._diff import StateDiff
from evmcore.blocks import Header
from evmcore.errors import (
    ReorgTooDeep,
    StateCorrupted,
    StateError,
    UnsafeStorage,
    WriterFenced,
    WrongParent,
)
from evmcore.state import MemoryState
from evmcore.state.feed import decode_entry
from evmcore.state.layout import Head, Keys
from evmcore.state.loading import Loader
from evmcore.state.publisher import Publisher
from evmcore.state.sources import from_memory
from evmcore.state.stored import load_memory
from evmcore.state.works import Publication
from evmcore.types import Account
from tests.redis_server import RedisServer
from tests.stored_state import ADDRESSES, GENESIS, balance_diff, child, random_diff, random_state, read_state, state_of

KEYS = Keys(1)
A, B = ADDRESSES[:2]

pytestmark = pytest.mark.usefixtures("told_first")


@pytest.fixture
def publisher(client: Any, shared_redis: RedisServer) -> Iterator[Publisher]:
    with Publisher(shared_redis.url, 1) as publisher:
        yield publisher


def load(publisher: Publisher, state: MemoryState, header: Header = GENESIS) -> Head:
    return Loader(publisher, header, complete=True).run(from_memory(state)).head


def test_a_loaded_state_is_stored_whole_and_reads_back(client: Any, publisher: Publisher) -> None:
    rng = random.Random(1)
    for number in range(20):
        state = random_state(rng)
        client.flushall()
        publisher = Publisher(client, 1)
        head = load(publisher, state, Header(number=number))
        assert (head.seq, head.number) == (1, number)
        assert read_state(client) == state_of(state)
        memory, read_head = load_memory(client, 1)
        assert memory == state and read_head == head
        publisher.close()


def test_blocks_are_applied_and_taken_back_exactly(client: Any, publisher: Publisher) -> None:
    """Random blocks on a memory state and on Redis stay the same, forwards and backwards."""
    for seed in range(12):
        rng = random.Random(seed)
        client.flushall()
        publisher = Publisher(client, 1)
        state = random_state(rng)
        header = GENESIS
        load(publisher, state)
        path: list[tuple[Header, StateDiff, dict[bytes, bytes]]] = []
        seq = 1
        for step in range(40):
            seq += 1
            if path and not rng.randrange(3):
                header, diff, before = path.pop()
                head = publisher.revert()
                state.undo(diff)
                kept = client.hgetall(KEYS.block_hashes)
                assert kept == before
            else:
                before = client.hgetall(KEYS.block_hashes)
                diff = random_diff(rng, state)
                path.append((header, diff, before))
                header = child(header, salt=step)
                head = publisher.publish(header, diff)
                state.apply(diff)
            assert (head.seq, head.header) == (seq, header)
            assert read_state(client) == state_of(state)
            assert client.hget(KEYS.block_hashes, b"%d" % header.number) == header.hash
        publisher.close()


def test_every_change_has_one_feed_entry_that_leads_from_state_to_state(client: Any) -> None:
    """A reader that starts with the loaded state and applies the entries, knowing nothing else, ends in the same."""
    rng = random.Random(7)
    publisher = Publisher(client, 1, ring=1000)
    state = random_state(rng)
    load(publisher, state)
    mirror = read_state(client)
    header = GENESIS
    path: list[tuple[Header, StateDiff]] = []
    for step in range(60):
        if path and not rng.randrange(3):
            header, diff = path.pop()
            publisher.revert()
            state.undo(diff)
        else:
            diff = random_diff(rng, state)
            path.append((header, diff))
            header = child(header, salt=step)
            publisher.publish(header, diff)
            state.apply(diff)
    entries = [decode_entry(stream_id, fields, KEYS.feed) for stream_id, fields in client.xrange(KEYS.feed)]
    assert [entry.seq for entry in entries] == list(range(2, 62))
    codes: dict[bytes, bytes] = {}
    for entry in entries:
        changes = entry.decode(KEYS.feed)
        codes.update(changes.codes)
        for account in changes.accounts:
            before = mirror.get(account.address)
            slots = dict(before[3]) if before is not None else {}
            assert (before is None) == (account.old is None)
            for slot in account.slots:
                assert slots.pop(slot.key, 0) == slot.old
                if slot.new:
                    slots[slot.key] = slot.new
            new = account.new
            if new is None:
                assert not slots
                del mirror[account.address]
            else:
                assert len(slots) == new.slot_count
                code = codes[new.code_hash] if new.code_hash in codes else client.get(KEYS.code(new.code_hash)) or b""
                mirror[account.address] = (new.nonce, new.balance, code, slots)
    assert mirror == read_state(client) == state_of(state)
    publisher.close()


def test_applying_the_head_again_changes_nothing(client: Any, publisher: Publisher) -> None:
    state = MemoryState({A: Account(balance=5)})
    load(publisher, state)
    diff = balance_diff(state, A, 6)
    head = publisher.publish(child(GENESIS), diff)
    before = {key: client.dump(key) for key in client.keys("*")}
    assert publisher.publish(child(GENESIS), diff) == head
    assert {key: client.dump(key) for key in client.keys("*")} == before


def test_a_block_that_does_not_follow_the_head_is_refused(client: Any, publisher: Publisher) -> None:
    load(publisher, MemoryState({A: Account(balance=5)}))
    grandchild = child(child(GENESIS))
    with pytest.raises(WrongParent, match=f"block 2 0x{grandchild.hash.hex()} .* the head is block 0"):
        publisher.publish(grandchild, StateDiff())
    wrong_number = Header(parent_hash=GENESIS.hash, number=5)
    with pytest.raises(WrongParent, match="block 5"):
        publisher.publish(wrong_number, StateDiff())
    assert client.xlen(KEYS.feed) == 0
    publisher.publish(child(GENESIS), StateDiff())


@pytest.mark.parametrize("part", ["balance", "absent", "slot", "no account"])
def test_a_diff_from_another_state_is_refused_with_both_values(client: Any, publisher: Publisher, part: str) -> None:
    state = MemoryState({A: Account(balance=5, storage={1: 7})})
    load(publisher, state)
    before = {key: client.dump(key) for key in client.keys("*")}
    name = "0x" + A.hex()
    if part == "balance":
        diff = balance_diff(MemoryState({A: Account(balance=4)}), A, 9)
        message = f"account {name} is nonce 0, balance 5, .* but nonce 0, balance 4"
    elif part == "absent":
        diff = balance_diff(MemoryState(), A, 9)
        message = f"account {name} is nonce 0, balance 5, .* but absent in the diff"
    else:
        address = A if part == "slot" else B
        slots = {hex(1): {"old": hex(8), "new": hex(9)}}
        diff = StateDiff.from_json({"accounts": {}, "storage": {"0x" + address.hex(): slots}, "codes": {}})
        message = f"slot 0x1 of account {name} is 0x7 in the state, but 0x8" if part == "slot" else "which is absent"
    with pytest.raises(StateError, match=message):
        publisher.publish(child(GENESIS), diff)
    assert {key: client.dump(key) for key in client.keys("*")} == before
    publisher.publish(child(GENESIS), balance_diff(state, A, 6))


def test_lost_slots_are_found_before_anything_is_written(client: Any, publisher: Publisher) -> None:
    state = MemoryState({A: Account(balance=5, storage={1: 7, 2: 8})})
    load(publisher, state)
    client.hdel(KEYS.storage(A, 0), (2).to_bytes(32, "big"))
    slots = {hex(1): {"old": hex(7), "new": hex(9)}}
    diff = StateDiff.from_json({"accounts": {}, "storage": {"0x" + A.hex(): slots}, "codes": {}})
    with pytest.raises(StateCorrupted, match=rf"s:0x{A.hex()}: 1 slots, the account record has 2"):
        publisher.publish(child(GENESIS), diff)
    assert client.hget(KEYS.head, "seq") == b"1"


@pytest.mark.parametrize(
    ("key", "doing"), [(KEYS.feed, "XLEN"), (KEYS.block_hashes, "HLEN"), (KEYS.storage(A, 0), "HLEN")]
)
def test_a_key_of_another_type_is_found_before_anything_is_written(
    client: Any, publisher: Publisher, key: bytes, doing: str
) -> None:
    state = MemoryState({A: Account(balance=5, storage={1: 7})})
    load(publisher, state)
    client.set(key, b"not what belongs here")
    slots = {hex(1): {"old": hex(7), "new": hex(9)}}
    diff = StateDiff.from_json({"accounts": {}, "storage": {"0x" + A.hex(): slots}, "codes": {}})
    with pytest.raises(StateCorrupted, match=f"{doing} .*another type"):
        publisher.publish(child(GENESIS), diff)
    assert client.hget(KEYS.head, "seq") == b"1"


def test_the_writer_that_came_last_wins(client: Any, publisher: Publisher) -> None:
    state = MemoryState({A: Account(balance=5)})
    load(publisher, state)
    with Publisher(client, 1) as second:
        with pytest.raises(WriterFenced, match="its epoch is 2, this one's 1"):
            publisher.publish(child(GENESIS), balance_diff(state, A, 6))
        with pytest.raises(WriterFenced):
            publisher.renew_feed()
        assert second.publish(child(GENESIS), balance_diff(state, A, 7)).epoch == 2
    assert read_state(client)[A] == (0, 7, b"", {})


def test_an_office_lost_between_reading_and_writing_aborts(
    client: Any, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = MemoryState({A: Account(balance=5)})
    load(publisher, state)
    finish = Publication.changes

    def meanwhile(*arguments: Any) -> Any:
        client.incr(KEYS.writer)
        return finish(*arguments)

    monkeypatch.setattr(Publication, "changes", meanwhile)
    with pytest.raises(WriterFenced):
        publisher.publish(child(GENESIS), balance_diff(state, A, 6))
    assert read_state(client)[A] == (0, 5, b"", {})


def test_reverting_goes_back_as_far_as_the_feed_does(client: Any) -> None:
    publisher = Publisher(client, 1, ring=10)
    state = MemoryState({A: Account(balance=1)})
    load(publisher, state)
    client.config_set("stream-node-max-entries", 1)  # Trimming is exact then.
    headers = [GENESIS]
    try:
        for number in range(1, 31):
            headers.append(child(headers[-1]))
            diff = balance_diff(state, A, number + 1)
            publisher.publish(headers[-1], diff)
            state.apply(diff)
    finally:
        client.config_set("stream-node-max-entries", 100)
    with pytest.raises(ReorgTooDeep, match="the 10 blocks before block 30"):
        publisher.revert_to(headers[19].hash)
    assert publisher.head() is not None and publisher.head().number == 30
    head = publisher.revert_to(headers[20].hash)
    assert head.header == headers[20]
    assert read_state(client)[A] == (0, 21, b"", {})
    with pytest.raises(ReorgTooDeep):
        publisher.revert_to(headers[19].hash)
    publisher.close()


def test_block_hashes_are_there_for_256_blocks_also_after_a_deep_revert(client: Any) -> None:
    publisher = Publisher(client, 1, ring=20)
    load(publisher, MemoryState())
    headers = [GENESIS]
    for _ in range(300):
        headers.append(child(headers[-1]))
        publisher.publish(headers[-1], StateDiff())
    publisher.revert_to(headers[285].hash)
    hashes = publisher.block_hashes()
    assert all(hashes[number] == headers[number].hash for number in range(285 - 255, 286))
    assert max(hashes) == 285 and len(hashes) <= 276
    publisher.close()


def test_a_server_that_evicts_is_refused(client: Any, shared_redis: RedisServer) -> None:
    client.config_set("maxmemory", "100mb")
    try:
        client.config_set("maxmemory-policy", "allkeys-lru")
        with pytest.raises(UnsafeStorage, match=r"maxmemory-policy allkeys-lru.*noeviction"):
            Publisher(client, 1)
        # Nobody took office, and without a limit nothing is evicted.
        assert client.get(KEYS.writer) is None
        client.config_set("maxmemory", 0)
        Publisher(client, 1).close()
    finally:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 0)


def test_where_config_is_not_allowed_the_policy_is_read_from_info(client: Any, shared_redis: RedisServer) -> None:
    client.acl_setuser("plain", enabled=True, passwords=["+word"], commands=["+@all", "-config"], keys=["*"])
    client.acl_setuser("blind", enabled=True, passwords=["+word"], commands=["+@all", "-config", "-info"], keys=["*"])
    client.config_set("maxmemory", "100mb")
    client.config_set("maxmemory-policy", "volatile-lru")
    try:
        with pytest.raises(UnsafeStorage):
            Publisher(f"unix://plain:word@{shared_redis.path}", 1)
        Publisher(f"unix://blind:word@{shared_redis.path}", 1).close()
    finally:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 0)
        client.acl_deluser("plain", "blind")


def test_a_storage_hash_that_grows_long_becomes_a_table(client: Any, publisher: Publisher) -> None:
    """A list is searched from its start; the slots, their number and what is read back are the same."""
    state = MemoryState({A: Account(balance=1, storage={slot: slot for slot in range(1, 101)})})
    load(publisher, state)
    key = KEYS.storage(A, 0)
    assert client.object("encoding", key) == b"listpack"
    header = GENESIS
    for first in (101, 121, 141):
        slots = {hex(slot): {"old": "0x0", "new": hex(slot)} for slot in range(first, first + 20)}
        diff = StateDiff.from_json({"accounts": {}, "storage": {"0x" + A.hex(): slots}, "codes": {}})
        header = child(header)
        publisher.publish(header, diff)
        state.apply(diff)
        assert client.hlen(key) == first + 19
        assert client.object("encoding", key) == (b"listpack" if first == 101 else b"hashtable")
    assert load_memory(client, 1)[0] == state
    publisher.revert_to(GENESIS.hash)
    assert client.hlen(key) == 100


def test_a_load_makes_long_storage_a_table(client: Any, publisher: Publisher) -> None:
    state = MemoryState({A: Account(storage={n: n for n in range(1, 129)}), B: Account(storage={1: 1, 2: 2})})
    state.set_storage(B, 2, 0)
    for slot in range(1, 130):
        state.set_storage(B, slot, slot)
    load(publisher, state)
    assert client.object("encoding", KEYS.storage(A, 0)) == b"listpack"
    assert client.object("encoding", KEYS.storage(B, 0)) == b"hashtable"
    assert load_memory(client, 1)[0] == state
