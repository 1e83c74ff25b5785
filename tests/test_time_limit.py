"""Runs that end because their time is over, or because somebody says so."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from evmcore import EVM, BlockEnv, ExecutionAborted, Header, InputError, MemoryState, TimeLimit, Transaction
from evmcore._session import Session
from evmcore.blocks import Block
from evmcore.tracing import CallTracer, StructLogTracer
from tests.assembly import assemble

SPINNER = bytes(19) + b"\xc1"  # never ends
SENDER = bytes(19) + b"\xaa"
STATE: dict[Any, Any] = {SPINNER: {"code": assemble("start: @start JUMP")}, SENDER: {"balance": 10**30}}
GAS = 10**15
LONG = 600.0  # seconds; no test waits for them


def evm() -> EVM:
    return EVM(MemoryState(STATE), "shanghai", BlockEnv(gas_limit=GAS))


def run_in_session(limit: TimeLimit) -> None:
    session = Session(MemoryState(STATE), "shanghai", timeout=limit)
    session.begin_block(Block(Header(gas_limit=GAS, base_fee_per_gas=0), withdrawals=()))
    session.run(Transaction(to=SPINNER, gas_limit=GAS, gas_price=0, sender=SENDER))


RUNS: dict[str, Callable[[TimeLimit], object]] = {
    "call": lambda limit: evm().call(SPINNER, gas=GAS, timeout=limit),
    "message": lambda limit: evm().message(SPINNER, gas=GAS, timeout=limit),
    "batch": lambda limit: evm().call_many([(SPINNER, b"", None, 0, GAS)] * 3, threads=2, timeout=limit),
    "calls traced": lambda limit: evm().call(SPINNER, gas=GAS, timeout=limit, tracer=CallTracer()),
    "estimate": lambda limit: evm().estimate_gas(SPINNER, gas=GAS, timeout=limit),
    "access list": lambda limit: evm().create_access_list(SPINNER, gas=GAS, timeout=limit),
    "transaction": lambda limit: evm().deploy(assemble("start: @start JUMP"), sender=SENDER, timeout=limit),
    "session": run_in_session,
}


@pytest.mark.parametrize("name", RUNS)
def test_what_runs_ends_when_somebody_says_so(name: str) -> None:
    limit = TimeLimit(LONG)
    timer = threading.Timer(0.05, limit.stop)
    timer.start()
    with pytest.raises(ExecutionAborted):
        RUNS[name](limit.within(LONG))
    timer.join()
    assert limit.is_stopped and limit.is_over


@pytest.mark.parametrize("name", RUNS)
def test_what_runs_ends_when_its_time_is_over(name: str) -> None:
    limit = TimeLimit(0.05)
    with pytest.raises(ExecutionAborted):
        RUNS[name](limit)
    assert limit.is_over and not limit.is_stopped


def test_a_part_ends_with_the_whole_at_the_latest() -> None:
    whole = TimeLimit(LONG)
    assert whole.within(1.5).seconds == 1.5
    assert whole.within(2 * LONG).seconds == LONG
    assert whole.within(None).seconds == LONG
    assert whole.within(0).is_over and not whole.is_over
    part = TimeLimit().within(None).within(LONG)
    part.stop()  # one switch for all of them
    assert part.is_over


def test_a_limit_without_end_lets_runs_end_by_themselves() -> None:
    assert evm().call(SPINNER, gas=100_000, timeout=TimeLimit()).gas_used == 100_000


def test_a_tracer_that_raises_ends_the_run_and_not_its_time() -> None:
    limit = TimeLimit(LONG)
    tracer = StructLogTracer()
    tracer.size_limit = 1000
    with pytest.raises(Exception, match="larger than 1000 bytes"):
        evm().call(SPINNER, gas=GAS, timeout=limit, tracer=tracer)
    assert not limit.is_over
    assert evm().call(SPINNER, gas=100_000, timeout=limit).gas_used == 100_000


@pytest.mark.parametrize("seconds", [-1, "5", True, float("nan"), b"", object()])
def test_what_are_no_seconds_is_refused(seconds: Any) -> None:
    with pytest.raises(InputError, match="'timeout'"):
        TimeLimit(seconds)
    with pytest.raises(InputError, match="'timeout'"):
        evm().call(SPINNER, timeout=seconds)
    with pytest.raises(InputError, match="'timeout'"):
        evm().estimate_gas(SPINNER, timeout=seconds)
