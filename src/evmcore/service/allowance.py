"""Limits of a request: its time, and whether it may wait."""

from __future__ import annotations

import math
import time

from evmcore._time_limit import TimeLimit
from evmcore.errors import ExecutionAborted
from evmcore.service.limits import Limits
from evmcore.service.source import WouldBlock

__all__ = ["INLINE_SECONDS", "Allowance"]

INLINE_SECONDS = 0.002  # the time a call may take on the event loop before it has to go to a thread


class Allowance:
    """The time that one request, or all requests of a batch, may take, and the gas they have used.

    With `inline` set, nothing may wait: methods that would wait raise `WouldBlock` and are called again in a thread,
    and no request begins after `INLINE_SECONDS`. `seconds`: for all requests together, besides the limit of each
    request. `whole`: a limit that the client's disconnection stops, None if that cannot be noticed. For one thread at a
    time.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        inline: bool = False,
        seconds: float | None = None,
        whole: TimeLimit | None = None,
    ) -> None:
        self.inline = inline
        self.gas_used = 0
        self._limits = limits
        self._whole = whole
        if inline:
            seconds = INLINE_SECONDS
        self._deadline = math.inf if seconds is None else time.monotonic() + seconds
        self.begin()

    def begin(self) -> None:
        """Starts the time of the next request. `WouldBlock` if the time on the event loop is over."""
        now = time.monotonic()
        if self.inline and now >= self._deadline:
            raise WouldBlock("the requests take longer")
        self._until = min(self._deadline, now + self._limits.timeout)

    def timeout(self, most: float | None = None) -> float | TimeLimit:
        """The time for the next run, at most `most` seconds if given. The time that a request waits between runs
        counts, except on the event loop, where each run has `INLINE_SECONDS`. `ExecutionAborted` if no time is left."""
        if self.inline:
            return min(INLINE_SECONDS, self._limits.timeout)
        left = self._until - time.monotonic()
        if left <= 0 or (self._whole is not None and self._whole.is_stopped):
            raise ExecutionAborted("the time for the request, or for the whole batch, is over")
        if most is not None:
            left = min(left, most)
        return left if self._whole is None else self._whole.within(left)

    def check_time(self) -> None:
        """`ExecutionAborted` if the request has no time left; for methods that run no code."""
        self.timeout()
