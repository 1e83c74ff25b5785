"""Blocks that are told before their changes are stored: exact meanwhile, and finished by whoever comes next."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from evmcore._diff import StateDiff
from evmcore.blocks import Header
from evmcore.errors import StateCorrupted, StateUnavailable, WriteRefused, WriterFenced
from evmcore.state import MemoryState
from evmcore.state.layout import Keys, decode_head
from evmcore.state.loading import Loader
from evmcore.state.office import _Later
from evmcore.state.publisher import Publisher
from evmcore.state.redis import RedisState
from evmcore.state.session import as_fields, open_client
from evmcore.state.sources import SourceAccount, from_memory
from evmcore.state.stored import load_memory
from evmcore.types import Account
from tests.faulty_proxy import FaultyProxy
from tests.redis_reading import assert_same, wait_for
from tests.redis_server import RedisServer
from tests.stored_state import ADDRESSES, GENESIS, child, random_diff, random_state, read_state, state_of
from tests.waiting import until

KEYS = Keys(1)
A = ADDRESSES[0]


class Cut(Exception):
    """The writer has ended here."""


@pytest.fixture
def publisher(client: Any, shared_redis: RedisServer) -> Iterator[Publisher]:
    with Publisher(shared_redis.url, 1, told_first=0) as publisher:
        yield publisher


@contextmanager
def before_storing(publisher: Publisher, act: Callable[[], object]) -> Iterator[None]:
    """What `act` does, happens when a block has been told of and is not stored yet."""
    store = publisher._store

    def acted(*arguments: Any) -> Any:
        del publisher._store
        act()
        return store(*arguments)

    publisher._store = acted  # type: ignore[assignment, method-assign]
    yield
    assert publisher._store != acted, "no block was told of first"


def cut() -> None:
    raise Cut


def tell_only(publisher: Publisher, header: Header, diff: StateDiff) -> None:
    with before_storing(publisher, cut), pytest.raises(Cut):
        publisher.publish(header, diff)


def load(publisher: Publisher, state: MemoryState) -> None:
    Loader(publisher, GENESIS, complete=True).run(from_memory(state))


def slots_diff(state: MemoryState, slots: dict[int, int]) -> StateDiff:
    changes = {hex(slot): {"old": hex(state.storage(A, slot)), "new": hex(new)} for slot, new in slots.items()}
    return StateDiff.from_json({"accounts": {}, "storage": {"0x" + A.hex(): changes}, "codes": {}})


def is_behind(client: Any) -> bool:
    head = decode_head(as_fields(client.hgetall(KEYS.head)), KEYS.head)
    assert head is not None
    return head.behind


def changed(rng: random.Random, state: MemoryState) -> StateDiff:
    """A random diff that changes slots: others are stored at once."""
    while True:
        diff = random_diff(rng, state)
        if diff.storage_changes:
            return diff


# ---- readers


@pytest.mark.parametrize("cache_bytes", [1 << 20, 0])
@pytest.mark.parametrize("seed", range(6))
def test_every_block_reads_as_it_is_while_its_changes_are_not_stored(
    client: Any, publisher: Publisher, shared_redis: RedisServer, seed: int, cache_bytes: int
) -> None:
    """By a reader that was there, by one that comes now, and by pins of the blocks before."""
    rng = random.Random(seed)
    memory = random_state(rng)
    load(publisher, memory)
    header = GENESIS
    with RedisState(shared_redis.url, cache_bytes=cache_bytes) as state:
        for salt in range(8):
            before, pinned = memory.copy(), state.pin()
            diff = changed(rng, memory)
            header = child(header, salt)
            memory.apply(diff)

            def look(before: MemoryState = before, pinned: Any = pinned, header: Header = header) -> None:
                assert is_behind(client) and read_state(client) == state_of(before)
                wait_for(state, header)
                assert_same(state.pin(), memory)
                assert_same(pinned, before)
                with RedisState(shared_redis.url, cache_bytes=cache_bytes) as late:
                    assert_same(late.pin(), memory)
                    assert_same(late.pin(header.number - 1), before)

            with before_storing(publisher, look):
                publisher.publish(header, diff)
            assert not is_behind(client) and read_state(client) == state_of(memory)
            assert_same(state.pin(), memory)
            assert_same(pinned, before)


def test_contracts_are_read_whole_while_a_block_is_not_stored(publisher: Publisher, shared_redis: RedisServer) -> None:
    memory = MemoryState({A: Account(balance=1, storage={1: 7, 2: 8})})
    load(publisher, memory)
    header = child(GENESIS)
    diff = slots_diff(memory, {1: 9, 2: 0, 3: 10})
    with RedisState(shared_redis.url) as state:

        def look() -> None:
            wait_for(state, header)
            state.preload([A])
            rounds = state.status().counters["cold_rounds"]
            assert [state.pin().storage(A, slot) for slot in (1, 2, 3)] == [9, 0, 10]
            assert [state.pin(0).storage(A, slot) for slot in (1, 2, 3)] == [7, 8, 0]
            assert state.status().counters["cold_rounds"] == rounds

        with before_storing(publisher, look):
            publisher.publish(header, diff)


def test_a_state_that_is_behind_is_not_read_back(client: Any, publisher: Publisher) -> None:
    memory = MemoryState({A: Account(balance=1, storage={1: 7})})
    load(publisher, memory)
    tell_only(publisher, child(GENESIS), slots_diff(memory, {1: 9}))
    with pytest.raises(StateUnavailable, match="what block 1 changes is not stored yet"):
        load_memory(client, 1)


# ---- who finishes


@pytest.mark.parametrize("how", ["another writer", "the same block", "the next block", "taken back", "a new feed"])
@pytest.mark.parametrize("seed", range(4))
def test_what_was_told_is_stored_by_the_next_change(
    client: Any, publisher: Publisher, shared_redis: RedisServer, how: str, seed: int
) -> None:
    rng = random.Random(seed)
    memory = random_state(rng)
    load(publisher, memory)
    before, header, diff = memory.copy(), child(GENESIS), changed(rng, memory)
    tell_only(publisher, header, diff)
    memory.apply(diff)
    assert is_behind(client) and read_state(client) == state_of(before)
    if how == "another writer":
        Publisher(shared_redis.url, 1).close()
    elif how == "the same block":
        assert publisher.publish(header, diff).seq == 2
    elif how == "the next block":
        after = changed(rng, memory)
        publisher.publish(child(header), after)
        memory.apply(after)
    elif how == "taken back":
        publisher.revert()
        memory = before
    else:
        publisher.renew_feed()
    assert not is_behind(client)
    assert read_state(client) == state_of(memory)


def test_a_writer_that_was_fenced_meanwhile_stores_nothing(
    client: Any, publisher: Publisher, shared_redis: RedisServer
) -> None:
    """It told of a block and stood still; the next one has stored that, and another block, when it goes on."""
    memory = MemoryState({A: Account(balance=1, storage={1: 7, 2: 8})})
    load(publisher, memory)
    header, diff = child(GENESIS), slots_diff(memory, {1: 9})
    memory.apply(diff)

    def another() -> None:
        after = slots_diff(memory, {1: 10, 2: 11})
        with Publisher(shared_redis.url, 1) as second:
            second.publish(child(header), after)
        memory.apply(after)

    with before_storing(publisher, another), pytest.raises(WriterFenced):
        publisher.publish(header, diff)
    assert not is_behind(client)
    assert read_state(client) == state_of(memory)


def test_a_server_that_is_full_meanwhile_gets_the_rest_later(client: Any, publisher: Publisher) -> None:
    memory = MemoryState({A: Account(balance=1, storage={1: 7})})
    load(publisher, memory)
    header, diff = child(GENESIS), slots_diff(memory, {1: 9, 2: 5})
    try:
        full = before_storing(publisher, lambda: client.config_set("maxmemory", 1))
        with full, pytest.raises(WriteRefused, match="maxmemory"):
            publisher.publish(header, diff)
    finally:
        client.config_set("maxmemory", 0)
    assert is_behind(client)
    publisher.publish(header, diff)
    memory.apply(diff)
    assert read_state(client) == state_of(memory)


def test_what_was_told_and_is_lost_is_an_error(client: Any, publisher: Publisher) -> None:
    memory = MemoryState({A: Account(balance=1, storage={1: 7})})
    load(publisher, memory)
    header, diff = child(GENESIS), slots_diff(memory, {1: 9})
    tell_only(publisher, header, diff)
    client.delete(KEYS.feed)
    with pytest.raises(StateCorrupted, match="entry 2 is missing, and what it says is not stored"):
        publisher.publish(header, diff)


def test_a_writer_that_is_interrupted_while_the_server_is_at_work_goes_on_with_its_next_change(
    client: Any, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replies that it did not wait for are not taken for those to what it asks next."""
    memory = random_state(random.Random(5))
    load(publisher, memory)
    diff = changed(random.Random(5), memory)
    memory.apply(diff)
    header = child(GENESIS)

    def interrupted(later: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(_Later, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        publisher.publish(header, diff)
    assert publisher.publish(header, diff).header == header
    assert not is_behind(client) and read_state(client) == state_of(memory)


def test_only_blocks_of_many_changes_are_told_first(client: Any, shared_redis: RedisServer) -> None:
    memory = MemoryState({A: Account(balance=1)})
    told: list[int] = []
    with Publisher(shared_redis.url, 1, told_first=3) as publisher:
        load(publisher, memory)
        header = GENESIS
        for count in (4, 5):
            header, diff = child(header), slots_diff(memory, dict.fromkeys(range(1, 1 + count), count))
            with before_storing(publisher, lambda count=count: told.append(count)):
                publisher.publish(header, diff)
            memory.apply(diff)
        with pytest.raises(AssertionError, match="no block was told of first"), before_storing(publisher, cut):
            diff = slots_diff(memory, {1: 1, 2: 2, 3: 3})
            publisher.publish(child(header), diff)
        memory.apply(diff)
    assert told == [4, 5]
    assert read_state(client) == state_of(memory)


# ---- a replica that has not heard of an account yet


def test_a_slot_is_not_zero_because_a_replica_lacks_its_account(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with (
        RedisServer(tmp_path_factory.mktemp("replica")) as replica,
        FaultyProxy(redis_server.port) as link,
        Publisher(redis_server.url, 1) as publisher,
    ):
        Loader(publisher, GENESIS).run([SourceAccount(A, 1, 1)])
        replica.replica_of(link)
        # The feed's connections lead to the primary, the others to the replica.
        with RedisState(redis_server.url, timeout=0.5) as state:
            state._links.client = open_client(replica.url, 0.5)
            link.black_hole()
            seq = state.pin().seq
            Loader(publisher, GENESIS).run([SourceAccount(ADDRESSES[1], 3, 4, slots=[(1, 9)])])
            until(lambda: state.pin().seq > seq)
            with pytest.raises(StateUnavailable):
                state.pin().storage(ADDRESSES[1], 1)
            link.heal()
            link.cut_all()  # what was swallowed is asked for again
            until(lambda: _slot(state) == 9)


def _slot(state: RedisState) -> int | None:
    try:
        return state.pin().storage(ADDRESSES[1], 1)
    except StateUnavailable:
        return None
