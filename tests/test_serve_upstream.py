"""A state in Redis that holds a contract in part, and a full node of our own that is asked for the rest."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evmcore.errors import StateError, StateUnavailable
from evmcore.state.upstream import UpstreamNode
from tests.listening import listening
from tests.ports import free_port
from tests.redis_server import RedisServer
from tests.rpc_compat import chain_files
from tests.rpc_server import Client
from tests.serve_command import served
from tests.shared_files import shared_path
from tests.waiting import PATIENCE, until

CHAIN_ID = 3503995874084926
# Keeps, for each block, its timestamp and the parent's root (EIP-4788): two slots a block, in rings of 8,191.
ROOTS = "0x000f3df6d732807ef1319fb7b8bb8522d0beac02"
RING = 8191
NOBODY = "0x" + "00" * 20  # who calls, where a call names nobody
LOADED_AT = 50


@pytest.fixture(scope="module")
def chain() -> list[str]:
    """The arguments that have the whole chain of the cases served."""
    folder = shared_path("rpc-compat", "chain")
    return ["--genesis", str(folder / "genesis.json"), "--chain", str(folder / "chain.rlp")]


@pytest.fixture(scope="module")
def node(chain: list[str]) -> Iterator[Client]:
    """A full node: `serve --chain`."""
    with served(*chain) as (client, _):
        yield client


def command(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "evmcore", *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def url_of(client: Client) -> str:
    return f"http://127.0.0.1:{client.port}"


def load_roots(server: RedisServer, node: Client, tmp_path: Path, *blocks: int) -> None:
    """The roots contract into Redis as it was after block `LOADED_AT`, with the slots of these blocks alone."""
    slots = [slot for block in blocks for slot in slots_of(timestamp_of(block))]
    path = tmp_path / "slots.json"
    path.write_text(json.dumps({ROOTS: [hex(slot) for slot in slots]}))
    genesis = shared_path("rpc-compat", "chain") / "genesis.json"
    command(
        *("load", "--redis", server.url, "--node", url_of(node), "--block", str(LOADED_AT)),
        *("--account", ROOTS, "--account", NOBODY, "--slots", str(path), "--chain-config", str(genesis)),
    )


def timestamp_of(block: int) -> int:
    header = chain_files()[1][block - 1].header
    assert header.number == block
    return header.timestamp


def slots_of(timestamp: int) -> tuple[int, int]:
    return timestamp % RING, timestamp % RING + RING


def root_call(block: int) -> dict[str, str]:
    """A call that gives the root kept for a block."""
    return {"to": ROOTS, "data": f"0x{timestamp_of(block):064x}"}


def redis_arguments(server: RedisServer, upstream: str, *more: str) -> list[str]:
    return ["--redis", server.url, "--chain-id", str(CHAIN_ID), "--upstream", upstream, *more]


def drip(connection: socket.socket) -> None:
    """An answer that goes on and on, a byte at a time, and never ends."""
    try:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n")
        while True:
            connection.sendall(b" ")
            time.sleep(0.05)
    except OSError:
        pass


# ---- what is not loaded is asked, and is right


def test_calls_on_a_contract_that_is_loaded_in_part_are_answered_as_by_the_node(
    redis_server: RedisServer,
    node: Client,
    tmp_path: Path,
) -> None:
    load_roots(redis_server, node, tmp_path, 48, 49)
    at = hex(LOADED_AT)
    with served(*redis_arguments(redis_server, url_of(node))) as (client, _):
        assert client.call("eth_blockNumber") == at
        for block in (49, 48, 50, 45, 50, 45, 43):
            assert client.call("eth_call", root_call(block), "latest") == node.call("eth_call", root_call(block), at)
        for slot in (*slots_of(timestamp_of(44)), 1, 2**255):
            expected = node.call("eth_getStorageAt", ROOTS, hex(slot), at)
            assert client.call("eth_getStorageAt", ROOTS, hex(slot), "latest") == expected
        # Reverts are results, not misses: that of a block that is not kept.
        missing = {"to": ROOTS, "data": f"0x{timestamp_of(50) + 1:064x}"}
        assert client.error("eth_call", missing, "latest")["code"] == 3
        # Accounts that were not loaded at all: with code, without, and not there.
        history = "0x0000f90827f1c53a10cb7a02335b175320002935"
        for account in (history, "0x7dcd17433742f4c0ca53122ab541d0ba67fc27df", "0x" + "77" * 20):
            for method in ("eth_getBalance", "eth_getTransactionCount", "eth_getCode"):
                assert client.call(method, account, "latest") == node.call(method, account, at)
        call = {"to": history, "data": f"0x{LOADED_AT - 3:064x}"}
        assert client.call("eth_call", call, "latest") == node.call("eth_call", call, at)
        metrics = client.get("/metrics")[2].decode()
        assert "evmcore_source_upstream_questions" in metrics


def test_without_a_node_it_is_a_named_error(
    redis_server: RedisServer,
    node: Client,
    tmp_path: Path,
) -> None:
    load_roots(redis_server, node, tmp_path, 48)
    with served("--redis", redis_server.url, "--chain-id", str(CHAIN_ID)) as (client, _):
        assert client.call("eth_call", root_call(48), "latest") == node.call("eth_call", root_call(48), hex(LOADED_AT))
        error = client.error("eth_call", root_call(45), "latest")
        assert error["code"] == -32000
        assert f"of {ROOTS} was not loaded into this incomplete state, and no node is configured" in error["message"]


def test_what_was_asked_is_kept_while_the_feed_tells_of_changes(
    redis_server: RedisServer,
    chain: list[str],
    tmp_path: Path,
) -> None:
    with served(*chain) as (node, process):
        load_roots(redis_server, node, tmp_path, 48)
        expected = {block: node.call("eth_call", root_call(block), "latest") for block in (43, 45, 54)}
        with served(*redis_arguments(redis_server, url_of(node))) as (client, _):
            for block in (45, 43):
                assert client.call("eth_call", root_call(block), "latest") == expected[block]
            command(
                *("follow", "--redis", redis_server.url, "--node", url_of(node), "--diffs", "--until", "54", "--quiet"),
            )
            until(lambda: client.call("eth_blockNumber") == "0x36")
            process.kill()
            process.wait()
            # Of this process's cache, and of what blocks have brought.
            for block in (45, 43, 54):
                assert client.call("eth_call", root_call(block), "latest") == expected[block]
            assert client.error("eth_call", root_call(44), "latest")["code"] == -32000
        process.returncode = 0


# ---- the node on a bad day


def test_a_node_that_is_down_is_an_error_and_comes_back(
    redis_server: RedisServer,
    node: Client,
    chain: list[str],
    tmp_path: Path,
) -> None:
    load_roots(redis_server, node, tmp_path, 48)
    expected = {block: node.call("eth_call", root_call(block), hex(LOADED_AT)) for block in (45, 48)}
    port = free_port()
    arguments = redis_arguments(redis_server, f"http://127.0.0.1:{port}", "--unavailable-503")
    with served(*arguments) as (client, _):
        for _ in range(3):
            error = client.error("eth_call", root_call(45), "latest")
            assert error["code"] == -32000
            assert f"state backend unavailable: upstream node 127.0.0.1:{port} cannot be reached" in error["message"]
            assert client.call("eth_call", root_call(48), "latest") == expected[48]
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [root_call(45), "latest"]})
        status, headers, _ = client.post(body)
        assert (status, headers["retry-after"]) == (503, "1")
        assert client.get("/readyz")[0] == 200
        with served(*chain, "--port", str(port)):
            answer: dict[str, Any] = {}

            def answered() -> bool:
                answer.update(client.answer(json.loads(body)))
                return "result" in answer

            until(answered, answer)
            assert answer["result"] == expected[45]


@pytest.mark.parametrize("slow", ["silent", "dripping", "stopped"])
def test_a_node_that_is_slow_is_given_up_in_time(
    slow: str,
    redis_server: RedisServer,
    node: Client,
    chain: list[str],
    tmp_path: Path,
) -> None:
    load_roots(redis_server, node, tmp_path, 48)
    expected = node.call("eth_call", root_call(48), hex(LOADED_AT))

    def check(url: str) -> None:
        with served(*redis_arguments(redis_server, url, "--upstream-timeout", "0.5")) as (client, _):
            began = time.monotonic()
            error = client.error("eth_call", root_call(45), "latest")
            assert time.monotonic() - began < PATIENCE / 2
            assert error["code"] == -32000 and "state backend unavailable: upstream node" in error["message"], error
            assert client.call("eth_call", root_call(48), "latest") == expected

    if slow == "stopped":
        with served(*chain) as (other, process):
            process.send_signal(signal.SIGSTOP)
            try:
                check(url_of(other))
            finally:
                process.send_signal(signal.SIGCONT)
    else:
        with listening(drip if slow == "dripping" else lambda connection: None) as port:
            check(f"http://127.0.0.1:{port}")


def test_a_node_of_another_branch_or_chain_is_an_error_not_a_value(
    redis_server: RedisServer,
    node: Client,
    tmp_path: Path,
) -> None:
    load_roots(redis_server, node, tmp_path, 48)
    folder = shared_path("rpc-compat", "chain")
    with (
        served("--genesis", str(folder / "genesis.json")) as (other, _),  # it has not come so far
        served(*redis_arguments(redis_server, url_of(other))) as (client, _),
    ):
        error = client.error("eth_call", root_call(45), "latest")
        assert error["code"] == -32000 and "header for hash not found (asked at block 50 0x" in error["message"], error


# ---- the asking itself


def test_an_answer_that_its_proof_does_not_bear_out_is_refused(node: Client, monkeypatch: Any) -> None:
    header = chain_files()[1][LOADED_AT - 1].header
    address, slot = bytes.fromhex(ROOTS[2:]), slots_of(timestamp_of(45))[0]
    upstream = UpstreamNode(url_of(node))
    try:
        found = upstream.accounts(header, {address: [slot]})[address]
        assert found.proven and found.slots == {slot: timestamp_of(45)}
        other = chain_files()[1][LOADED_AT - 2].header  # its root is another, so nothing fits
        monkeypatch.setattr(type(header), "hash", property(lambda self: header_hash))
        header_hash = bytes.fromhex(node.call("eth_getBlockByNumber", hex(LOADED_AT), False)["hash"][2:])
        with pytest.raises(StateError, match="the node's proof does not hold"):
            upstream.accounts(other, {address: [slot]})
    finally:
        upstream.close()
    with pytest.raises(StateUnavailable, match="closed"):
        upstream.accounts(header, {address: [slot]})
