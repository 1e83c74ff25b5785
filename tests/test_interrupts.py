"""Signals that come while a call or a block runs: Python's handlers run meanwhile, and what they raise ends it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from evmcore import EVM, Block, Header, MemoryState, Transaction, execute_block
from evmcore.errors import ExecutionAborted
from evmcore.listed import ListedExecutor
from evmcore.stm import ParallelExecutor
from evmcore.tracing import CallTracer
from evmcore.types import Account

LOOP, ALICE = b"\x10" * 20, b"\xa1" * 20
FOR_EVER = 2**62  # gas

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timers")


class Alarm(BaseException):
    pass


@pytest.fixture
def evm() -> EVM:
    return EVM(MemoryState({LOOP: Account(code=bytes.fromhex("5b5f56")), ALICE: Account(balance=10**30)}))


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def ring(*_: Any) -> None:
    raise Alarm


RUNS: list[Callable[[EVM], object]] = [
    lambda evm: evm.call(LOOP, gas=FOR_EVER),
    lambda evm: evm.message(LOOP, gas=FOR_EVER),
]


@pytest.mark.parametrize("run", RUNS, ids=["call", "message"])
def test_what_a_handler_raises_ends_the_call(evm: EVM, run: Callable[[EVM], object]) -> None:
    signal.signal(signal.SIGALRM, ring)
    for _ in range(2):  # the machine is as good as before
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(Alarm):
            run(evm)
    assert evm.call(ALICE).success


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_what_a_handler_raises_ends_a_batch_of_calls(evm: EVM, threads: int) -> None:
    """In all its threads, also where the one that is told has nothing left to do but to wait."""
    signal.signal(signal.SIGALRM, ring)
    for calls in ([(LOOP, b"", None, 0, FOR_EVER)] * 4, [(ALICE,)] * 3 + [(LOOP, b"", None, 0, FOR_EVER)] * 9):
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(Alarm):
            evm.call_many(calls, threads=threads)
    assert all(result.success for result in evm.call_many([(ALICE,)] * 20, threads=threads))


def test_brief_calls_of_a_batch_do_not_keep_a_handler_waiting(evm: EVM) -> None:
    rung: list[int] = []
    signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    calls = [(LOOP, b"", None, 0, 3_000_000)] * 512
    assert not any(result.success for result in evm.call_many(calls, threads=1))
    assert len(rung) > 1


def test_a_call_goes_on_after_a_handler_that_raises_nothing(evm: EVM) -> None:
    rung = []
    signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    with pytest.raises(ExecutionAborted):
        evm.call(LOOP, gas=FOR_EVER, timeout=0.5)
    assert len(rung) > 1


def test_calls_of_other_threads_are_left_alone(evm: EVM) -> None:
    signal.signal(signal.SIGALRM, ring)
    ended: list[type[BaseException]] = []

    def work() -> None:
        try:
            evm.call(LOOP, gas=FOR_EVER, timeout=0.5)
        except BaseException as error:
            ended.append(type(error))

    thread = threading.Thread(target=work)
    thread.start()
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    with pytest.raises(Alarm):
        time.sleep(60)
    thread.join()
    assert ended == [ExecutionAborted]


# ---- blocks

SENDERS = [bytes([i]) * 20 for i in range(1, 9)]
LONG = 2**29  # gas: a tenth of a second or more


def looping_block(gas: int, last: int = 0) -> tuple[Block, MemoryState]:
    """Transactions that have nothing to do with each other and use so much gas up, the last one `last` if given."""
    loops = [bytes([0x20 + i]) * 20 for i in range(len(SENDERS))]
    alloc = dict.fromkeys(loops, Account(code=bytes.fromhex("5b5f56")))
    state = MemoryState(alloc | dict.fromkeys(SENDERS, Account(balance=10**18)))
    limits = [gas] * (len(SENDERS) - 1) + [last or gas]
    transactions = [
        Transaction(sender=sender, to=loop, gas_limit=limit, gas_price=0)
        for sender, loop, limit in zip(SENDERS, loops, limits, strict=True)
    ]
    return Block(Header(number=1, gas_limit=sum(limits), base_fee_per_gas=0), tuple(transactions)), state


def sequentially() -> dict[str, Any]:
    return {}


def traced() -> dict[str, Any]:
    return {"tracer": CallTracer()}


def speculating() -> dict[str, Any]:
    executor = ParallelExecutor(2)
    executor.bins = 0
    return {"executor": executor}


def in_bins() -> dict[str, Any]:
    executor = ParallelExecutor(2)
    executor.bins = 2
    return {"executor": executor}


def by_a_given_list() -> dict[str, Any]:
    block, state = looping_block(50_000)
    accessed = execute_block(block, state, "cancun", validate=False, access_list=True).access_list
    assert accessed is not None
    return {"executor": ListedExecutor(accessed, 2)}


@pytest.mark.parametrize("how", [sequentially, traced, speculating, in_bins, by_a_given_list])
def test_what_a_handler_raises_ends_the_block(how: Callable[[], dict[str, Any]]) -> None:
    block, state = looping_block(LONG)
    before = state.dump()
    signal.signal(signal.SIGALRM, ring)
    for _ in range(2):
        options = how()
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(Alarm) as raised:
            execute_block(block, state, "cancun", validate=False, commit=True, **options)
        assert raised.value.__context__ is None
        assert state.dump() == before


@pytest.mark.parametrize("how", [speculating, in_bins])
def test_a_block_ends_while_its_thread_waits_for_another(how: Callable[[], dict[str, Any]]) -> None:
    """Which of the two it is that runs the long one differs from block to block."""
    block, state = looping_block(2**22, 4 * LONG)
    signal.signal(signal.SIGALRM, ring)
    for _ in range(8):
        options = how()
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with pytest.raises(Alarm):
            execute_block(block, state, "cancun", validate=False, commit=True, **options)
        assert state.nonce(SENDERS[0]) == 0


def test_a_handler_that_raises_nothing_lets_the_block_go_on() -> None:
    block, state = looping_block(2**28)
    rung = []
    signal.signal(signal.SIGALRM, lambda *_: rung.append(state.nonce(SENDERS[0])))
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    result = execute_block(block, state, "cancun", validate=False, commit=True)
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert result.gas_used == len(SENDERS) * 2**28
    assert rung.count(0) > 1  # while it ran


def test_a_handler_may_execute_a_block_itself() -> None:
    block, state = looping_block(2**28)
    inner_block, inner_state = looping_block(50_000)
    inner: list[int] = []

    def execute(*_: Any) -> None:
        inner.append(execute_block(inner_block, inner_state, "cancun", validate=False).gas_used)
        if len(inner) == 2:
            raise Alarm

    signal.signal(signal.SIGALRM, execute)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    with pytest.raises(Alarm):
        execute_block(block, state, "cancun", validate=False, commit=True)
    assert inner == [len(SENDERS) * 50_000] * 2
    assert state.nonce(SENDERS[0]) == 0


def test_blocks_of_other_threads_are_left_alone() -> None:
    block, state = looping_block(2**28)
    signal.signal(signal.SIGALRM, ring)
    used: list[int] = []
    thread = threading.Thread(
        target=lambda: used.append(execute_block(block, state, "cancun", validate=False).gas_used)
    )
    thread.start()
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    with pytest.raises(Alarm):
        time.sleep(60)
    thread.join()
    assert used == [len(SENDERS) * 2**28]
