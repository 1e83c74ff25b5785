"""Speed, measured: workloads of our own, real blocks, single programs, and a peer on the same work by turns.

`evmcore.bench.workloads` makes seeded blocks of a chosen shape; `main` is the command `python -m evmcore bench`.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command with these arguments (by default those of the process). Returns its exit code."""
    from evmcore.bench.command import main as run

    return run(argv)


__all__ = ["main"]
