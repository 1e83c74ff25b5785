"""The writer by every way to a Redis server: TCP, a unix socket, TLS, passwords, a user with a writer's rights only."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from evmcore.errors import StateError, StateUnavailable, WriteRefused
from evmcore.state.publisher import Publisher
from evmcore.state.redis import RedisState
from evmcore.state.stored import load_memory, stored_head
from tests.invariant_chain import CHAIN_ID, VAULTS, Books, begin
from tests.ports import free_port
from tests.redis_server import RedisServer
from tests.stored_state import read_state, state_of

GROUPS = 200
PASSWORD = "p@ss:w/ord %"

# What a writer's user may do, and no more.
WRITER = """
    +watch +unwatch +multi +exec +get +mget +set +del +unlink +exists +type +incr +scan +wait +info +config|get
    +hget +hgetall +hmget +hset +hdel +hlen +hscan +xadd +xlen +xinfo|stream +xrange +xrevrange +xtrim
"""


def use(url: str) -> Books:
    """Loads a state, publishes blocks (one too long for one packet), takes one back, reads it; all by one address."""
    books = Books(GROUPS, seed=8, moves=GROUPS)
    with Publisher(url, CHAIN_ID) as publisher:
        begin(publisher, books)
        for _ in range(4):
            publisher.publish(*books.next_block())
        books.take_back()
        publisher.revert()
        with RedisState(url, CHAIN_ID, wait=60.0) as state, state.pin("latest") as pin:
            assert pin.block_hash == books.head.hash
            for slot in range(20):
                assert pin.storage(VAULTS[0], slot) == books.state.storage(VAULTS[0], slot)
        memory, head = load_memory(url, CHAIN_ID)
        assert memory == books.state and head.hash == books.head.hash
    return books


def test_by_tcp_and_by_unix_socket(redis_server: RedisServer) -> None:
    for url in (redis_server.tcp_url, redis_server.url, f"redis://localhost:{redis_server.port}/3"):
        books = use(url)
    with redis_server.client(db=3) as client:
        assert read_state(client, CHAIN_ID) == state_of(books.state)


# ---- passwords


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis", "--requirepass", PASSWORD) as server:
        yield server


def test_with_a_password(locked: RedisServer) -> None:
    word = quote(PASSWORD, safe="")
    use(f"redis://:{word}@127.0.0.1:{locked.port}/0")
    use(f"unix://:{word}@{locked.path}")


@pytest.mark.parametrize("word", ["", ":wrong@"])
def test_without_the_password_nothing_is_done_and_the_error_says_so(
    locked: RedisServer, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"redis://{word}127.0.0.1:{locked.port}/0"
    with pytest.raises(WriteRefused, match=r"(?i)auth|password") as caught:
        Publisher(url, CHAIN_ID)
    assert "wrong@" not in str(caught.value)
    assert caplog.messages == []  # nothing of what the server would not tell without one
    with pytest.raises(StateError):
        stored_head(url, CHAIN_ID)
    with locked.client(password=PASSWORD) as client:
        assert client.dbsize() == 0


def test_a_user_with_only_a_writers_rights_is_enough(redis_server: RedisServer) -> None:
    chain = f"{{evm:{CHAIN_ID}}}:*"
    with redis_server.client() as client:
        client.acl_setuser(
            "writer", enabled=True, passwords=["+word"], commands=["-@all", *WRITER.split()], keys=[chain]
        )
        client.acl_setuser("reader", enabled=True, passwords=["+word"], commands=["-@all", "+@read"], keys=[chain])
        client.acl_setuser("other", enabled=True, passwords=["+word"], commands=["+@all"], keys=["{evm:1}:*"])
    books = Books(GROUPS, seed=9)
    url = f"redis://writer:word@127.0.0.1:{redis_server.port}/0"
    with Publisher(url, CHAIN_ID) as publisher:
        begin(publisher, books)
        publisher.publish(*books.next_block())
        publisher.publish(*books.next_block())
        books.take_back()
        publisher.revert()
    with redis_server.client() as client:
        assert read_state(client, CHAIN_ID) == state_of(books.state)
    for name in ("reader", "other"):
        with pytest.raises(WriteRefused, match="refuses"):
            Publisher(f"redis://{name}:word@127.0.0.1:{redis_server.port}/0", CHAIN_ID)


# ---- TLS


@pytest.fixture
def certified(tmp_path: Path) -> Iterator[tuple[RedisServer, int, Path]]:
    """A server with a TLS port, and the certificate it shows, which nobody else has signed."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl on this machine to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([openssl, *request.split(), *files], check=True, capture_output=True, timeout=60)
    port = free_port()
    options = ["--tls-port", str(port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    options += ["--tls-ca-cert-file", str(certificate), "--tls-auth-clients", "no", "--requirepass", "word"]
    with RedisServer(tmp_path / "plain") as plain, plain.client() as client:
        if not client.config_get("tls-port"):
            pytest.skip("this redis-server was built without TLS")
    with RedisServer(tmp_path / "redis", *options) as server:
        yield server, port, certificate


def test_by_tls(certified: tuple[RedisServer, int, Path]) -> None:
    server, port, certificate = certified
    books = use(f"rediss://:word@127.0.0.1:{port}/0?ssl_ca_certs={quote(str(certificate))}")
    with server.client(password="word") as client:
        assert read_state(client, CHAIN_ID) == state_of(books.state)


def test_a_certificate_that_nobody_vouches_for_is_refused(certified: tuple[RedisServer, int, Path]) -> None:
    _, port, _ = certified
    with pytest.raises(StateUnavailable, match=r"(?i)certificate"):
        Publisher(f"rediss://:word@127.0.0.1:{port}/0", CHAIN_ID)


def test_tls_to_a_port_without_it_is_an_error(redis_server: RedisServer) -> None:
    with pytest.raises(StateUnavailable, match="cannot be reached"):
        Publisher(f"rediss://127.0.0.1:{redis_server.port}/0", CHAIN_ID, timeout=5.0)
