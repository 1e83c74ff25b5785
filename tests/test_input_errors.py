"""Malformed arguments of the facade: the exception, what its message names, and a state that stays as it was."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from evmcore import (
    EVM,
    Account,
    Authorization,
    Block,
    BlockEnv,
    EvmcoreError,
    Header,
    InputError,
    InvalidTransaction,
    MemoryState,
    StateError,
    Transaction,
)
from evmcore._decision import ChoosingExecutor
from evmcore.listed import ListedExecutor
from evmcore.stm import ParallelExecutor
from evmcore.tracing import CallTracer, EIP3155Tracer
from tests.assembly import returning

A = bytes(19) + b"\xaa"
S = bytes(19) + b"\x55"
BIG = 2**256

# One line each: what is done, the exception, and words its message must have.
Case = tuple[Callable[[EVM], Any], type[EvmcoreError], str]


def named(name: str) -> str:
    return f"argument '{name}'"


CONSTRUCTION: list[Case] = [
    (lambda _: EVM(None), InputError, "'state'"),  # type: ignore[arg-type]
    (lambda _: EVM(42), InputError, "'state'"),  # type: ignore[arg-type]
    (lambda _: EVM("mainnet"), InputError, "'state'"),  # type: ignore[arg-type]
    (lambda _: EVM({"0x12": {}}), InputError, "alloc address"),
    (lambda evm: EVM(evm.state, "osaca"), InputError, "osaca"),
    (lambda evm: EVM(evm.state, ""), InputError, "fork"),
    (lambda evm: EVM(evm.state, 18), InputError, "int"),  # type: ignore[arg-type]
    (lambda evm: EVM(evm.state, None), InputError, "NoneType"),  # type: ignore[arg-type]
    (lambda evm: EVM(evm.state, block={"number": 1}), InputError, named("block")),  # type: ignore[arg-type]
    (lambda evm: EVM(evm.state, block=7), InputError, named("block")),  # type: ignore[arg-type]
    (lambda evm: EVM(evm.state, block=BlockEnv(gas_limit=2**63)), InputError, "block.gas_limit"),
    (lambda evm: EVM(evm.state, chain_id=-1), InputError, named("chain_id")),
    (lambda evm: EVM(evm.state, chain_id=BIG), InputError, named("chain_id")),
    (lambda evm: EVM(evm.state, chain_id="one"), InputError, named("chain_id")),
    (lambda evm: EVM(evm.state, chain_id=1.0), InputError, named("chain_id")),  # type: ignore[arg-type]
    (lambda evm: EVM(evm.state, block=BlockEnv(blob_base_fee=BIG)), InputError, "blob_base_fee"),
]

BLOCKS: list[Case] = [
    (lambda _: BlockEnv(number=-1), InputError, named("number")),
    (lambda _: BlockEnv(number=2**64), InputError, named("number")),
    (lambda _: BlockEnv(timestamp="soon"), InputError, named("timestamp")),
    (lambda _: BlockEnv(coinbase=b"\x01"), InputError, named("coinbase")),
    (lambda _: BlockEnv(base_fee=BIG), InputError, named("base_fee")),
    (lambda _: BlockEnv(prevrandao=b"\x01" * 31), InputError, named("prevrandao")),
    (lambda _: BlockEnv(difficulty=None), InputError, named("difficulty")),  # type: ignore[arg-type]
    (lambda _: BlockEnv(block_hashes=[b"\x01" * 32]), InputError, named("block_hashes")),  # type: ignore[arg-type]
    (lambda _: BlockEnv(block_hashes={1: b"\x01"}), InputError, named("block_hashes")),
    (lambda evm: evm.with_block(None), InputError, named("block")),  # type: ignore[arg-type]
    (lambda evm: evm.with_block({"numbre": 1}), InputError, "numbre"),
    (lambda evm: evm.with_block({"number": "x"}), InputError, named("number")),
]

CALLS: list[Case] = [
    (lambda evm: evm.call(b""), InputError, named("to")),
    (lambda evm: evm.call(b"\x01" * 19), InputError, named("to")),
    (lambda evm: evm.call(b"\x01" * 32), InputError, named("to")),
    (lambda evm: evm.call("0x1234"), InputError, named("to")),
    (lambda evm: evm.call("12" * 20), InputError, named("to")),
    (lambda evm: evm.call("0x" + "zz" * 20), InputError, named("to")),
    (lambda evm: evm.call("vitalik.eth"), InputError, named("to")),
    (lambda evm: evm.call(-1), InputError, named("to")),
    (lambda evm: evm.call(2**160), InputError, named("to")),
    (lambda evm: evm.call(True), InputError, named("to")),
    (lambda evm: evm.call(1.5), InputError, named("to")),  # type: ignore[arg-type]
    (lambda evm: evm.call([A]), InputError, named("to")),  # type: ignore[arg-type]
    (lambda evm: evm.call(A, None), InputError, named("data")),  # type: ignore[arg-type]
    (lambda evm: evm.call(A, "abcd"), InputError, named("data")),
    (lambda evm: evm.call(A, "0xabc"), InputError, named("data")),
    (lambda evm: evm.call(A, "0xgg"), InputError, named("data")),
    (lambda evm: evm.call(A, "0x 12"), InputError, named("data")),
    (lambda evm: evm.call(A, 5), InputError, named("data")),  # type: ignore[arg-type]
    (lambda evm: evm.call(A, [1, 2]), InputError, named("data")),  # type: ignore[arg-type]
    (lambda evm: evm.call(A, sender=b"\x55"), InputError, named("sender")),
    (lambda evm: evm.call(A, sender="me"), InputError, named("sender")),
    (lambda evm: evm.call(A, sender=2**160), InputError, named("sender")),
    (lambda evm: evm.call(A, value=-1), InputError, named("value")),
    (lambda evm: evm.call(A, value=BIG), InputError, named("value")),
    (lambda evm: evm.call(A, value="1 ether"), InputError, named("value")),
    (lambda evm: evm.call(A, value=0.5), InputError, named("value")),  # type: ignore[arg-type]
    (lambda evm: evm.call(A, value=None), InputError, named("value")),  # type: ignore[arg-type]
    (lambda evm: evm.call(A, value=b"\x01"), InputError, named("value")),  # type: ignore[arg-type]
    (lambda evm: evm.call(A, gas=-1), InputError, named("gas")),
    (lambda evm: evm.call(A, gas=2**63), InputError, named("gas")),
    (lambda evm: evm.call(A, gas="lots"), InputError, named("gas")),
    (lambda evm: evm.call(A, gas=1e6), InputError, named("gas")),  # type: ignore[arg-type]
    (lambda evm: evm.call(A, gas_price=-1), InputError, named("gas_price")),
    (lambda evm: evm.call(A, gas_price=BIG), InputError, named("gas_price")),
    (lambda evm: evm.call(A, gas_price="0x"), InputError, named("gas_price")),
    (lambda evm: evm.call(A, timeout=-1), InputError, named("timeout")),
    (lambda evm: evm.call(A, timeout="1s"), InputError, named("timeout")),  # type: ignore[arg-type]
    (lambda evm: evm.call(A, timeout=float("nan")), InputError, named("timeout")),
    (lambda evm: evm.call(A, timeout=True), InputError, named("timeout")),
    (lambda evm: evm.call(A, tracer=print), InputError, named("tracer")),  # type: ignore[arg-type]
    (lambda evm: evm.call(A, tracer=CallTracer), InputError, named("tracer")),  # type: ignore[arg-type]
    (lambda evm: evm.call(A, block=5), InputError, named("block")),  # type: ignore[arg-type]
    (lambda evm: evm.call(A, block={"height": 5}), InputError, "height"),
    (lambda evm: evm.call(A, access_list=5), InputError, "access_list"),  # type: ignore[arg-type]
    (lambda evm: evm.call(A, access_list=[A]), InputError, "access_list"),
    (lambda evm: evm.call(A, access_list=[(b"\x01", [])]), InputError, "access_list"),
    (lambda evm: evm.call(A, access_list=[(A, [BIG])]), InputError, "access_list"),
    (lambda evm: evm.call(A, access_list=[(A, ["x"])]), InputError, "access_list"),
    (lambda evm: evm.call(A, blob_hashes=5), InputError, "blob_versioned_hashes"),  # type: ignore[arg-type]
    (lambda evm: evm.call(A, blob_hashes=[b"\x01"]), InputError, "blob_versioned_hashes"),
    (lambda evm: evm.call(A, blob_hashes=[bytes(32)]), InvalidTransaction, "TYPE_3_TX_INVALID_BLOB_VERSIONED_HASH"),
    (lambda evm: evm.call(A, blob_hashes=[b"\x01" * 32] * 10), InvalidTransaction, "TYPE_3_TX"),
    (lambda evm: evm.call(A, authorization_list=[7]), InputError, "authorization_list"),
    (lambda evm: evm.call(A, gas=20_000), InvalidTransaction, "INTRINSIC_GAS_TOO_LOW"),
    (lambda evm: evm.call(None, bytes(49_153)), InvalidTransaction, "INITCODE_SIZE_EXCEEDED"),
    (
        lambda evm: EVM(evm.state, "berlin").call(A, authorization_list=[Authorization(1, A, 0)]),
        InvalidTransaction,
        "TYPE_NOT_SUPPORTED",
    ),
]

OVERRIDES: list[Case] = [
    (lambda evm: evm.call(A, overrides=5), InputError, named("overrides")),  # type: ignore[arg-type]
    (lambda evm: evm.call(A, overrides=[(A, {})]), InputError, named("overrides")),  # type: ignore[arg-type]
    (lambda evm: evm.call(A, overrides={"x": {}}), InputError, "overrides"),
    (lambda evm: evm.call(A, overrides={b"\x01": {}}), InputError, "overrides"),
    (lambda evm: evm.call(A, overrides={A: 5}), InputError, "overrides[0x"),  # type: ignore[dict-item]
    (lambda evm: evm.call(A, overrides={A: {"ballance": 5}}), InputError, "ballance"),
    (lambda evm: evm.call(A, overrides={A: {"balance": -5}}), InputError, ".balance"),
    (lambda evm: evm.call(A, overrides={A: {"balance": "5"}}), InputError, ".balance"),
    (lambda evm: evm.call(A, overrides={A: {"nonce": 2**64}}), InputError, ".nonce"),
    (lambda evm: evm.call(A, overrides={A: {"code": "6000"}}), InputError, ".code"),
    (lambda evm: evm.call(A, overrides={A: {"code": 5}}), InputError, ".code"),
    (lambda evm: evm.call(A, overrides={A: {"state": {}, "stateDiff": {}}}), InputError, "not both"),
    (lambda evm: evm.call(A, overrides={A: {"state": [1]}}), InputError, "slots"),
    (lambda evm: evm.call(A, overrides={A: {"state": {BIG: 1}}}), InputError, "slot"),
    (lambda evm: evm.call(A, overrides={A: {"stateDiff": {1: -1}}}), InputError, "slot value"),
    (lambda evm: evm.call(A, overrides={A: {"stateDiff": {b"\x01": 1}}}), InputError, "slot"),
    (lambda evm: evm.call(A, overrides={A: {}, "0x" + A.hex(): {}}), InputError, "twice"),
]

MESSAGES: list[Case] = [
    (lambda evm: evm.message(b"\x01"), InputError, named("to")),
    (lambda evm: evm.message(A, "xx"), InputError, named("data")),
    (lambda evm: evm.message(A, sender="xx"), InputError, named("sender")),
    (lambda evm: evm.message(A, value=BIG), InputError, named("value")),
    (lambda evm: evm.message(A, gas=2**63), InputError, named("gas")),
    (lambda evm: evm.message(A, gas_price=-1), InputError, named("gas_price")),
    (lambda evm: evm.message(A, code=5), InputError, named("code")),  # type: ignore[arg-type]
    (lambda evm: evm.message(A, code="60"), InputError, named("code")),
    (lambda evm: evm.message(None, code=b"\x60"), InputError, named("code")),
    (lambda evm: evm.message(A, overrides=7), InputError, named("overrides")),  # type: ignore[arg-type]
    (lambda evm: evm.message(A, timeout=-0.5), InputError, named("timeout")),
    (lambda evm: evm.message(A, tracer=object()), InputError, named("tracer")),  # type: ignore[arg-type]
]

BATCHES: list[Case] = [
    (lambda evm: evm.call_many([(A,), 5]), InputError, "calls[1]"),
    (lambda evm: evm.call_many([()]), InputError, "calls[0]"),
    (lambda evm: evm.call_many([(A, b"", S, 0, 1, 0, (), 8)]), InputError, "calls[0]"),
    (lambda evm: evm.call_many([{"data": b""}]), InputError, "`to` is missing"),
    (lambda evm: evm.call_many([{"to": A, "input": b""}]), InputError, "'input'"),
    (lambda evm: evm.call_many([(A,), (A, "x")]), InputError, "calls[1]: argument 'data'"),
    (lambda evm: evm.call_many([(b"\x01",)]), InputError, "calls[0]: argument 'to'"),
    (lambda evm: evm.call_many([(A, b"", b"", 1)]), InputError, "calls[0]: argument 'sender'"),
    (lambda evm: evm.call_many([(A, b"", S, -1)]), InputError, "calls[0]: argument 'value'"),
    (lambda evm: evm.call_many([(A, b"", S, 1, -1)]), InputError, "calls[0]: argument 'gas'"),
    (lambda evm: evm.call_many([(A, b"", S, 1, 1, 0, 9)]), InputError, "calls[0]"),
    (lambda evm: evm.call_many(["0x" + A.hex()]), InputError, "calls[0]"),
    (lambda evm: evm.call_many([10**5000]), InputError, "calls[0]: expected a Call"),
    (lambda evm: evm.call_many([{"to": A, 10**5000: 1}]), InputError, "calls[0]: unknown argument"),
    (lambda evm: evm.call_many([(A, b"", S, 10**5000)]), InputError, "calls[0]: argument 'value'"),
    (lambda evm: evm.call_many(5), InputError, named("calls")),  # type: ignore[arg-type]
    (lambda evm: evm.call_many([], threads=True), InputError, named("threads")),
    (lambda evm: evm.call_many([], threads=-2), InputError, named("threads")),
    (lambda evm: evm.call_many([], threads=100_000), InputError, named("threads")),
    (lambda evm: evm.call_many([], threads="4"), InputError, named("threads")),  # type: ignore[arg-type]
    (lambda evm: evm.call_many([], timeout=-1), InputError, named("timeout")),
    (lambda evm: evm.call_many([(A,)], overrides={A: {"x": 1}}), InputError, "'x'"),
    (lambda evm: evm.call_many([(A,)], block=1), InputError, named("block")),  # type: ignore[arg-type]
    (lambda evm: evm.call_many([(A,), (A, b"", S, 0, 100)]), InvalidTransaction, "transaction 1: INTRINSIC_GAS"),
]

STATES: list[Case] = [
    (lambda evm: evm.state.proof(A, None), InputError, named("slots")),
    (lambda evm: evm.state.proof(A, 5), InputError, named("slots")),
    (lambda evm: evm.state.proof(A, "0x00"), InputError, named("slots")),
    (lambda evm: evm.state.proof(A, [-1]), InputError, named("slots")),
    (lambda evm: evm.state.proof(b"\x01", ()), InputError, named("address")),
    (lambda evm: evm.state.state_root(threads=-1), InputError, named("threads")),
    (lambda evm: evm.state.state_root(threads=10**5000), InputError, named("threads")),
    (lambda evm: evm.state.state_root(threads="2"), InputError, named("threads")),
    (lambda evm: evm.state.state_root(threads=1.5), InputError, named("threads")),
]

EXECUTORS: list[Case] = [
    (lambda evm: ParallelExecutor(-1), InputError, named("threads")),
    (lambda evm: ParallelExecutor(2**70), InputError, named("threads")),
    (lambda evm: ParallelExecutor(1.5), InputError, named("threads")),  # type: ignore[arg-type]
    (lambda evm: ParallelExecutor("2"), InputError, named("threads")),  # type: ignore[arg-type]
    (lambda evm: ChoosingExecutor(1), InputError, named("threads")),
    (lambda evm: ListedExecutor(b"\xc0", -1), InputError, named("threads")),
]

TRANSACTIONS: list[Case] = [
    (lambda evm: evm.transact(None), InputError, named("tx")),  # type: ignore[arg-type]
    (lambda evm: evm.transact({"to": A}), InputError, named("tx")),  # type: ignore[arg-type]
    (lambda evm: evm.transact("xyz"), InputError, named("tx")),
    (lambda evm: evm.transact(b""), InvalidTransaction, ""),
    (lambda evm: evm.transact(b"\x05\xc0"), InvalidTransaction, ""),
    (lambda evm: evm.transact(b"\xc1\x80"), InvalidTransaction, ""),
    (lambda evm: evm.transact(b"\x02" + b"\xff" * 50), InvalidTransaction, ""),
    (lambda evm: evm.transact("0xdeadbeef"), InvalidTransaction, ""),
    (lambda evm: evm.transact(Transaction(to=A)), InvalidTransaction, "INVALID_SIGNATURE"),
    (lambda evm: evm.transact(Transaction(to=A, v=27, r=1, s=2**255)), InvalidTransaction, "INVALID_SIGNATURE"),
    (lambda evm: evm.transact(Transaction(to=A, v=99, r=1, s=1)), InvalidTransaction, ""),
    (lambda evm: evm.transact(Transaction(sender=S, to=A, nonce=3)), InvalidTransaction, "NONCE_MISMATCH_TOO_HIGH"),
    (lambda evm: evm.transact(Transaction(sender=A, to=S)), InvalidTransaction, "SENDER_NOT_EOA"),
    (lambda evm: evm.transact(Transaction(sender=S, to=A, value=10**30)), InvalidTransaction, "INSUFFICIENT"),
    (lambda evm: evm.transact(Transaction(sender=S, to=A), timeout="x"), InputError, named("timeout")),  # type: ignore[arg-type]
    (lambda evm: evm.transact(Transaction(sender=S, to=A), tracer=1), InputError, named("tracer")),  # type: ignore[arg-type]
    (lambda _: Transaction(to=b"\x01"), InputError, named("to")),
    (lambda _: Transaction(nonce=2**64), InputError, named("nonce")),
    (lambda _: Transaction(gas_limit=-1), InputError, named("gas_limit")),
    (lambda _: Transaction(type=9), InputError, named("type")),
    (lambda _: Transaction(type=0, max_fee_per_gas=1), InputError, named("max_fee_per_gas")),
    (lambda _: Transaction(value=BIG), InputError, named("value")),
    (lambda _: Transaction(sender=b""), InputError, named("sender")),
    (lambda _: Transaction(to=A).sign(b"\x01"), InputError, "private_key"),
    (lambda _: Transaction(to=A).sign(0), InputError, "private_key"),
    (lambda evm: evm.deploy(None), InputError, named("init_code")),  # type: ignore[arg-type]
    (lambda evm: evm.deploy("6000"), InputError, named("init_code")),
    (lambda evm: evm.deploy(b"", sender=b"\x01"), InputError, named("sender")),
    (lambda evm: evm.deploy(b"", value=-1), InputError, named("value")),
    (lambda evm: evm.deploy(b"", gas="x"), InputError, named("gas")),
    (lambda evm: evm.deploy(b"", value=1), InvalidTransaction, "INSUFFICIENT_ACCOUNT_FUNDS"),
    (lambda evm: evm.deploy(b"", gas=1), InvalidTransaction, "INTRINSIC_GAS_TOO_LOW"),
    (lambda evm: evm.revert(99), StateError, "99"),
    (lambda evm: evm.revert("yesterday"), EvmcoreError, ""),  # type: ignore[arg-type]
    (lambda _: EIP3155Tracer("trace.jsonl"), InputError, named("stream")),  # type: ignore[arg-type]
    (lambda _: EIP3155Tracer(None), InputError, named("stream")),  # type: ignore[arg-type]
    (lambda _: EIP3155Tracer(io), InputError, named("stream")),  # type: ignore[arg-type]
    (lambda _: Account(balance=-1), InputError, named("balance")),
    (lambda _: Account(nonce=2**64), InputError, named("nonce")),
    (lambda _: Account(code="00"), InputError, named("code")),
    (lambda _: Account(storage={BIG: 1}), InputError, "slot"),
    (lambda _: Account(storage=[1]), InputError, named("storage")),  # type: ignore[arg-type]
    (lambda _: Account(code=10**5000), InputError, named("code")),  # type: ignore[arg-type]
    (lambda _: Transaction(type=10**5000), InputError, named("type")),
    (lambda _: Transaction(access_list=10**5000), InputError, named("access_list")),  # type: ignore[arg-type]
    (lambda _: Block(Header(), None), InputError, named("transactions")),  # type: ignore[arg-type]
    (lambda _: Block(Header(), ommers=1), InputError, named("ommers")),  # type: ignore[arg-type]
    (lambda _: Block(Header(), withdrawals=1), InputError, named("withdrawals")),  # type: ignore[arg-type]
]

EVERYTHING = CONSTRUCTION + BLOCKS + CALLS + OVERRIDES + MESSAGES + BATCHES + STATES + EXECUTORS + TRANSACTIONS


def test_there_are_enough_cases() -> None:
    assert len(EVERYTHING) >= 150


@pytest.mark.parametrize("case", EVERYTHING, ids=lambda case: f"line{case[0].__code__.co_firstlineno}")
def test_a_malformed_argument_is_a_named_error_and_changes_nothing(case: Case) -> None:
    act, error, words = case
    evm = EVM(MemoryState({A: Account(code=returning("0 SLOAD"), storage={0: 7}), S: Account(balance=10**18)}))
    before = evm.state.dump()
    with pytest.raises(error) as caught:
        act(evm)
    assert words in str(caught.value), str(caught.value)
    assert str(caught.value).strip()
    assert evm.state.dump() == before
    # and the engine goes on
    assert evm.call(A).output == (7).to_bytes(32, "big")
