"""Executes blocks sequentially and in parallel and says in what the outcomes differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from evmcore._block_result import BlockResult
from evmcore._block_run import Executor
from evmcore.access_lists import BlockAccessList
from evmcore.blocks import Block
from evmcore.errors import EvmcoreError
from evmcore.execution import execute_block
from evmcore.forks import ChainConfig, Fork
from evmcore.listed import ListedExecutor
from evmcore.state import MemoryState
from evmcore.state._reader import Backend
from evmcore.stm import ParallelExecutor

THREADS = (1, 2, 3, 4, 8, 16)

Outcome = dict[str, Any]
"""All that can be seen of an execution, by name; of one that raised, only `error`."""


def outcome_of(result: BlockResult) -> Outcome:
    """Everything an executed block tells. The roots are left to `with_roots`: equal diffs lead to equal states."""
    return {
        "gas used": result.gas_used,
        "blob gas used": result.blob_gas_used,
        "transactions": [
            (tx.status, tx.gas_used, tx.gas_refund, tx.gas_spent, tx.output, tx.created_address, tx.logs)
            for tx in result.transactions
        ],
        "receipts": list(result.receipts),
        "encoded receipts": result.encoded_receipts(),
        "bloom": result.logs_bloom,
        "requests": result.requests,
        "accounts": {change.address: change for change in result.diff.account_changes},
        "storage": {(change.address, change.key): change for change in result.diff.storage_changes},
        "codes": result.diff.codes,
        "diff": result.diff.to_bytes(),
        "access list": result.access_list,
    }


def error_of(error: BaseException) -> tuple[Any, ...]:
    """Class, reason, index and words of an error and of what caused it."""
    cause = error.__cause__
    return (
        type(error),
        getattr(error, "reason", None),
        getattr(error, "index", None),
        str(error),
        None if cause is None else error_of(cause),
    )


def observe(
    block: Block,
    state: Backend,
    chain: ChainConfig | Fork,
    executor: Executor | None = None,
    *,
    state_root: bool = False,
    validate: bool = False,
    **options: Any,
) -> Outcome:
    """Executes a block without keeping its changes, sequentially without an `executor`."""
    if executor is not None:
        options["executor"] = executor
    return observe_result(
        lambda: execute_block(block, state, chain, validate=validate, **options), state_root=state_root
    )


def observe_result(execute: Callable[[], BlockResult], *, state_root: bool = False) -> Outcome:
    """What an execution gives or raises."""
    try:
        result = execute()
        seen = outcome_of(result)
        if state_root:
            seen["state root"] = result.state_root()
    except EvmcoreError as error:
        return {"error": error_of(error)}
    return seen


def difference(expected: Outcome, given: Outcome) -> str | None:
    """The first thing in which two outcomes differ, in words; None if nothing."""
    if expected.keys() != given.keys():
        return f"expected {_short(expected.get('error', 'a result'))}, got {_short(given.get('error', 'a result'))}"
    for name, want in expected.items():
        have = given[name]
        if want == have:
            continue
        if isinstance(want, BlockAccessList) and isinstance(have, BlockAccessList):
            want, have = ({account.address: account for account in given} for given in (want, have))
        if isinstance(want, list) and isinstance(have, list):
            if len(want) != len(have):
                return f"{name}: {len(want)} expected, got {len(have)}"
            at = next(i for i, pair in enumerate(zip(want, have, strict=True)) if pair[0] != pair[1])
            return f"{name}[{at}]: expected {_short(want[at])}, got {_short(have[at])}"
        if isinstance(want, Mapping):
            at = next(key for key in sorted({*want, *have}) if want.get(key) != have.get(key))
            return f"{name}: expected {_short(want.get(at))}, got {_short(have.get(at))}"
        return f"{name}: expected {_short(want)}, got {_short(have)}"
    return None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 600 else text[:600] + "..."


def check_equal(
    block: Block,
    state: MemoryState,
    chain: ChainConfig | Fork,
    executors: Mapping[int, ParallelExecutor] | None = None,
    *,
    before: MemoryState | None = None,
    repetitions: int = 1,
    delays: int = 0,
    turns: bool = False,
    bins: bool = False,
    **options: Any,
) -> tuple[Outcome, str | None]:
    """Executes a block sequentially and on each number of threads.

    Returns the sequential outcome, and in words the first difference, None if there is none. With `before`, an equal
    copy of `state`, the state has to be unchanged after each execution. `delays`: seed of delays at the points
    where threads meet, other ones in each repetition; 0 for none. With `turns` it is the seed of whose turn it is,
    one worker being at work at any time. With every second seed the first worker begins before the others, and with
    half of those the transactions are dealt out to bins at random. Every second number of threads notes what is
    accessed, and then executes the block with the access list given. `bins`: nothing but bins, dealt out at random.
    """
    expected = observe(block, state, chain, access_list=True, **options)
    without = expected if "error" in expected else {**expected, "access list": None}
    for number, (threads, executor) in enumerate((executors or executors_for(THREADS)).items()):
        listed = (number + bool(delays)) % 2 == 1 and not bins
        for repetition in range(repetitions):
            seed = delays and (delays + repetition) % 2**63 + 1
            executor.delays, executor.turns = (0, seed) if turns and not bins else (seed, 0)
            executor.bins_seed = 2 * seed + 1 if bins else _bins_seed(seed, number)
            # Without delays a short block would be over before others are awake.
            executor.together = not executor.bins_seed and (not seed or seed % 2 == 0)
            given = observe(block, state, chain, executor, access_list=listed, **options)
            found = difference(expected if listed else without, given)
            if found is None and listed and "error" not in expected:
                by_list = ListedExecutor(expected["access list"], threads)
                found = difference(expected, observe(block, state, chain, by_list, **options))
                found = found and f"with the access list given: {found}"
            if found is None and before is not None and state != before:
                found = "the state was changed"
            if found is not None:
                return expected, f"{threads} threads: {found}"
    return expected, None


def _bins_seed(seed: int, number: int) -> int:
    """For `ParallelExecutor.bins_seed`; 0: not to be dealt out at random. `number`: of the executor."""
    if seed:
        return seed if seed % 4 == 1 else 0
    return 4 * number + 1 if number % 4 == 2 else 0


def executors_for(threads: tuple[int, ...], *, watch_all: bool = False) -> dict[int, ParallelExecutor]:
    """An executor for each number of threads, that speculates on every block, however small. `watch_all`: it takes
    every slot for one that several transactions write."""
    executors = {count: ParallelExecutor(count, always=True) for count in threads}
    for executor in executors.values():
        executor.watch_all = watch_all
    return executors


def assert_bounded(executor: ParallelExecutor, transactions: int) -> None:
    """The last block ended within bounds that hold whatever the system does with the threads: a transaction is run to
    its end once by itself and at most once more, on final inputs; before that it begins in vain three times at most.
    Those that ran in bins did so once, and all that follows is about those which that did not make final."""
    counters = executor.counters
    in_bins, final_in_bins = counters["runs_in_bins"], counters["in_bins"]
    assert counters["reruns"] <= transactions, counters
    assert final_in_bins <= in_bins <= transactions, counters
    assert counters["runs"] - in_bins - counters["waits"] <= 2 * (transactions - final_in_bins), counters
    assert counters["waits"] <= 3 * transactions, counters
