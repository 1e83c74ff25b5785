"""Runs the archives of consensus fixtures for the tests, in two worker processes.

Environment: ``EVMCORE_SHARED`` is the folder that holds ``fixtures/`` (default: ``shared`` beside the project).
``EVMCORE_FIXTURES=ci`` runs a fixed spread (one file in eight, chosen by its name) instead of every file.
Each archive runs on both dispatch builds of the interpreter.
"""

from __future__ import annotations

import os
import zlib
from collections import Counter
from pathlib import Path

import pytest

from evmcore.cli.fixtures.options import Options
from evmcore.cli.fixtures.runner import run_sources
from evmcore.cli.fixtures.source import everything, read_sources

SHARED = Path(os.environ.get("EVMCORE_SHARED") or Path(__file__).parents[2] / "shared")
SPREAD = 8
WORKERS = 2
SHOWN_FAILURES = 20


def in_spread(name: str) -> bool:
    """True for the files of the fixed spread: the same ones on every machine."""
    return zlib.crc32(name.encode()) % SPREAD == 0


both_dispatch_builds = pytest.mark.parametrize("dispatch", ["tail", "switch"])


def check_archive(
    kind: str, archive: str, expected_cases: int, dispatch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs every case of an archive and prints the counts by fork; fails with the first failures."""
    path = SHARED / "fixtures" / f"{archive}.tar.xz"
    if not path.exists():
        pytest.skip(f"{path} is absent: set EVMCORE_SHARED to the folder that holds fixtures/")
    whole = os.environ.get("EVMCORE_FIXTURES", "full") != "ci"
    total: Counter[str] = Counter()
    failures: list[str] = []
    sources = read_sources([str(path)], everything if whole else in_spread)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVMCORE_DISPATCH", dispatch)  # the workers read it when they load the engine
        for results in run_sources(kind, Options(), sources, WORKERS):
            for case in results:
                total[case.fork] += 1
                if not case.passed:
                    failures.append(f"{case.source}: {case.name} [{case.fork} {case.index}]: {case.error}")
    with capsys.disabled():
        forks = ", ".join(f"{fork} {count}" for fork, count in total.items())
        print(f"\n{archive}, {dispatch} dispatch: {sum(total.values())} cases ({forks})")
    assert not failures, f"{len(failures)} of {sum(total.values())} cases fail:\n" + "\n".join(
        failures[:SHOWN_FAILURES]
    )
    assert total, "no case was run"
    if whole:
        assert sum(total.values()) == expected_cases
