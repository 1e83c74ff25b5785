"""The load generator: what it sends, when, and what it counts. The servers here are small ones of the tests' own."""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from evmcore import EVM, BlockEnv, MemoryState
from evmcore.bench.load import figures
from evmcore.bench.load.command import add_arguments
from evmcore.bench.load.mixes import MIXES, NO_METHOD, REVERTED, Call, Calls, Request, rpc
from evmcore.bench.load.sending import SECOND, Answers, BrokenAnswer, Sender, Target, parse_answer
from evmcore.bench.load.trivial import trivial_server
from evmcore.bench.load.world import CHAIN_ID, TIMESTAMP, LoadWorld
from evmcore.chain import BlockChain
from evmcore.errors import InputError
from tests.commands import assert_one_line, run_command
from tests.listening import listening
from tests.redis_server import need_redis
from tests.redis_tls import tls_server
from tests.serve_command import served, workers_of
from tests.waiting import PATIENCE, until

# What flood 0.3.1 writes for each rate (spec.py, LoadTestOutputDatum).
FLOOD_FIELDS = {
    "target_rate", "actual_rate", "target_duration", "actual_duration", "requests", "throughput", "success", "min",
    "mean", "p50", "p90", "p95", "p99", "max", "status_codes", "errors", "first_request_timestamp",
    "last_request_timestamp", "last_response_timestamp", "final_wait_time",
}  # fmt: skip
DEEP_KEYS = {"deep_raw_output", "deep_metrics", "deep_rpc_error_pairs"}
DEEP_FIELDS = {"n_invalid_json_errors", "n_rpc_errors"}


class Cut(bytes):
    """Bytes after which the connection is closed."""


# A handler gets a request's body and its number, and gives bytes to send; None closes the connection instead.
Handler = Callable[[bytes, int], "bytes | None"]


