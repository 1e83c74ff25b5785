"""The command `serve`: files in, a server out, with worker processes and metrics."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from evmcore.service import CallService, MemorySource
from evmcore.service.app import App
from evmcore.service.dispatch import Dispatcher
from evmcore.service.methods import METHODS
from tests.rpc_server import Client, serving
from tests.serve_command import START_SECONDS, figures, served, workers_of
from tests.service_chain import GENESIS, GETTER, REVERTER
from tests.shared_files import shared_path
from tests.waiting import eventually, until

CALL = [{"to": "0x" + GETTER.hex()}, "latest"]


@pytest.fixture
def genesis_file(tmp_path: Path) -> Path:
    path = tmp_path / "genesis.json"
    path.write_text(json.dumps(GENESIS))
    return path


def is_running(pid: int) -> bool:
    """Whether a process is there and has not ended (a zombie has)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_genesis_file_is_served(genesis_file: Path) -> None:
    with served("--genesis", str(genesis_file)) as (client, _):
        assert int(client.call("eth_call", *CALL), 16) == 42
        assert client.get("/readyz")[0] == 200
        assert client.call("txpool_status") == {"pending": "0x0", "queued": "0x0"}


def test_other_namespaces_can_be_left_out(genesis_file: Path) -> None:
    with served("--genesis", str(genesis_file), "--api", "eth,web3") as (client, _):
        assert client.call("eth_chainId") == "0x539"
        assert client.error("debug_getRawBlock", "latest")["code"] == -32601


def test_a_chain_file_is_served() -> None:
    folder = shared_path("rpc-compat", "chain")
    with served("--genesis", str(folder / "genesis.json"), "--chain", str(folder / "chain.rlp")) as (client, _):
        assert client.call("eth_blockNumber") == "0x36"
        assert client.call("eth_getBlockByNumber", "0x1", True)["number"] == "0x1"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to find the workers")
def test_workers_share_the_port_and_their_figures_and_are_started_again(genesis_file: Path) -> None:
    with served("--genesis", str(genesis_file), "--workers", "2") as (client, process):
        for _ in range(40):
            fresh = Client(client.port)
            assert int(fresh.call("eth_call", *CALL), 16) == 42
            fresh.close()
        count = 'evmcore_requests_total{method="eth_call",outcome="ok"}'
        until(lambda: figures(client)[count] == 40)  # a worker shows its own at once, those of others a second later
        assert client.error("txpool_status")["code"] == -32601  # each worker would have a pool of its own
        first = workers_of(process)
        assert len(first) == 2
        os.kill(first[0], signal.SIGKILL)
        until(lambda: len(now := workers_of(process)) == 2 and first[0] not in now, "the worker was not started again")
        fresh = Client(client.port)
        assert int(fresh.call("eth_call", *CALL), 16) == 42
        until(lambda: figures(fresh)[count] == 41)
        fresh.close()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to find the workers")
