"""Faults of the parallel engine that the search of orders must find. In each, one line of a header is wrong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """`right`, which occurs once in a header of include/stm, becomes `wrong`; the search, which begins with program
    `first`, must report `found`. `search`: every order of small programs, or random orders of larger ones."""

    name: str
    header: str
    right: str
    wrong: str
    found: str = "FAILED"
    first: int = 0
    search: str = "exhaustive"


TWO_BRANCHES = 1638  # x = f(x); if x: y = 1; if x: y = 1

FAULTS = (
    Fault(
        "who begins to wait does not look again",
        "scheduler.h",
        "return !has_run(blocker) || ",
        "return true || ",
        "nobody",
    ),
    Fault(
        "who has run wakes nobody",
        "scheduler.h",
        "if (states_[tx].waiters.load() == nullptr) return 0;",
        "return 0;",
        "blocked, but nobody will wake it",
    ),
    Fault(
        "who moves past a transaction does not look again",
        "scheduler.h",
        "if (missed != tx) lower_next(missed);",
        "(void)missed;",
        "ready, but nobody will claim it",
        search="random",  # it takes more than three transactions
    ),
    Fault(
        "who wakes several forgets all but one",
        "scheduler.h",
        "if (woken != 0) lower_next(woken);",
        "(void)woken;",
        "ready, but nobody will claim it",
    ),
    Fault(
        "what a worker is handed is not claimed",
        "engine.h",
        "const TxIndex tx = scheduler.claim(handed, mine, arena);",
        "const TxIndex tx = scheduler.claim(0, mine, arena);",
        "ready, but nobody will claim it",
    ),
    Fault(
        "who leaves the office does not look again",
        "engine.h",
        "while (scheduler.needs_committer() && ",
        "while (false && ",
        "nobody does anything",
    ),
    Fault(
        "a transaction is begun without asking whether somebody else has begun it",
        "scheduler.h",
        "return states_[tx].word.replace(word, word_of(kExecuting, incarnation_of(word) + 1, epoch_of(word) + 1));",
        "states_[tx].word.store(word_of(kExecuting, incarnation_of(word) + 1, epoch_of(word) + 1));\nreturn true;",
    ),
    Fault(
        "the frontier does not check",
        "engine.h",
        " || !tasks.stands(tasks.self, tx)",
        "",
        "another",
    ),
    Fault(
        "a run that will be made again is not marked as an estimate",
        "store.h",
        "if (word != 0) version->value.store(word | 1, std::memory_order_release);",
        "(void)word;",
        "another",
        TWO_BRANCHES,
    ),
    Fault(
        "what a run did not write again stays",
        "store.h",
        "            withdraw(before[i].version);",
        "",
        "another",
        TWO_BRANCHES,
    ),
    Fault(
        "versions are put first, wherever they belong",
        "store.h",
        "while (at != nullptr && at->tx > tx) {",
        "while (false) {",
    ),
    Fault(
        "a wipe does not hide what was before it",
        "store.h",
        "->word.w[1] != 0) return at->tx;",
        "->word.w[1] != 0) return 0;",
        "another",
    ),
)
