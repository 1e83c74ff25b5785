"""Runs the archives of consensus fixtures for the tests, in two worker processes.

Every case runs on both dispatch builds of the interpreter. `EVMCORE_FIXTURES=ci` in the environment runs a fixed
spread (one file in eight, chosen by its name) instead of every file.
"""

from __future__ import annotations

import os
import zlib
from collections import Counter
from collections.abc import Callable

from evmcore.cli.fixtures.options import Options
from evmcore.cli.fixtures.runner import run_sources
from evmcore.cli.fixtures.source import everything, read_sources
from tests.shared_files import shared_path

SPREAD = 8
WORKERS = 2
SHOWN_FAILURES = 20
BUILDS = ("tail-call", "switch")


def in_spread(name: str) -> bool:
    """True for the files of the fixed spread: the same ones on every machine."""
    return zlib.crc32(name.encode()) % SPREAD == 0


def check_archive(kind: str, archive: str, expected_cases: int, tell: Callable[[str], None]) -> None:
    """Runs every case of an archive and tells the counts by fork; fails with the first failures."""
    path = shared_path("fixtures", f"{archive}.tar.xz")
    whole = os.environ.get("EVMCORE_FIXTURES", "full") != "ci"
    counts = {build: Counter[str]() for build in BUILDS}
    failures: list[str] = []
    sources = read_sources([str(path)], everything if whole else in_spread)
    for results in run_sources(kind, Options(builds=BUILDS), sources, WORKERS):
        for case in results:
            counts[case.build][case.fork] += 1
            if not case.passed:
                failures.append(f"{case.source}: {case.name} [{case.fork} {case.index}, {case.build}]: {case.error}")
    total = counts[BUILDS[0]]
    forks = ", ".join(f"{fork} {count}" for fork, count in total.items())
    tell(f"{archive}, {' and '.join(BUILDS)} dispatch: {sum(total.values())} cases ({forks})")
    assert not failures, f"{len(failures)} fail:\n" + "\n".join(failures[:SHOWN_FAILURES])
    assert total, "no case was run"
    assert all(counts[build] == total for build in BUILDS)
    if whole:
        assert sum(total.values()) == expected_cases
