"""The writer on a bad day: after every fault the state is whole, no block is applied twice, and it can go on."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evmcore.errors import (
    StateError,
    StateUnavailable,
    WriteRefused,
    WriterFenced,
    WrongParent,
)
from evmcore.state._changes import ChangeSet
from evmcore.state.publisher import Publisher
from evmcore.state.session import Session
from evmcore.state.stored import load_memory
from evmcore.state.works import Publication
from tests.faulty_proxy import FaultyProxy
from tests.invariant_chain import CHAIN_ID, Books, begin, begun, wait_for_head
from tests.redis_server import RedisServer
from tests.stored_state import read_state, state_of
from tests.waiting import PATIENCE, eventually

GROUPS = 8

pytestmark = pytest.mark.usefixtures("told_first")


@pytest.fixture
def books() -> Books:
    return Books(GROUPS, seed=5, moves=4)


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[FaultyProxy]:
    with FaultyProxy(redis_server.port) as made:
        yield made


@pytest.fixture
def publisher(proxy: FaultyProxy, books: Books) -> Iterator[Publisher]:
    with begun(proxy.url, books) as made:
        yield made


def assert_stored(server: RedisServer, books: Books, entries: int | None = None) -> None:
    """What is in Redis is the chain's state, every key of it, and the feed leads there entry by entry."""
    with server.client() as client:
        assert read_state(client, CHAIN_ID) == state_of(books.state)
        memory, head = load_memory(client, CHAIN_ID)
        assert head is not None and memory == books.state and head.hash == books.head.hash
        ids = [int(ident.partition(b"-")[0]) for ident, _ in client.xrange(b"{evm:%d}:feed" % CHAIN_ID)]
        assert ids == list(range(ids[0], ids[0] + len(ids))) and ids[-1] == head.seq if ids else True
        if entries is not None:
            assert len(ids) == entries


def impatient(url: str) -> Publisher:
    """A writer that soon gives up waiting."""
    return eventually(lambda: Publisher(url, CHAIN_ID, timeout=0.3), StateUnavailable)


def move(proxy: FaultyProxy, publisher: Publisher, server: RedisServer) -> None:
    """The address leads to another server from now on; the writer learns that by losing its connection."""
    proxy.retarget(server.port)
    with contextlib.suppress(StateUnavailable):
        publisher.head()


# ---- the network


def test_a_block_whose_reply_is_lost_is_applied_once(
    redis_server: RedisServer,
    proxy: FaultyProxy,
    publisher: Publisher,
    books: Books,
) -> None:
    header, diff = books.next_block()
    proxy.lose_reply_to(b"EXEC")
    # It asks what became of it, and finds it done.
    assert publisher.publish(header, diff).hash == header.hash
    assert proxy.lost_replies == 1
    assert_stored(redis_server, books, entries=1)
    assert publisher.publish(header, diff).seq == 2
    assert_stored(redis_server, books, entries=1)


def test_replies_cut_at_any_byte_do_no_harm(
    redis_server: RedisServer,
    proxy: FaultyProxy,
    publisher: Publisher,
    books: Books,
) -> None:
    dice = random.Random(7)
    header, diff = books.next_block()
    before = proxy.reply_bytes
    publisher.publish(header, diff)
    size = proxy.reply_bytes - before
    failures = 0
    for offset in sorted(dice.sample(range(1, size), min(40, size - 1))):
        header, diff = books.next_block()
        proxy.cut_replies_after(offset)
        try:
            publisher.publish(header, diff)
        except StateUnavailable:
            failures += 1
            publisher.publish(header, diff)
        proxy.heal()
    # Not every block has as many bytes of replies.
    assert proxy.cuts > 30 and failures > 10
    assert_stored(redis_server, books, entries=1 + 40)


