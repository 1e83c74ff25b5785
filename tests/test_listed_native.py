"""The turns of a block with a given access list, without Python: the driver in tests/native, compiled and run.

Long runs, from the project root (see the head of the driver for all arguments):

    g++ -std=c++17 -O2 -pthread -I src/evmcore/include tests/native/listed_driver.cpp -o listed_driver
    ./listed_driver --blocks 1000000
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.test_stm_native import compiled, needs_sanitizer, pytestmark, report

__all__ = ["pytestmark"]

SEED = os.environ.get("EVMCORE_LISTED_SEED", "1")


def test_transactions_run_once_and_become_final_in_order(tmp_path: Path) -> None:
    program = compiled("listed_driver.cpp", tmp_path, "-O2")
    assert "4000 blocks" in report(program, "--blocks", "4000", "--seed", SEED)


def test_no_data_races(tmp_path: Path) -> None:
    needs_sanitizer(tmp_path, "-fsanitize=thread")
    program = compiled("listed_driver.cpp", tmp_path, "-O1", "-g", "-fsanitize=thread")
    assert "1500 blocks" in report(program, "--blocks", "1500", "--seed", SEED)


def test_no_memory_errors_and_no_undefined_behaviour(tmp_path: Path) -> None:
    needs_sanitizer(tmp_path, "-fsanitize=address,undefined")
    flags = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    program = compiled("listed_driver.cpp", tmp_path, *flags)
    assert "2000 blocks" in report(program, "--blocks", "2000", "--seed", SEED)
