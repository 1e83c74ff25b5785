"""Serving from Redis: the state that `follow` keeps there, with blocks from a chain file or without."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evmcore.service import CallService
from evmcore.service.app import App
from evmcore.service.archived_source import ArchivedSource
from evmcore.service.dispatch import Dispatcher
from evmcore.service.methods import METHODS
from evmcore.service.redis_source import RedisSource
from tests.commands import run_command
from tests.redis_server import RedisServer
from tests.rpc_compat import Case, cases, chain_files, chain_source, run_case
from tests.rpc_server import Client, serving
from tests.shared_files import shared_path
from tests.waiting import PATIENCE

CHAIN_ID = 3503995874084926
CONTRACT = "0x7dcd17433742f4c0ca53122ab541d0ba67fc27df"

CASES = cases()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis server that holds the state of the cases' chain, brought there by the command `follow`."""
    folder = shared_path("rpc-compat", "chain")
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        command = [
            *(sys.executable, "-m", "evmcore", "follow", "--quiet", "--redis", server.url),
            *("--chain", str(folder / "chain.rlp"), "--genesis", str(folder / "genesis.json")),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        yield server


def app(server: RedisServer) -> App:
    """State from Redis, blocks from the chain file."""
    source = ArchivedSource(RedisSource.open(server.url, CHAIN_ID), chain_source())
    return App(Dispatcher(CallService(source), METHODS))


@pytest.fixture(scope="module")
def client(server: RedisServer) -> Iterator[Client]:
    with serving(app(server)) as client:
        yield client


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_case_is_answered_as_upstream_expects(case: Case, request: pytest.FixtureRequest) -> None:
    if case.changes_state:
        with serving(app(request.getfixturevalue("server"))) as client:
            assert run_case(client, case) is None
    else:
        assert run_case(request.getfixturevalue("client"), case) is None


def test_the_command_serves_state_without_blocks(server: RedisServer) -> None:
    command = [sys.executable, "-m", "evmcore", "serve", "--port", "0", "--workers", "2"]
    command += ["--redis", server.url, "--chain-id", str(CHAIN_ID), "--redis-timeout", "60", "--max-head-age", "3600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            match = re.fullmatch(r"listening on http://127\.0\.0\.1:(\d+)\n", process.stdout.readline())
            assert match is not None
            client = Client(int(match[1]))
            assert client.call("eth_chainId") == hex(CHAIN_ID)
            assert client.call("eth_blockNumber") == "0x36"
            assert client.call("eth_getBalance", CONTRACT, "latest") == "0x76"
            assert client.call("eth_getHeaderByNumber", "latest")["hash"] == "0x" + chain_files()[1][-1].hash.hex()
            assert "keeps no blocks" in client.error("eth_getLogs", {})["message"]
            assert client.get("/readyz")[0] == 200
            assert b"evmcore_source_" in client.get("/metrics")[2]
            client.close()
            process.terminate()
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_whose_state_is_not_there_does_not_start(workers: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "evmcore", "serve", "--port", "0", "--workers", workers]
    command += ["--redis", f"unix://{tmp_path}/none.sock"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 2
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


def test_earlier_blocks_of_the_ring_have_their_own_state(server: RedisServer) -> None:
    memory = CallService(chain_source())
    with_redis = CallService(RedisSource.open(server.url, CHAIN_ID))
    try:
        for number in range(30, 55):
            for to, data in ((CONTRACT, b""), ("0x9344b07175800259691961298ca11c824e65032d", b"")):
                expected = memory.call(to, data, block=number)
                found = with_redis.call(to, data, block=number)
                assert (found.output, found.gas_used) == (expected.output, expected.gas_used), number
    finally:
        with_redis.source.close()


def test_a_batch_is_answered_from_redis(client: Client) -> None:
    request = {"method": "eth_call", "params": [{"to": CONTRACT, "data": "0x"}, "latest"]}
    answers = client.answer([{"jsonrpc": "2.0", "id": number, **request} for number in range(20)])
    assert [answer["id"] for answer in answers] == list(range(20))
    assert len({json.dumps(answer["result"]) for answer in answers}) == 1


def test_chains_that_do_not_fit_together_are_refused(server: RedisServer, capsys: Any, tmp_path: Path) -> None:
    folder = shared_path("rpc-compat", "chain")
    other = json.loads((folder / "genesis.json").read_text())
    other["config"]["chainId"] = 5
    path = tmp_path / "other.json"
    path.write_text(json.dumps(other))
    command = ["serve", "--redis", server.url, "--chain-id", str(CHAIN_ID), "--genesis", str(path)]
    code, _, err = run_command(capsys, *command, "--chain", str(folder / "chain.rlp"), "--port", "0")
    assert code != 0 and err
