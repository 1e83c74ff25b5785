"""Access lists of random blocks of every fork, and what is streamed of each transaction, are what the executable
specification accesses and changes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from evmcore._block_result import BlockResult
from evmcore._block_run import Executor
from evmcore.access_lists import BlockAccessList
from evmcore.blocks import Block
from evmcore.cli import transition
from evmcore.engine import execute_block, execute_block_stream
from evmcore.forks import ChainConfig
from evmcore.listed import ListedExecutor
from evmcore.state import MemoryState
from evmcore.stm import ParallelExecutor
from tests.fuzz.cases import make_block
from tests.fuzz.oracle import Oracle
from tests.parallel_fuzz.lists import changes_at

BLOCKS = int(os.environ.get("EVMCORE_FUZZ_CASES", "2000")) // 8


@dataclass
class Ours:
    """A block as this engine executed it, with the state before it."""

    block: Block
    state: MemoryState
    chain: ChainConfig
    options: dict[str, Any]
    listed: BlockAccessList


def executed_by_us(case: dict[str, Any]) -> Ours:
    executions: list[Ours] = []

    def execute(block: Block, state: MemoryState, chain: ChainConfig, **options: Any) -> BlockResult:
        before = state.copy()
        result = execute_block(block, state, chain, access_list=True, **options)
        assert result.access_list is not None
        executions.append(Ours(block, before, chain, options, result.access_list))
        return result

    with patch.object(transition, "execute_block", execute):
        transition.transition(
            transition.TransitionInput(case["alloc"], case["env"], case["txs"], case["fork"], 1, case["reward"])
        )
    return executions[-1]


def difference(expected: BlockAccessList, given: BlockAccessList) -> str:
    for address in sorted({account.address for account in (*expected, *given)}):
        if expected.account(address) != given.account(address):
            return f"specification {expected.account(address)}, engine {given.account(address)} (0x{address.hex()})"
    return ""


def streamed(ours: Ours, executor: Executor) -> list[BlockAccessList]:
    """The records of all parts of the block, those of its transactions as a stream gives them."""
    options = ours.options | {"commit": False, "accesses": True, "executor": executor}
    with execute_block_stream(ours.block, ours.state, ours.chain, **options) as stream:
        given = [transaction.accesses for transaction in stream]
    assert stream.result is not None and stream.result.accesses is not None
    record = stream.result.accesses
    return [record.part(0), *(part for part in given if part is not None), record.part(len(given) + 1)]


def executors(listed: BlockAccessList) -> dict[str, Executor]:
    made: dict[str, Executor] = {"sequential": Executor()}
    for threads in (1, 2, 3, 8):
        made[f"{threads} threads"] = ParallelExecutor(threads, always=True)
        made[f"{threads} threads, list given"] = ListedExecutor(listed, threads)
    return made


def wrong_part(parts: list[BlockAccessList], expected: BlockAccessList, accessed: dict[str, Any]) -> str:
    """The first part that is not what the specification accessed and changed there, in words."""
    for index, part in enumerate(parts):
        wanted = accessed.get(str(index), {"accounts": [], "slots": []})
        if {"0x" + account.address.hex() for account in part} != set(wanted["accounts"]):
            return f"part {index}: accounts {part.to_json()}, specification {wanted['accounts']}"
        slots = {
            ("0x" + account.address.hex(), hex(slot))
            for account in part
            for slot in (*account.storage_reads, *(slot for slot, _ in account.storage_changes))
        }
        if slots != {(address, slot) for address, slot in wanted["slots"]}:
            return f"part {index}: slots {slots}, specification {wanted['slots']}"
        if dict(changes_at(part, index)) != dict(changes_at(expected, index)):
            return f"part {index}: {part.to_json()}"
    return "" if BlockAccessList.joined(parts) == expected else "the parts together are not the list"


def test_access_lists_and_streamed_records_are_those_of_the_specification(
    oracle: Oracle, tell: Callable[[str], None]
) -> None:
    counts: Counter[str] = Counter()
    differences: list[str] = []
    cases = ({"seed": seed, "accesses": True} | make_block(seed) for seed in range(3_000_000, 3_000_000 + BLOCKS))
    for case, answer in oracle.ask_all(cases, oracle.receive_raw):
        assert "crash" not in answer, (case["seed"], answer)
        expected = BlockAccessList.from_json(answer["accessList"])
        expected.check(len(case["txs"]) - len(answer["rejected"]))
        ours = executed_by_us(case)
        given = ours.listed
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
            continue
        for name, executor in executors(given).items():
            wrong = wrong_part(streamed(ours, executor), expected, answer["accessed"])
            if wrong:
                differences.append(f"seed {case['seed']} {case['fork']}, streamed, {name}: {wrong}")
    tell("access lists: " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    assert not differences, f"{len(differences)} differences\n" + "\n".join(differences[:10])
