"""A Redis server of a measurement's own, which ends with it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from evmcore.errors import InputError

PATIENCE = 20.0  # seconds until it answers


class PrivateServer(NamedTuple):
    """`path` of its unix socket, its process id."""

    path: str
    pid: int


@contextmanager
def private_server() -> Iterator[PrivateServer]:
    """An empty server that saves nothing and listens on a unix socket only. `InputError` where there is none."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        raise InputError("no redis-server on this machine")
    with tempfile.TemporaryDirectory(prefix="evmcore-") as folder:
        path = f"{folder}/r.sock"
        command = [program, "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no", "--dir", folder]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            _wait_for(path, process)
            yield PrivateServer(path, process.pid)
        finally:
            process.kill()
            process.wait()


def _wait_for(path: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(path)
                return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise InputError("the redis-server does not start") from None
            time.sleep(0.01)
