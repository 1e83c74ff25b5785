"""Ports of 127.0.0.1 for servers that start later, or again: of this process alone among those that run tests."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from contextlib import suppress
from functools import cache
from itertools import cycle
from random import SystemRandom

# None of those that systems give to outgoing connections.
LOWEST, HIGHEST = 10_240, 32_000
SHARE = 170  # ports of a process


@cache
def _own() -> cycle[int]:
    """The ports of this process, which holds a lock on a file as long as it lives."""
    folder = f"{tempfile.gettempdir()}/evmcore-test-ports-{os.getuid()}"
    os.makedirs(folder, exist_ok=True)
    shares = list(range(LOWEST, HIGHEST, SHARE))
    SystemRandom().shuffle(shares)
    for first in shares:
        lock = os.open(f"{folder}/{first}", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            continue
        return cycle(range(first, min(first + SHARE, HIGHEST)))
    raise OSError(f"all of {folder} are locked")


def free_port() -> int:
    """A port that nobody listens on, and that no other test is given before this process has been given many more."""
    for port in _own():
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("unreachable")
