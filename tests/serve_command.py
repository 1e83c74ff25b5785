"""The command `serve` as a process of its own, and a client of it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.rpc_server import Client
from tests.waiting import PATIENCE

START_SECONDS = PATIENCE
# Limits of a server that a test does not name: how fast the machine is proves nothing.
LIMITS = {"--limit-timeout": "600", "--limit-batch-timeout": "600"}
REDIS_LIMITS = {"--redis-timeout": "60", "--max-head-age": "3600"}


@contextmanager
def served(*arguments: str, scheme: str = "http") -> Iterator[tuple[Client, subprocess.Popen[str]]]:
    """A client of `serve` with these arguments, and its process; ended by SIGTERM if it is still there."""
    command = [sys.executable, "-m", "evmcore", "serve", "--port", "0", *arguments]
    limits = {**LIMITS, **REDIS_LIMITS} if "--redis" in arguments else LIMITS
    command += [word for name, limit in limits.items() if name not in arguments for word in (name, limit)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            match = re.fullmatch(rf"listening on {scheme}://127\.0\.0\.1:(\d+)\n", line)
            assert match is not None, f"got {line!r}"
            client = Client(int(match[1]))
            try:
                yield client, process
            finally:
                client.close()
            if process.poll() is None:
                process.terminate()
            assert process.wait(START_SECONDS) == 0
        finally:
            process.kill()


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """The ids of the processes that `serve --workers` has started, from /proc."""
    return [int(word) for word in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def figures(client: Client) -> dict[str, float]:
    """What /metrics shows."""
    text = client.get("/metrics")[2].decode()
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}
