"""Calls from several Python threads at once, batches from several threads, and forked processes."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

from evmcore import EVM, Account, ExecutionAborted, MemoryState, State, StateError, TimeLimit, Transaction
from evmcore.blocks import Block, Header
from evmcore.errors import StateUnavailable, StateUnknown
from evmcore.execution import execute_block
from evmcore.forks import Fork
from evmcore.state.adapter import PythonBackend, as_backend
from evmcore.stm import ParallelExecutor
from tests.assembly import assemble, returning
from tests.waiting import PATIENCE

CONTRACT = bytes(19) + b"\xaa"
SENDER = bytes(19) + b"\x55"
THREADS = 6
# keccak in a loop over the calldata word: long enough that threads meet
WORK = assemble("0 CALLDATALOAD 0 MSTORE 200 again: 32 0 KECCAK256 0 MSTORE 1 SWAP1 SUB DUP1 @again JUMPI 32 0 RETURN")


T = TypeVar("T")


def in_threads(job: Callable[[int], T], count: int = THREADS) -> list[T]:
    """Runs `job(0)` ... in threads that start together; raises what a job raises."""
    together = threading.Barrier(count)

    def run(number: int) -> T:
        together.wait()
        return job(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_parallel_calls_on_one_evm_give_what_one_thread_gets() -> None:
    evm = EVM(MemoryState({CONTRACT: Account(code=WORK)}))
    words = [i.to_bytes(32, "big") for i in range(50)]
    expected = [evm.call(CONTRACT, word).output for word in words]
    assert len(set(expected)) == len(words)
    got = in_threads(lambda _: [evm.call(CONTRACT, word).output for word in words])
    assert got == [expected] * THREADS


def test_parallel_batches_give_what_one_thread_gets() -> None:
    evm = EVM(MemoryState({CONTRACT: Account(code=WORK)}))
    calls = [(CONTRACT, i.to_bytes(32, "big")) for i in range(60)]
    expected = [evm.call(*call).output for call in calls]
    got = in_threads(lambda _: [r.output for _ in range(5) for r in evm.call_many(calls, threads=3)])
    assert got == [expected * 5] * THREADS


def test_a_call_sees_one_consistent_state_while_transactions_are_applied() -> None:
    # With calldata it raises both slots; without, it returns both, with work in between.
    program = assemble(
        "CALLDATASIZE @write JUMPI "
        "0 SLOAD 0 MSTORE 300 again: 1 SWAP1 SUB DUP1 @again JUMPI 1 SLOAD 32 MSTORE 64 0 RETURN "
        "write: 0 SLOAD 1 ADD DUP1 0 SSTORE 1 SSTORE"
    )
    state = MemoryState({CONTRACT: Account(code=program), SENDER: Account(balance=10**18)})
    evm = EVM(state)
    rounds = 150
    done = threading.Event()

    def job(number: int) -> int:
        if number == 0:
            for nonce in range(rounds):
                evm.transact(Transaction(sender=SENDER, nonce=nonce, to=CONTRACT, data=b"\x01", gas_limit=100_000))
            done.set()
            return rounds
        seen = 0
        while not done.is_set():
            output = evm.call(CONTRACT).output
            first, second = int.from_bytes(output[:32], "big"), int.from_bytes(output[32:], "big")
            assert first == second >= seen
            seen = first
        return seen

    in_threads(job, 3)
    assert state.storage(CONTRACT, 0) == state.storage(CONTRACT, 1) == rounds


def test_transactions_on_one_evm_are_applied_one_after_the_other() -> None:
    senders = [bytes(19) + bytes([i + 1]) for i in range(THREADS)]
    accounts = {sender: Account(balance=10**18) for sender in senders}
    counter = assemble("0 SLOAD 1 ADD 0 SSTORE")
    evm = EVM(MemoryState({**accounts, CONTRACT: Account(code=counter)}))

    def job(number: int) -> None:
        for nonce in range(40):
            evm.transact(Transaction(sender=senders[number], nonce=nonce, to=CONTRACT, gas_limit=100_000))

    in_threads(job)
    assert evm.state.storage(CONTRACT, 0) == 40 * THREADS


def test_two_evms_that_write_to_one_state_never_lose_a_write() -> None:
    senders = [bytes(19) + bytes([i + 1]) for i in range(2)]
    state = MemoryState({sender: Account(balance=10**18) for sender in senders})
    state.set_account(CONTRACT, Account(code=assemble("0 SLOAD 1 ADD 0 SSTORE")))

    def job(number: int) -> int:
        evm, applied = EVM(state), 0
        for _ in range(100):
            try:
                nonce = state.nonce(senders[number])
                evm.transact(Transaction(sender=senders[number], nonce=nonce, to=CONTRACT, gas_limit=100_000))
                applied += 1
            except StateError:
                pass  # the other one wrote in between
        return applied

    applied = sum(in_threads(job, 2))
    assert state.storage(CONTRACT, 0) == applied > 0


class Doubler(State):
    """A state that takes the GIL for every read."""

    def account(self, address: bytes) -> Account | None:
        return Account(code=returning("0 CALLDATALOAD SLOAD")) if address == CONTRACT else None

    def storage(self, address: bytes, slot: int) -> int:
        return 2 * slot


def test_a_state_written_in_python_is_read_from_many_threads() -> None:
    evm = EVM(Doubler())

    def job(number: int) -> bool:
        for i in range(30):
            question = (1000 * number + i).to_bytes(32, "big")
            assert int.from_bytes(evm.call(CONTRACT, question).output, "big") == 2 * (1000 * number + i)
            results = evm.call_many([(CONTRACT, question)] * 4, threads=2)
            assert {int.from_bytes(r.output, "big") for r in results} == {2 * (1000 * number + i)}
        return True

    assert all(in_threads(job))


class Unreadable(State):
    """Every account is a failure of its own name and class."""

    def account(self, address: bytes) -> Account | None:
        raise (StateUnknown if address[0] else StateUnavailable)(address.hex())


@pytest.fixture
def hurried() -> Iterator[None]:
    """Threads that take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_the_first_call_of_a_batch_that_fails_is_told_of_its_own_failure() -> None:
    evm = EVM(Unreadable())

    def job(number: int) -> None:
        calls = [(bytes([number % 2, number]) + i.to_bytes(18, "big"),) for i in range(40)]
        for _ in range(20):
            with pytest.raises(StateUnknown if number % 2 else StateUnavailable, match=f"^{calls[0][0].hex()}$"):
                evm.call_many(calls, threads=3)

    in_threads(job)


