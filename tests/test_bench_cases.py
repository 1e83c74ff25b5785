"""Every program of the shared benchmark collection gives the expected output and exactly the expected gas."""

from __future__ import annotations

from pathlib import Path

import pytest

from evmcore import EVM
from evmcore.bench import engine
from evmcore.bench.cases import CALLEE, CALLER, load, own
from tests.shared_files import SHARED

PATHS = sorted((SHARED / "bench" / "cases").glob("*.json"))

if not PATHS:
    pytest.skip(f"no bench/cases in {SHARED} (set EVMCORE_SHARED)", allow_module_level=True)


@pytest.mark.parametrize("switch", [False, True], ids=["tail calls", "switch"])
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_output_and_gas(path: Path, switch: bool) -> None:
    case = load(path)
    evm = EVM(engine.state_of(case), fork=case.fork, switch_dispatch=switch)
    result = evm.message(CALLEE, case.data, sender=CALLER, gas=case.gas_limit)
    assert (result.error, result.output, result.gas_used) == (None, case.output, case.gas_used)


def test_all_programs_are_there() -> None:
    assert len(PATHS) == 67


@pytest.mark.parametrize("case", own(), ids=lambda case: case.name)
def test_own_calls(case) -> None:  # type: ignore[no-untyped-def]
    engine.message(case).run()  # both raise WrongResult for another output
    engine.call(case).run()
