"""Memory of a parallel block: bounded by its gas, flat from block to block, enough for wide blocks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from evmcore import execute_block
from evmcore.bench import engine
from evmcore.bench.scenes import scenes
from evmcore.bench.shapes import shapes
from evmcore.bench.traffic import Transfers
from evmcore.bench.workloads import Shape, Workload, build
from evmcore.blocks import Block, Header
from evmcore.counters import most_bytes
from evmcore.errors import InvalidBlock
from evmcore.forks import Fork
from evmcore.state import MemoryState
from evmcore.stm import ParallelExecutor
from evmcore.transactions import Transaction
from evmcore.types import Account
from tests.assembly import assemble
from tests.parallel_blocks import check_equal, executors_for
from tests.parallel_fuzz.cases import make_case

SCENES = {scene.name: scene for scene in scenes(seed=3, size=60)}
VALID = {name: scene for name, scene in SCENES.items() if scene.invalid is None and scene.blocks[0].transactions}
SHAPES = {name: make for name, make in shapes(seed=5).items() if name not in SCENES}


def assert_within_bound(executor: ParallelExecutor, block: Block, fork: Fork) -> None:
    limits = [tx.gas_limit for tx in block.transactions]
    assert 0 < executor.counters["bytes"] <= most_bytes(limits, block.header.gas_limit, fork), executor.counters


@pytest.mark.parametrize("name", [*VALID, *SHAPES])
def test_a_block_takes_no_more_than_its_gas_allows(name: str) -> None:
    workload: Workload = VALID[name] if name in VALID else SHAPES[name]()
    (block,) = workload.blocks
    state = MemoryState(workload.alloc)
    for executor in executors_for((1, 2, 8)).values():
        execute_block(block, state, engine.workload_chain(workload.fork), validate=False, executor=executor)
        assert_within_bound(executor, block, workload.fork)


def test_random_blocks_take_no_more_than_their_gas_allows() -> None:
    executors = executors_for((2, 8))
    for seed in range(150):
        case = make_case(seed)
        for executor in executors.values():
            executor.delays = seed + 1
            try:
                execute_block(case.block, MemoryState(case.alloc), case.fork, validate=False, executor=executor)
            except InvalidBlock:
                continue
            if case.block.transactions:
                assert_within_bound(executor, case.block, case.fork)


READERS = {  # each reads as many places as its gas allows
    "slots": "0 CALLDATALOAD loop: DUP1 SLOAD POP 1 ADD @loop JUMP",
    "accounts": "0 CALLDATALOAD loop: DUP1 BALANCE POP 1 ADD @loop JUMP",
    "slots that are written": "0 CALLDATALOAD loop: DUP1 DUP1 SSTORE 1 ADD @loop JUMP",
    "logs": "loop: 0 0 LOG0 @loop JUMP",
    "output": "0 0x8000 MSTORE 0x8000 0 RETURN",
}


def callers(count: int, gas: int, target: bytes) -> tuple[Block, dict[bytes, Account]]:
    """`count` senders call a contract, each with another number to begin with."""
    people = [bytes([0x11]) * 18 + number.to_bytes(2, "big") for number in range(count)]
    transactions = tuple(
        Transaction(
            sender=person, to=target, data=(1 << 20 | number << 12).to_bytes(32, "big"), gas_limit=gas, gas_price=0
        )
        for number, person in enumerate(people)
    )
    header = Header(number=1, timestamp=12, gas_limit=max(30_000_000, count * gas), coinbase=b"\xcb" * 20)
    return Block(header=header, transactions=transactions), {person: Account(balance=10**18) for person in people}


@pytest.mark.parametrize(
    "fork", [Fork.FRONTIER, Fork.BYZANTIUM, Fork.ISTANBUL, Fork.LONDON], ids=lambda fork: fork.title
)
@pytest.mark.parametrize("what", READERS)
def test_a_block_that_reaches_all_it_can_takes_no_more(what: str, fork: Fork) -> None:
    """Nothing else fills memory as fast for its gas; once the store is full, the rest of the block needs none."""
    target = b"\x3d" * 20
    block, alloc = callers(40, 200_000, target)
    state = MemoryState(alloc | {target: Account(1, 0, assemble(READERS[what]))})
    for executor in executors_for((1, 2, 8)).values():
        execute_block(block, state, fork, validate=False, executor=executor)
        assert_within_bound(executor, block, fork)


# ------------------------------------------------------------ wide blocks


@pytest.mark.parametrize("delays", [0, 1])
def test_a_block_that_touches_more_than_a_thousand_accounts(delays: int) -> None:
    workload = build("transfers", [Transfers(Shape(families=700, people=2))])
    (block,) = workload.blocks
    state = MemoryState(workload.alloc)
    executors = executors_for((1, 2, 3, 8))
    expected, words = check_equal(block, state, workload.fork, executors, delays=delays)
    assert words is None
    assert len(expected["accounts"]) > 1_000
    assert not any(executor.counters["fallback"] for executor in executors.values())


def test_one_transaction_that_touches_more_than_a_thousand_accounts() -> None:
    """It runs among others that pay some of these accounts; the working set grows in the middle of the run."""
    wide = assemble(
        "0 0 loop: DUP1 0x100000 ADD BALANCE DUP3 ADD SWAP2 POP 1 ADD DUP1 1200 GT @loop JUMPI POP 0 SSTORE"
    )
    target = b"\x3d" * 20
    block, alloc = callers(6, 4_000_000, target)
    paid = [
        Transaction(
            sender=sender, to=(0x100000 + 7 * number).to_bytes(20, "big"), value=1, gas_limit=21_000, gas_price=0
        )
        for number, sender in enumerate(b"\x22" * 19 + bytes([number]) for number in range(60))
    ]
    alloc |= {tx.sender: Account(balance=10**18) for tx in paid if tx.sender is not None}
    mixed = [tx for number, tx in enumerate(block.transactions) for tx in (*paid[10 * number : 10 * number + 10], tx)]
    block = Block(header=block.header, transactions=tuple(mixed))
    state = MemoryState(alloc | {target: Account(1, 0, wide)})
    for delays in range(3):
        expected, words = check_equal(block, state, Fork.LONDON, executors_for((1, 2, 3, 8)), delays=delays)
        assert words is None
        assert [receipt.status for receipt in expected["receipts"]] == [1] * 66
        assert expected["storage"][target, 0].new == 60


def test_a_block_that_reaches_more_than_the_store_has_room_for_says_where_it_went_on_alone() -> None:
    """Reading a slot once cost 50 gas: 40 transactions of 3,000 new slots each need more than the room. All are run
    ahead here, because what the committer runs directly needs no room."""
    target = b"\x3d" * 20
    wide = assemble("0 CALLDATALOAD loop: DUP1 SLOAD POP 1 ADD DUP1 4095 AND 3000 GT @loop JUMPI STOP")
    block, alloc = callers(40, 300_000, target)
    state = MemoryState(alloc | {target: Account(1, 0, wide)})
    for threads, executor in executors_for((1, 2, 3, 8), watch_all=True).items():
        _, words = check_equal(block, state, Fork.HOMESTEAD, {threads: executor})
        assert words is None
        found = executor.counters
        assert found["fallback"] == "no room in the store" and found["fallback_at"] is not None, threads
        assert 0 <= found["fallback_at"] < 40 and found["phases"]["sequential"] > 0
        assert_within_bound(executor, block, Fork.HOMESTEAD)


# ------------------------------------------------------------ many blocks


def resident() -> int:
    """Memory of this process in KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory in use from /proc")
def test_memory_stays_flat_over_ten_thousand_blocks() -> None:
    cases = [make_case(seed, delays=False) for seed in range(40)]
    states = [MemoryState(case.alloc) for case in cases]
    executors = [ParallelExecutor(threads, always=True) for threads in (2, 3, 8)]
    ends: Counter[str] = Counter()

    def run(blocks: int) -> None:
        for number in range(blocks):
            at = number % len(cases)
            executor = executors[number % len(executors)]
            try:
                execute_block(cases[at].block, states[at], cases[at].fork, validate=False, executor=executor)
                ends["valid"] += 1
            except InvalidBlock:
                ends["invalid"] += 1

    run(2_000)
    warm = resident()
    run(10_000)
    assert ends["valid"] > 1_000
    assert ends["invalid"] > 1_000
    assert resident() - warm < 2_048, "KiB more after 10,000 blocks"