def test_a_call_that_fails_leaves_the_failures_of_later_ones_to_the_threads_that_ran_them() -> None:
    """The caller's thread takes its failure while a worker, which could not read either, has not yet taken its own."""
    caller = threading.get_ident()
    worker_begins, worker_failed, caller_took = threading.Event(), threading.Event(), threading.Event()
    begun: list[int] = []

    class FailsTwice(State):
        """In the first call of the worker, and in one of the caller's after that."""

        def account(self, address: bytes) -> Account | None:
            if not address[0]:
                return None  # of the sender, the beneficiary
            if threading.get_ident() != caller:
                begun.append(address[-1])
                worker_begins.set()
                raise StateUnknown("the worker's")
            assert worker_begins.wait(PATIENCE)
            if address[-1] > begun[0]:
                raise StateUnavailable("the caller's")
            return None

    class InTurns(PythonBackend):
        def take_error(self) -> BaseException | None:
            if threading.get_ident() == caller:
                assert worker_failed.wait(PATIENCE)
                error = super().take_error()
                caller_took.set()
                return error
            worker_failed.set()
            assert caller_took.wait(PATIENCE)
            return super().take_error()

    calls = [(b"\xcc" * 19 + bytes([number]),) for number in range(40)]
    with pytest.raises(StateUnknown, match=r"^the worker's$"):
        EVM(InTurns(FailsTwice())).call_many(calls, threads=2)


def test_blocks_that_fail_at_once_on_one_state_are_told_of_their_own_failures(hurried: None) -> None:
    """Whichever of their native threads it was that could not read."""
    backend = as_backend(Unreadable())

    def job(number: int) -> None:
        sender = bytes([number % 2, number]) + bytes(17)
        header = Header(number=1, coinbase=sender + b"\xfe", gas_limit=30_000_000, base_fee_per_gas=0)
        transactions = [
            Transaction(sender=sender + bytes([i]), to=sender + b"\xff", gas_limit=50_000, gas_price=0)
            for i in range(40)
        ]
        block, executor = Block(header, transactions), ParallelExecutor(3)
        for _ in range(40):
            with pytest.raises(StateUnknown if number % 2 else StateUnavailable, match=f"^{sender.hex()}"):
                execute_block(block, backend, Fork.LONDON, validate=False, executor=executor)

    in_threads(job)


def test_a_state_that_calls_back_into_a_batch_does_not_wait_for_itself() -> None:
    inner = EVM(MemoryState({CONTRACT: Account(code=returning("7"))}))

    class Nested(Doubler):
        def storage(self, address: bytes, slot: int) -> int:
            return int.from_bytes(inner.call_many([(CONTRACT,)] * 3, threads=2)[2].output, "big")

    results = EVM(Nested()).call_many([(CONTRACT, bytes(32))] * 4, threads=2)
    assert [int.from_bytes(r.output, "big") for r in results] == [7] * 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_answers_calls_and_batches() -> None:
    evm = EVM(MemoryState({CONTRACT: Account(code=WORK)}))
    calls = [(CONTRACT, i.to_bytes(32, "big")) for i in range(40)]
    expected = [r.output for r in evm.call_many(calls, threads=3)]
    child = os.fork()
    if child == 0:
        same = [r.output for r in evm.call_many(calls, threads=3)] == expected
        same = same and evm.call(*calls[5]).output == expected[5]
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [r.output for r in evm.call_many(calls, threads=3)] == expected


def test_the_gil_is_free_while_a_call_runs() -> None:
    """A call that never ends by itself is ended by a thread that did something meanwhile."""
    endless = assemble("again: @again JUMP")
    evm = EVM(MemoryState({CONTRACT: Account(code=endless)}))
    limit = TimeLimit(PATIENCE)

    def call() -> None:
        with pytest.raises(ExecutionAborted):
            evm.call(CONTRACT, gas=2**62, timeout=limit)

    running = threading.Thread(target=call)
    running.start()
    for _ in range(1000):
        time.sleep(0)  # gives the GIL away
        assert running.is_alive() and not limit.is_over
    limit.stop()
    running.join()
