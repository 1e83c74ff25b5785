"""The servers of a load test that brings its own: `serve` on state in memory, and `serve` on state in Redis."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evmcore.bench.load.world import CHAIN_ID, LoadWorld
from evmcore.bench.redis_server import private_server
from evmcore.cli.arguments import CommandError

SOURCES: Final = ("memory", "redis")
PATIENCE: Final = 120.0  # seconds until a server is ready
SETTLING: Final = 1.5  # seconds; workers hand over what they counted once a second
_COLD_ROUNDS: Final = re.compile(rb"^evmcore_source_cold_rounds_total ([0-9.e+]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Server:
    """A server under test. `name` is empty for one that was there before; `processes` are known of our own only.
    `settling`: seconds until what each of its workers has counted is known to the others."""

    url: str
    name: str = ""
    processes: tuple[int, ...] = ()
    settling: float = 0.0

    def processor_time(self) -> float | None:
        """Seconds of processor time that the server and its workers have taken; None where that is not to be had."""
        if not self.processes or not os.path.isdir("/proc/self/task"):
            return None
        return sum(map(_processor_time, self.processes))

    def rounds(self) -> int | None:
        """Requests to Redis so far for what was not in the server's memory; None where it does not say."""
        if not self.name:
            return None
        time.sleep(self.settling)
        found = _COLD_ROUNDS.search(_get(self.url, "/metrics")[1])
        return None if found is None else int(float(found[1]))


def _get(url: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _processor_time(pid: int) -> float:
    """Of a process and its children, in seconds."""
    total = 0.0
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        for child in children.read().split():
            total += _processor_time(int(child))
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return total + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def own_servers(world: LoadWorld, sources: Sequence[str], workers: int) -> Iterator[list[Server]]:
    """One server for each of `sources`, all with the same state, ready to answer; gone afterwards."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="evmcore-load-")))
        genesis = folder / "genesis.json"
        world.write(genesis)
        servers = []
        for source in sources:
            arguments, processes = ["--genesis", str(genesis)], []
            if source == "redis":
                redis = stack.enter_context(private_server())
                _run("load", *arguments, "--redis", f"unix://{redis.path}")
                arguments = ["--redis", f"unix://{redis.path}", "--chain-id", str(CHAIN_ID)]
                processes.append(redis.pid)
            url, pid = stack.enter_context(_serving([*arguments, "--workers", str(workers)]))
            settling = SETTLING if source == "redis" and workers > 1 else 0.0
            servers.append(Server(url, source, (pid, *processes), settling))
        yield servers


def _run(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "evmcore", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandError(f"{arguments[0]}: {done.stderr.strip() or done.returncode}")


@contextmanager
def _serving(arguments: Sequence[str]) -> Iterator[tuple[str, int]]:
    """`serve` with these arguments: its URL and process id, once it is ready."""
    command = [sys.executable, "-m", "evmcore", "serve", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip().rpartition(" ")[2]
            if not url.startswith("http://"):
                raise CommandError(f"the server did not start: {' '.join(command[2:])}")
            deadline = time.monotonic() + PATIENCE
            while _get(url, "/readyz")[0] != 200:
                if time.monotonic() > deadline:
                    raise CommandError(f"the server is not ready: {_get(url, '/readyz')[1].decode().strip()}")
                time.sleep(0.05)
            yield url, process.pid
        finally:
            process.terminate()
            process.wait(PATIENCE)
