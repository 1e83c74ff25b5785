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
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COMPILER = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
WARNINGS = ("-Wall", "-Wextra", "-Werror")
SEED = os.environ.get("EVMCORE_STM_SEED", "1")

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler (g++, clang++ or $CXX)")


def compiled(source: str, folder: Path, *flags: str) -> Path:
    program = folder / "driver"
    command = [str(COMPILER), "-std=c++17", *WARNINGS, *flags, "-pthread"]
    command += ["-I", str(ROOT / "src/evmcore/include"), str(ROOT / "tests/native" / source), "-o", str(program)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return program


def report(program: Path, *arguments: str) -> str:
    result = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def needs_sanitizer(folder: Path, flag: str) -> None:
    """Skips where the compiler lacks the sanitizer's runtime, or the system does not let it run."""
    source, program = folder / "probe.cpp", folder / "probe"
    source.write_text("#include <thread>\nint main() { std::thread([] {}).join(); }\n")
    command = [str(COMPILER), "-std=c++17", flag, "-pthread", str(source), "-o", str(program)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip(f"the compiler has no runtime for {flag}")
    if subprocess.run([program], capture_output=True, check=False).returncode != 0:
        pytest.skip(f"programs with {flag} do not start here")


def test_blocks_on_threads_equal_blocks_in_order(tmp_path: Path) -> None:
    program = compiled("stm_driver.cpp", tmp_path, "-O2")
    assert "4000 blocks" in report(program, "--blocks", "4000", "--seed", SEED)


def test_no_data_races(tmp_path: Path) -> None:
    needs_sanitizer(tmp_path, "-fsanitize=thread")
    program = compiled("stm_driver.cpp", tmp_path, "-O1", "-g", "-fsanitize=thread")
    assert "1000 blocks" in report(program, "--blocks", "1000", "--seed", SEED)


def test_no_memory_errors_and_no_undefined_behaviour(tmp_path: Path) -> None:
    needs_sanitizer(tmp_path, "-fsanitize=address,undefined")
    flags = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    program = compiled("stm_driver.cpp", tmp_path, *flags)
    assert "2000 blocks" in report(program, "--blocks", "2000", "--seed", SEED)


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    flags = ("-O2", "-fno-omit-frame-pointer", "-U_FORTIFY_SOURCE")
    return compiled("stm_steps.cpp", tmp_path_factory.mktemp("steps"), *flags)


def test_random_and_priority_based_orders_of_steps(steps: Path) -> None:
    assert "20000 blocks" in report(steps, "random", "--blocks", "20000", "--seed", SEED)


def test_every_order_of_steps_of_three_transactions_on_two_workers(steps: Path) -> None:
    assert "60 programs" in report(steps, "exhaustive", "--blocks", "60")


def test_states_that_the_search_takes_for_the_same_go_on_alike(steps: Path) -> None:
    assert "4 programs" in report(steps, "exhaustive", "--blocks", "4", "--check", "1")
