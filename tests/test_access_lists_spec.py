"""Access lists of random blocks of every fork are those that the executable specification gives."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest

from evmcore._block import BlockResult
from evmcore.access_lists import BlockAccessList
from evmcore.cli import transition
from evmcore.engine import execute_block
from tests.fuzz.cases import make_block
from tests.fuzz.oracle import ENVIRONMENT_VARIABLE, Oracle, oracle_python

BLOCKS = int(os.environ.get("EVMCORE_FUZZ_CASES", "2000")) // 8


@pytest.fixture
def oracle() -> Iterator[Oracle]:
    python = oracle_python()
    if python is None:
        pytest.skip(f"the executable specification is not installed; {ENVIRONMENT_VARIABLE} names its interpreter")
    with Oracle(python) as process:
        yield process


def listed_by_us(case: dict[str, Any]) -> BlockAccessList:
    results: list[BlockResult] = []

    def execute(*arguments: Any, **options: Any) -> BlockResult:
        results.append(execute_block(*arguments, access_list=True, **options))
        return results[-1]

    with patch.object(transition, "execute_block", execute):
        transition.transition(
            transition.TransitionInput(case["alloc"], case["env"], case["txs"], case["fork"], 1, case["reward"])
        )
    made = results[-1].access_list
    assert made is not None
    return made


def difference(expected: BlockAccessList, given: BlockAccessList) -> str:
    for address in sorted({account.address for account in (*expected, *given)}):
        if expected.account(address) != given.account(address):
            return f"specification {expected.account(address)}, engine {given.account(address)} (0x{address.hex()})"
    return ""


def test_access_lists_are_those_of_the_specification(oracle: Oracle, capsys: pytest.CaptureFixture[str]) -> None:
    counts: Counter[str] = Counter()
    differences: list[str] = []
    cases = ({"seed": seed, "accesses": True} | make_block(seed) for seed in range(3_000_000, 3_000_000 + BLOCKS))
    for case, answer in oracle.ask_all(cases, oracle.receive_raw):
        assert "crash" not in answer, (case["seed"], answer)
        expected = BlockAccessList.from_json(answer["accessList"])
        expected.check(len(case["txs"]) - len(answer["rejected"]))
        given = listed_by_us(case)
        counts[case["fork"]] += 1
        counts["(accounts)"] += len(expected)
        counts["(slots)"] += expected.item_count - len(expected)
        counts["(changes)"] += sum(
            len(account.balance_changes) + len(account.nonce_changes) + len(account.code_changes)
            + sum(len(slot.changes) for slot in account.storage_changes)
            for account in expected
        )  # fmt: skip
        if given != expected:
            differences.append(f"seed {case['seed']} {case['fork']}: {difference(expected, given)}")
    with capsys.disabled():
        print("\naccess lists: " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    assert not differences, f"{len(differences)} differences\n" + "\n".join(differences[:10])
