"""Random programs and transactions give what the executable specification gives: state root, logs, gas, rejection."""

import os
from collections import Counter
from collections.abc import Callable

from tests.fuzz.__main__ import compare, compare_blocks
from tests.fuzz.cases import make_block, make_case
from tests.fuzz.oracle import Oracle

CASES = int(os.environ.get("EVMCORE_FUZZ_CASES", "2000"))
BLOCKS = CASES // 10


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


def test_cases_follow_from_their_seed() -> None:
    assert make_case(42) == make_case(42) != make_case(43)
    assert make_block(42) == make_block(42) != make_block(43)