def http(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


def result(body: bytes, value: Any = "0x1") -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": json.loads(body)["id"], "result": value}).encode()


@contextmanager
def serving(handler: Handler) -> Iterator[Target]:
    """A server that answers with what `handler` says, one thread a connection."""
    numbers = iter(range(10**9))
    lock = threading.Lock()

    def talk(connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            while line := stream.readline():
                length = 0
                while line not in (b"\r\n", b""):
                    name, _, value = line.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                    line = stream.readline()
                body = stream.read(length)
                with lock:
                    number = next(numbers)
                answer = handler(body, number)
                try:
                    if answer is not None:
                        connection.sendall(answer)
                    if answer is None or isinstance(answer, Cut):
                        return
                except OSError:
                    return

    with listening(talk) as port:
        yield Target("127.0.0.1", port, "/")


def noops(count: int) -> list[Request]:
    return [Request(rpc(ident, "eth_blockNumber"), ident=ident) for ident in range(count)]


def attack(
    handler: Handler, requests: list[Request], rate: float = 500, **options: Any
) -> tuple[Answers, figures.Verdict]:
    """Each request once."""
    with serving(handler) as target, Sender(target, **options) as sender:
        messages = [target.request(request.body) for request in requests]
        answers = sender.at_rate(messages, rate, len(requests) / rate)
    return answers, figures.judge(answers, requests)


# ---- the world and the mixes


@pytest.fixture(scope="module")
def world() -> LoadWorld:
    return LoadWorld(seed=3, size=3)


@pytest.fixture(scope="module")
def evm(world: LoadWorld) -> EVM:
    return EVM(MemoryState(world.alloc()), fork="prague", block=BlockEnv(timestamp=TIMESTAMP, gas_limit=60_000_000))


@pytest.mark.parametrize("mix", ["flood", "hot", "cold", "adversarial"])
def test_every_call_of_a_mix_returns_what_the_mix_says(mix: str, world: LoadWorld, evm: EVM) -> None:
    checked = 0
    for request in islice(MIXES[mix](world, 1), 400):
        if not request.body.startswith(b'{"jsonrpc":"2.0","id":%d,"method":"eth_call"' % (request.ident or 0)):
            continue
        call = json.loads(request.body)["params"][0]
        if "data" not in call:
            continue
        gas = min(int(call.get("gas", "0x989680"), 16), 10_000_000)
        done = evm.call(call["to"], bytes.fromhex(call["data"][2:]), sender=call.get("from"), gas=gas)
        if request.result is not None:
            assert (done.error, "0x" + done.output.hex()) == (None, request.result)
        elif request.data is not None:
            assert (done.error, "0x" + done.output.hex()) == ("REVERT", request.data)
            assert request.codes == (REVERTED,)
        else:
            assert done.error == "OUT_OF_GAS"
        checked += 1
    assert checked > 300


def test_the_same_seed_and_size_make_the_same_world_and_the_same_requests() -> None:
    first, again, other = LoadWorld(1, 2), LoadWorld(1, 2), LoadWorld(2, 2)
    assert first.alloc() == again.alloc() != other.alloc()
    for mix in MIXES.values():
        assert list(islice(mix(first, 5), 50)) == list(islice(mix(again, 5), 50))


def test_the_genesis_file_is_one_that_chains_start_from(world: LoadWorld, tmp_path: Path) -> None:
    slots = world.write(tmp_path / "genesis.json")
    chain = BlockChain.from_genesis(json.loads((tmp_path / "genesis.json").read_text()))
    assert chain.state.state_root() == MemoryState(world.alloc()).state_root()
    assert slots == sum(len(account.storage) for account in world.alloc().values())


def test_the_cold_mix_asks_for_nobody_twice(world: LoadWorld) -> None:
    holders = 3 * 300
    seen: list[str] = []
    for request in islice(MIXES["cold"](world, 1), 200):
        call = json.loads(request.body)["params"][0]
        if call["to"] != "0x" + world.multicall.hex():
            seen.append(call["to"] + call["data"][10:74])
    assert len(seen) < holders and len(set(seen)) == len(seen)


def test_a_multicall_with_one_failing_call_would_be_noticed(world: LoadWorld, evm: EVM) -> None:
    good = Calls(world).balance(0, 0)
    broken = Call(good.to, good.data[:20], output=good.output)
    call = Calls(world).multicall([good, broken])
    assert evm.call(call.to, call.data).output != call.output


# ---- times


def test_latency_counts_from_when_a_request_was_due() -> None:
    """A server that stops for 0.4 s makes all that were due meanwhile late, not one request."""

    def stall(body: bytes, number: int) -> bytes:
        if number == 20:
            time.sleep(0.4)
        return http(result(body))

    requests = noops(100)
    with serving(stall) as target, Sender(target, connections=1) as sender:
        answers = sender.at_rate([target.request(request.body) for request in requests], 200, 0.5)
    latencies = [done - due for done, due in zip(answers.done, answers.due, strict=True)]
    assert max(latencies) >= 0.4 * SECOND
    # 80 are due in 0.4 s at 200 a second; those due in its first half wait for more than 0.15 s.
    assert sum(latency > 0.15 * SECOND for latency in latencies) >= 35
    assert answers.due[99] - answers.due[0] == pytest.approx(99 / 200 * SECOND, rel=1e-6)


def test_no_request_is_sent_before_it_is_due() -> None:
    answers, _ = attack(lambda body, _: http(result(body)), noops(200), rate=2000)
    assert all(sent >= due for sent, due in zip(answers.sent, answers.due, strict=True))
    assert figures.datum(answers, 2000, 0.1)["actual_rate"] == pytest.approx(2000, rel=1e-6)


def test_a_closed_loop_keeps_as_many_in_flight_as_it_was_told() -> None:
    current, most, lock = 0, 0, threading.Lock()

    def count(body: bytes, _: int) -> bytes:
        nonlocal current, most
        with lock:
            current += 1
            most = max(most, current)
        time.sleep(0.002)
        with lock:
            current -= 1
        return http(result(body))

    with serving(count) as target, Sender(target) as sender:
        seconds, count_ = 0.3, 0
        while count_ <= 10:  # on a machine that is slow it takes longer
            answers = sender.at_most([target.request(request.body) for request in noops(10)], seconds, clients=4)
            assert 1 <= most <= 4 and answers.connections <= 4
            assert set(answers.status) == {200}
            seconds, count_ = 4 * seconds, len(answers)
            assert seconds < PATIENCE


# ---- what is counted


def test_right_answers_are_successes() -> None:
    answers, verdict = attack(lambda body, _: http(result(body)), noops(50))
    shown = figures.datum(answers, 500, 0.1)
    assert (shown["requests"], shown["success"], shown["status_codes"], shown["errors"]) == (50, 1.0, {"200": 50}, [])
    assert 0 < shown["min"] <= shown["p50"] <= shown["p90"] <= shown["p95"] <= shown["p99"] <= shown["max"]
    assert verdict.wrong == 0


def test_errors_with_status_200_are_successes_to_http_and_failures_to_the_deep_check() -> None:
    def refuse(body: bytes, number: int) -> bytes:
        if number % 5 == 0:
            ident = json.loads(body)["id"]
            return http(json.dumps({"jsonrpc": "2.0", "id": ident, "error": {"code": -32000}}).encode())
        return http(b"<html>" if number % 5 == 1 else result(body))

    answers, verdict = attack(refuse, noops(50))
    deep = figures.deep_metrics(answers, verdict, 500, 0.1)
    assert figures.datum(answers, 500, 0.1)["success"] == 1.0
    assert (deep["all"]["n_rpc_errors"], deep["all"]["n_invalid_json_errors"]) == (10, 10)
    assert (deep["successful"]["requests"], deep["failed"]["requests"]) == (30, 20)
    assert verdict.wrong == 20 and len(verdict.examples) == figures.EXAMPLES


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"id": 0, "result": "0x2"}, "another result"),
        ({"id": 7, "result": "0x1"}, "id 7 for 0"),
        ({"id": 0, "error": {"code": -32000, "message": "no"}}, "an error"),
        ([], "not a JSON-RPC answer"),
        ({"id": 0, "result": None}, "another result"),
    ],
)
def test_another_answer_than_the_known_one_is_wrong(answer: Any, problem: str) -> None:
    requests = [Request(rpc(0, "eth_call"), result="0x1", ident=0)]
    _, verdict = attack(lambda *_: http(json.dumps(answer).encode()), requests)
    assert verdict.wrong == 1 and verdict.examples[0].startswith(problem)


