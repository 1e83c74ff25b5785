"""What compiled code works with is made once, and by whoever can make it.

What would leave it without what it needs, or take that from a run that is under way, is refused by name.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from evmcore import EVM, Account, MemoryState, execute_block, execute_block_stream
from evmcore._access_record import AccessRecord
from evmcore._block_result import BlockResult
from evmcore._decision import ChoosingExecutor
from evmcore._outcome import CommittedTransaction
from evmcore._session import Session
from evmcore._stream import BlockStream
from evmcore.access_lists import BlockAccessList
from evmcore.errors import InputError
from evmcore.listed import ListedExecutor
from evmcore.state import State
from evmcore.stm import ParallelExecutor
from evmcore.tracing import CallTracer, MuxTracer
from tests.assembly import returning
from tests.small_blocks import block_of, people, person, transfer
from tests.waiting import PATIENCE

CONTRACT = b"\xaa" * 20


@pytest.mark.parametrize("kind", [BlockResult, CommittedTransaction])
def test_results_of_blocks_cannot_be_made_without_a_block(kind: Any) -> None:
    for make in (kind, lambda: kind.__new__(kind), lambda: kind(object())):
        with pytest.raises(TypeError, match="comes from the execution of a block"):
            make()


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (EVM, ({},)),
        (lambda state: EVM(state).with_block({"number": 5}), ({},)),
        (Session, ({},)),
        (lambda _: MuxTracer([CallTracer()]), ([],)),
        (lambda _: ChoosingExecutor(4), (2,)),
        (lambda _: ParallelExecutor(4), (2,)),
        (lambda _: ListedExecutor(BlockAccessList(())), (BlockAccessList(()), 2)),
    ],
)
def test_what_has_been_made_cannot_be_made_again(
    make: Callable[[MemoryState], Any], arguments: tuple[Any, ...]
) -> None:
    made = make(MemoryState(people(2)))
    with pytest.raises(InputError, match="is made once"):
        made.__init__(*arguments)


def test_a_state_is_not_taken_from_a_call_that_reads_it() -> None:
    reading, go_on = threading.Event(), threading.Event()

    class Slow(State):
        def account(self, address: bytes) -> Account | None:
            return Account(code=returning("0 SLOAD")) if address == CONTRACT else None

        def storage(self, address: bytes, slot: int) -> int:
            reading.set()
            assert go_on.wait(PATIENCE)
            return 7

    evm = EVM(Slow())
    outputs: list[bytes] = []
    call = threading.Thread(target=lambda: outputs.append(evm.call(CONTRACT).output))
    call.start()
    assert reading.wait(PATIENCE)
    with pytest.raises(InputError, match="an EVM is made once"):
        evm.__init__({})
    go_on.set()
    call.join()
    assert int.from_bytes(outputs[0], "big") == 7


def test_a_stream_without_a_block_says_where_streams_come_from() -> None:
    with pytest.raises(InputError, match="`execute_block_stream` makes one of a block"):
        next(BlockStream.__new__(BlockStream))


def test_a_record_without_parts_lists_nothing() -> None:
    record = AccessRecord()
    assert list(record.access_list) == []
    with pytest.raises(InputError, match="index: there are 0 parts, counted from 0, got 0"):
        record.part(0)


def test_a_stream_that_runs_is_not_replaced() -> None:
    state = MemoryState(people(2))
    block = block_of(*(transfer(0, person(1), nonce=nonce) for nonce in range(20)))
    with execute_block_stream(block, state, "shanghai", validate=False) as stream:
        first = next(stream)
        with pytest.raises(InputError, match="a BlockStream is made once"):
            stream.__init__(None, ChoosingExecutor(2))
        rest = list(stream)
    assert [first.index, *(transaction.index for transaction in rest)] == list(range(20))
    assert stream.result.diff == execute_block(block, state, "shanghai", validate=False).diff
