"""Waiting for what happens elsewhere: looked for until it is there, and given up after a bounded time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 300.0  # seconds, to end a hang; for what takes a moment, on a machine however busy
PAUSE = 0.005  # seconds between two looks

T = TypeVar("T")


def until(what: Callable[[], object], problem: object = "in vain", seconds: float = PATIENCE) -> None:
    """Waits until `what` gives something true. `problem`, or what it gives, is said when that does not come."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, problem() if callable(problem) else problem
        time.sleep(PAUSE)


def eventually(what: Callable[[], T], *passing: type[Exception], problem: object = "in vain") -> T:
    """What `what` gives when it no longer raises one of the errors that pass."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return what()
        except passing:
            if time.monotonic() >= deadline:
                raise AssertionError(problem() if callable(problem) else problem) from None
        time.sleep(PAUSE)
