"""Readers of a server that evicts keys: what is lost is never taken for zero, and a state loaded again is read."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from evmcore.blocks import Header
from evmcore.errors import StateCorrupted, StateError, StateUnavailable, UnsafeStorage
from evmcore.state import MemoryState, evictions
from evmcore.state.layout import Keys
from evmcore.state.loading import Loader
from evmcore.state.publisher import Publisher
from evmcore.state.redis import RedisState
from evmcore.state.session import open_client
from evmcore.state.sources import from_memory
from evmcore.types import Account
from tests.faulty_proxy import FaultyProxy
from tests.redis_server import RedisServer
from tests.waiting import PATIENCE, eventually, until

CHAIN_ID = 1
KEYS = Keys(CHAIN_ID)
GENESIS = Header(number=3, timestamp=1)
PEOPLE = [bytes([1, number >> 8, number & 255]) + bytes(17) for number in range(400)]
CONTRACTS = [bytes([2, number]) + bytes(18) for number in range(40)]
NOBODY = b"\x99" * 20


def world() -> MemoryState:
    accounts = {address: Account(1, 1000 + i) for i, address in enumerate(PEOPLE)}
    for i, address in enumerate(CONTRACTS):
        accounts[address] = Account(1, 0, bytes([0x60, i, 0x00]), {slot: slot + 1 for slot in range(20)})
    return MemoryState(accounts)


def load(server: RedisServer) -> None:
    with Publisher(server.url, CHAIN_ID) as publisher:
        Loader(publisher, GENESIS, complete=True).run(from_memory(world()))


def check_something(state: RedisState, rng: random.Random) -> None:
    """Reads a balance or a slot, which has to be right or refused."""
    with state.pin() as pin:
        if rng.randrange(3):
            i = rng.randrange(len(PEOPLE))
            account = pin.account(PEOPLE[i])
            assert account is not None and account.balance == 1000 + i
        else:
            slot = rng.randrange(20)
            assert pin.storage(rng.choice(CONTRACTS), slot) == slot + 1


def configure(server: RedisServer, policy: str, room: int = 0) -> None:
    """Sets the policy, and the limit to what is in use and some more (0: no limit)."""
    with server.client() as client:
        client.config_set("maxmemory-policy", policy)
        client.config_set("maxmemory", client.info("memory")["used_memory"] + room if room else 0)


def evicted(server: RedisServer) -> int:
    with server.client() as client:
        return int(client.info("stats")["evicted_keys"])


def press(server: RedisServer, number: int) -> None:
    with server.client() as client:
        client.set(f"junk{number}", bytes(4000))


def evict_some(server: RedisServer) -> list[int]:
    """Makes the server evict people, and nothing else of the state: gives their numbers. It does not evict any more
    then."""
    gone: list[int] = []
    with server.client() as client:
        for address in PEOPLE:
            client.expire(KEYS.account(address), 10**6)  # what may be evicted
        configure(server, "volatile-random", room=1)
        for number in range(1000):
            client.set(f"junk{number}", bytes(2000))
            gone = [i for i, address in enumerate(PEOPLE) if not client.exists(KEYS.account(address))]
            if gone:
                break
        assert gone, "nothing was evicted"
        configure(server, "noeviction")
    return gone


def is_refused(state: RedisState) -> bool:
    """Whether a reader says that the server has evicted keys, or may."""
    try:
        with state.pin() as pin:
            pin.account(b"\x98" * 20)
    except UnsafeStorage as error:
        assert "evict" in str(error)
        return True
    except StateError:
        return False
    return False


def assert_recovers(server: RedisServer, state: RedisState) -> None:
    """Once the state was loaded again into a server that does not evict, the same reader has all of it."""
    configure(server, "noeviction")
    with server.client() as client:
        client.flushall()
    load(server)
    until(lambda: state.status().ready, state.status)
    with state.pin() as pin:
        for i, address in enumerate(PEOPLE):
            account = pin.account(address)
            assert account is not None and account.balance == 1000 + i
        for address in CONTRACTS:
            assert [pin.storage(address, slot) for slot in range(20)] == list(range(1, 21))
        assert pin.account(NOBODY) is None


@pytest.fixture
def server(redis_server: RedisServer) -> Iterator[RedisServer]:
    load(redis_server)
    yield redis_server


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random", "allkeys-lfu"])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_evicted_under_a_reader_is_never_zero(server: RedisServer, policy: str, seed: int) -> None:
    """A server is set to evict while it is read, and keys go one by one: accounts, storage, codes, head and feed."""
    rng = random.Random(seed)
    with RedisState(server.url) as state:
        check_something(state, rng)
        configure(server, policy, room=20_000)
        refused = 0
        for step in range(60):
            press(server, step)
            for _ in range(10):
                try:
                    check_something(state, rng)
                except (UnsafeStorage, StateCorrupted, StateUnavailable):
                    refused += 1
        assert evicted(server) > 0
        # Whatever it was that showed it first: in the end the reader says what has happened.
        until(lambda: is_refused(state), state.status)
        assert refused and not state.status().ready
        assert_recovers(server, state)


def test_an_account_that_was_evicted_is_not_taken_for_one_that_never_was(server: RedisServer) -> None:
    """The first read after the eviction. The feed's thread cannot have noticed: nothing comes through to it."""
    with FaultyProxy(server.port) as proxy, RedisState(proxy.url) as state, state.pin() as pin:
        state._links.client = open_client(server.url)  # of connections for cold reads
        proxy.black_hole()
        assert pin.account(NOBODY) is None
        gone = evict_some(server)
        with pytest.raises(UnsafeStorage, match=r"evicted \d+ keys"):
            pin.account(PEOPLE[gone[0]])


