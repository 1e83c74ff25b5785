"""State diffs of consecutive blocks, joined over any range of them."""

from __future__ import annotations

from evmcore._diff import StateDiff

__all__ = ["DiffHistory"]


class DiffHistory:
    """The diffs of the blocks of a chain, oldest first, joinable over any range.

    Joins over ranges that are aligned powers of two are kept: any range is made of a few of them, and a new block
    requires only a few new ones. Not safe for use from several threads at once.
    """

    def __init__(self) -> None:
        self._diffs: list[StateDiff] = []
        self._joined: dict[tuple[int, int], StateDiff] = {}

    def __len__(self) -> int:
        return len(self._diffs)

    def append(self, diff: StateDiff) -> None:
        """Adds the diff of the next block; it must be complete (applied)."""
        self._diffs.append(diff)

    def truncate(self, length: int) -> None:
        """Drops all diffs except the first `length`."""
        del self._diffs[length:]
        self._joined = {key: diff for key, diff in self._joined.items() if (key[1] + 1) << key[0] <= length}

    def join(self, start: int, stop: int) -> StateDiff:
        """One diff with the combined effect of the diffs `start` to `stop - 1`."""
        joined: StateDiff | None = None
        while start < stop:
            level = (start & -start).bit_length() - 1 if start else (stop - start).bit_length() - 1
            while start + (1 << level) > stop:
                level -= 1
            part = self._aligned(level, start >> level)
            joined = part if joined is None else joined.compose(part)
            start += 1 << level
        return StateDiff() if joined is None else joined

    def _aligned(self, level: int, index: int) -> StateDiff:
        """The join of `2**level` diffs from `index * 2**level` on."""
        if level == 0:
            return self._diffs[index]
        key = (level, index)
        joined = self._joined.get(key)
        if joined is None:
            joined = self._aligned(level - 1, 2 * index).compose(self._aligned(level - 1, 2 * index + 1))
            self._joined[key] = joined
        return joined
