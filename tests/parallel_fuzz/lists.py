"""Checks one case with its access list given (EIP-7928): right lists by the outcome, wrong ones by the error.

The first fault of a list, and its place, is determined here from what each part of the block did by itself in
sequential execution.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from evmcore.access_lists import AccountChanges, BlockAccessList
from evmcore.errors import BlockReason, EvmcoreError, InvalidBlock
from evmcore.execution import execute_block, execute_block_stream
from evmcore.listed import ListedExecutor
from evmcore.state import MemoryState
from tests.access_list_faults import WRONG_FORMAT, faulty_lists
from tests.parallel_blocks import Outcome, difference, error_of, observe, observe_result, outcome_of
from tests.parallel_fuzz.cases import Case
from tests.parallel_fuzz.check import Difference, delays_of, repaired

FAULTS_OF_A_CASE = 3
Item = tuple[bytes, Any]
"""An account (None), a slot of it (its number), or a field of it (its name)."""
EARLY = re.compile(r"after index (\d+) there are (\d+) declared reads left and (\d+) gas")


def check_lists(case: Case, threads: Sequence[int], counts: Counter[str]) -> Difference | None:
    """Executes the case's block, repaired if it is invalid, with its list and with lists that have faults."""
    case = repaired(case)
    state, before = MemoryState(case.alloc), MemoryState(case.alloc)
    expected = observe(case.block, state, case.fork, access_list=True, state_root=True)
    if "error" in expected:
        counts["blocks that stay invalid"] += 1
        return None
    counts["blocks"] += 1
    counts[f"fork {case.fork.title}"] += 1
    counts["transactions"] += len(case.block.transactions)
    for found in (*_right(case, state, expected, threads, counts), *_wrong(case, state, expected, threads, counts)):
        return Difference(case, found)
    if state != before:
        return Difference(case, "the state was changed")
    return None


def _right(
    case: Case, state: MemoryState, expected: Outcome, threads: Sequence[int], counts: Counter[str]
) -> Iterator[str]:
    for count in threads:
        executor = ListedExecutor(expected["access list"], count)
        executor.delays = (delays_of(case) + count) % 2**63 + 1
        result: list[Any] = []

        def execute(executor: ListedExecutor = executor, result: list[Any] = result) -> Any:
            result.append(execute_block(case.block, state, case.fork, validate=False, executor=executor))
            return result[0]

        found = difference(expected, observe_result(execute, state_root=True))
        if found is not None:
            yield f"{count} threads, with the access list given: {found}"
            continue
        counts["blocks finished sequentially"] += bool(result[0].parallel.fallback)
    found = difference(expected, _streamed(case, state, expected["access list"], threads[-1], delays_of(case))[0])
    if found is not None and "state root" not in found:
        yield f"streamed on {threads[-1]} threads, with the access list given: {found}"


def _streamed(
    case: Case, state: MemoryState, listed: BlockAccessList, threads: int, delays: int
) -> tuple[Outcome, int]:
    """The outcome of a stream, and how many transactions it gave before that."""
    executor = ListedExecutor(listed, threads)
    executor.delays = delays
    taken = 0
    records: list[BlockAccessList] = []
    try:
        with execute_block_stream(
            case.block, state, case.fork, validate=False, accesses=True, executor=executor
        ) as stream:
            for transaction in stream:
                assert transaction.index == taken and transaction.accesses is not None
                records.append(transaction.accesses)
                taken += 1
            assert stream.result is not None and stream.result.accesses is not None
            records += [stream.result.accesses.part(0), stream.result.accesses.part(taken + 1)]
            outcome = outcome_of(stream.result) | {"access list": BlockAccessList.joined(records)}
            return outcome | {"state root": stream.result.state_root()}, taken
    except EvmcoreError as error:
        return {"error": error_of(error)}, taken