def test_a_network_that_swallows_everything_is_an_error_in_time(
    redis_server: RedisServer,
    proxy: FaultyProxy,
    books: Books,
) -> None:
    with begun(redis_server.url, books), impatient(proxy.url) as publisher:
        header, diff = books.next_block()
        proxy.black_hole()
        with pytest.raises(StateUnavailable, match="cannot be reached"):
            publisher.publish(header, diff)
        proxy.heal()
        eventually(lambda: publisher.publish(header, diff), StateUnavailable)
    assert_stored(redis_server, books, entries=1)


def test_a_slow_network_is_slow_and_right(
    redis_server: RedisServer,
    proxy: FaultyProxy,
    publisher: Publisher,
    books: Books,
) -> None:
    proxy.delay(0.02)
    for _ in range(5):
        publisher.publish(*books.next_block())
    proxy.throttle(50_000)
    for _ in range(5):
        publisher.publish(*books.next_block())
    proxy.heal()
    assert_stored(redis_server, books, entries=10)


def test_a_server_that_refuses_connections_is_an_error_until_it_does_not(
    redis_server: RedisServer,
    proxy: FaultyProxy,
    publisher: Publisher,
    books: Books,
) -> None:
    header, diff = books.next_block()
    proxy.refuse()
    with pytest.raises(StateUnavailable):
        publisher.publish(header, diff)
    proxy.heal()
    publisher.publish(header, diff)
    assert_stored(redis_server, books, entries=1)


# ---- the server


def test_a_paused_server_is_an_error_in_time_and_the_block_is_applied_once(
    redis_server: RedisServer,
    books: Books,
) -> None:
    with begun(redis_server.url, books), impatient(redis_server.url) as publisher:
        header, diff = books.next_block()
        with redis_server.paused(), pytest.raises(StateUnavailable):
            publisher.publish(header, diff)
        for block in ((header, diff), books.next_block()):
            eventually(lambda block=block: publisher.publish(*block), StateUnavailable)
    assert_stored(redis_server, books, entries=2)


def test_a_server_that_comes_back_empty_is_loaded_again(
    redis_server: RedisServer,
    publisher: Publisher,
    books: Books,
) -> None:
    publisher.publish(*books.next_block())
    redis_server.restart()
    header, diff = books.next_block()
    # It took office of a server that knew it; the empty one knows of no office.
    with pytest.raises((StateError, WriterFenced)):
        publisher.publish(header, diff)
    with redis_server.client() as client:
        assert client.dbsize() == 0
    again = Books(GROUPS, seed=5, moves=4)
    with Publisher(redis_server.url, CHAIN_ID) as another:
        begin(another, again)
        another.publish(*again.next_block())
    assert_stored(redis_server, again, entries=1)


def test_a_flushed_server_takes_no_block(redis_server: RedisServer, publisher: Publisher, books: Books) -> None:
    publisher.publish(*books.next_block())
    with redis_server.client() as client:
        client.flushall()
        with pytest.raises(StateError):
            publisher.publish(*books.next_block())
        assert client.dbsize() == 0


def test_a_full_server_refuses_a_block_whole(redis_server: RedisServer, publisher: Publisher, books: Books) -> None:
    publisher.publish(*books.next_block())
    before = books.state.copy()
    header, diff = books.next_block()
    with redis_server.client() as client:
        client.config_set("maxmemory", 1)
        with pytest.raises(WriteRefused, match="maxmemory"):
            publisher.publish(header, diff)
        assert read_state(client, CHAIN_ID) == state_of(before)
        client.config_set("maxmemory", 0)
    publisher.publish(header, diff)
    assert_stored(redis_server, books, entries=2)


def test_a_replica_refuses_a_block_whole(redis_server: RedisServer, tmp_path: Path, books: Books) -> None:
    with FaultyProxy(redis_server.port) as proxy, RedisServer(tmp_path / "replica") as replica:
        with Publisher(proxy.url, CHAIN_ID) as publisher:
            begin(publisher, books)
            publisher.publish(*books.next_block())
            replica.replica_of(redis_server)
            move(proxy, publisher, replica)
            header, diff = books.next_block()
            with pytest.raises(WriteRefused, match="read only"):
                publisher.publish(header, diff)
            move(proxy, publisher, redis_server)
            publisher.publish(header, diff)
        assert_stored(redis_server, books, entries=2)