def test_what_is_in_the_cache_is_answered_all_the_same(server: RedisServer) -> None:
    with RedisState(server.url) as state:
        with state.pin() as pin:
            found = pin.account(PEOPLE[0])
        evict_some(server)
        until(lambda: is_refused(state), state.status)
        with state.pin() as pin:
            assert pin.account(PEOPLE[0]) == found
            with pytest.raises(UnsafeStorage):
                pin.account(PEOPLE[1])


def test_a_reader_does_not_start_where_keys_were_evicted(server: RedisServer) -> None:
    configure(server, "allkeys-random", room=1000)
    for step in range(20):
        press(server, step)
    configure(server, "noeviction")
    with RedisState(server.url, wait=0) as state:
        state.settle(PATIENCE)
        with pytest.raises(UnsafeStorage, match=r"evicted \d+ keys, perhaps of this state"):
            state.pin()
        assert "evicted" in state.status().reason
        assert_recovers(server, state)


def test_a_server_that_is_set_up_to_evict_is_refused_until_it_is_not(server: RedisServer) -> None:
    configure(server, "allkeys-lru", room=10_000_000)
    with RedisState(server.url, wait=0) as state:
        state.settle(PATIENCE)
        with pytest.raises(UnsafeStorage, match=r"maxmemory-policy allkeys-lru\): set maxmemory-policy to noeviction"):
            state.pin()
        configure(server, "noeviction", room=10_000_000)
        with eventually(state.pin, UnsafeStorage, StateUnavailable) as pin:
            assert pin.account(PEOPLE[7]).balance == 1007


def test_a_server_that_is_set_to_evict_later_is_noticed_before_it_does(server: RedisServer) -> None:
    with RedisState(server.url) as state:
        configure(server, "volatile-lru", room=10_000_000)
        until(lambda: not state.status().ready)
        with state.pin() as pin, pytest.raises(UnsafeStorage, match="volatile-lru"):
            pin.account(PEOPLE[3])
        configure(server, "noeviction")

        def ask() -> int:
            with state.pin() as pin:
                account = pin.account(PEOPLE[3])
                assert account is not None
                return account.balance

        assert eventually(ask, StateError) == 1003


def test_a_policy_without_a_limit_evicts_nothing(server: RedisServer) -> None:
    configure(server, "allkeys-lru")
    with RedisState(server.url) as state, state.pin() as pin:
        assert pin.account(NOBODY) is None


def test_evictions_before_the_state_was_loaded_do_not_matter(server: RedisServer) -> None:
    configure(server, "allkeys-random", room=1000)
    for step in range(20):
        press(server, step)
    assert evicted(server) > 0
    configure(server, "noeviction")
    with server.client() as client:
        client.flushall()
    load(server)
    with RedisState(server.url) as state, state.pin() as pin:
        assert pin.account(NOBODY) is None
        account = pin.account(PEOPLE[9])
        assert account is not None and account.balance == 1009


def test_a_replica_is_asked_for_values_and_its_primary_for_evictions(server: RedisServer, tmp_path: Path) -> None:
    """What the primary evicts goes from the replica too, whose own counter does not say so."""
    with RedisServer(tmp_path / "replica") as replica:
        replica.replica_of(server)
        with RedisState(replica.url) as state, state.pin() as pin:
            assert pin.account(NOBODY) is None
            gone = evict_some(server)
            with replica.client() as client:
                until(lambda: not client.exists(KEYS.account(PEOPLE[gone[0]])))
            assert evicted(replica) == 0
            with pytest.raises(UnsafeStorage, match=r"evicted \d+ keys"):
                pin.account(PEOPLE[gone[0]])


def test_what_info_says_is_read_as_it_is() -> None:
    text = b"# Server\r\nrun_id:abc\r\n# Stats\r\nevicted_keys:12\r\n"
    text += b"# Memory\r\nmaxmemory:5\r\nmaxmemory_policy:allkeys-lru\r\n"
    info = evictions.parse_info(text + b"role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6380\r\n")
    assert info == evictions.ServerInfo("abc", 12, 5, "allkeys-lru", ("10.0.0.1", 6380))
    assert evictions.mark(text) == b"abc 12"
    assert evictions.check_count(info, b"abc 12") == 12
    for stored in (b"abc 11", b"other 12", None, b"", b"\xff\xff"):
        with pytest.raises(UnsafeStorage, match="evicted"):
            evictions.check_count(info, stored)
    with pytest.raises(UnsafeStorage, match="does not tell"):
        evictions.check_count(evictions.parse_info(b"run_id:abc\r\n"), b"abc 12")
