"""Under which names the server may be asked, as geth's --http.vhosts: a page whose name resolves to it is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evmcore.service import CallService, MemorySource
from evmcore.service.app import App
from evmcore.service.dispatch import Dispatcher
from evmcore.service.hosts import HostCheck
from evmcore.service.http import HttpProtocol
from evmcore.service.methods import METHODS
from tests.commands import run_command
from tests.rpc_server import exchange, serving
from tests.serve_command import served
from tests.service_chain import GENESIS

BODY = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}'
REFUSED = b"invalid host specified\n"


def asked(port: int, host: str | None, begin: str = "POST /") -> tuple[bytes, bytes]:
    """Status and body of the answer to a request with that header Host, or none."""
    named = "" if host is None else f"host: {host}\r\n"
    request = f"{begin} HTTP/1.1\r\n{named}content-length: {len(BODY)}\r\n\r\n".encode() + BODY
    ((status, body),) = exchange(port, [[request]])
    return status, body


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost:8545",
        "node.example",
        "127.0.0.1",
        "10.1.2.3:8545",
        "[::1]:8545",
        "[::1]",
        "::1",
        "",
        None,
    ],
)
@pytest.mark.parametrize("protocol", [HttpProtocol, "httptools"], ids=["own protocol", "ASGI"])
def test_allowed_names_addresses_and_no_name_are_served(host: str | None, protocol: object) -> None:
    service = CallService(MemorySource.from_genesis(GENESIS))
    app = App(Dispatcher(service, METHODS), hosts=("localhost", "Node.Example"))
    with serving(app, protocol) as client:
        for _ in range(2):
            status, body = asked(client.port, host)
            assert status == b"200" and json.loads(body)["result"] == "0x539"
            assert asked(client.port, "evil.example") == (b"403", REFUSED)
            assert asked(client.port, "localhost.evil.example:8545") == (b"403", REFUSED)
            assert asked(client.port, "evil.example", "GET /metrics") == (b"403", REFUSED)


@pytest.mark.parametrize(
    "host",
    ["evil", "127.0.0.1.evil.example", "localhost:80:80", "[::1", "[localhost]x", "127.0.0.256", "[", ":", "\xff"],
)
def test_what_is_neither_an_allowed_name_nor_an_address_is_refused(host: str) -> None:
    assert not HostCheck(["localhost"]).admits({b"host": host.encode("latin-1")})
    assert HostCheck(["*"]).admits({b"host": host.encode("latin-1")})


def test_the_command_allows_localhost_alone_or_what_it_is_told(tmp_path: Path) -> None:
    genesis = tmp_path / "genesis.json"
    genesis.write_text(json.dumps(GENESIS))
    for words, right, wrong in (
        ([], "localhost", "node.example"),
        (["--vhosts", "node.example,other"], "other", "localhost"),
        (["--vhosts", "*"], "anything.example", None),
    ):
        with served("--genesis", str(genesis), *words) as (client, _):
            assert asked(client.port, right)[0] == b"200"
            assert asked(client.port, "127.0.0.1")[0] == b"200"
            assert wrong is None or asked(client.port, wrong) == (b"403", REFUSED)


@pytest.mark.parametrize("names", ["", "a,,b", "a:80", "http://a"])
def test_what_is_no_name_is_an_error(names: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run_command(capsys, "serve", "--genesis", "x", "--vhosts", names)
    assert code == 2 and "is no name of a host" in err