def test_after_a_failover_that_lost_blocks_they_are_applied_again(
    redis_server: RedisServer,
    tmp_path: Path,
    books: Books,
) -> None:
    with FaultyProxy(redis_server.port) as proxy, RedisServer(tmp_path / "replica") as replica:
        with Publisher(proxy.url, CHAIN_ID) as publisher:
            begin(publisher, books)
            made = [books.next_block() for _ in range(6)]
            for header, diff in made[:3]:
                publisher.publish(header, diff)
            replica.replica_of(redis_server)
            wait_for_head(replica, made[2][0].number)
            replica.promote()
            for header, diff in made[3:5]:
                publisher.publish(header, diff)
            feed = publisher.head().feed
            redis_server.kill()
            move(proxy, publisher, replica)
            # The next block does not follow what the new primary has: whoever follows the chain goes back.
            with pytest.raises(WrongParent, match="the head is block 3"):
                publisher.publish(*made[5])
            for header, diff in made[3:]:
                publisher.publish(header, diff)
            # Readers have seen other entries with these numbers: the feed has another name.
            assert publisher.head().feed != feed
        assert_stored(replica, books)


# ---- two writers


def test_of_two_writers_at_once_one_stops_and_the_chain_is_whole(
    redis_server: RedisServer,
    publisher: Publisher,
    books: Books,
) -> None:
    """The second takes office while the first is at it; both publish the same blocks as fast as they can."""
    blocks = [books.next_block() for _ in range(60)]
    outcome: list[Any] = []
    taken = threading.Event()

    def first() -> None:
        try:
            for header, diff in blocks:
                if header.number == 40:  # however fast it is, it is still at it then
                    assert taken.wait(PATIENCE)
                publisher.publish(header, diff)
            outcome.append("done")
        except (WriterFenced, WrongParent) as error:
            outcome.append(error)

    thread = threading.Thread(target=first)
    thread.start()
    with Publisher(redis_server.url, CHAIN_ID) as second:
        taken.set()
        head = second.head()
        assert head is not None
        for header, diff in blocks[head.number :]:
            second.publish(header, diff)
        thread.join()
        assert isinstance(outcome[0], WriterFenced)
        with pytest.raises(WriterFenced):
            publisher.publish(*blocks[-1])
    assert_stored(redis_server, books, entries=60)


def test_who_is_fenced_off_between_two_reads_is_told_so(
    redis_server: RedisServer,
    publisher: Publisher,
    books: Books,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it reads then is of two states: it must not say that one of them is corrupted. Of its first block a writer
    reads storage after it has read the accounts."""
    block, changes = books.next_block(), Publication.changes

    def publish_first(*arguments: Any) -> ChangeSet:
        monkeypatch.setattr(Publication, "changes", changes)
        with Publisher(redis_server.url, CHAIN_ID) as second:
            second.publish(*block)
        return changes(*arguments)

    monkeypatch.setattr(Publication, "changes", publish_first)
    with pytest.raises(WriterFenced):
        publisher.publish(*block)
    assert_stored(redis_server, books, entries=1)


def test_who_is_fenced_off_while_taking_office_is_told_so(
    redis_server: RedisServer,
    publisher: Publisher,
    books: Books,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publisher.publish(*books.next_block())
    request = Session.request

    def publish_first(session: Session, commands: Any, doing: str = "") -> list[Any]:
        if doing == "reading the feed":
            monkeypatch.setattr(Session, "request", request)
            with Publisher(redis_server.url, CHAIN_ID) as third:
                third.publish(*books.next_block())
        return request(session, commands, doing)

    monkeypatch.setattr(Session, "request", publish_first)
    with pytest.raises(WriterFenced):
        Publisher(redis_server.url, CHAIN_ID)
    assert_stored(redis_server, books, entries=2)
