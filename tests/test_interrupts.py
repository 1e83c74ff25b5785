"""Signals that come while a call or a block runs: Python's handlers run meanwhile, and what they raise ends it."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from evmcore import EVM, Block, Header, MemoryState, Transaction, execute_block
from evmcore._crypto import address_of
from evmcore._senders import recover_senders
from evmcore._session import Session
from evmcore.errors import ExecutionAborted, InvalidBlock
from evmcore.listed import ListedExecutor
from evmcore.stm import ParallelExecutor
from evmcore.tracing import CallTracer, EIP3155Tracer
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


# ---- senders

MANY = 20_000  # signatures for each thread: a tenth of a second and more


class Ringing(Mapping[int, bytes]):
    """The hashes of a block, which are looked at right before its senders are recovered: an alarm is set then."""

    def __init__(self, *interval: float) -> None:
        self.interval = interval
        self.begun = 0.0

    def __iter__(self) -> Iterator[int]:
        signal.setitimer(signal.ITIMER_REAL, *self.interval)
        self.begun = time.thread_time()
        return iter(())

    def __len__(self) -> int:
        return 0

    def __getitem__(self, number: int) -> bytes:
        raise KeyError(number)


def signed_block(count: int) -> tuple[Block, MemoryState]:
    """One transaction again and again, which is valid only once: to recover the senders is all the work."""
    signed = Transaction(to=ALICE, gas_limit=21_000, gas_price=1).sign(b"\7" * 32)
    transaction = replace(signed, sender=None)
    state = MemoryState({address_of(b"\7" * 32): Account(balance=10**18)})
    return Block(Header(number=1, gas_limit=2**40, base_fee_per_gas=0), [transaction] * count), state


def on_one_thread() -> tuple[dict[str, Any], int]:
    return {}, 1


def on_two_threads() -> tuple[dict[str, Any], int]:
    return {"executor": ParallelExecutor(2)}, 2


SENDER_RUNS = [on_one_thread, on_two_threads]


@pytest.mark.parametrize("how", SENDER_RUNS)
def test_what_a_handler_raises_ends_the_recovery_of_senders(how: Callable[[], tuple[dict[str, Any], int]]) -> None:
    options, threads = how()
    block, state = signed_block(MANY * threads)
    before = state.dump()
    signal.signal(signal.SIGALRM, ring)
    hashes = Ringing(0.01)
    with pytest.raises(Alarm) as raised:
        execute_block(block, state, "cancun", validate=False, commit=True, block_hashes=hashes, **options)
    assert time.thread_time() - hashes.begun < MANY * 4e-6  # to recover one takes more, on any machine
    assert raised.value.__context__ is None
    assert state.dump() == before


@pytest.mark.parametrize("how", SENDER_RUNS)
def test_handlers_run_while_senders_are_recovered(how: Callable[[], tuple[dict[str, Any], int]]) -> None:
    options, threads = how()
    block, state = signed_block(MANY * threads)
    rung: list[int] = []
    signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    with pytest.raises(InvalidBlock, match="NONCE_MISMATCH_TOO_LOW"):
        execute_block(block, state, "cancun", validate=False, block_hashes=Ringing(0.01, 0.01), **options)
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert len(rung) > 3


class Last(Transaction):
    """The last transaction: an alarm is set when it is made ready."""

    begun = 0.0

    def encode(self) -> bytes:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        Last.begun = time.thread_time()
        return super().encode()


@pytest.mark.parametrize("threads", [1, 2])
def test_what_a_handler_raises_ends_the_recovery_of_senders_by_itself(threads: int) -> None:
    last = replace(Last(to=ALICE, gas_limit=21_000, gas_price=1).sign(b"\7" * 32), sender=None)
    transactions = [*signed_block(MANY * threads)[0].transactions, last]
    signal.signal(signal.SIGALRM, ring)
    with pytest.raises(Alarm):
        recover_senders(transactions, threads)
    assert time.thread_time() - Last.begun < MANY * 4e-6
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    assert len(recover_senders(transactions[-40:], threads)) == 40


# ---- state roots


@pytest.fixture(scope="module")
def large() -> MemoryState:
    """A million slots: some tenths of a second to be hashed."""
    account = Account(storage={7919 * slot: slot for slot in range(1, 80_001)})
    return MemoryState(dict.fromkeys([bytes([0x40 + i]) * 20 for i in range(12)], account))


def root(state: MemoryState, threads: int) -> object:
    return state.state_root(threads=threads)


def root_after_diff(state: MemoryState, threads: int) -> object:
    session = Session(state)
    session.override({ALICE: {"balance": 7}})
    return state.state_root(session.diff(), threads)


def next_root(state: MemoryState, threads: int) -> object:
    """For which a trie is made that is kept from then on."""
    return state.state_root(threads=threads)


def first_proof(state: MemoryState, threads: int) -> object:
    return state.proof(ALICE)


ROOTS = [root, root_after_diff, next_root, first_proof]


def made_ready(large: MemoryState, compute: Callable[..., object]) -> MemoryState:
    state = large.copy()
    if compute is next_root:
        state.state_root()
    return state


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("compute", ROOTS)
def test_handlers_run_while_a_root_is_computed(
    large: MemoryState, compute: Callable[[MemoryState, int], object], threads: int
) -> None:
    state = made_ready(large, compute)
    rung: list[int] = []
    signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    computed = compute(state, threads)
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert len(rung) > 1
    assert computed == compute(large.copy(), 1)


@pytest.mark.parametrize("compute", ROOTS)
def test_a_handler_may_ask_the_state_whose_root_is_computed(
    large: MemoryState, compute: Callable[[MemoryState, int], object]
) -> None:
    """It waits where it has to, and sees nothing that is there for the root's sake alone."""
    state = made_ready(large, compute)
    expected = large.copy().state_root()
    seen: list[tuple[int, bytes]] = []
    signal.signal(signal.SIGALRM, lambda *_: seen.append((state.balance(ALICE), state.state_root())))
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    compute(state, 1)
    assert seen == [(0, expected)]


