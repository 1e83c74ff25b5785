"""Servers that import the service and then fork: each process has threads and connections of its own, or is told so."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.redis_server import RedisServer

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

GENESIS = {
    "config": {"chainId": 77, "londonBlock": 0, "terminalTotalDifficulty": 0, "shanghaiTime": 0},
    "gasLimit": "0x1c9c380",
    "difficulty": "0x0",
    "alloc": {
        "0x" + "c0" * 20: {"balance": "0x0", "code": "0x5f545f5260205ff3", "storage": {"0x00": "0x2a"}},
        "0x" + "c1" * 20: {"balance": "0x0", "code": "0x5f545f5260205ff3", "storage": {"0x00": "0x2b"}},
    },
}

BEGIN = """
import os, sys
from evmcore.errors import StateUnavailable
from evmcore.service import CallService, MemorySource
A, B = "0x" + "c0" * 20, "0x" + "c1" * 20

def word(service, address):
    return int.from_bytes(service.call(address).output, "big")

def in_child(work):
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        try:
            work()
            sys.stdout.flush()
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""


def run(script: str, *arguments: str) -> str:
    """What a program prints that begins as above."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_state_in_redis_says_that_it_was_opened_before_the_fork(redis_server: RedisServer) -> None:
    load = f"""
    from evmcore.service.redis_source import RedisSource
    from evmcore.cli import main
    import json, pathlib, tempfile
    genesis = {GENESIS!r}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "genesis.json"
        path.write_text(json.dumps(genesis))
        assert main(["load", "--genesis", str(path), "--redis", sys.argv[1]]) == 0
    service = CallService(RedisSource.open(sys.argv[1], 77))
    assert word(service, A) == 42

    def child():
        for address in (A, B):
            try:
                word(service, address)
            except StateUnavailable as error:
                print(error)
        status = service.source.status()
        print(status.ready, status.reason)
        service.source.close()
        own = CallService(RedisSource.open(sys.argv[1], 77))
        print(word(own, A), word(own, B))
        own.source.close()

    in_child(child)
    assert (word(service, A), word(service, B)) == (42, 43)  # with the connections that the child had inherited
    service.source.close()
    """
    lines = run(load, redis_server.url).splitlines()[-4:]
    said = "this state was opened before the process was forked: open another in each process"
    assert lines == [said, said, f"False {said}", "42 43"]


def test_an_application_answers_after_the_fork_of_one_that_had_threads(tmp_path: Path) -> None:
    script = f"""
    import json
    from evmcore.service.app import App
    from evmcore.service.dispatch import Dispatcher
    from evmcore.service.front import Waiting
    from evmcore.service.methods import METHODS
    front = App(Dispatcher(CallService(MemorySource.from_genesis({GENESIS!r})), METHODS)).front
    call = {{"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [{{"to": A}}, "latest"]}}

    def answer():
        waiting = front.post({{}}, json.dumps([call] * 40).encode())  # large batches run in threads
        assert isinstance(waiting, Waiting)
        future = front.submit(waiting)
        future.exception(60)
        return json.loads(front.finish(waiting, future).body)[0]["result"]

    before = answer()
    in_child(lambda: print(answer() == before == "0x" + (42).to_bytes(32, "big").hex()))
    """
    assert run(script) == "True\n"


def test_what_is_done_before_workers_are_forked_leaves_no_threads_to_them() -> None:
    """It is done in a process of its own, which gives what was found or raised."""
    out = run(
        """
        import threading
        from evmcore.service.workers import apart

        def leave_a_thread():
            threading.Thread(target=threading.Event().wait, daemon=True).start()
            return os.getpid(), threading.active_count()

        def refuse():
            leave_a_thread()
            raise StateUnavailable("no state")

        pid, threads = apart(leave_a_thread)
        try:
            apart(refuse)
        except StateUnavailable as error:
            print(pid != os.getpid(), threads, threading.active_count(), error)
        """
    )
    assert out == "True 2 1 no state\n"
