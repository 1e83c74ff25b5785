"""What running gives is a value: equal when it says the same. What is bound to more than itself says what to pickle."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from evmcore import (
    EVM,
    Account,
    BlockResult,
    BlockStream,
    MemoryState,
    ParallelExecutor,
    State,
    TimeLimit,
    Transaction,
    execute_block,
    execute_block_stream,
)
from evmcore._decision import ChoosingExecutor
from evmcore._session import Session
from evmcore.blocks import Block, Header
from evmcore.listed import ListedExecutor
from evmcore.state import as_backend
from evmcore.tracing import CallTracer
from tests.assembly import assemble, returning

SENDER = bytes(19) + b"\x11"
CONTRACT = bytes(19) + b"\xaa"
LOGS = assemble("7 0 MSTORE CALLDATASIZE 32 0 LOG1")


def evm(code: bytes = LOGS) -> EVM:
    return EVM(MemoryState({SENDER: Account(balance=10**18), CONTRACT: Account(code=code)}))


def transaction(**fields: Any) -> Transaction:
    return Transaction(sender=SENDER, to=CONTRACT, gas_limit=100_000, **fields)


def stream() -> BlockStream:
    return execute_block_stream(block_result().block, evm().state, "istanbul", validate=False)


def block_result() -> BlockResult:
    block = Block(Header(number=1, timestamp=12, gas_limit=1_000_000), (transaction(),))
    return execute_block(block, evm().state, "istanbul", validate=False, accesses=True)


def test_results_of_calls_are_equal_when_all_their_fields_are() -> None:
    result = evm().call(CONTRACT, b"\x01")
    assert result == evm().call(CONTRACT, b"\x01")
    assert hash(result) == hash(evm().call(CONTRACT, b"\x01"))
    unpickled = pickle.loads(pickle.dumps(result))
    assert (unpickled, unpickled.log_serials) == (result, result.log_serials)
    assert result.output == evm().call(CONTRACT, b"\x01\x02").output
    assert result != evm().call(CONTRACT, b"\x01\x02")  # its log and its gas are others
    assert evm(returning("1")).call(CONTRACT) != evm(returning("2")).call(CONTRACT)
    assert evm(assemble("0 0 REVERT")).call(CONTRACT) != evm(assemble("0 0 RETURN")).call(CONTRACT)
    assert result != "something else"


def test_logs_alone_make_results_different() -> None:
    one, other = (evm(assemble(f"{topic} 0 0 LOG1")).call(CONTRACT) for topic in (1, 2))
    assert (one.gas_used, one.output) == (other.gas_used, other.output)
    assert one != other


def test_results_of_transactions_are_equal_when_their_diffs_are_too() -> None:
    result = evm().transact(transaction())
    assert result == evm().transact(transaction())
    assert result == pickle.loads(pickle.dumps(result))
    one, other = (evm(assemble(f"{slot} {slot} SSTORE")).transact(transaction()) for slot in (1, 2))
    assert (one.gas_used, one.output, one.logs) == (other.gas_used, other.output, other.logs)
    assert one != other
    assert result != evm().call(CONTRACT, sender=SENDER)


def test_transactions_of_blocks_are_equal_when_they_did_the_same_at_the_same_place() -> None:
    def committed(*transactions: Transaction) -> Any:
        block = Block(Header(number=1, timestamp=12, gas_limit=1_000_000), transactions)
        return execute_block(block, evm(assemble("0")).state, "istanbul", validate=False).transactions

    first, second = committed(transaction(), transaction(nonce=1))
    assert first == committed(transaction())[0]
    assert hash(first) == hash(committed(transaction())[0])
    assert (first.gas_used, first.output, first.logs) == (second.gas_used, second.output, second.logs)
    assert first != second


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (evm, "an EVM cannot be pickled or copied: pickle its state and block and the fork or "),
        (block_result, "a BlockResult cannot be pickled or copied: pickle what is needed of it, as its block"),
        (lambda: block_result().transactions[0], "a CommittedTransaction cannot be pickled or copied: pickle what is "),
        (lambda: block_result().accesses, "an AccessRecord cannot be pickled or copied: pickle the encoding of "),
        (lambda: TimeLimit(1), "a TimeLimit cannot be pickled or copied: its time is that of this process"),
        (stream, "a BlockStream cannot be pickled or copied: threads of this process execute its block"),
        (
            lambda: Session(evm().state, "istanbul"),
            "a Session cannot be pickled or copied: pickle what it changed, its ",
        ),
        (lambda: as_backend(State()), "a PythonBackend cannot be pickled or copied: it reads what this process holds "),
        (
            lambda: ListedExecutor(b"\xc0"),
            "a ListedExecutor cannot be pickled or copied: it executes one block; make another of the same access list",
        ),
        (
            CallTracer,
            "a CallTracer cannot be pickled or copied: it is tied to the run that it observes; pickle what it",
        ),
    ],
)
def test_what_cannot_be_pickled_says_what_can(way: Callable[[Any], Any], make: Callable[[], Any], said: str) -> None:
    with pytest.raises(TypeError) as error:
        way(make())
    assert str(error.value).startswith(said)


@pytest.mark.parametrize("executor", [ParallelExecutor(2), ChoosingExecutor(3)])
def test_executors_that_learn_nothing_by_themselves_are_made_again(executor: Any) -> None:
    for made in (pickle.loads(pickle.dumps(executor)), copy.copy(executor), copy.deepcopy(executor)):
        assert type(made) is type(executor) and made.threads == executor.threads
        assert execute_block(block_result().block, evm().state, "istanbul", validate=False, executor=made).gas_used


def test_a_parallel_executor_keeps_its_settings() -> None:
    executor = ParallelExecutor(2, always=True)
    executor.bins, executor.recording = 0, True
    made = pickle.loads(pickle.dumps(executor))
    assert (made.always, made.bins, made.recording) == (True, 0, True)


def test_a_closed_stream_is_not_copied_either() -> None:
    with stream() as given, pytest.raises(TypeError, match="a BlockStream cannot be pickled or copied"):
        list(given)
        copy.copy(given)


def test_what_is_to_be_pickled_instead_makes_the_same_again() -> None:
    asked, result = evm(), block_result()
    state, fork, block, chain_id = pickle.loads(pickle.dumps((asked.state, asked.fork, asked.block, asked.chain_id)))
    assert EVM(state, fork, block, chain_id).call(CONTRACT) == asked.call(CONTRACT)
    parts = (result.block, result.diff, result.receipts, result.transactions[0].receipt)
    assert pickle.loads(pickle.dumps(parts)) == parts
    assert result.accesses is not None
    session = Session(asked.state, "istanbul")
    session.override({SENDER: {"nonce": 7}})
    state.apply(pickle.loads(pickle.dumps(session.diff())))
    assert Session(state, "istanbul").account(SENDER) == session.account(SENDER)
    accesses = result.accesses.access_list
    assert type(accesses).from_rlp(pickle.loads(pickle.dumps(accesses.to_rlp()))) == accesses
