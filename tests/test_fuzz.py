"""Random programs and transactions give what the executable specification gives: state root, logs, gas, rejection."""

import os

import pytest

from tests.fuzz.__main__ import compare
from tests.fuzz.cases import make_case
from tests.fuzz.oracle import ENVIRONMENT_VARIABLE, Oracle, oracle_python

CASES = int(os.environ.get("EVMCORE_FUZZ_CASES", "2000"))


def test_engine_and_specification_agree(capsys: pytest.CaptureFixture[str]) -> None:
    python = oracle_python()
    if python is None:
        pytest.skip(f"the executable specification is not installed; {ENVIRONMENT_VARIABLE} names its interpreter")
    with Oracle(python) as oracle:
        counts, differences = compare(oracle, seed=1_000_000, count=CASES)
    with capsys.disabled():
        print("\nfuzz: " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    assert not differences, "\n".join(differences)
    assert counts["(rejected)"] < CASES // 4, "most cases should run"


def test_cases_follow_from_their_seed() -> None:
    assert make_case(42) == make_case(42) != make_case(43)
