"""The reader on a bad day: after every fault no wrong answer, the error that is due, and recovery without a restart."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from evmcore import EVM, BlockEnv
from evmcore.blocks import Header
from evmcore.errors import StaleState, StateCorrupted, StateError, StateNotAvailable, StateUnavailable
from evmcore.state.layout import Keys
from evmcore.state.publisher import Publisher
from evmcore.state.redis import RedisPin, RedisState
from tests.faulty_proxy import FaultyProxy
from tests.invariant_chain import (
    CHAIN_ID,
    TELLER,
    VAULTS,
    Books,
    begin,
    begin_anew,
    begun,
    calldata,
    check,
    wait_for_head,
)
from tests.redis_server import RedisServer
from tests.waiting import PATIENCE, eventually, until

GROUPS = 200
KEYS = Keys(CHAIN_ID)
HOT = 0
# Of one fetch, where a test waits for it to be over; elsewhere it is longer than anything takes.
TIMEOUT = 0.3
OLD = 3600.0  # seconds that the head may be old: longer than any test


@pytest.fixture
def books() -> Books:
    return Books(GROUPS, seed=9, moves=6)


@pytest.fixture
def publisher(redis_server: RedisServer, books: Books) -> Iterator[Publisher]:
    with begun(redis_server.url, books, blocks=5) as made:
        yield made


@contextmanager
def reading(url: str, header: Header, **options: Any) -> Iterator[RedisState]:
    """A state that has come to a block, and has the hot group in its cache."""
    options = {"timeout": PATIENCE, "max_head_age": OLD, **options}
    with RedisState(url, CHAIN_ID, **options) as state:
        wait_for(state, header)
        assert settled(lambda: ask(state, HOT)) == header.number
        yield state


def ask_pin(pin: RedisPin, group: int) -> int:
    """One call on a pinned block, its answer checked. Gives the block's number."""
    header = pin.header
    env = BlockEnv(number=header.number, timestamp=header.timestamp, gas_limit=30_000_000)
    output = pin.run(lambda backend: EVM(backend, "cancun", env).call(TELLER, calldata(group))).output
    problem = check(group, output, header.number, header.timestamp)
    assert problem is None, problem
    return header.number


def ask(state: RedisState, group: int, block: int | bytes | str = "latest") -> int:
    with state.pin(block) as pin:
        return ask_pin(pin, group)


def settled(what: Callable[[], Any]) -> Any:
    """Tries again while it raises an error that passes."""
    return eventually(what, StateUnavailable, StateNotAvailable, StaleState)


def wait_for(state: RedisState, header: Header) -> None:
    until(
        lambda: settled(state.head).hash == header.hash,
        lambda: f"block {header.number} does not come: {state.status()}",
    )


def assert_recovers(state: RedisState, header: Header) -> None:
    """The same reader comes to the block by itself, and answers everything there."""
    wait_for(state, header)
    for group in range(0, GROUPS, 3):
        assert settled(lambda group=group: ask(state, group)) == header.number
    until(lambda: state.status().ready, state.status)


# ---- the server is away


def test_the_log_tells_when_the_feed_is_not_followed_and_when_it_is_again(
    redis_server: RedisServer, publisher: Publisher, books: Books, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "evmcore.state.feed_reader")
    with FaultyProxy(redis_server.port) as proxy, reading(proxy.url, books.head):
        assert caplog.messages == []
        proxy.refuse()
        until(
            lambda: any(said.startswith("the feed is not followed: ") for said in caplog.messages), lambda: caplog.text
        )
        proxy.heal()
        until(lambda: caplog.messages[-1:] == ["the feed is followed again"], lambda: caplog.text)


def test_a_killed_server_that_comes_back_empty(redis_server: RedisServer, publisher: Publisher, books: Books) -> None:
    fresh = books.cold()
    with reading(redis_server.url, books.head) as state:
        redis_server.kill()
        assert ask(state, HOT) == books.head.number
        with pytest.raises(StateUnavailable):
            ask(state, next(fresh))
        redis_server.start()
        with pytest.raises(StateUnavailable):
            ask(state, next(fresh))
        assert ask(state, HOT) == books.head.number
        again = Books(GROUPS, seed=10)
        with Publisher(redis_server.url, CHAIN_ID) as another:
            begin(another, again)
            another.publish(*again.next_block())
            assert_recovers(state, again.head)


def test_what_is_known_is_served_up_to_a_set_age_of_the_head(
    redis_server: RedisServer,
    publisher: Publisher,
    books: Books,
) -> None:
    with reading(redis_server.url, books.head, timeout=TIMEOUT) as state:
        with redis_server.paused():
            assert ask(state, HOT) == books.head.number
            state.max_head_age = 1.0
            with pytest.raises(StaleState, match="1 s are allowed"):
                until(lambda: ask(state, HOT) != books.head.number)
            status = state.status()
            assert not status.ready and "last confirmed" in status.reason
            # A block that is asked for by name is that block, however old.
            assert ask(state, HOT, books.head.hash) == books.head.number
        publisher.publish(*books.next_block())
        assert_recovers(state, books.head)


