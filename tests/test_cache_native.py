"""The state cache, without Python: the driver in tests/native, compiled and run.

Long runs, from the project root (see the head of the driver for all arguments):

    g++ -std=c++17 -O2 -pthread -I src/evmcore/include tests/native/cache_driver.cpp -o cache_driver
    ./cache_driver --steps 1000000 --readers 8
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.test_stm_native import compiled, needs_sanitizer, pytestmark, report

__all__ = ["pytestmark"]

SEED = os.environ.get("EVMCORE_CACHE_SEED", "1")


def test_pinned_reads_are_exact_while_the_feed_moves(tmp_path: Path) -> None:
    program = compiled("cache_driver.cpp", tmp_path, "-O2")
    assert "10000 steps" in report(program, "--steps", "10000", "--seed", SEED)
    assert "4000 steps" in report(program, "--steps", "4000", "--seed", SEED, "--limit", "20000")


def test_no_data_races(tmp_path: Path) -> None:
    needs_sanitizer(tmp_path, "-fsanitize=thread")
    program = compiled("cache_driver.cpp", tmp_path, "-O1", "-g", "-fsanitize=thread")
    assert "1500 steps" in report(program, "--steps", "1500", "--seed", SEED)


def test_no_memory_errors_and_no_undefined_behaviour(tmp_path: Path) -> None:
    needs_sanitizer(tmp_path, "-fsanitize=address,undefined")
    flags = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    program = compiled("cache_driver.cpp", tmp_path, *flags)
    assert "3000 steps" in report(program, "--steps", "3000", "--seed", SEED, "--limit", "100000")
