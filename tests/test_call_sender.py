"""A call reads its sender's account only where something looks at it, and then sees what a transaction would see."""

from __future__ import annotations

from typing import Any

import pytest

from evmcore import EVM, Transaction
from evmcore._hash import keccak256
from evmcore._session import Session
from evmcore.errors import StateError
from evmcore.service import CallService
from evmcore.state import AccountInfo, MemoryState, State
from evmcore.tracing import PrestateTracer
from evmcore.types import Account, BlockEnv
from tests.assembly import assemble, returning
from tests.cancun_block import BLOCK, CANCUN, HEADER

SENDER, TARGET, HELPER, NOBODY = (bytes([byte]) * 20 for byte in (0xAA, 0xBB, 0xCC, 0xDD))
ENV = BlockEnv(number=5, timestamp=10**10, base_fee=0, coinbase=NOBODY)
CALL_SENDER = "0 0 0 0 0 CALLER GAS CALL"
# Looks at the caller and reverts: what it has read stays read.
LOOK_AND_REVERT = assemble("CALLER EXTCODEHASH ORIGIN BALANCE 0 0 REVERT")

PROGRAMS = {
    "what it is": returning("CALLER", "ORIGIN", "GAS"),
    "its balance": returning("CALLER BALANCE", "GAS"),
    "its code": returning("CALLER EXTCODEHASH", "CALLER EXTCODESIZE", "GAS"),
    "a call of it": returning(CALL_SENDER, "GAS"),
    "a call of it after a look that was reverted": returning(
        f"0 0 0 0 0x{HELPER.hex()} GAS DELEGATECALL", CALL_SENDER, "CALLER EXTCODEHASH", "GAS"
    ),
    "ether for it": returning("0 0 0 0 1 CALLER GAS CALL", "CALLER BALANCE", "GAS"),
    "all the ether for it": assemble("CALLER SELFDESTRUCT"),
    "a contract made by it": returning("32 0 0 0 0 CALLER GAS CALL", "0 MLOAD", "GAS"),
}
SENDERS = {
    "absent": None,
    "empty": Account(),
    "with a nonce": Account(nonce=7, balance=3),
    # Makes a contract and returns its address, which depends on the nonce.
    "with code": Account(nonce=4, balance=9, code=assemble("0 0 0 CREATE 0 MSTORE 32 0 RETURN")),
}


def state_with(sender: Account | None, code: bytes) -> MemoryState:
    accounts = {TARGET: Account(balance=50, code=code), HELPER: Account(code=LOOK_AND_REVERT)}
    return MemoryState(accounts if sender is None else {**accounts, SENDER: sender})


@pytest.mark.parametrize("fork", ["frontier", "homestead", "spurious_dragon", "istanbul", "berlin", "osaka"])
@pytest.mark.parametrize("who", [name for name in SENDERS if name != "with code"])
@pytest.mark.parametrize("what", list(PROGRAMS))
def test_a_call_sees_of_its_sender_what_a_transaction_sees(what: str, who: str, fork: str) -> None:
    sender = SENDERS[who]
    evm = EVM(state_with(sender, PROGRAMS[what]), fork, ENV)
    called = evm.call(TARGET, sender=SENDER, gas=200_000)
    nonce = 0 if sender is None else sender.nonce
    sent = evm.transact(Transaction(nonce=nonce, gas_price=0, gas_limit=200_000, to=TARGET, sender=SENDER))
    assert (called.status, called.output, called.gas_used) == (sent.status, sent.output, sent.gas_used)


@pytest.mark.parametrize("what", list(PROGRAMS))
def test_a_call_sees_of_a_contract_that_sends_it_what_a_transaction_would_see(what: str) -> None:
    """Nobody signs for a contract: a session runs such a transaction."""
    state = state_with(SENDERS["with code"], PROGRAMS[what])
    environment = BlockEnv(number=1, timestamp=12, gas_limit=HEADER.gas_limit, base_fee=0)
    called = EVM(state, CANCUN, environment).call(TARGET, sender=SENDER, gas=200_000)
    session = Session(state, CANCUN)
    session.begin_block(BLOCK)
    tx = Transaction(nonce=4, gas_price=0, gas_limit=200_000, to=TARGET, sender=SENDER)
    sent = session.run(tx, eoa=False)
    assert (called.status, called.output, called.gas_used) == (sent.status, sent.output, sent.gas_used)


class Watched(State):
    """A state that knows two accounts, fails for all others, and notes what it was asked for."""

    def __init__(self, code: bytes) -> None:
        self.codes = {TARGET: code, HELPER: LOOK_AND_REVERT}
        self.asked: list[bytes] = []

    def account(self, address: bytes) -> AccountInfo | None:
        self.asked.append(address)
        if address not in self.codes:
            raise StateError(f"account 0x{address.hex()} is not here")
        return AccountInfo(code_hash=keccak256(self.codes[address]))

    def code(self, address: bytes, code_hash: bytes) -> bytes:
        return self.codes[address]

    def storage(self, address: bytes, slot: int) -> int:
        return 0


def test_a_sender_that_nothing_looks_at_is_not_read() -> None:
    state = Watched(PROGRAMS["what it is"])
    evm = EVM(state, "osaka", ENV)
    assert evm.call(TARGET, sender=SENDER).output[:32] == bytes(12) + SENDER
    assert evm.message(TARGET, sender=SENDER).output[:32] == bytes(12) + SENDER
    assert [result.output[12:32] for result in evm.call_many([(TARGET, b"", SENDER)] * 3)] == [SENDER] * 3
    assert set(state.asked) == {TARGET}


@pytest.mark.parametrize(
    ("what", "arguments"),
    [
        ("its balance", {}),
        ("a call of it", {}),
        ("what it is", {"value": 1}),
        ("what it is", {"tracer": PrestateTracer()}),
        ("what it is", {"tracer": PrestateTracer(diff_mode=True)}),
    ],
)
def test_a_sender_that_matters_and_is_not_known_is_an_error(what: str, arguments: dict[str, Any]) -> None:
    evm = EVM(Watched(PROGRAMS[what]), "osaka", ENV)
    with pytest.raises(StateError, match=SENDER.hex()):
        evm.call(TARGET, sender=SENDER, **arguments)


def test_calls_that_name_no_sender_need_no_zero_address() -> None:
    service = CallService(Watched(PROGRAMS["what it is"]))
    assert service.call(TARGET).output[:32] == bytes(32)
    assert service.estimate_gas(TARGET) > 21_000
    assert service.create_access_list(TARGET).access_list == ()
