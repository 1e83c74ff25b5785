"""State roots for simulated and built blocks on a state that cannot compute roots, such as a state in Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from evmcore._diff import StateDiff
from evmcore.errors import StateError

if TYPE_CHECKING:
    from evmcore.service.archive import ArchivedBlock
    from evmcore.service.context import Context
    from evmcore.service.source import Pin

__all__ = ["NO_ROOT", "ArchiveRoots"]

NO_ROOT: Final = bytes(32)


class ArchiveRoots:
    """Computes roots by the archive, which has the same states complete.

    A run on guesses (`Pin.run`) has a diff that fits no state. The root is then zero, so that the run goes on and finds
    out all values that it needs; `check` raises the error at the end of the run.
    """

    def __init__(self, context: Context, block: ArchivedBlock) -> None:
        self._archive = context.archive
        self._block = block
        self._problem: StateError | None = None

    @classmethod
    def at(cls, context: Context, pin: Pin) -> ArchiveRoots | None:
        """For a pinned block; None if there is no archive, or if the archive does not have the block."""
        archive = context.service.source.archive
        block = None if archive is None else archive.block_by_hash(pin.block_hash)
        return None if block is None else cls(context, block)

    def __call__(self, diff: StateDiff) -> bytes:
        """The root after a diff."""
        try:
            return self._archive.state_root(self._block, diff)
        except StateError as error:
            self._problem = self._problem or error
            return NO_ROOT

    def check(self) -> None:
        """Raises the error that occurred since the last check, if any."""
        problem, self._problem = self._problem, None
        if problem is not None:
            raise problem