@pytest.mark.parametrize(
    ("error", "wrong"),
    [
        ({"code": 3, "data": "0x12"}, 0),
        ({"code": 3, "data": "0x13"}, 1),
        ({"code": -32000}, 1),
        (None, 1),
    ],
)
def test_an_error_that_has_to_come_is_compared_by_code_and_data(error: Any, wrong: int) -> None:
    requests = [Request(rpc(0, "eth_call"), codes=(REVERTED,), data="0x12", ident=0)]
    answer = {"id": 0, "error": error} if error else {"id": 0, "result": "0x"}
    _, verdict = attack(lambda *_: http(json.dumps(answer).encode()), requests)
    assert verdict.wrong == wrong


def test_error_codes_count_whatever_the_http_status() -> None:
    requests = [Request(rpc(0, "eth_nothing"), codes=(NO_METHOD,), ident=0)]
    body = json.dumps({"id": 0, "error": {"code": NO_METHOD}}).encode()
    answers, verdict = attack(lambda *_: http(body, "404 Not Found"), requests)
    assert (answers.status[0], verdict.wrong) == (404, 0)
    assert figures.datum(answers, 500, 0.1)["success"] == 0


def test_a_server_that_is_not_there_is_an_error_each_time() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # nobody listens, and nobody else will
        target = Target("127.0.0.1", held.getsockname()[1], "/")
        with Sender(target) as sender:
            answers = sender.at_rate([target.request(b"{}")], 100, 0.1)
    shown = figures.datum(answers, 100, 0.1)
    assert (shown["success"], shown["status_codes"]) == (0, {"0": 10})
    assert shown["errors"] == ["connect: connection refused"]