def test_workers_end_when_their_parent_is_killed(genesis_file: Path) -> None:
    command = [sys.executable, "-m", "evmcore", "serve", "--port", "0", "--workers", "2", "--genesis"]
    with subprocess.Popen([*command, str(genesis_file)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline().startswith("listening on ")
        until(lambda: len(workers_of(process)) == 2, "the workers do not start")
        workers = workers_of(process)
        process.kill()
    until(lambda: not any(is_running(pid) for pid in workers), "workers outlive their parent")


def test_requests_end_before_the_server_does(genesis_file: Path) -> None:
    with served("--genesis", str(genesis_file)) as (client, process):
        assert client.call("eth_chainId") == "0x539"
        process.send_signal(signal.SIGINT)
        assert process.wait(START_SECONDS) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to serve"),
        (["--genesis", "/nowhere.json"], "genesis /nowhere.json"),
        (["--genesis", "{genesis}", "--chain", "/nowhere.rlp"], "chain /nowhere.rlp"),
        (["--genesis", "{genesis}", "--chain", "{genesis}"], "chain {genesis}: block 1"),
        (["--genesis", "{genesis}", "--host", "192.0.2.1"], "cannot listen on 192.0.2.1"),
        (["--genesis", "{genesis}", "--limit-gas", "0"], "above zero"),
        (["--genesis", "{genesis}", "--port", "70000"], "not a port"),
        (["--genesis", "{genesis}", "--port", "http"], "not a port"),
        (["--genesis", "{genesis}", "--chain-id", "5"], "the genesis is of chain 1337"),
        (["--genesis", "{genesis}", "--workers", "0"], "from 1"),
        pytest.param(
            ["--genesis", "{genesis}", "--limit-memory", "20"],
            "--limit-memory 20: a process takes",
            marks=pytest.mark.skipif(
                not Path("/proc/self/statm").exists(), reason="no /proc: what it takes is not known"
            ),
        ),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(arguments: list[str], message: str, genesis_file: Path) -> None:
    words = [word.format(genesis=genesis_file) for word in arguments]
    command = [sys.executable, "-m", "evmcore", "serve", *words]
    result = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS, check=False)
    assert result.returncode == 2
    assert message.format(genesis=genesis_file) in result.stderr
    assert result.stderr.count("\n") == 1


def test_metrics_tell_outcomes_times_gas_and_the_head() -> None:
    pytest.importorskip("prometheus_client")
    from evmcore.service.metrics import Metrics

    metrics = Metrics()
    dispatcher = Dispatcher(CallService(MemorySource.from_genesis(GENESIS)), METHODS, metrics)
    with serving(App(dispatcher, metrics=metrics)) as client:
        client.call("eth_call", *CALL)
        client.error("eth_call", {"to": "0x" + REVERTER.hex()}, "latest")
        client.error("eth_call", 7)
        client.error("eth_sing")
        client.post("{")
        shown = figures(client)
        for outcome in ("ok", "reverted", "invalid_params"):
            assert shown[f'evmcore_requests_total{{method="eth_call",outcome="{outcome}"}}'] == 1
        assert shown['evmcore_requests_total{method="invalid",outcome="no_such_method"}'] == 1
        assert shown['evmcore_request_seconds_count{method="eth_call"}'] == 3
        assert shown['evmcore_gas_total{method="eth_call"}'] > 42_000
        assert (shown["evmcore_ready"], shown["evmcore_head_number"], shown["evmcore_feed_lag"]) == (1, 0, 0)


def test_times_are_counted_where_prometheus_counts_them() -> None:
    prometheus = pytest.importorskip("prometheus_client")
    from evmcore.service.metrics import SECONDS, Metrics

    times = [0.0, *SECONDS, *(bound + 1e-9 for bound in SECONDS), 1e6]
    metrics = Metrics()
    registry = prometheus.CollectorRegistry()
    plain = prometheus.Histogram("evmcore_request_seconds", "", ["method"], buckets=SECONDS, registry=registry)
    for seconds in times * 2:
        metrics.answered("eth_call", 0, seconds, 0)
        plain.labels("eth_call").observe(seconds)
    for bound in (*map(str, map(float, SECONDS)), "+Inf"):
        expected = registry.get_sample_value("evmcore_request_seconds_bucket", {"method": "eth_call", "le": bound})
        line = f'evmcore_request_seconds_bucket{{le="{bound}",method="eth_call"}} {expected}'
        assert expected and line in metrics.text()[0].decode().splitlines()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of open files are Linux's here")
def test_more_connections_than_files_may_be_open(genesis_file: Path) -> None:
    """Those that are too many are closed; the others, and later ones, are served."""
    import resource

    def chain_id() -> str:
        later = Client(client.port)
        try:
            return str(later.call("eth_chainId"))
        finally:
            later.close()

    body = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}'
    request = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (80, limits[1]))  # the child's too
    try:
        served_process = served("--genesis", str(genesis_file))
        client, _ = served_process.__enter__()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    try:
        opened = [socket.create_connection(("127.0.0.1", client.port), timeout=START_SECONDS) for _ in range(150)]
        until(lambda: any(_is_closed(connection) for connection in opened[80:]), "none is closed")
        opened[0].sendall(request)
        assert opened[0].recv(1000).startswith(b"HTTP/1.1 200")
        for connection in opened:
            connection.close()
        assert eventually(chain_id, OSError, http.client.HTTPException) == "0x539"
    finally:
        served_process.__exit__(None, None, None)


def _is_closed(connection: socket.socket) -> bool:
    connection.settimeout(0.01)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True
