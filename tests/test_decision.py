"""How many threads a block gets: reasons are given, forecasts are learnt, and no result depends on them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from evmcore import execute_block
from evmcore._decision import ChoosingExecutor, forget, learnt, teach
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
SELECTOR = bytes.fromhex("11223344")
# Goes round as often as the calldata's second word says; the first four bytes of the first are a selector.
TURNS = assemble("32 CALLDATALOAD loop: 1 SWAP1 SUB DUP1 @loop JUMPI")


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    forget()
    yield
    forget()


def loops(count: int, turns: int, gas_limit: int = 1_000_000) -> Block:
    """Calls of one kind."""
    data = SELECTOR.ljust(32, b"\0") + turns.to_bytes(32, "big")
    return block_of(
        *(
            Transaction(sender=person(number), to=LOOP, data=data, gas_limit=gas_limit, gas_price=0)
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


def test_threads_are_chosen_only_after_a_kind_was_timed_in_several_blocks() -> None:
    """In the first it pays for memory and code that are not there yet."""
    state = loop_state()
    block = loops(100, 3_000)
    decisions = [counters(block, state).decision for _ in range(6)]
    assert all(decision.startswith("one thread: ") for decision in decisions[:3]), decisions
    assert learnt()["kinds"] == 1


def test_a_forecast_that_pays_is_given_to_the_threads() -> None:
    teach(LOOP, SELECTOR, 100_000)
    found = counters(loops(60, 100), loop_state())
    assert found.decision.startswith("one thread: to measure again")  # of the first one in so many
    teach(LOOP, SELECTOR, 100_000)
    found = counters(loops(60, 100), loop_state())
    assert found.decision.startswith("2 threads: ") and "of 6000 us expected" in found.decision
    assert found.threads in (1, 2) and found.fallback == "" and found.fallback_at is None
    assert learnt()["residues"]


def test_a_forecast_that_does_not_pay_is_not() -> None:
    teach(LOOP, SELECTOR, 600)
    found = counters(loops(60, 100), loop_state())
    assert (found.threads, found.decision) == (1, "one thread: too short (36 us)")


def test_a_block_that_falls_behind_goes_on_sequentially_from_what_is_final_and_says_so() -> None:
    """Each call is believed to take 0.1 ms and takes some: by the first checkpoint, an eighth of the work, the block is
    late on any machine."""
    state = loop_state()
    block = loops(60, 200_000, gas_limit=10_000_000)
    expected = execute_block(block, state, Fork.LONDON, validate=False)
    teach(LOOP, SELECTOR, 100_000)
    counters(loops(60, 100), state)  # the first of so many is measured
    teach(LOOP, SELECTOR, 100_000)
    result = execute_block(block, state, Fork.LONDON, validate=False, threads=2)
    assert difference(outcome_of(expected), outcome_of(result)) is None
    found = result.parallel
    assert found.decision.startswith("2 threads: ") and "of 6000 us expected" in found.decision
    assert found.fallback == "behind its forecast"
    assert found.fallback_at is not None and 8 <= found.fallback_at < 60
    # Those before ran on the threads, those after once more and alone; one a thread may have been under way.
    assert 60 <= found.executions <= 60 + 2 + found.reruns
    assert found.phases["sequential"] > found.phases["execute"] // 2
    assert found.phases["running"] > 0 and found.phases["committing"] > 0
    # The next one is measured, and what is learnt then is right.
    again = counters(block, state)
    assert again.threads == 1 and again.fallback == ""
    assert counters(block, state).decision.split("of ")[-1] != "6000 us expected"


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
