"""`serve --redis` on a bad day, over HTTP: what is known is answered, the rest is a clear error, which passes.

Two servers each time: a patient one, whose head may get old, and a strict one, whose head may not.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from evmcore.blocks import Header
from evmcore.errors import StateUnavailable
from evmcore.state.publisher import Publisher
from tests.faulty_proxy import FaultyProxy
from tests.invariant_chain import CHAIN_ID, TELLER, Books, begin_anew, begun, calldata, check
from tests.redis_server import RedisServer
from tests.rpc_server import Client
from tests.serve_command import served, workers_of
from tests.waiting import PATIENCE, eventually, until

GROUPS = 200
HOT = 0
UNAVAILABLE = "state backend unavailable: "
STALE = "stale state: the head was last confirmed "


class Caller:
    """Calls the teller over HTTP. Every result is checked against the block that the answer names."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def ask(self, group: int) -> tuple[int, dict[str, Any]]:
        """HTTP status, and the error, or the number of the block as `{"number": n}`."""
        call = {"to": "0x" + TELLER.hex(), "data": "0x" + calldata(group).hex()}
        request = {"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [call, "latest"]}
        status, headers, body = self.client.post(json.dumps(request))
        answer = json.loads(body)
        if "error" in answer:
            return status, answer["error"]
        number = int(headers["evm-block-number"], 16)
        problem = check(group, bytes.fromhex(answer["result"][2:]), number)
        assert problem is None, problem
        return status, {"number": number}

    def number(self, group: int) -> int:
        """The block that a call is answered from."""
        status, answer = self.ask(group)
        assert status == 200 and "number" in answer, answer
        number: int = answer["number"]
        return number

    def error(self, group: int) -> str:
        """The message of the error that a call is answered with."""
        _, answer = self.ask(group)
        assert answer.get("code") == -32000, answer
        message: str = answer["message"]
        return message

    def ready(self) -> tuple[int, str]:
        status, _, body = self.client.get("/readyz")
        return status, body.decode()


@pytest.fixture
def books() -> Books:
    return Books(GROUPS, seed=21, moves=6)


@pytest.fixture
def publisher(redis_server: RedisServer, books: Books) -> Iterator[Publisher]:
    with begun(redis_server.url, books, blocks=4) as made:
        yield made


@contextmanager
def servers(url: str, head: Header) -> Iterator[tuple[Caller, Caller]]:
    """A patient and a strict server that have come to a block, with the hot group in their caches."""
    common = ["--redis", url, "--chain-id", str(CHAIN_ID), "--redis-timeout", "0.3"]
    with ExitStack() as stack:
        patient, strict = (
            Caller(stack.enter_context(served(*common, *more))[0])
            for more in (("--max-head-age", "600"), ("--max-head-age", "1", "--unavailable-503"))
        )
        for caller in (patient, strict):
            until(lambda caller=caller: caller.ask(HOT)[1].get("number") == head.number)
        yield patient, strict


def assert_outage(patient: Caller, strict: Caller, books: Books, fresh: Iterator[int], *, gone: bool = False) -> None:
    """What both servers answer while the state cannot be had; `gone`: from a server that is there and lacks it."""
    served_head = books.head.number
    for _ in range(3):
        assert patient.number(HOT) == served_head
        began = time.monotonic()
        assert patient.error(next(fresh)).startswith(UNAVAILABLE)
        assert time.monotonic() - began < PATIENCE / 2
    if gone:
        until(lambda: patient.ready()[0] == 503 and "no state is loaded" in patient.ready()[1], patient.ready)
        assert patient.number(HOT) == served_head
    else:
        assert patient.ready() == (200, "ready\n")
    until(lambda: strict.ready()[0] == 503, strict.ready)
    status, reason = strict.ready()
    assert reason.startswith("not ready: "), reason
    until(lambda: "message" in strict.ask(HOT)[1], strict.ready)
    status, error = strict.ask(HOT)
    assert (status, error["code"]) == (503, -32000)
    assert error["message"].startswith((STALE, UNAVAILABLE)), error
    assert strict.client.get("/healthz")[0] == 200
    # Batches have the same error for each call, and the patient one its answers.
    call = {"to": "0x" + TELLER.hex(), "data": "0x" + calldata(HOT).hex()}
    batch = [{"jsonrpc": "2.0", "id": i, "method": "eth_call", "params": [call, "latest"]} for i in range(3)]
    assert all("result" in answer for answer in patient.client.answer(batch))
    assert all(answer["error"]["code"] == -32000 for answer in strict.client.answer(batch))
    assert patient.number(HOT) == served_head


def assert_recovery(callers: tuple[Caller, ...], head: Header) -> None:
    """Both come to the block by themselves and answer everything there."""
    for caller in callers:
        until(lambda caller=caller: caller.ask(HOT)[1].get("number") == head.number, lambda c=caller: c.ask(HOT))
        for group in range(0, GROUPS, 20):
            until(lambda caller=caller, group=group: caller.ask(group)[1].get("number") == head.number)
        until(lambda caller=caller: caller.ready() == (200, "ready\n"), caller.ready)


def test_a_server_that_is_killed_and_comes_back_empty(
    redis_server: RedisServer,
    publisher: Publisher,
    books: Books,
) -> None:
    fresh = books.cold()
    with servers(redis_server.url, books.head) as callers:
        redis_server.kill()
        assert_outage(*callers, books, fresh)
        redis_server.start()
        assert_outage(*callers, books, fresh, gone=True)
        again = Books(GROUPS, seed=22)
        begin_anew(redis_server, again)
        assert_recovery(callers, again.head)


def test_a_flushed_server(redis_server: RedisServer, publisher: Publisher, books: Books) -> None:
    fresh = books.cold()
    with servers(redis_server.url, books.head) as callers:
        with redis_server.client() as client:
            client.flushall()
        assert_outage(*callers, books, fresh, gone=True)
        again = Books(GROUPS, seed=23)
        begin_anew(redis_server, again)
        assert_recovery(callers, again.head)


def test_a_paused_server(redis_server: RedisServer, publisher: Publisher, books: Books) -> None:
    fresh = books.cold()
    with servers(redis_server.tcp_url, books.head) as callers:
        with redis_server.paused():
            assert_outage(*callers, books, fresh)
        publisher.publish(*books.next_block())
        assert_recovery(callers, books.head)


def test_connections_that_are_cut_and_refused(
    redis_server: RedisServer,
    publisher: Publisher,
    books: Books,
) -> None:
    fresh = books.cold()
    with FaultyProxy(redis_server.port) as proxy, servers(proxy.url, books.head) as callers:
        for at in (1, 20, 100):  # in the middle of a reply: tried again, or an error; never a wrong answer
            proxy.cut_replies_after(at)
            for caller, errors in zip(callers, (UNAVAILABLE, (UNAVAILABLE, STALE)), strict=True):
                until(lambda caller=caller: caller.ask(HOT)[1].get("number") == books.head.number)
                answer = caller.ask(next(fresh))[1]
                assert answer.get("number") == books.head.number or answer["message"].startswith(errors), answer
            assert callers[0].number(HOT) == books.head.number
        proxy.heal()
        proxy.refuse()
        assert_outage(*callers, books, fresh)
        proxy.heal()
        publisher.publish(*books.next_block())
        assert_recovery(callers, books.head)


def test_a_failover_to_a_replica_that_lacks_the_last_blocks(
    redis_server: RedisServer,
    tmp_path: Path,
    publisher: Publisher,
    books: Books,
) -> None:
    """What was served is not taken back: the head waits until the writer has brought the blocks again."""
    fresh = books.cold()
    with FaultyProxy(redis_server.port) as proxy, RedisServer(tmp_path / "replica") as replica:
        replica.replica_of(redis_server)
        with replica.client() as client:
            until(lambda: client.hget(f"{{evm:{CHAIN_ID}}}:head", "number") == b"%d" % books.head.number)
        replica.promote()
        lost = [books.next_block() for _ in range(3)]
        for header, diff in lost:
            publisher.publish(header, diff)
        with servers(proxy.url, books.head) as callers:
            proxy.retarget(replica.port)
            redis_server.kill()
            patient, strict = callers
            for _ in range(5):
                # Read from the replica, and corrected by what the feed had told; or not to be had just now.
                assert patient.number(HOT) == books.head.number
                answer = patient.ask(next(fresh))[1]
                assert answer.get("number") == books.head.number or answer["message"].startswith(UNAVAILABLE), answer
            until(lambda: strict.ready()[0] == 503, strict.ready)
            until(lambda: strict.ask(HOT)[0] == 503, lambda: strict.ask(HOT))
            assert patient.number(HOT) == books.head.number
            with Publisher(replica.url, CHAIN_ID) as writer:
                for header, diff in lost:
                    writer.publish(header, diff)
                writer.publish(*books.next_block())
                assert_recovery(callers, books.head)


def test_hot_calls_are_right_all_the_time_while_the_server_comes_and_goes(
    redis_server: RedisServer,
    publisher: Publisher,
    books: Books,
) -> None:
    """Blocks go on, connections are cut at random: each answer is of one block, and the head never goes back."""
    stop = threading.Event()
    with FaultyProxy(redis_server.port) as proxy, servers(proxy.url, books.head) as (patient, strict):

        def disturb() -> None:
            turn = 0
            while not stop.wait(0.05):
                turn += 1
                publisher.publish(*books.next_block())
                if turn % 4 == 0:
                    proxy.cut_replies_after(50 * turn % 997)

        thread = threading.Thread(target=disturb)
        thread.start()
        try:
            answered, last = 0, 0
            deadline = time.monotonic() + PATIENCE
            while answered < 300:
                assert time.monotonic() < deadline
                for caller in (patient, strict):
                    answer = caller.ask(answered % GROUPS)[1]
                    if caller is patient and "number" in answer:
                        assert answer["number"] >= last
                        last = answer["number"]
                    answered += "number" in answer
        finally:
            stop.set()
            thread.join()
        proxy.heal()
        assert_recovery((patient, strict), books.head)


@contextmanager
def only(worker: int, workers: list[int]) -> Iterator[None]:
    """While all other workers stand still, so that none of them takes connections."""
    others = [pid for pid in workers if pid != worker]
    for pid in others:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def newly_connected(port: int) -> Iterator[Caller]:
    client = Client(port)
    try:
        yield Caller(client)
    finally:
        client.close()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to find the workers")
@pytest.mark.parametrize("killed", [1, 2])
@pytest.mark.parametrize("outage", ["paused", "down"])
def test_workers_that_are_killed_while_redis_is_away_come_back_with_it(
    redis_server: RedisServer, publisher: Publisher, books: Books, outage: str, killed: int
) -> None:
    """They start again and say that they are not ready; with Redis they are, each of them, without a restart."""
    fresh = books.cold()
    arguments = ["--redis", redis_server.url, "--chain-id", str(CHAIN_ID), "--redis-timeout", "0.3", "--workers", "2"]
    arguments += ["--max-head-age", "3600"]
    with served(*arguments) as (client, process):
        until(lambda: len(workers_of(process)) == 2)
        until(lambda: Caller(client).ready()[0] == 200)
        client.close()
        if outage == "paused":
            redis_server.pause()
        else:
            with redis_server.client() as saver:
                saver.save()
            redis_server.kill()
        before = workers_of(process)
        for pid in before[:killed]:
            os.kill(pid, signal.SIGKILL)
        until(lambda: len(set(workers_of(process)) - set(before)) == killed, "the workers are not started again")
        workers = workers_of(process)
        for worker in set(workers) - set(before):
            with only(worker, workers), newly_connected(client.port) as caller:
                assert caller.client.get("/healthz")[0] == 200
                until(lambda caller=caller: "cannot be reached" in caller.ready()[1], caller.ready)
                assert caller.ready()[0] == 503
                assert caller.error(HOT).startswith(UNAVAILABLE)
                assert caller.client.call("eth_chainId") == hex(CHAIN_ID)
        if outage == "paused":
            redis_server.resume()
        else:
            redis_server.start()
        block = books.next_block()
        eventually(lambda: publisher.publish(*block), StateUnavailable)  # its connection may have gone with the server
        for worker in workers:
            with only(worker, workers), newly_connected(client.port) as caller:
                assert_recovery((caller,), books.head)
                group = next(fresh)
                until(lambda c=caller, group=group: c.ask(group)[1].get("number") == books.head.number)
        assert workers_of(process) == workers
