"""Checks one case: compares sequential with parallel execution of the block and, if it is invalid, of the repaired
block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from random import Random

from evmcore.errors import InvalidBlock, InvalidTransaction, TransactionReason
from evmcore.execution import execute_block
from evmcore.state import MemoryState
from evmcore.stm import ParallelExecutor
from evmcore.transactions import Transaction
from tests.parallel_blocks import Outcome, check_equal
from tests.parallel_fuzz.cases import Case

SUMMED = ("runs", "runs_in_bins", "in_bins", "reruns", "waits", "validations", "lazies", "bytes")
"""The counters of executors that are summed up over all cases."""
WRONG_NONCE = (TransactionReason.NONCE_MISMATCH_TOO_HIGH, TransactionReason.NONCE_MISMATCH_TOO_LOW)


@dataclass(frozen=True)
class Difference:
    """A case whose outcomes differ, and how."""

    case: Case
    words: str


def repaired(case: Case) -> Case:
    """The case without what makes its block invalid: wrong nonces are corrected, other invalid transactions left
    out."""
    state = MemoryState(case.alloc)
    fixed: set[int] = set()  # by identity, each once
    while True:
        transactions = list(case.block.transactions)
        try:
            execute_block(case.block, state, case.fork, validate=False)
            return case
        except InvalidBlock as error:
            cause = error.__cause__
            if not isinstance(cause, InvalidTransaction) or cause.index is None:
                return case
            at = cause.index
            bad = transactions[at]
            if cause.reason in WRONG_NONCE and id(bad) not in fixed:
                transactions[at] = _with_right_nonce(case, state, at)
                fixed.add(id(transactions[at]))
            else:
                del transactions[at]
        case = case.with_transactions(transactions)


def _with_right_nonce(case: Case, state: MemoryState, at: int) -> Transaction:
    bad = case.block.transactions[at]
    before = case.with_transactions(case.block.transactions[:at])
    result = execute_block(before.block, state, case.fork, validate=False)
    nonce = state.nonce(bad.sender or b"")
    for change in result.diff.account_changes:
        if change.address == bad.sender:
            nonce = change.new.nonce if change.new is not None else 0
    return replace(bad, nonce=nonce)


def check_case(
    case: Case,
    executors: Mapping[int, ParallelExecutor],
    counts: Counter[str],
    *,
    repetitions: int = 1,
    bins: bool = False,
) -> Difference | None:
    """Compares the outcomes of the case's block, and of the repaired block if it is invalid; counts the executions."""
    for executor in executors.values():
        executor.watch_all = _watches_all(case) and not bins
    for candidate in _candidates(case):
        expected, words = _compared(candidate, executors, repetitions, bins)
        error = expected.get("error")
        counts["blocks"] += 1
        counts[f"fork {candidate.fork.title}"] += 1
        counts["valid blocks" if error is None else "invalid blocks"] += 1
        if error is None:
            counts["transactions"] += len(candidate.block.transactions)
        else:
            counts[f"reason {error[1]}"] += 1
        for executor in executors.values():
            found = executor.counters
            if executor.turns:
                counts["reruns in turns"] += found.get("reruns", 0)
            counts.update({f"counter {name}": number for name, number in found.items() if name in SUMMED})
            counts.update({f"counter aborts {cause}": number for cause, number in found.get("aborts", {}).items()})
            counts["counter fallbacks"] += bool(found.get("fallback"))
        if words is not None:
            return Difference(candidate, words)
    return None


def _compared(
    case: Case, executors: Mapping[int, ParallelExecutor], repetitions: int, bins: bool
) -> tuple[Outcome, str | None]:
    """The sequential outcome, and how another outcome differs from it."""
    state = MemoryState(case.alloc)
    return check_equal(
        case.block,
        state,
        case.fork,
        executors,
        before=state.copy(),
        repetitions=repetitions,
        delays=delays_of(case),
        turns=_takes_turns(case),
        bins=bins,
        state_root=True,
    )


def delays_of(case: Case) -> int:
    """The seed of the delays of a case."""
    return (case.seed + 1) * 0x9E3779B97F4A7C15 % 2**62 + 1


def _watches_all(case: Case) -> bool:
    """Whether every slot counts as contended in a case."""
    return Random(case.seed).random() < 0.4


def _takes_turns(case: Case) -> bool:
    """Whether the workers take turns, drawn by the seed: such a difference is reproduced by its seed, on any
    machine."""
    return Random(~case.seed).random() < 0.3


def _candidates(case: Case) -> Iterator[Case]:
    yield case
    fixed = repaired(case)
    if fixed is not case:
        yield fixed


def minimised(
    difference: Difference, executors: Mapping[int, ParallelExecutor], repetitions: int, *, bins: bool = False
) -> Difference:
    """Drops transactions, withdrawals and accounts as long as some execution still differs."""

    def differs(case: Case) -> Difference | None:
        _, words = _compared(case, executors, repetitions, bins)
        return None if words is None else Difference(case, words)

    size = max(1, len(difference.case.block.transactions) // 2)
    while size:
        at, progress = 0, False
        while at < len(difference.case.block.transactions):
            transactions = list(difference.case.block.transactions)
            del transactions[at : at + size]
            smaller = differs(difference.case.with_transactions(transactions))
            if smaller is not None:
                difference, progress = smaller, True
            else:
                at += size
        if size == 1 and not progress:
            break
        size = max(1, size // 2)
    for address in list(difference.case.alloc):
        alloc = {key: account for key, account in difference.case.alloc.items() if key != address}
        difference = differs(replace(difference.case, alloc=alloc)) or difference
    return difference
