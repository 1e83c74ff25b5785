"""Store, scheduler and engine of the parallel executor, without Python: the drivers in tests/native, compiled and run.

Long runs, from the project root (nothing is limited but by --blocks; see the head of each file):

    g++ -std=c++17 -O2 -pthread -I src/evmcore/include tests/native/stm_driver.cpp -o stm_driver
    ./stm_driver --blocks 1000000
    g++ -std=c++17 -O2 -fno-omit-frame-pointer -U_FORTIFY_SOURCE -I src/evmcore/include \\
        tests/native/stm_steps.cpp -o stm_steps
    ./stm_steps random --blocks 1000000
    ./stm_steps exhaustive
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.native.stm_faults import FAULTS, Fault
from tests.native_drivers import HEADERS, MEMORY, RACES, compiled, complaint, needs_compiler, report

SEED = os.environ.get("EVMCORE_STM_SEED", "1")
COROUTINES = ("-fno-omit-frame-pointer", "-U_FORTIFY_SOURCE")

pytestmark = needs_compiler


@pytest.mark.parametrize(("blocks", "flags"), [("4000", ("-O2",)), ("1000", RACES), ("2000", MEMORY)])
def test_blocks_on_threads_equal_blocks_in_order(tmp_path: Path, blocks: str, flags: tuple[str, ...]) -> None:
    """At full speed; without data races; without memory errors and undefined behaviour."""
    program = compiled("stm_driver.cpp", tmp_path, *flags)
    assert f"{blocks} blocks" in report(program, "--blocks", blocks, "--seed", SEED)


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled("stm_steps.cpp", tmp_path_factory.mktemp("steps"), "-O2", *COROUTINES)


def test_random_and_priority_based_orders_of_steps(steps: Path) -> None:
    assert "20000 blocks" in report(steps, "random", "--blocks", "20000", "--seed", SEED)


def test_every_order_of_steps_of_three_transactions_on_two_workers(steps: Path) -> None:
    assert "100 programs" in report(steps, "exhaustive", "--blocks", "100")


def test_states_that_the_search_takes_for_the_same_go_on_alike(steps: Path) -> None:
    assert "8 programs" in report(steps, "exhaustive", "--blocks", "8", "--check", "1")


BLOCKS = {"exhaustive": "100", "random": "60000"}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_search_of_orders_finds(fault: Fault, tmp_path: Path) -> None:
    headers = tmp_path / "include"
    shutil.copytree(HEADERS, headers)
    header = headers / "stm" / fault.header
    text = header.read_text()
    assert text.count(fault.right) == 1, f"{fault.header} no longer has once: {fault.right}"
    header.write_text(text.replace(fault.right, fault.wrong))
    program = compiled("stm_steps.cpp", tmp_path, "-O1", "-w", *COROUTINES, headers=headers)
    assert fault.found in complaint(
        program, fault.search, "--blocks", BLOCKS[fault.search], "--first", str(fault.first)
    )