def _wrong(
    case: Case, state: MemoryState, expected: Outcome, threads: Sequence[int], counts: Counter[str]
) -> Iterator[str]:
    record = execute_block(case.block, state, case.fork, validate=False, access_list=True).accesses
    assert record is not None
    parts = [record.part(index) for index in range(len(case.block.transactions) + 2)]
    lists = list(faulty_lists(case.seed, expected["access list"], len(case.block.transactions)))
    for fault, wrong in Random(case.seed).sample(lists, min(FAULTS_OF_A_CASE, len(lists))):
        outcomes: list[Outcome] = []
        for count in (1, *threads):
            executor = ListedExecutor(wrong, count)
            executor.delays = (delays_of(case) + count) % 2**63 + 1
            outcomes.append(observe(case.block, state, case.fork, executor))
        streamed = [_streamed(case, state, wrong, count, delays_of(case)) for count in (1, threads[-1])]
        if any(outcome != outcomes[0] for outcome in (*outcomes, streamed[0][0], streamed[1][0])):
            yield f"{fault.__name__}: {[outcome.get('error', 'accepted') for outcome in outcomes]} {streamed}"
        elif streamed[0][1] != streamed[1][1]:
            yield f"{fault.__name__}: a stream gives {streamed[0][1]} transactions first, or {streamed[1][1]}"
        elif "error" not in outcomes[0]:
            yield f"{fault.__name__}: accepted"
        else:
            kind, reason, _, words, _ = outcomes[0]["error"]
            allowed = {BlockReason.INVALID_BLOCK_ACCESS_LIST}
            if fault in WRONG_FORMAT:
                allowed = {BlockReason.INCORRECT_BLOCK_FORMAT}
            if kind is not InvalidBlock or reason not in allowed:
                yield f"{fault.__name__}: {outcomes[0]['error']}"
            elif not _in_canonical_form(wrong, len(case.block.transactions)):
                counts["lists that are not in canonical form"] += 1
            elif not _says_where(words, parts, wrong):
                yield f"{fault.__name__}: {words!r}, but {first_difference(parts, wrong)}"
            else:
                counts["wrong lists"] += 1


def _in_canonical_form(listed: BlockAccessList, transactions: int) -> bool:
    try:
        BlockAccessList.from_rlp(listed.to_rlp()).check(transactions)
    except EvmcoreError:
        return False
    return True


def _says_where(words: str, parts: Sequence[BlockAccessList], wrong: BlockAccessList) -> bool:
    index, items = first_difference(parts, wrong)
    early = EARLY.search(words)
    if early is not None:
        return int(early[1]) <= index  # gas is short before anything else is wrong
    where = re.search(r"index (\d+)", words)
    address = re.search(r"(?:of|account) 0x([0-9a-f]{40})\b", words)
    slot = re.search(r"slot (0x[0-9a-f]+)", words)
    if where is None or address is None or int(where[1]) != index:
        return False
    names = {"the balance": "balance", "the nonce": "nonce", "the code": "code"}
    item = next((field for phrase, field in names.items() if phrase in words), slot and int(slot[1], 16))
    return (bytes.fromhex(address[1]), item) in items


def first_difference(parts: Sequence[BlockAccessList], listed: BlockAccessList) -> tuple[int, set[Item]]:
    """The first place of the block that deviates from its list, and everything that differs there. The last place also
    accounts for items that no place accesses."""
    known = set(_items(listed))
    for index, part in enumerate(parts):
        did, says = dict(changes_at(part, index)), dict(changes_at(listed, index))
        differing = {item for item in {*did, *says} if did.get(item) != says.get(item)}
        differing |= {item for item in _items(part) if item not in known}
        if differing:
            return index, differing
    return len(parts) - 1, known - {item for part in parts for item in _items(part)}


def _items(listed: BlockAccessList) -> Iterator[Item]:
    for account in listed:
        yield account.address, None
        yield from ((account.address, entry.slot) for entry in account.storage_changes)
        yield from ((account.address, slot) for slot in account.storage_reads)


def changes_at(listed: BlockAccessList, index: int) -> Iterator[tuple[Item, Any]]:
    """The items that are changed at a place, and their new values."""
    for account in listed:
        for name, changes in _ranges(account):
            yield from (((account.address, name), value) for at, value in changes if at == index)


def _ranges(account: AccountChanges) -> Iterator[tuple[Any, Sequence[Any]]]:
    yield from account.storage_changes
    yield "balance", account.balance_changes
    yield "nonce", account.nonce_changes
    yield "code", account.code_changes
