"""Which processors a server and its caller run on, while something is measured.

Left to the system, a server that a caller waits for is at times woken on the caller's own processor and at times on
another one, whose wake-up costs more than a small request; what is compared must be of one kind.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

AS_IT_COMES: Final = "as it comes"
APART: Final = "apart"
TOGETHER: Final = "together"


def placements(server: int | None) -> tuple[str, ...]:
    """The placements that can be had for the server with this process id (None: not a process of this machine)."""
    if server is None or not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        return (AS_IT_COMES,)
    return (APART, TOGETHER)


@contextmanager
def placed(placement: str, server: int | None) -> Iterator[None]:
    """This thread, and threads that it starts meanwhile, on one processor; the server on another or the same.

    `AS_IT_COMES`: nothing is done. Raises `OSError` where the system does not allow it.
    """
    if placement == AS_IT_COMES or server is None:
        yield
        return
    ours = os.sched_getaffinity(0)
    first, second = sorted(ours)[:2]
    before = {thread: os.sched_getaffinity(thread) for thread in _threads(server)}
    try:
        for thread in before:
            os.sched_setaffinity(thread, {second if placement == APART else first})
        os.sched_setaffinity(0, {first})
        yield
    finally:
        os.sched_setaffinity(0, ours)
        for thread, allowed in before.items():
            os.sched_setaffinity(thread, allowed)


def _threads(process: int) -> list[int]:
    return [int(entry.name) for entry in Path(f"/proc/{process}/task").iterdir()]
