"""Reading from servers that are reached by socket, with a password, as an ACL user, by TLS, through Sentinel."""

from __future__ import annotations

from pathlib import Path

import pytest

from evmcore import EVM
from evmcore._diff import StateDiff
from evmcore.blocks import Header
from evmcore.errors import StateError, StateUnavailable
from evmcore.state import MemoryState
from evmcore.state.loading import Loader
from evmcore.state.publisher import Publisher
from evmcore.state.redis import RedisState
from evmcore.state.session import open_client
from evmcore.state.sources import from_memory
from evmcore.types import Account
from tests.redis_sentinel import Sentinel, wait_for_sentinel
from tests.redis_server import RedisServer
from tests.redis_tls import tls_server
from tests.stored_state import GENESIS, child
from tests.waiting import PATIENCE, eventually, until

CONTRACT = b"\x70" * 20
# Returns the slot that the first word of calldata names.
CODE = bytes.fromhex("5f35545f5260205ff3")
NOTHING = StateDiff.from_json({"accounts": {}, "storage": {}, "codes": {}})


def load(url: str) -> Publisher:
    publisher = Publisher(url, 1)
    memory = MemoryState({CONTRACT: Account(1, 0, CODE, {slot: slot + 100 for slot in range(40)})})
    Loader(publisher, GENESIS, complete=True).run(from_memory(memory))
    return publisher


def ask(state: RedisState, slot: int) -> int:
    with state.pin() as pin:
        output = pin.run(lambda backend: EVM(backend).call(CONTRACT, slot.to_bytes(32, "big"))).output
    return int.from_bytes(output, "big")


def wait_for(state: RedisState, header: Header) -> None:
    def arrived() -> bool:
        try:
            return state.head().hash == header.hash
        except StateError:
            return False

    until(arrived, state.status)


def assert_serves(writer_url: str, reader_url: str) -> None:
    """Cold and hot calls, the feed, and whole contracts."""
    with load(writer_url) as publisher, RedisState(reader_url, preload=[CONTRACT]) as state:
        assert state.status().counters["preloaded_slots"] == 40
        assert [ask(state, slot) for slot in (1, 2, 1, 50)] == [101, 102, 101, 0]
        header = child(GENESIS)
        publisher.publish(header, NOTHING)
        wait_for(state, header)
        assert state.status().ready
        with state.pin() as pin:
            assert pin.account(b"\x99" * 20) is None


# ---- passwords and users