def test_an_answer_cut_in_the_middle_is_an_error_not_an_answer() -> None:
    answers, _ = attack(lambda body, _: Cut(http(result(body))[:-5]), noops(5))
    assert set(answers.errors.values()) == {"the server closed the connection"}
    assert len(answers.errors) == 5 and set(answers.status) == {0}
    answers, _ = attack(lambda *_: Cut(b"SSH-2.0-no\r\n\r\n"), noops(5))
    assert all(error.startswith("broken answer: not an HTTP answer") for error in answers.errors.values())
    answers, _ = attack(lambda *_: None, noops(5))
    assert set(answers.errors.values()) == {"the server closed the connection"}


def test_a_kept_alive_connection_that_was_closed_meanwhile_is_not_an_error() -> None:
    answers, verdict = attack(lambda body, number: http(result(body)) if number % 3 else None, noops(30), connections=1)
    assert answers.retries > 0
    # Those that met a closed connection first on a fresh one are lost; none is answered wrongly.
    assert verdict.wrong == 0 and len(answers.errors) < 30


def test_a_server_that_does_not_answer_is_given_up_in_time() -> None:
    gate = threading.Event()

    def hang(body: bytes, _: int) -> bytes:
        gate.wait(PATIENCE)
        return http(result(body))

    begun = time.monotonic()
    requests = noops(10)
    with serving(hang) as target, Sender(target, connections=2, timeout=0.3) as sender:
        answers = sender.at_rate([target.request(request.body) for request in requests], 10_000, 0.001)
        gate.set()
    assert time.monotonic() - begun < PATIENCE / 2
    assert set(answers.errors.values()) == {"timeout: no answer", "timeout: all connections were taken"}
    assert min(figures.datum(answers, 10_000, 0.001)[name] for name in ("min", "max")) >= 0.3


# ---- HTTP


def test_answers_come_in_pieces() -> None:
    whole = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
    for size in range(len(whole)):
        assert isinstance(parse_answer(whole[:size], False), int)
    assert parse_answer(whole, False) == (200, b"hello", True, len(whole))


def test_chunked_answers_are_joined() -> None:
    whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"
    for size in range(len(whole)):
        assert isinstance(parse_answer(whole[:size], False), int)
    assert parse_answer(whole, False) == (200, b"hello world", True, len(whole))


def test_an_answer_without_a_length_ends_with_the_connection() -> None:
    whole = b"HTTP/1.0 200 OK\r\n\r\nhello"
    assert parse_answer(whole, False) == 0
    assert parse_answer(whole, True) == (200, b"hello", False, len(whole))


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"x" * 70_000,
    ],
)
def test_what_is_no_http_is_refused(data: bytes) -> None:
    with pytest.raises(BrokenAnswer):
        parse_answer(data, False)


@pytest.mark.parametrize("url", ["http://192.0.2.1", "http://example.org:80", "http://127.1.1.1.example.org"])
def test_load_goes_to_this_machine_unless_told_otherwise(url: str) -> None:
    with pytest.raises(InputError, match="--remote"):
        Target.parse(url)
    assert Target.parse(url, remote=True).port in (80,)


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8545", "https://127.0.0.1", "http://", "http://a:b@127.0.0.1", "http://[x"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(InputError):
        Target.parse(url)


def test_local_urls_are_taken_apart() -> None:
    assert Target.parse("http://localhost:8545") == Target("localhost", 8545, "/")
    assert Target.parse("http://127.0.0.1:1/rpc") == Target("127.0.0.1", 1, "/rpc")
    assert Target.parse("http://[::1]:2").request(b"{}").split(b"\r\n")[1] == b"Host: [::1]:2"


# ---- the command


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evmcore", "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE, check=False)


