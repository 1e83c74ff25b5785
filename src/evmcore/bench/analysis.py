"""`bench --analysis`: what it costs to see a contract for the first time.

*new*: when a code is first needed. *all reached*: that, and what is done when execution comes to each of its places for
the first time, as if nothing of the code were left out; real transactions reach a small part of most contracts. The
peer has no such second part; a message to a code that stops at once, less one to a code of one byte, is its analysis.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from evmcore._code import analyse_all
from evmcore.bench import replay, report
from evmcore.bench.measure import Samples, Task, measure
from evmcore.bench.pyrevm import Pyrevm

SIZE = 24_576  # bytes of the largest contract (EIP-170)


@dataclass(frozen=True)
class Row:
    """Codes that were analysed together: nanoseconds for all of them."""

    name: str
    codes: list[bytes]
    memory: int
    new: Samples
    reached: Samples
    peer: Samples | None

    @property
    def size(self) -> int:
        return sum(map(len, self.codes))

    def record(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "codes": len(self.codes),
            "bytes": self.size,
            "memory": self.memory,
            "new": list(self.new.values),
            "reached": list(self.reached.values),
            "peer": list(self.peer.values) if self.peer else [],
        }


def real_codes(paths: Iterable[Path]) -> list[bytes]:
    """The different codes of all accounts that some real blocks touch."""
    with_code = (account.code for path in paths for account in replay.load(path).alloc.values() if account.code)
    return list(dict.fromkeys(with_code))


def made_codes(seed: int) -> dict[str, list[bytes]]:
    """Codes of the largest size that are as bad as can be for one or another way of looking at them."""
    rng = random.Random(seed)
    return {
        "one byte, JUMPDEST": [b"\x5b" * SIZE] * 16,
        "one byte, PUSH1": [b"\x60" * SIZE] * 16,
        "one byte, POP": [b"\x50" * SIZE] * 16,
        "random bytes": [rng.randbytes(SIZE) for _ in range(16)],
    }


def run(groups: dict[str, list[bytes]], rounds: int, peer: Pyrevm | None) -> list[Row]:
    """Measures groups of codes and prints a table. Ours and the peer's by turns."""
    rows = []
    with report.progress(len(groups)) as bar:
        for name, codes in groups.items():
            tasks = [Task(partial(analyse_all, codes, reached)) for reached in (False, True)]
            tasks += peer.analysis(codes) if peer else []
            new, reached, *theirs = measure(tasks, rounds)
            net = less(*theirs) if theirs else None
            rows.append(Row(name, codes, analyse_all(codes, False), new, reached, net))
            bar.step(name)
    headers = ["codes", "number", "MB", "MB/s new", "MB/s all reached", "memory per byte"]
    if peer:
        headers += [f"{peer.name} MB/s", "ratio, new", "ratio, all reached"]
    print(report.table(headers, [_cells(row) for row in rows]) + "\n")
    return rows


def less(whole: Samples, part: Samples) -> Samples:
    """What is left of each round."""
    return Samples(tuple(a - b for a, b in zip(whole.values, part.values, strict=True)))


def _cells(row: Row) -> list[str]:
    cells = [row.name, str(len(row.codes)), report.number(row.size / 1e6)]
    cells += [report.number(1e3 * row.size / samples.median) for samples in (row.new, row.reached)]
    cells.append(f"{row.memory / row.size:.2f}")
    if row.peer and row.peer.median > 0:
        cells.append(report.number(1e3 * row.size / row.peer.median))
        cells += [f"{row.peer.median / samples.median:.2f}" for samples in (row.new, row.reached)]
    return cells