def test_a_unix_socket_with_a_password_and_a_database(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis", "--requirepass", "s3cret/+ @") as server:
        url = f"unix://:s3cret%2F%2B%20%40@{server.path}?db=3"
        assert_serves(url, url)
        with pytest.raises(StateUnavailable, match=r"(?i)auth") as caught, RedisState(server.url, wait=0) as state:
            state.settle(PATIENCE)
            state.pin()
        assert "s3cret" not in str(caught.value)


def test_a_user_that_may_only_read_the_chain(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as server:
        with server.client() as client:
            rules = "resetkeys ~{evm:1}:* resetchannels -@all +@read +multi +exec +info"
            client.execute_command("ACL", "SETUSER", "reader", "on", ">pw", *rules.split())
        reader = f"redis://reader:pw@127.0.0.1:{server.port}/0"
        assert_serves(server.url, reader)
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", "reader", "-info")
            client.client_kill_filter(_type="normal")
        with RedisState(reader, wait=0) as state, pytest.raises(StateUnavailable, match=r"\+info.*NOPERM"):
            state.settle(PATIENCE)
            state.pin()


def test_a_wrong_password_is_said_and_not_shown(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis", "--requirepass", "right") as server:
        url = f"redis://:wr0ng@127.0.0.1:{server.port}/0"
        with RedisState(url, wait=0) as state:
            state.settle(PATIENCE)
            with pytest.raises(StateUnavailable, match=r"WRONGPASS|invalid") as caught:
                state.pin()
            assert "wr0ng" not in str(caught.value) + repr(state) + state.status().reason


# ---- TLS


def test_tls_with_a_password(tmp_path: Path) -> None:
    with tls_server(tmp_path, "--requirepass", "pw") as (_, place, cert):
        url = f"rediss://:pw@{place}/0?ssl_ca_certs={cert}"
        assert_serves(url, url)


def test_tls_with_a_certificate_that_is_not_trusted(tmp_path: Path) -> None:
    with tls_server(tmp_path) as (server, place, _):
        load(server.url).close()
        url = f"rediss://{place}/0"
        with RedisState(url, wait=0) as state:
            state.settle(PATIENCE)
            assert state.status().counters["redis_errors"] > 0
            with pytest.raises(StateUnavailable, match=r"(?i)certificate"):
                state.pin()


def test_tls_survives_a_restart_of_the_server(tmp_path: Path) -> None:
    with tls_server(tmp_path) as (server, place, cert):
        url = f"rediss://{place}/0?ssl_ca_certs={cert}"
        with load(url), RedisState(url) as state:
            assert ask(state, 23) == 123
            server.restart()
            assert ask(state, 23) == 123
            with pytest.raises(StateUnavailable):
                ask(state, 24)
            with load(url):
                wait_for(state, GENESIS)
                assert eventually(lambda: ask(state, 24), StateError, problem=state.status) == 124


# ---- Sentinel


def test_sentinel_gives_the_address_and_the_new_one_after_a_failover(tmp_path: Path) -> None:
    """With passwords of the servers and of the sentinel. The reader comes to the promoted replica by itself."""
    options = ["--requirepass", "pw", "--masterauth", "pw"]
    with RedisServer(tmp_path / "a", *options) as primary, RedisServer(tmp_path / "b", *options) as replica:
        with open_client(f"unix://:pw@{replica.path}") as client:
            client.execute_command("REPLICAOF", "127.0.0.1", str(primary.port))
            until(lambda: client.info("replication")["master_link_status"] == "up")
        with Sentinel(tmp_path / "s", primary, "pw", "sp") as sentinel:
            url = f"redis+sentinel://:pw@127.0.0.1:{sentinel.port}/evm?sentinel_password=sp"
            wait_for_sentinel(url, replicas=1)
            with load(url) as publisher, RedisState(url, max_head_age=None) as state:
                assert ask(state, 25) == 125
                header = child(GENESIS)
                publisher.publish(header, NOTHING)
                wait_for(state, header)
                with open_client(f"unix://:pw@{primary.path}") as client:
                    assert client.wait(1, int(PATIENCE * 1000)) == 1
                primary.kill()
                sentinel.hurry()
                assert ask(state, 25) == 125
                assert eventually(lambda: ask(state, 26), StateError, problem=state.status) == 126
                with Publisher(url, 1) as promoted:
                    header = child(header)
                    promoted.publish(header, NOTHING)
                wait_for(state, header)


# ---- replicas


def test_where_a_replica_is_before_the_window_its_primary_is_read(tmp_path: Path) -> None:
    """An address behind which several servers stand: the feed came from one, a cold read meets another that lags."""
    options = ["--requirepass", "pw", "--masterauth", "pw"]
    with RedisServer(tmp_path / "a", *options) as primary, RedisServer(tmp_path / "b", *options) as replica:
        replica_url = f"unix://:pw@{replica.path}"
        with load(f"unix://:pw@{primary.path}") as publisher, open_client(replica_url) as lagging:
            lagging.execute_command("REPLICAOF", "127.0.0.1", str(primary.port))
            until(lambda: lagging.info("replication")["master_link_status"] == "up")
            # It will not be let in again.
            lagging.config_set("masterauth", "wrong")
            with open_client(f"unix://:pw@{primary.path}") as client:
                client.client_kill_filter(_type="replica")
            with RedisState(f"redis://:pw@127.0.0.1:{primary.port}/0", ring=4) as state:
                state._links.client = open_client(replica_url)  # where the next connections for cold reads end
                header = GENESIS
                for _ in range(8):
                    header = child(header)
                    publisher.publish(header, NOTHING)
                wait_for(state, header)
                assert ask(state, 27) == 127
                with state.pin() as pin:
                    assert pin.account(b"\x99" * 20) is None
