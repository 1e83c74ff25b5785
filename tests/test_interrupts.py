"""Signals that come while a call runs: Python's handlers run meanwhile, and what they raise ends the call."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from evmcore import EVM, MemoryState
from evmcore.errors import ExecutionAborted
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
