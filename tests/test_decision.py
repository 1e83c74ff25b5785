"""How many threads a block gets: reasons are given, forecasts are learnt, and no result depends on them."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from evmcore import execute_block
from evmcore._decision import ChoosingExecutor, forget, learnt, teach, teach_gas, teach_threads
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
from tests.small_blocks import block_of, people, person

SCENES = {scene.name: scene for scene in scenes(seed=2, size=60)}
LOOP = b"\x70" * 20
SELECTOR = bytes.fromhex("11223344")
# Goes round as often as the calldata's second word says; the first four bytes of the first are a selector.
TURNS = assemble("32 CALLDATALOAD loop: 1 SWAP1 SUB DUP1 @loop JUMPI")

pytestmark = pytest.mark.usefixtures("nothing_known")


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
    assert counters(block, loop_state(), threads=8).threads == 1
    teach(LOOP, SELECTOR, 500)
    for _ in range(20):
        found = counters(block, loop_state(), threads=8)
        assert found.threads == 1 and found.decision.startswith("one thread: ")


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


def reason_of(block: Block, threads: int = 2) -> str:
    """What is decided, without the times: that depends on what was taught only."""
    return counters(block, loop_state(), threads).decision


def test_the_first_block_that_may_pay_is_measured() -> None:
    """Until then it is not known how fast this machine is."""
    assert reason_of(loops(60, 200, gas_limit=4_000_000)) == "one thread: to measure again"
    assert learnt()["kinds"] == 1


def test_a_forecast_that_pays_is_given_to_the_threads() -> None:
    teach(LOOP, SELECTOR, 100_000)
    teach_threads(waking_ns=50_000, added_ns=1_000)
    found = counters(loops(60, 100), loop_state())
    assert found.decision == "2 threads: 3110 of 6000 us expected"  # 50 + 6000 / 2 + 60 * 1
    assert found.threads in (1, 2)


def test_of_several_numbers_of_threads_that_which_is_expected_to_take_least() -> None:
    teach(LOOP, SELECTOR, 100_000)
    teach_threads(waking_ns=50_000, added_ns=1_000)
    assert reason_of(loops(60, 100), threads=4) == "4 threads: 1610 of 6000 us expected"
    # That block has taught something; of two transactions the third and the fourth thread would have nothing to do.
    teach(LOOP, SELECTOR, 100_000)
    teach_threads(waking_ns=50_000, added_ns=1_000)
    assert reason_of(loops(2, 100), threads=4).startswith("2 threads: ")


@pytest.mark.parametrize(
    ("each", "count", "waking", "added", "decision"),
    [
        (600, 60, 1_000, 10, "one thread: too short (36 us)"),
        (1_000, 60, 50_000, 10, "one thread: too short (60 us)"),
        (1_000, 150, 10_000, 600, "one thread: 2 would gain too little (175 of 150 us)"),
        (1_000, 150, 10_000, 200, "2 threads: 115 of 150 us expected"),
        (10_000, 100, 50_000, 4_000, "one thread: 2 would gain too little (950 of 1000 us)"),
        (10_000, 100, 50_000, 3_500, "2 threads: 900 of 1000 us expected"),
    ],
)
def test_threads_have_to_gain_a_twentieth_and_30_us(
    each: int, count: int, waking: int, added: int, decision: str
) -> None:
    teach(LOOP, SELECTOR, each)
    teach_threads(waking, added)
    assert reason_of(loops(count, 1)) == decision


def test_the_longest_transaction_bounds_what_threads_gain() -> None:
    """It alone is most of the block."""
    long = bytes.fromhex("55667788")
    teach(LOOP, SELECTOR, 10_000)
    teach(LOOP, long, 1_000_000)
    teach_threads(waking_ns=50_000, added_ns=1_000)
    few = loops(10, 1)
    first = few.transactions[0]
    block = block_of(
        *(few.transactions[1:]),
        Transaction(sender=first.sender, to=LOOP, data=long + first.data[4:], gas_limit=1_000_000, gas_price=0),
        gas_limit=10**9,
    )
    assert reason_of(block) == "one thread: too short (1090 us)"  # at least 50 + 1000


def test_a_kind_that_threads_burden_more_counts_for_more() -> None:
    """As calls do that wait for each other."""
    teach_threads(waking_ns=50_000, added_ns=1_000)
    teach(LOOP, SELECTOR, 10_000, burden=4 * 1024)
    assert reason_of(loops(100, 1)) == "one thread: 2 would gain too little (950 of 1000 us)"
    forget()
    teach_threads(waking_ns=50_000, added_ns=1_000)
    teach(LOOP, SELECTOR, 10_000)
    assert reason_of(loops(100, 1)) == "2 threads: 650 of 1000 us expected"


def test_what_threads_add_is_learnt_from_their_blocks() -> None:
    """Believed to take a second a call, all of it is over in less than the half: nothing was added."""
    teach(LOOP, SELECTOR, 1_000_000_000)
    teach_threads(waking_ns=50_000, added_ns=100_000)
    longest = max(length for _, length in learnt()["added"])
    assert reason_of(loops(60, 1)).startswith("2 threads: ")
    assert learnt()["added"][0, longest] < 100_000


def test_what_unknown_calls_take_is_learnt_from_blocks_on_threads_too() -> None:
    """Also where they use little of the gas that they might, and less than the transfers between them."""
    contracts = [b"\x77" * 18 + number.to_bytes(2, "big") for number in range(60)]
    data = SELECTOR.ljust(32, b"\0") + (700).to_bytes(32, "big")
    calls = [
        Transaction(sender=person(number), to=contract, data=data, gas_limit=100_000, gas_price=0)
        for number, contract in enumerate(contracts)
    ]
    payments = [
        Transaction(sender=person(100 + number), to=person(99), value=1, gas_limit=21_000, gas_price=0)
        for number in range(60)
    ]
    state = MemoryState(people(200) | {contract: Account(1, 0, TURNS) for contract in contracts})
    block = block_of(*calls, *payments, gas_limit=10**9)
    teach(LOOP, bytes(4), 1000)  # so that nothing is to be measured first
    teach_threads(1000, 1)
    teach_gas(plain_ns=700, kilogas_ns=40_000_000)  # 40 s together
    assert counters(block, state).decision.startswith("2 threads: ")
    assert learnt()["per_kilogas"] < 40_000_000


@pytest.mark.parametrize("turns", [20_000, 100_000])
def test_threads_that_do_not_pay_are_tried_now_and_then(turns: int) -> None:
    """But not before what a trial may lose was set aside, from the time that blocks took: it is given up when it has
    lost an eighth of the block."""
    state = loop_state()
    block = loops(40, turns, gas_limit=10_000_000)
    tried = passed_over = 0
    for _ in range(300):
        teach_threads(waking_ns=50_000, added_ns=1_000_000_000)
        set_aside = learnt()["losable"]
        decision = counters(block, state).decision
        trial = re.fullmatch(r"2 threads: to try again, \d+ of (\d+) us expected", decision)
        if trial:
            assert set_aside >= 1000 * (int(trial[1]) - 1) // 8
            tried += 1
            if tried == 2:
                break
        else:
            assert decision.startswith("one thread: 2 would gain too little")
            passed_over += not tried
    assert tried and passed_over >= 4


def test_one_great_loss_is_no_reason_to_learn_nothing_for_long() -> None:
    teach_gas(plain_ns=700, kilogas_ns=40_000_000)
    """To measure a block is believed to cost hours that threads would save."""
    assert reason_of(loops(60, 100, gas_limit=4_000_000)) == "one thread: to measure again"
    assert learnt()["losable"] >= -1_000_000


def test_a_block_that_falls_behind_goes_on_sequentially_from_what_is_final_and_says_so() -> None:
    """Each call is believed to take 10 us and takes a hundred times as much: by the first checkpoint, an eighth of the
    work, the block is late on any machine."""
    state = loop_state()
    block = loops(60, 200_000, gas_limit=10_000_000)
    expected = execute_block(block, state, Fork.LONDON, validate=False)
    teach(LOOP, SELECTOR, 10_000)
    teach_threads(waking_ns=50_000, added_ns=1_000)
    result = execute_block(block, state, Fork.LONDON, validate=False, threads=2)
    assert difference(outcome_of(expected), outcome_of(result)) is None
    found = result.parallel
    assert found.decision == "2 threads: 410 of 600 us expected"
    assert found.fallback == "behind its forecast"
    assert found.fallback_at == 8
    # Those before ran on the threads, those after alone, some of them for the second time.
    assert 60 <= found.executions - found.waits <= 2 * 60
    assert all(found.phases[phase] > 0 for phase in ("sequential", "running", "committing"))
    # The kind is a burden now, and what it takes alone is measured again.
    again = counters(block, state)
    assert again.threads == 1 and again.fallback == ""


@pytest.mark.parametrize("gas_used", [0, 2**64 - 1])
def test_a_header_may_say_anything_about_gas(gas_used: int) -> None:
    block = loops(30, 100)
    block = replace(block, header=replace(block.header, gas_used=gas_used))
    assert counters(block, loop_state()).executions == 30


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