def test_the_command_writes_what_flood_writes(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    done = bench(
        *("--load", "self", "--rates", "200,max", "--duration", "0.3", "--timeout", str(PATIENCE), "--json", str(path))
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "wrong answers: 0" in done.stdout
    record = json.loads(path.read_text())
    assert record["type"] == "single_test" and record["nodes"].keys() == record["results"].keys() == {"noop"}
    figures_ = record["results"]["noop"]
    assert figures_.keys() == FLOOD_FIELDS | DEEP_KEYS
    assert all(len(figures_[name]) == 2 for name in FLOOD_FIELDS)
    assert figures_["target_rate"] == [200.0, None] and figures_["success"] == [1.0, 1.0]
    for category in ("all", "successful", "failed"):
        assert figures_["deep_metrics"][category].keys() == FLOOD_FIELDS | DEEP_FIELDS


def test_the_command_brings_servers_on_memory_and_on_redis(tmp_path: Path) -> None:
    need_redis()
    path = tmp_path / "result.json"
    done = bench(
        *("--load", "own", "--size", "2", "--rates", "50", "--duration", "0.4", "--warm-up", "0.2"),
        *("--mix", "hot,cold,adversarial", "--timeout", str(PATIENCE), "--json", str(path)),
    )
    assert (done.returncode, done.stderr) == (0, "")
    record = json.loads(path.read_text())
    names = {f"{mix} ({source})" for mix in ("noop", "hot", "cold", "adversarial") for source in ("memory", "redis")}
    assert record["results"].keys() == record["nodes"].keys() == names
    assert all(row["success"] == [1.0] for row in record["results"].values())
    rounds = record["evmcore"]["rounds"]
    assert rounds["noop (redis)"] == [0.0] and rounds["cold (redis)"][0] > 0
    assert rounds["cold (memory)"] == [None]


def test_two_workers_on_redis_over_tls_give_no_wrong_answer(tmp_path: Path) -> None:
    """Loaded over TLS, served over TLS, and asked faster than is answered too."""
    need_redis()
    genesis, path = tmp_path / "genesis.json", tmp_path / "result.json"
    LoadWorld(seed=1, size=2).write(genesis)
    with tls_server(tmp_path, "--requirepass", "pw") as (_, place, cert):
        url = f"rediss://:pw@{place}/0?ssl_ca_certs={cert}"
        command = [sys.executable, "-m", "evmcore", "load", "--genesis", str(genesis), "--redis", url]
        assert subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False).returncode == 0
        options = ("--redis", url, "--chain-id", str(CHAIN_ID), "--workers", "2")
        with served(*options) as (client, process):
            until(lambda: client.get("/readyz")[0] == 200, "the server is not ready")
            until(lambda: len(workers_of(process)) == 2, "the workers do not start")
            least = 0
            for seconds in (0.5, 5.0, 50.0):  # on a machine that is slow it takes longer
                done = bench(
                    *("--load", f"http://127.0.0.1:{client.port}", "--size", "2", "--rates", "100,max"),
                    *("--duration", str(seconds), "--warm-up", "0.2", "--mix", "hot,cold", "--json", str(path)),
                    *("--timeout", str(PATIENCE)),
                )
                assert done.returncode == 0 and not done.stderr, done.stderr
                assert "wrong answers: 0" in done.stdout
                results = json.loads(path.read_text())["results"]
                assert results.keys() == {"noop", "hot", "cold"}
                assert all(row["success"] == [1.0, 1.0] for row in results.values())
                least = min(min(row["requests"]) for row in results.values())
                if least > 20:
                    break
    assert least > 20


def test_a_server_with_another_state_is_not_tested() -> None:
    with trivial_server() as url:
        done = bench("--load", url, "--size", "2")
    assert done.returncode == 2 and "--load-setup" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--load", "http://192.0.2.1:8545", "--size", "2"],
        ["--load", "http://127.0.0.1:1", "--size", "2"],
        ["--load", "self", "--rates", "0"],
        ["--load", "self", "--rates", "1000000", "--duration", "60"],
        ["--load", "self", "--duration", "-1"],
        ["--load", "self", "--mix", "warm"],
        ["--load-setup", "/nonexistent/genesis.json", "--size", "2"],
    ],
)
def test_bad_arguments_are_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run_command(capsys, "bench", *arguments)
    assert code == 2 and not out
    assert_one_line(err)


def test_every_argument_is_explained() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert all(action.help for action in parser._actions)
