"""How threads share a block that is run in bins, without Python: `tests/native/bins_driver.cpp`, compiled and run.

Long runs, from the project root (see the head of the file):

    g++ -std=c++17 -O2 -pthread -I src/evmcore/include tests/native/bins_driver.cpp -o bins_driver
    ./bins_driver --blocks 1000000
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.native_drivers import HEADERS, MEMORY, RACES, compiled, complaint, needs_compiler, report

pytestmark = needs_compiler


@pytest.mark.parametrize(("blocks", "flags"), [("30000", ("-O2",)), ("4000", RACES), ("10000", MEMORY)])
def test_what_bins_make_final_is_what_comes_of_it_in_order(tmp_path: Path, blocks: str, flags: tuple[str, ...]) -> None:
    """At full speed; without data races; without memory errors and undefined behaviour."""
    program = compiled("bins_driver.cpp", tmp_path, *flags)
    assert f"{blocks} blocks" in report(program, "--blocks", blocks)


FAULTS = {
    "the first thread may have run one more than was dealt to it": (
        "until = std::min(std::max(until, begun_.load() + 1), count_);",
        "",
    ),
    "the first thread does not skip what it has run alone": (
        "for (; i < bin.count && bin.places[i] < begun; ++i) left -= deal_.worth[bin.places[i]];",
        "",
    ),
    "who passes a portion last does not take it": (
        "return __atomic_add_fetch(&portion.state, 1, __ATOMIC_ACQ_REL) == bin_count_;",
        "return false;",
    ),
    "two take one portion": (
        "return __atomic_fetch_or(&portion.state, kTaken, __ATOMIC_ACQ_REL) < kTaken;",
        "return true;",
    ),
    "looking up begins before all bins have ended": (
        "if (ended_.fetch_add(1) + 1 == bin_count_) {",
        "if (ended_.fetch_add(1) + 2 >= bin_count_) {",
    ),
    "state is brought together before it is known what counts": ("wait_for(judged_);", ""),
    "what follows an invalid transaction counts": ("lower_limit(place);\n            return false;", "return false;"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_found(name: str, tmp_path: Path) -> None:
    right, wrong = FAULTS[name]
    headers = tmp_path / "include"
    shutil.copytree(HEADERS, headers)
    header = headers / "stm/bins.h"
    text = header.read_text()
    assert text.count(right) == 1, f"bins.h no longer has once: {right}"
    header.write_text(text.replace(right, wrong))
    program = compiled("bins_driver.cpp", tmp_path, "-O1", "-w", headers=headers)
    assert "FAILED" in complaint(program, "--blocks", "200000")
