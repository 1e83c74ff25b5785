"""How many threads a block gets: reasons are given, forecasts are learnt, and no result depends on them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from evmcore import execute_block
from evmcore._decision import ChoosingExecutor, forget, learnt
from evmcore.bench import engine
from evmcore.bench.scenes import scenes
from evmcore.bench.shapes import shapes
from evmcore.blocks import Block
from evmcore.counters import ParallelCounters
from evmcore.errors import InputError
from evmcore.forks import Fork
from evmcore.state import MemoryState
from evmcore.transactions import Transaction
from evmcore.types import Account
from tests.assembly import assemble
from tests.parallel_blocks import difference, outcome_of
from tests.test_parallel_failures import block_of, people, person

SCENES = {scene.name: scene for scene in scenes(seed=2, size=60)}
LOOP = b"\x70" * 20
# Goes round as often as the calldata's second word says; the first four bytes of the first are a selector.
TURNS = assemble("32 CALLDATALOAD loop: 1 SWAP1 SUB DUP1 @loop JUMPI")


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    forget()
    yield
    forget()


def loops(count: int, turns: int) -> Block:
    """Calls of one kind."""
    data = bytes.fromhex("11223344").ljust(32, b"\0") + turns.to_bytes(32, "big")
    return block_of(
        *(
            Transaction(sender=person(number), to=LOOP, data=data, gas_limit=1_000_000, gas_price=0)
            for number in range(count)
        ),
        gas_limit=10**9,
    )


def loop_state() -> MemoryState:
    return MemoryState(people(200) | {LOOP: Account(1, 0, TURNS)})


def counters(block: Block, state: MemoryState, threads: int = 2) -> ParallelCounters:
    return execute_block(block, state, Fork.LONDON, validate=False, threads=threads).parallel


def test_a_block_that_is_hardly_any_work_runs_on_one_thread() -> None:
    block = loops(3, 10)
    for _ in range(20):
        found = counters(block, loop_state(), threads=8)
        assert found.threads == 1
    assert found.decision.startswith("one thread: ")


def test_a_single_transaction_runs_on_one_thread() -> None:
    found = counters(loops(1, 10_000), loop_state(), threads=8)
    assert found.threads == 1 and found.decision.startswith("one thread: too short")


def test_one_thread_is_as_asked() -> None:
    assert counters(loops(3, 10), loop_state(), threads=1).decision == "sequential"


def test_what_a_kind_of_call_takes_is_learnt_from_sequential_blocks() -> None:
    state = loop_state()
    before = learnt()
    assert before["kinds"] == 0
    counters(loops(50, 2_000), state)
    assert learnt()["kinds"] == 1


def test_a_block_of_long_transactions_is_given_to_the_threads_sooner_or_later() -> None:
    """Whether they are quick or not: that can only be seen by trying."""
    state = loop_state()
    block = loops(100, 3_000)
    decisions = [counters(block, state).decision for _ in range(4)]
    assert any(decision.startswith("2 threads: ") for decision in decisions), decisions
    assert learnt()["residues"]


def test_a_block_that_falls_behind_goes_on_sequentially_and_says_so() -> None:
    state = loop_state()
    for _ in range(3):
        counters(loops(150, 300), state)
    # The same calls as far as can be seen, but each takes a hundred times as long.
    expected = execute_block(loops(150, 30_000), state, Fork.LONDON, validate=False)
    result = execute_block(loops(150, 30_000), state, Fork.LONDON, validate=False, threads=2)
    assert difference(outcome_of(expected), outcome_of(result)) is None
    if result.parallel.threads == 1:
        pytest.skip("two threads do not pay on this machine")
    assert result.parallel.fallback == "behind its forecast"


def test_results_do_not_depend_on_what_is_known() -> None:
    workload = shapes(seed=8)["mixed"]()
    (block,) = workload.blocks
    chain = engine.workload_chain(workload.fork)
    state = MemoryState(workload.alloc)
    expected = outcome_of(execute_block(block, state, chain, validate=False))
    for round_ in range(12):
        for threads in (2, 3, 8):
            result = execute_block(block, state, chain, validate=False, threads=threads)
            assert difference(expected, outcome_of(result)) is None, (round_, threads)


@pytest.mark.parametrize("name", ["one counter", "invalid at the end", "empty block", "delegations"])
def test_small_hostile_blocks_again_and_again(name: str) -> None:
    scene = SCENES[name]
    (block,) = scene.blocks
    chain = engine.workload_chain(scene.fork)
    state = MemoryState(scene.alloc)
    for _ in range(100):
        if scene.invalid is None:
            assert execute_block(block, state, chain, validate=False, threads=4).gas_used >= 0
        else:
            with pytest.raises(Exception, match="NONCE_MISMATCH_TOO_HIGH"):
                execute_block(block, state, chain, validate=False, threads=4)


def test_the_reason_is_given_in_words() -> None:
    from evmcore.counters import decision_words

    words = [decision_words(reason, 4, 100_000, 60_000, 90_000) for reason in range(7)]
    assert words[0] == "" and all(words[1:]) and len(set(words)) == 7
    assert words[6] == "4 threads: 60 of 100 us expected"
    with pytest.raises(InputError, match="threads"):
        ChoosingExecutor(1)