@pytest.mark.parametrize("compute", ROOTS)
def test_what_a_handler_raises_ends_the_computing_of_a_root(
    large: MemoryState, compute: Callable[[MemoryState, int], object]
) -> None:
    state = made_ready(large, compute)
    size = sys.getsizeof(state)
    rung: list[int] = []

    def ring_twice(*_: Any) -> None:
        rung.append(1)
        if len(rung) == 2:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise Alarm

    signal.signal(signal.SIGALRM, ring_twice)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    with pytest.raises(Alarm) as raised:
        compute(state, 1)
    assert raised.value.__context__ is None
    assert sys.getsizeof(state) < size + 1_000_000  # no trie was made
    assert (len(state), state.balance(ALICE)) == (len(large), 0)
    assert compute(state, 1) == compute(large.copy(), 1)


def test_a_root_that_is_asked_for_inside_a_call_waits_for_nobody(large: MemoryState) -> None:
    """The call has the state, and a writer who waits for its end would keep another thread out."""
    state = large.copy()
    state.set_code(LOOP, b"\x00")
    expected = state.copy().state_root()
    writer = threading.Thread(target=state.set_balance, args=(ALICE, 7))
    roots: list[bytes] = []

    class Stream:
        def write(self, text: str) -> None:
            if not roots:
                writer.start()
                shut_out = False
                while not shut_out:
                    reader = threading.Thread(target=state.balance, args=(ALICE,))
                    reader.start()
                    reader.join(0.2)
                    shut_out = reader.is_alive()
            roots.append(state.state_root())

    EVM(state).call(LOOP, tracer=EIP3155Tracer(Stream()))
    writer.join()
    assert roots and set(roots) == {expected}
    assert state.balance(ALICE) == 7
