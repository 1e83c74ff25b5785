"""How many native threads an argument asks for."""

from __future__ import annotations

import os
from typing import Final, Literal

from evmcore.errors import InputError
from evmcore.types import shown

__all__ = ["MOST_THREADS", "Threads", "available_cores", "thread_count"]

MOST_THREADS: Final = 1024

Threads = int | Literal["auto"] | None
"""A number of threads; 0 or `"auto"` for all cores, None for one."""


def available_cores() -> int:
    """Processor cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_count(threads: Threads) -> int:
    """The number of threads for an argument `threads`, from 1 to `MOST_THREADS`. Raises `InputError` for an invalid
    one."""
    if threads is None:
        return 1
    if threads == "auto" or (threads == 0 and not isinstance(threads, bool)):
        return min(available_cores(), MOST_THREADS)
    if isinstance(threads, bool) or not isinstance(threads, int) or not 0 < threads <= MOST_THREADS:
        raise InputError(
            f"argument 'threads': expected 1 to {MOST_THREADS}, 0 or 'auto' for all cores, got {shown(threads)}"
        )
    return threads
