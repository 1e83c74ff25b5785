"""The turns of a block with a given access list, without Python: the driver in tests/native, compiled and run.

Long runs, from the project root (see the head of the driver for all arguments):

    g++ -std=c++17 -O2 -pthread -I src/evmcore/include tests/native/listed_driver.cpp -o listed_driver
    ./listed_driver --blocks 1000000
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.native_drivers import MEMORY, RACES, compiled, needs_compiler, report

SEED = os.environ.get("EVMCORE_LISTED_SEED", "1")

pytestmark = needs_compiler


@pytest.mark.parametrize(("blocks", "flags"), [("4000", ("-O2",)), ("1500", RACES), ("2000", MEMORY)])
def test_transactions_run_once_and_become_final_in_order(tmp_path: Path, blocks: str, flags: tuple[str, ...]) -> None:
    """At full speed; without data races; without memory errors and undefined behaviour."""
    program = compiled("listed_driver.cpp", tmp_path, *flags)
    assert f"{blocks} blocks" in report(program, "--blocks", blocks, "--seed", SEED)
