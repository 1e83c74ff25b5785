"""Who ran what and when in a parallel block: recorded by the executor, put in order here, drawn by `picture`."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from evmcore._block_run import Executor
from evmcore._stm_told import CAUSES
from evmcore.counters import ParallelCounters, WorkerEvent
from evmcore.stm import ParallelExecutor

RECORDED = 7  # executions, of which the one of median length is shown


class Kind(Enum):
    """What a worker did. The value is what a legend says of it."""

    WAKING = "waking"
    FIRST = "first run"
    AGAIN = "run again"
    VAIN = "run that met a value about to change"
    COMMIT = "commit"
    REFUSED = "check after which the run did not stand"
    WAIT = "waiting for work"


KINDS = {
    "woke": Kind.WAKING,
    "waited": Kind.WAIT,
    "made final": Kind.COMMIT,
    "did not stand": Kind.REFUSED,
    "met an estimate": Kind.VAIN,
}

IN_BIN = "in a bin of transactions that share nothing with the others"

# Why a run did not stand, for readers; the names are those of `ParallelCounters.aborts`.
WHY = {
    "nonce": "a nonce had changed",
    "balance": "a balance had changed",
    "floor": "a balance was too low",
    "code": "a code had changed",
    "exists": "an account had come or gone",
    "slot": "a slot had changed",
    "interval": "a slot was out of the bounds that it was compared with",
    "block_gas": "the block's gas was used up",
    "invalid": "the run ended as invalid",
    "failed": "the run was not done",
}


@dataclass(frozen=True)
class Span:
    """Something that a worker did, in nanoseconds from the moment when the workers were woken."""

    worker: int
    kind: Kind
    begin: int
    end: int
    transaction: int | None = None  # index
    run: int = 0  # which of the transaction's runs, from 1; of a commit or a check: the run that it concerns
    note: str = ""


@dataclass(frozen=True)
class Timeline:
    """One execution of a block. `lost`: what there was no room to record."""

    name: str
    transactions: int
    threads: int
    took: int  # nanoseconds
    lost: int
    spans: tuple[Span, ...]

    def of(self, *kinds: Kind) -> list[Span]:
        """The spans of these kinds, by time."""
        return [span for span in self.spans if span.kind in kinds]

    @property
    def runs(self) -> list[Span]:
        return self.of(Kind.FIRST, Kind.AGAIN, Kind.VAIN)


def spans_of(events: Sequence[WorkerEvent]) -> tuple[Span, ...]:
    """What the executor recorded, by time, with the runs of each transaction numbered."""
    runs: Counter[int] = Counter()
    spans = []
    for worker, what, transaction, begin, end, detail in sorted(events, key=lambda event: (event[3], event[4])):
        kind, note = KINDS.get(what), ""
        if kind in (None, Kind.VAIN):
            assert transaction is not None
            runs[transaction] += 1
            if kind is None:
                kind = Kind.FIRST if runs[transaction] == 1 else Kind.AGAIN
            if what in ("ran again", "ran at the frontier"):
                note = "by the committer, all before it being final"
            elif what == "ran in a bin":
                note = IN_BIN
        if kind is Kind.VAIN:
            note = f"waits for transaction {detail}"
        elif kind is Kind.REFUSED:
            note = WHY[CAUSES[detail or 0]]
        assert kind is not None
        run = 0 if transaction is None else runs[transaction]
        spans.append(Span(worker, kind, begin, end, transaction, run, note))
    return tuple(spans)


class Executable(Protocol):
    """A block that can be executed time after time (`parallel.Subject`)."""

    name: str

    def execute_by(self, executor: Executor) -> ParallelCounters: ...


def record(subject: Executable, threads: int) -> tuple[Timeline, float]:
    """Executes a block several times. Returns the execution of median length, and the median nanoseconds of sequential
    ones between them."""
    executor = ParallelExecutor(threads, always=True)
    taken: list[Timeline] = []
    sequential = []
    for _ in range(2):  # code is analysed, memory is there
        subject.execute_by(executor)
    executor.recording = True
    for _ in range(RECORDED):
        sequential.append(subject.execute_by(Executor()).phases["execute"])
        counters = subject.execute_by(executor)
        took, lost, events = executor.timeline
        taken.append(Timeline(subject.name, counters.transactions, counters.threads, took, lost, spans_of(events)))
    taken.sort(key=lambda timeline: timeline.took)
    return taken[len(taken) // 2], statistics.median(sequential)


def summary(timeline: Timeline, sequential: float) -> str:
    """The execution in words. `sequential`: nanoseconds of a sequential one."""
    final = timeline.of(Kind.COMMIT)
    shares = []
    for kinds in ((Kind.FIRST, Kind.AGAIN, Kind.VAIN), (Kind.COMMIT, Kind.REFUSED), (Kind.WAIT, Kind.WAKING)):
        spent = sum(span.end - span.begin for span in timeline.of(*kinds))
        shares.append(100 * spent / max(1, timeline.threads * timeline.took))
    lines = [
        f"{timeline.name}: {timeline.transactions} transactions on {timeline.threads} threads in "
        f"{timeline.took / 1000:,.0f} us; one after the other {sequential / 1000:,.0f} us",
        f"{len(timeline.runs)} runs, of which {len(timeline.of(Kind.AGAIN))} again and "
        f"{len(timeline.of(Kind.VAIN))} in vain, {sum(run.note == IN_BIN for run in timeline.runs)} in bins; "
        f"{len(final)} commits",
        "of the threads' time: {:.0f} % runs, {:.0f} % checks and commits, {:.0f} % waiting and waking".format(*shares),
    ]
    refused = Counter(span.note for span in timeline.of(Kind.REFUSED))
    if refused:
        lines.append("did not stand: " + ", ".join(f"{why} ({times})" for why, times in refused.most_common()))
    return "\n".join(lines)
