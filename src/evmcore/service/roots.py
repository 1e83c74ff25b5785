"""State roots for simulated and built blocks on a state that cannot compute any, such as that in Redis."""

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
    """Computes roots by the archive, which has the same states as whole ones.

    A run on guesses (`Pin.run`) has a diff that fits no state: the root is then zeros, so that the run goes on and
    finds out all that it needs, and `check` raises at its end.
    """

    def __init__(self, context: Context, block: ArchivedBlock) -> None:
        self._archive = context.archive
        self._block = block
        self._problem: StateError | None = None

    @classmethod
    def at(cls, context: Context, pin: Pin) -> ArchiveRoots | None:
        """For a pinned block; None where there is no archive that knows it."""
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
        """Raises what went wrong since the last check."""
        problem, self._problem = self._problem, None
        if problem is not None:
            raise problem
