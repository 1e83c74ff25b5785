"""Random programs and transactions give what the executable specification gives: state root, logs, gas, rejection."""

import os
from collections import Counter
from collections.abc import Callable

import pytest

from tests.fuzz.__main__ import Maker, compare, compare_births, compare_blocks, compare_chains, compare_sweeps
from tests.fuzz.births import make_births
from tests.fuzz.cases import make_block, make_case
from tests.fuzz.chains import make_chain
from tests.fuzz.oracle import Oracle
from tests.fuzz.sweeps import make_sweep

CASES = int(os.environ.get("EVMCORE_FUZZ_CASES", "2000"))
BLOCKS = CASES // 10
BIRTHS = CASES // 25
CHAINS = CASES // 25
SWEEPS = CASES // 20


def words(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def test_transactions_agree_with_the_specification(oracle: Oracle, tell: Callable[[str], None]) -> None:
    counts, differences = compare(oracle, seed=1_000_000, count=CASES)
    tell(f"fuzz, transactions: {words(counts)}")
    assert not differences, "\n".join(differences)
    assert not counts["(specification crashed)"]
    assert counts["(rejected)"] < CASES // 4, "most transactions should run"


def test_blocks_of_transactions_agree_with_the_specification(oracle: Oracle, tell: Callable[[str], None]) -> None:
    counts, differences = compare_blocks(oracle, seed=2_000_000, count=BLOCKS)
    tell(f"fuzz, blocks: {words(counts)}")
    assert not differences, "\n".join(differences)
    assert not counts["(specification crashed)"]
    assert counts["(rejected)"] < counts["(transactions)"] // 3, "most transactions should run"


def test_contracts_born_and_destroyed_again_agree_with_the_specification(
    oracle: Oracle, tell: Callable[[str], None]
) -> None:
    counts, differences = compare_births(oracle, seed=5_000_000, count=BIRTHS)
    tell(f"fuzz, births: {words(counts)}")
    assert not differences, "\n".join(differences)
    assert not counts["(specification crashed)"]
    assert counts["(rejected)"] < counts["(transactions)"] // 3, "most transactions should run"


def test_chains_agree_with_the_specification(oracle: Oracle, tell: Callable[[str], None]) -> None:
    counts, differences = compare_chains(oracle, seed=3_000_000, count=CHAINS)
    tell(f"fuzz, chains: {words(counts)}")
    assert not differences, "\n".join(differences)
    assert not counts["(specification crashed)"]
    assert counts["(blocks valid)"] > counts["(blocks refused)"] // 2, "many blocks should be valid"


def test_sweeps_of_gas_agree_with_the_specification(oracle: Oracle, tell: Callable[[str], None]) -> None:
    counts, differences = compare_sweeps(oracle, seed=4_000_000, count=SWEEPS)
    tell(f"fuzz, sweeps: {words(counts)}")
    assert not differences, "\n".join(differences)
    assert not counts["(specification crashed)"]
    assert not counts["(rejected)"]


@pytest.mark.parametrize("make", [make_case, make_block, make_births, make_chain, make_sweep])
def test_cases_follow_from_their_seed(make: Maker) -> None:
    assert make(42, "") == make(42, "") != make(43, "")
