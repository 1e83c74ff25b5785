"""Counters and times of executing a block: `BlockResult.parallel`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isqrt
from typing import Any

from evmcore.forks import Fork

PHASES = ("prepare", "senders", "execute", "end", "check", "state_root")  # the order of the phases in `_block_run.pxd`

# An action of a worker in a parallel block: worker, action, index of the transaction if any, begin and end in
# nanoseconds, detail if any. See `stm.ParallelExecutor`.
WorkerEvent = tuple[int, str, int | None, int, int, int | None]


def decision_words(reason: int, threads: int, sequential: int, parallel: int, path: int) -> str:
    """A `_block_run.Reason` in words, with the estimated nanoseconds; empty if the caller fixed the number of
    threads."""

    def us(nanoseconds: int) -> str:
        return f"{nanoseconds / 1000:.0f}"

    return (
        "",
        f"one thread: too short ({us(sequential)} us)",
        f"one thread: {threads} would gain too little ({us(parallel)} of {us(sequential)} us)",
        f"one thread: most wait for each other ({us(path)} of {us(sequential)} us)",
        "one thread: to measure again",
        f"{threads} threads: to try again, {us(parallel)} of {us(sequential)} us expected",
        f"{threads} threads: {us(parallel)} of {us(sequential)} us expected",
    )[reason]


def most_bytes(gas_limits: Iterable[int], block_gas_limit: int, fork: Fork) -> int:
    """An upper bound of the bytes that a parallel block takes for store, versions and records
    (`ParallelCounters.more["bytes"]`), from the gas limits of its transactions and of the block. The bound holds for
    any number of threads and any schedule.

    A transaction runs to its end at most twice, once ahead of time and once at the frontier; runs that do not reach
    their end leave nothing. The sum has four parts:

    - the table of locations: at most 16 bytes for each of the `gas limit / 4000 + 4 * transactions + 1024` locations
      for which it has room at least; a block that reaches more goes on without speculation.
    - by gas: a location, with everything that runs read from it and write to it, takes at most 580 bytes for a slot and
      1,360 for an account; a log takes less than 200 bytes plus its data. Since Istanbul this is less than one byte per
      unit of gas that the accesses cost. Reading was cheaper before: at most 2 bytes since Tangerine Whistle, 18
      before.
    - a transaction that runs in a bin leaves notes of what it read and images of what it changed, which are smaller
      than that; besides, dealing out the transactions to bins takes at most 160 bytes each.
    - return data: 32 bytes per word of memory, whose price is `3 * words + words**2 / 512`.
    """
    limits = [min(limit, block_gas_limit) for limit in gas_limits]
    table = 16 * (min(sum(limits), block_gas_limit) // 4000 + 4 * len(limits) + 1024)
    dealing = 160 * len(limits) + 16 * 1024
    bytes_per_gas = 1 if fork >= Fork.ISTANBUL else 2 if fork >= Fork.TANGERINE_WHISTLE else 18
    words = sum(16 * isqrt(256 * 9 + 2 * limit) - 768 for limit in limits)
    return table + dealing + bytes_per_gas * sum(limits) + 32 * (words + len(limits))


@dataclass(frozen=True, slots=True)
class ParallelCounters:
    """How the transactions of a block were executed, on how many threads, and where the time went.

    - `threads`: native threads that took part. It is less than the number asked for if other work keeps threads busy,
      and 1 if the transactions ran one after the other. `decision` gives the reason in a few words.
    - `executions`: runs begun, both speculative and final, including runs that had to wait. `validations`: checks of
      what a run had read. `reruns`: transactions whose speculative run was discarded. Sequential execution runs each
      transaction once and validates nothing.
    - `aborts`: discarded runs, by cause. `waits`: runs that met a value that was about to change, and waited for it.
    - `lazies`: deltas (fees, transfers) that were settled at the commit frontier.
    - `fallback`: empty, or the reason why the rest of the block ran without speculation, from the transaction with
      index `fallback_at` on (the number of transactions if no fallback happened).
    - `phases`: nanoseconds by name. `prepare`: block to native data; `senders`: recovery of senders and of authorities
      (EIP-7702), 0 if it happened during the execution, on threads that had nothing else to do; `execute`: begin of the
      block and all transactions; `end`: withdrawals, rewards, requests and the diff; `check`: comparing the outcome
      with the header, including `state_root` (0 if not requested). Within `execute`, for a block that ran on several
      threads: `opening`, preparing the work for the threads; then, summed over the participating threads, `waking`
      (until the thread runs), `running` (transactions, for the first time or again), `committing` and `waiting` (for
      work, or for other threads to end); `sequential`, the execution after a fallback. Within `prepare`: `list`,
      reading a given access list.
    - `more`: all other counters of the executor, by name: `bytes` of store, versions and records, see `most_bytes`;
      `in_bins`, transactions that became final without speculation, in bins of transactions that share nothing with
      other bins, out of `runs_in_bins` transactions that ran in bins.
    """

    transactions: int
    threads: int = 1
    decision: str = "sequential"
    executions: int = 0
    validations: int = 0
    reruns: int = 0
    waits: int = 0
    lazies: int = 0
    fallback: str = ""
    fallback_at: int | None = None
    aborts: Mapping[str, int] = field(default_factory=dict)
    phases: Mapping[str, int] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def executions_per_transaction(self) -> float:
        """At least 1.0; 0.0 in a block without transactions."""
        return self.executions / self.transactions if self.transactions else 0.0

    @property
    def validations_per_transaction(self) -> float:
        """0.0 in a block without transactions."""
        return self.validations / self.transactions if self.transactions else 0.0

    @classmethod
    def of(
        cls, counted: Mapping[str, Any] | None, transactions: int, phases: Iterable[int], decision: str = ""
    ) -> ParallelCounters:
        """From the executor's counters (None: sequential execution), the times of `PHASES`, and the decision."""
        times = dict(zip(PHASES, phases, strict=True))
        if not counted:
            return cls(transactions, decision=decision or "sequential", executions=transactions, phases=times)
        known = dict(counted)
        fallback = known.pop("fallback", "")
        threads = known.pop("threads", 1) or 1
        return cls(
            transactions=transactions,
            threads=threads,
            decision=decision or (f"{threads} threads, as asked" if threads > 1 else "sequential"),
            executions=known.pop("runs", 0) or transactions,
            validations=known.pop("validations", 0),
            reruns=known.pop("reruns", 0),
            waits=known.pop("waits", 0),
            lazies=known.pop("lazies", 0),
            fallback=fallback if isinstance(fallback, str) else "no room in the store" if fallback else "",
            fallback_at=known.pop("fallback_at", None),
            aborts=known.pop("aborts", {}),
            phases=times | known.pop("phases", {}),
            more=known,
        )
