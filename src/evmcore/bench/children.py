"""Processes that a measurement starts.

Ctrl-C reaches all processes of a terminal, but the command ends the others, and not while it starts them.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnProcess
from typing import Any


def started(work: Callable[..., None], *arguments: Any) -> SpawnProcess:
    """A new process that does `work` and that SIGINT does not reach."""
    process = multiprocessing.get_context("spawn").Process(target=_begin, args=(work, *arguments), daemon=True)
    resource_tracker.ensure_running()  # its start would let the signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})  # which the process inherits
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return process


def _begin(work: Callable[..., None], *arguments: Any) -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    work(*arguments)
