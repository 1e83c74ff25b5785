"""The state cache and its readers, without Python: the drivers in tests/native, compiled and run.

Long runs, from the project root (see the head of the driver for all arguments):

    g++ -std=c++17 -O2 -pthread -I src/evmcore/include tests/native/cache_driver.cpp -o cache_driver
    ./cache_driver --steps 1000000 --readers 8
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.native_drivers import MEMORY, RACES, compiled, needs_compiler, report

SEED = os.environ.get("EVMCORE_CACHE_SEED", "1")

pytestmark = needs_compiler

RUNS = [
    (("-O2",), "10000", ()),
    (("-O2",), "4000", ("--limit", "20000")),
    (RACES, "1500", ()),
    (MEMORY, "3000", ("--limit", "100000")),
]


@pytest.mark.parametrize(("flags", "steps", "limit"), RUNS)
def test_pinned_reads_are_exact_while_the_feed_moves(
    tmp_path: Path, flags: tuple[str, ...], steps: str, limit: tuple[str, ...]
) -> None:
    """At full speed; without data races; without memory errors and undefined behaviour."""
    program = compiled("cache_driver.cpp", tmp_path, *flags)
    assert f"{steps} steps" in report(program, "--steps", steps, "--seed", SEED, *limit)


@pytest.mark.parametrize(("flags", "slots"), [(("-O2",), "20000"), (RACES, "2000"), (MEMORY, "5000")])
def test_threads_that_share_a_reader_find_what_each_other_brought_in(
    tmp_path: Path, flags: tuple[str, ...], slots: str
) -> None:
    program = compiled("reader_driver.cpp", tmp_path, *flags)
    assert f"{slots} slots" in report(program, "--slots", slots)