def test_a_paused_server_makes_cold_calls_fail_in_time(
    redis_server: RedisServer,
    publisher: Publisher,
    books: Books,
) -> None:
    fresh = books.cold()
    with reading(redis_server.url, books.head, timeout=TIMEOUT) as state:
        with redis_server.paused():
            for _ in range(3):
                begun = time.monotonic()
                with pytest.raises(StateUnavailable):
                    ask(state, next(fresh))
                assert time.monotonic() - begun < PATIENCE / 2
                assert ask(state, HOT) == books.head.number
        publisher.publish(*books.next_block())
        assert_recovers(state, books.head)


def test_a_server_that_is_busy_with_a_script(redis_server: RedisServer, publisher: Publisher, books: Books) -> None:
    fresh = books.cold()
    with reading(redis_server.url, books.head) as state, redis_server.client() as client:
        client.config_set("busy-reply-threshold", 1)
        script = threading.Thread(target=_ignore_errors, args=(lambda: client.eval("while true do end", 0),))
        script.start()
        try:
            with redis_server.client() as other:
                until(lambda: _is_busy(redis_server, other))
            with pytest.raises(StateUnavailable):
                ask(state, next(fresh))
            assert ask(state, HOT) == books.head.number
        finally:
            with redis_server.client() as other:
                eventually_killed = time.monotonic() + PATIENCE
                while script.is_alive() and time.monotonic() < eventually_killed:
                    _ignore_errors(other.script_kill)
                    script.join(0.05)
        publisher.publish(*books.next_block())
        assert_recovers(state, books.head)


def _is_busy(server: RedisServer, client: Any) -> bool:
    """Whether a server is kept busy by a script."""
    try:
        client.ping()
    except server.redis.ResponseError as error:
        return str(error).startswith("BUSY")
    return False


def _ignore_errors(work: Callable[[], Any]) -> None:
    try:
        work()
    except Exception:
        return


# ---- the network


def test_replies_cut_at_any_byte_give_no_wrong_answer(
    redis_server: RedisServer,
    publisher: Publisher,
    books: Books,
) -> None:
    dice = random.Random(4)
    refused = right = 0
    with FaultyProxy(redis_server.port) as proxy, reading(proxy.url, books.head, cache_bytes=0) as state:
        deadline, turns = time.monotonic() + PATIENCE, 0
        while turns < 100 or proxy.cuts <= 30 or right <= 50 or not refused:
            assert time.monotonic() < deadline, (turns, proxy.cuts, right, refused)
            turns += 1
            if dice.random() < 0.2:
                publisher.publish(*books.next_block())
            proxy.cut_replies_after(dice.randrange(1, 700))
            for _ in range(3):
                try:
                    ask(state, dice.randrange(GROUPS))
                    right += 1
                except StateUnavailable:
                    refused += 1
                    time.sleep(0.02)  # a reader that was cut off waits as long before it connects again
        proxy.heal()
        assert_recovers(state, books.head)


def test_a_network_that_swallows_everything(redis_server: RedisServer, publisher: Publisher, books: Books) -> None:
    fresh = books.cold()
    with FaultyProxy(redis_server.port) as proxy, reading(proxy.url, books.head, timeout=TIMEOUT) as state:
        proxy.black_hole()
        with pytest.raises(StateUnavailable):
            ask(state, next(fresh))
        publisher.publish(*books.next_block())
        assert ask(state, HOT) == books.head.number - 1
        proxy.heal()
        assert_recovers(state, books.head)


def test_a_slow_network_makes_slow_right_answers(redis_server: RedisServer, publisher: Publisher, books: Books) -> None:
    fresh = books.cold()
    with FaultyProxy(redis_server.port) as proxy, reading(proxy.url, books.head) as state:
        slows: tuple[Callable[[], None], ...] = (lambda: proxy.delay(0.05), lambda: proxy.throttle(20_000))
        for slow in slows:
            slow()
            for _ in range(3):
                publisher.publish(*books.next_block())
                assert ask(state, next(fresh)) <= books.head.number
        proxy.heal()
        assert_recovers(state, books.head)


def test_connections_that_are_refused(redis_server: RedisServer, publisher: Publisher, books: Books) -> None:
    fresh = books.cold()
    with FaultyProxy(redis_server.port) as proxy, reading(proxy.url, books.head) as state:
        proxy.refuse()
        for _ in range(3):
            with pytest.raises(StateUnavailable):
                ask(state, next(fresh))
        assert ask(state, HOT) == books.head.number
        proxy.heal()
        publisher.publish(*books.next_block())
        assert_recovers(state, books.head)


