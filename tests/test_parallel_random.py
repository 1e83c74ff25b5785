"""Random hostile blocks: parallel execution gives the outcome of sequential execution, errors included.

`EVMCORE_PARALLEL_BLOCKS` is the number of seeds (default 600); longer runs: `python -m tests.parallel_fuzz`.
"""

import os
from collections import Counter

import pytest

from evmcore.forks import Fork
from tests.parallel_blocks import THREADS, executors_for
from tests.parallel_fuzz.__main__ import describe, main
from tests.parallel_fuzz.cases import FORKS, make_case
from tests.parallel_fuzz.check import check_case, minimised
from tests.parallel_fuzz.lists import check_lists

BLOCKS = int(os.environ.get("EVMCORE_PARALLEL_BLOCKS", "600"))


@pytest.mark.parametrize("fork", FORKS, ids=lambda fork: fork.title)
def test_random_blocks_are_equal(fork: Fork) -> None:
    executors = executors_for(THREADS)
    counts: Counter[str] = Counter()
    for seed in range(BLOCKS // len(FORKS)):
        found = check_case(make_case(10_000 * fork + seed, fork=fork), executors, counts)
        if found is not None:
            pytest.fail(describe(minimised(found, executors, 20)))
    assert counts["valid blocks"] >= BLOCKS // len(FORKS)
    assert counts["invalid blocks"], "some blocks should be invalid"
    assert counts["reruns in turns"], "some transactions should have been run again"


def test_random_blocks_with_lists_given_are_equal_or_refused_by_name_and_place() -> None:
    """Right lists and wrong ones, streamed too, with delays at the points where threads meet."""
    counts: Counter[str] = Counter()
    for seed in range(70_000, 70_000 + BLOCKS // 3):
        found = check_lists(make_case(seed), (2, 3, 8), counts)
        assert found is None, describe(found)
    assert counts["blocks"] >= BLOCKS // 4
    assert counts["wrong lists"] > counts["blocks"]


def test_cases_follow_from_their_seed() -> None:
    assert make_case(42) == make_case(42) != make_case(43)


def test_the_command_says_what_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--blocks", "5", "--seed", "3", "--threads", "2"]) == 0
    assert "0 seeds with a difference" in capsys.readouterr().out


def test_every_kind_of_transaction_and_outcome_is_met() -> None:
    """The generator reaches what it is for; seeds that no longer did would prove less."""
    met: set[object] = set()
    for seed in range(300):
        case = make_case(seed, delays=False)
        met |= {("type", tx.type) for tx in case.block.transactions}
        met |= {"creation" for tx in case.block.transactions if tx.to is None}
        met |= {"clearing" for tx in case.block.transactions for auth in tx.authorization_list if not any(auth.address)}
        met |= {"beneficiary sends" for tx in case.block.transactions if tx.sender == case.block.header.coinbase}
        met |= {"beneficiary has code" for _ in range(1) if _has_code(case.alloc.get(case.block.header.coinbase))}
        met |= {"withdrawals" for _ in case.block.withdrawals or ()}
    wanted = {"creation", "clearing", "beneficiary sends", "beneficiary has code", "withdrawals"}
    assert met >= wanted | {("type", number) for number in range(5)}


def _has_code(account: object) -> bool:
    return bool(getattr(account, "code", b""))
