"""Pauses after failures: short at first, and doubled after each further failure."""

from __future__ import annotations


class Backoff:
    """Pauses in seconds: `first`, twice that and so on, at most `longest`; with `at_once` none before the first.

    For one thread at a time.
    """

    def __init__(self, first: float, longest: float, *, at_once: bool = False) -> None:
        self._first = first
        self._longest = longest
        self._start = 0.0 if at_once else first
        self._next = self._start

    def pause(self) -> float:
        """The pause after another failure, in seconds."""
        pause = self._next
        self._next = min(max(2 * pause, self._first), self._longest)
        return pause

    def reset(self) -> None:
        """Called after a success: the next pause is the first again."""
        self._next = self._start