# ---- the state is lost, or goes back


def test_a_flushed_server(redis_server: RedisServer, publisher: Publisher, books: Books) -> None:
    fresh = books.cold()
    with reading(redis_server.url, books.head) as state:
        with redis_server.client() as client:
            client.flushall()
        with pytest.raises(StateUnavailable):
            ask(state, next(fresh))
        assert ask(state, HOT) == books.head.number
        again = Books(GROUPS, seed=12)
        begin_anew(redis_server, again)
        assert_recovers(state, again.head)


@pytest.mark.parametrize("branch", ["same", "other", "other, by a writer that was started anew"])
def test_a_failover_to_a_replica_that_lacks_the_last_blocks(
    redis_server: RedisServer,
    tmp_path: Path,
    publisher: Publisher,
    books: Books,
    branch: str,
) -> None:
    """What was served is not taken back while the writer may bring it again; another branch is another state."""
    fresh = books.cold()
    with FaultyProxy(redis_server.port) as proxy, RedisServer(tmp_path / "replica") as replica:
        replica.replica_of(redis_server)
        wait_for_head(replica, books.head.number)
        replica.promote()
        lost = [books.next_block() for _ in range(3)]
        for header, diff in lost:
            publisher.publish(header, diff)
        with reading(proxy.url, books.head, timeout=TIMEOUT) as state:
            before = state.pin()
            proxy.retarget(replica.port)
            redis_server.kill()
            assert ask(state, HOT) == books.head.number
            for _ in range(5):
                # It waits for the steps that it has seen: an answer is of them, or there is none.
                with suppress(StateUnavailable):
                    assert ask(state, next(fresh)) == books.head.number
            assert state.head().hash == books.head.hash
            served = books.head
            if branch != "same":
                for _ in lost:
                    books.take_back()
                lost = [books.next_block() for _ in range(5)]
                if branch == "other":
                    # The writer goes on: the same object, at the same address.
                    publisher.session.drop()
                    publisher.session = Publisher(replica.url, CHAIN_ID).session
                    publisher.epoch = int(_get(replica, KEYS.writer))
            writer = publisher if branch == "other" else Publisher(replica.url, CHAIN_ID)
            for header, diff in lost:
                writer.publish(header, diff)
            assert_recovers(state, books.head)
            # What was pinned before is that block still, or refused: never something in between.
            group = next(fresh)
            if branch == "same":
                assert eventually(lambda: ask_pin(before, group), StateUnavailable) == served.number
            else:
                with suppress(StateNotAvailable, StateUnavailable):
                    assert ask_pin(before, group) == served.number
            writer.close()


def _get(server: RedisServer, key: bytes) -> Any:
    with server.client() as client:
        return client.get(key)


def test_a_feed_that_was_trimmed_while_the_reader_slept(redis_server: RedisServer, books: Books) -> None:
    with Publisher(redis_server.url, CHAIN_ID, ring=8) as publisher, FaultyProxy(redis_server.port) as proxy:
        begin(publisher, books)
        publisher.publish(*books.next_block())
        with reading(proxy.url, books.head) as state:
            pin = state.pin()
            proxy.black_hole()
            for _ in range(400):
                publisher.publish(*books.next_block())
            assert ask(state, HOT) == 1
            proxy.heal()
            assert_recovers(state, books.head)
            assert state.status().counters["feed_restarts"] == 1
            with pytest.raises((StateNotAvailable, StateUnavailable)):
                for group in range(1, GROUPS):
                    ask_pin(pin, group)


# ---- keys are deleted, cut, changed


# An account without storage whose record is deleted looks like one that never was: nothing can tell.
@pytest.mark.parametrize(
    ("address", "kind"),
    [
        (VAULTS[0], "deleted"),
        (VAULTS[0], "cut"),
        (VAULTS[0], "other type"),
        (TELLER, "cut"),
        (TELLER, "other type"),
    ],
)
def test_a_record_that_is_not_what_it_was(
    redis_server: RedisServer,
    publisher: Publisher,
    books: Books,
    address: bytes,
    kind: str,
) -> None:
    key = KEYS.account(address)
    with redis_server.client() as client:
        record = client.get(key)
        _damage(client, key, record, kind)
        with RedisState(redis_server.url, CHAIN_ID, timeout=PATIENCE, max_head_age=OLD) as state:
            wait_for(state, books.head)
            for group in islice(books.cold(), 3):
                with pytest.raises(StateCorrupted, match="0x" + address.hex()):
                    ask(state, group)
            client.delete(key)
            client.set(key, record)
            assert_recovers(state, books.head)


