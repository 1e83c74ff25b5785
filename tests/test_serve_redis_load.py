"""`serve --redis` with two worker processes, asked all the time by several clients, while what is behind it breaks.

Blocks go on meanwhile. Every answer is checked: it is of one block, and of no earlier one than the same worker gave
before; all else is one of the stated errors. Afterwards everything is answered again.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from evmcore.errors import StateError
from evmcore.state.publisher import Publisher
from tests.faulty_proxy import FaultyProxy
from tests.invariant_chain import CHAIN_ID, TELLER, Books, begin, begun, calldata, check
from tests.redis_sentinel import Sentinel, wait_for_sentinel
from tests.redis_server import RedisServer
from tests.redis_tls import tls_server
from tests.rpc_server import Client
from tests.serve_command import served, workers_of
from tests.waiting import PATIENCE, until

GROUPS = 300
STILL = 100  # of them, the last ones, no block changes where a test says so: the feed tells nobody of them
ANSWERS = 300  # that a test sees at least
CLIENTS = 4
SECONDS = 0.8  # of load before and after each event
BLOCK_SECONDS = 0.02
STATED = ("state backend unavailable: ", "stale state: ")


def request(group: int, identity: int = 1) -> dict[str, Any]:
    call = {"to": "0x" + TELLER.hex(), "data": "0x" + calldata(group).hex()}
    return {"jsonrpc": "2.0", "id": identity, "method": "eth_call", "params": [call, "latest"]}


class Load:
    """Clients that call the teller without pause, alone and in batches, each over a connection of its own."""

    def __init__(self, port: int, *, breaks: bool = False, groups: int = GROUPS) -> None:
        self._port = port
        self.groups = groups  # which are asked for: so many, the first
        self._breaks = breaks  # connections may break: a worker is killed
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._work, args=(seed,)) for seed in range(CLIENTS)]
        self.problems: list[str] = []
        self.answers = 0
        self.errors: Counter[str] = Counter()
        self.broken = 0

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a request is never answered"

    def _work(self, seed: int) -> None:
        dice = random.Random(seed)
        client, last = Client(self._port), 0
        while not self._stop.is_set():
            groups = [dice.randrange(self.groups) for _ in range(dice.choice((1, 1, 1, 5, 40)))]
            asked = [request(group, identity) for identity, group in enumerate(groups)]
            try:
                _, headers, body = client.post(json.dumps(asked if len(asked) > 1 else asked[0]))
            except (OSError, http.client.HTTPException) as error:
                client.close()
                client, last = Client(self._port), 0  # perhaps of another worker, which may be behind
                self._note(None if self._breaks else f"{type(error).__name__}: {error}", broken=1)
                continue
            try:
                last = self._judge(groups, json.loads(body), headers, last)
            except Exception as error:
                self._note(f"{error!r}: {body[:200]!r}")
        client.close()

    def _judge(self, groups: list[int], answers: Any, headers: dict[str, str], last: int) -> int:
        named = headers.get("evm-block-number")
        number = None if named is None else int(named, 16)
        answers = answers if isinstance(answers, list) else [answers]
        assert [answer["id"] for answer in answers] == list(range(len(groups)))
        for group, answer in zip(groups, answers, strict=True):
            error = answer.get("error")
            if error is not None:
                stated = error["code"] == -32000 and error["message"].startswith(STATED)
                self._note(None if stated else f"error {error}", error=error["message"])
                continue
            self._note(check(group, bytes.fromhex(answer["result"][2:]), number), answers=1)
            if number is not None and number < last:
                self._note(f"block {number} after {last}")
        return last if number is None else max(number, last)

    def _note(self, problem: str | None, *, answers: int = 0, error: str = "", broken: int = 0) -> None:
        with self._lock:
            self.answers += answers
            self.broken += broken
            if error:
                self.errors[error.partition(":")[0]] += 1
            if problem is not None:
                self.problems.append(problem)

    def until_more(self, count: int = 100) -> None:
        """Until so many more answers have come, and a while has gone by."""
        end, wanted = time.monotonic() + SECONDS, self.answers + count
        self.until(lambda: self.answers >= wanted)
        time.sleep(max(end - time.monotonic(), 0))
        assert not self.problems, self.problems[:3]

    def until(self, what: Callable[[], object]) -> None:
        """Until `what` gives something true, or an answer is wrong, which fails the test."""
        until(lambda: self.problems or what(), lambda: (self.errors, self.answers))
        assert not self.problems, self.problems[:3]


class Blocks:
    """Publishes block after block from a thread of this process. What cannot be published now is published later."""

    def __init__(self, url: str, books: Books) -> None:
        self.url = url
        self.books = books
        self._stop = threading.Event()
        self._pause = threading.Lock()
        self._thread = threading.Thread(target=self._work)
        self.failures = 0

    def __enter__(self) -> Blocks:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    @contextmanager
    def paused(self) -> Iterator[None]:
        with self._pause:
            yield

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                with Publisher(self.url, CHAIN_ID) as publisher:
                    self._catch_up(publisher)
                    while not self._stop.wait(BLOCK_SECONDS):
                        with self._pause:
                            publisher.publish(*self.books.next_block())
            except StateError:
                self.failures += 1
                self._stop.wait(0.05)

    def _catch_up(self, publisher: Publisher) -> None:
        """What a primary that failed had, and the one that took over lacks."""
        head = publisher.head()
        if head is None:  # loaded by the test
            raise StateError("empty")
        with self._pause:
            for header, diff in zip(
                self.books.headers[head.number + 1 :], self.books.diffs[head.number :], strict=True
            ):
                publisher.publish(header, diff)


def assert_recovery(port: int, books: Books) -> None:
    """New connections, which come to either worker, get everything."""
    for turn in range(8):
        client = Client(port)
        assert_all_right(client, books, range(turn, GROUPS, 40))
        client.close()


def assert_all_right(client: Client, books: Books, groups: range) -> None:
    head = books.head.number

    def right(group: int) -> bool:
        _, headers, body = client.post(json.dumps(request(group)))
        answer = json.loads(body)
        if "result" not in answer or int(headers["evm-block-number"], 16) != head:
            return False
        return check(group, bytes.fromhex(answer["result"][2:]), head) is None

    for group in groups:
        until(partial(right, group), lambda: client.get("/readyz"))
    until_ready(client)


def until_ready(client: Client) -> None:
    until(lambda: client.get("/readyz")[0] == 200, lambda: client.get("/readyz"))


def arguments(url: str, *more: str) -> list[str]:
    common = ["--redis", url, "--chain-id", str(CHAIN_ID), "--workers", "2", "--redis-timeout", "20"]
    return [*common, "--max-head-age", "600", *more]


def test_the_server_of_a_tls_address_is_killed_and_loaded_anew(tmp_path: Path) -> None:
    books = Books(GROUPS, seed=31, moves=6, still=STILL)
    with tls_server(tmp_path, "--requirepass", "pw") as (server, place, cert):
        url = f"rediss://:pw@{place}/0?ssl_ca_certs={cert}"
        with begun(url, books, blocks=2), served(*arguments(url)) as (client, _):
            until_ready(client)
            with Load(client.port, groups=GROUPS - STILL) as load:
                with Blocks(url, books) as blocks:
                    load.until_more()
                    load.until(lambda: books.head.number > 2)  # the writer is connected
                    with blocks.paused():
                        server.kill()
                        load.groups = GROUPS  # the others nobody has asked for: not all calls can be answered
                        load.until(lambda: load.errors)
                        load.until_more(20)
                        server.start()
                        load.until_more(20)
                        # The same chain once more, aside until it is whole: what was served is not taken back.
                        with Publisher(url.replace("/0?", "/1?"), CHAIN_ID) as publisher:
                            again = Books(GROUPS, seed=31, moves=6, still=STILL)
                            begin(publisher, again)
                            for header, diff in zip(books.headers[1:], books.diffs, strict=True):
                                publisher.publish(header, diff)
                        with server.client(password="pw") as redis:
                            redis.swapdb(0, 1)
                    load.until(lambda: blocks.failures and load.answers > ANSWERS)
                    load.until_more()
                assert_recovery(client.port, books)
            assert not load.problems


def test_a_failover_by_sentinel(tmp_path: Path) -> None:
    books = Books(GROUPS, seed=32, moves=6)
    with RedisServer(tmp_path / "a") as primary, RedisServer(tmp_path / "b") as replica:
        with begun(primary.url, books, blocks=2):
            replica.replica_of(primary)
        with Sentinel(tmp_path / "s", primary) as sentinel:
            url = f"redis+sentinel://127.0.0.1:{sentinel.port}/evm"
            wait_for_sentinel(url, replicas=1)
            with served(*arguments(url)) as (client, _):
                until_ready(client)
                with Load(client.port) as load:
                    with Blocks(url, books):
                        load.until_more()
                        primary.kill()
                        before = books.head.number
                        sentinel.hurry()
                        load.until(lambda: books.head.number > before + 20 and load.answers > ANSWERS)
                        load.until_more()
                    assert_recovery(client.port, books)
                assert not load.problems


def test_connections_are_cut_all_the_time(redis_server: RedisServer) -> None:
    books = Books(GROUPS, seed=33, moves=6)
    dice = random.Random(33)
    with (
        begun(redis_server.url, books, blocks=2),
        FaultyProxy(redis_server.port) as proxy,
        served(*arguments(proxy.url)) as (client, _),
    ):
        until_ready(client)
        with Load(client.port) as load:
            with Blocks(redis_server.url, books):
                for _ in range(10):
                    proxy.cut_replies_after(dice.randrange(1, 5000))
                    time.sleep(0.1)
                proxy.heal()
                load.until(lambda: load.answers > ANSWERS)
                load.until_more()
            assert_recovery(client.port, books)
        assert not load.problems


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to find the workers")
def test_a_worker_is_killed(redis_server: RedisServer) -> None:
    books = Books(GROUPS, seed=34, moves=6)

    def two(process: subprocess.Popen[str]) -> bool:
        return len(workers_of(process)) == 2

    with begun(redis_server.url, books, blocks=2), served(*arguments(redis_server.url)) as (client, process):
        until_ready(client)
        with Load(client.port, breaks=True) as load:
            with Blocks(redis_server.url, books):
                load.until_more()
                first = workers_of(process)[0]
                os.kill(first, signal.SIGKILL)
                until(lambda: two(process) and first not in workers_of(process), "the worker was not started again")
                load.until(lambda: load.answers > ANSWERS)
                load.until_more()
            assert_recovery(client.port, books)
        assert load.broken <= 10 * CLIENTS and set(load.errors) <= {"state backend unavailable"}
        assert not load.problems