def _damage(client: Any, key: bytes, value: bytes, kind: str) -> None:
    client.delete(key)
    if kind == "cut":
        client.set(key, value[:-7])
    elif kind == "other type":
        client.rpush(key, value)


@pytest.mark.parametrize("kind", ["one slot", "all slots", "added", "other type", "long", "leading zero"])
def test_storage_that_is_not_what_it_was(
    redis_server: RedisServer,
    publisher: Publisher,
    books: Books,
    kind: str,
) -> None:
    key = KEYS.storage(VAULTS[1], 0)
    with redis_server.client() as client:
        fields = client.hgetall(key)
        slot = dict.fromkeys(fields)
        field = next(iter(slot))
        if kind == "one slot":
            client.hdel(key, field)
        elif kind == "all slots":
            client.delete(key)
        elif kind == "added":
            client.hset(key, b"\x77" * 32, b"\1")
        elif kind == "other type":
            client.delete(key)
            client.set(key, b"1")
        else:
            for name in fields:
                client.hset(key, name, b"\1" * 33 if kind == "long" else b"\0" + fields[name])
        with RedisState(redis_server.url, CHAIN_ID, timeout=PATIENCE, max_head_age=OLD) as state:
            wait_for(state, books.head)
            for group in islice(books.cold(), 20):
                with pytest.raises(StateCorrupted, match="0x" + VAULTS[1].hex()):
                    ask(state, group)
            client.delete(key)
            client.hset(key, mapping=fields)
            assert_recovers(state, books.head)


def test_a_poisoned_feed_entry_is_not_followed(redis_server: RedisServer, publisher: Publisher, books: Books) -> None:
    """One bit of the changes: the reader starts anew from the state, which is right."""
    dice = random.Random(6)
    with FaultyProxy(redis_server.port) as proxy, reading(proxy.url, books.head) as state:
        for _ in range(5):
            proxy.refuse()
            header, diff = books.next_block()
            publisher.publish(header, diff)
            _damage_last_entry(redis_server, dice)
            proxy.heal()
            assert_recovers(state, header)
        assert state.status().counters["feed_restarts"] >= 1


def _damage_last_entry(server: RedisServer, dice: random.Random) -> None:
    """Turns round one bit of the changes in the newest entry of the feed."""
    with server.client() as client, client.pipeline() as transaction:
        entries = client.xrange(KEYS.feed)
        changes = bytearray(entries[-1][1][b"d"])
        changes[dice.randrange(len(changes))] ^= 1 << dice.randrange(8)
        entries[-1][1][b"d"] = bytes(changes)
        transaction.delete(KEYS.feed)
        for name, fields in entries:
            transaction.xadd(KEYS.feed, fields, id=name)
        transaction.execute()


def test_any_bit_of_records_codes_head_and_feed(redis_server: RedisServer, publisher: Publisher, books: Books) -> None:
    """A bit is turned round, and a reader that is started then gives right answers or errors. (Values of slots have no
    checksum of their own: only their form is checked.)"""
    dice = random.Random(8)
    right = refused = 0
    with redis_server.client() as client:
        keys = [key for key in client.keys(b"*") if not key.startswith(KEYS.prefix + b":s:")]
        for _ in range(60):
            key = dice.choice(keys)
            saved = client.dump(key)
            _flip(client, key, dice)
            ring = dice.choice((1, 128))
            with RedisState(redis_server.url, CHAIN_ID, timeout=PATIENCE, max_head_age=OLD, wait=0, ring=ring) as state:
                state.settle(PATIENCE)
                for group in dice.sample(range(GROUPS), 6):
                    for block in ("latest", books.head.number - 2):
                        try:
                            number = ask(state, group, block)
                        except StateError:
                            refused += 1
                        else:
                            right += 1
                            assert number == (books.head.number if block == "latest" else block)
            client.restore(key, 0, saved, replace=True)
    assert right > 100 and refused > 100


def _flip(client: Any, key: bytes, dice: random.Random) -> None:
    def flipped(value: bytes) -> bytes:
        data = bytearray(value)
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        return bytes(data)

    kind = client.type(key)
    if kind == b"string":
        client.set(key, flipped(client.get(key)))
    elif kind == b"hash":
        field = dice.choice(sorted(client.hkeys(key)))
        value = client.hget(key, field)
        client.hset(key, field, flipped(value) if value else b"x")
    else:
        entries = client.xrange(key)
        at = dice.randrange(len(entries))
        field = dice.choice(sorted(entries[at][1]))
        entries[at][1][field] = flipped(entries[at][1][field])
        client.delete(key)
        for ident, fields in entries:
            client.xadd(key, fields, id=ident)
