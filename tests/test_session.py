"""A session makes blocks step by step, and leaves the state below as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from evmcore import Account, Fork, InputError, InvalidTransaction, MemoryState, Transaction
from evmcore import TransactionReason as Reason
from evmcore._session import Session
from evmcore.chain import BlockChain
from tests.assembly import assemble
from tests.cancun_block import BLOCK, CANCUN, HEADER
from tests.rpc_compat import chain_files

RICH, POOR, CODE = b"\x0a" * 20, b"\x0b" * 20, b"\x0c" * 20
ETHER = 10**18


def transfer(nonce: int = 0, value: int = 1, to: bytes | None = POOR, data: bytes = b"") -> Transaction:
    return Transaction(sender=RICH, nonce=nonce, to=to, value=value, gas_limit=100_000, gas_price=0, data=data)


def begun(alloc: dict[bytes, Account] | None = None) -> tuple[Session, MemoryState]:
    state = MemoryState({RICH: Account(balance=ETHER), **(alloc or {})})
    session = Session(state, CANCUN)
    session.begin_block(BLOCK)
    return session, state


def test_blocks_made_by_steps_are_those_of_the_chain() -> None:
    genesis, blocks = chain_files()
    chain = BlockChain.from_genesis(genesis)
    for block in blocks:
        parent = chain.head.header
        fork = chain.fork_after(parent, block.header.number, block.header.timestamp)
        hashes = {link.header.number: link.hash for link in chain.blocks_back()}
        session = Session(chain.state, chain.config)
        session.begin_block(block, fork=fork, block_hashes=hashes)
        for transaction in block.transactions:
            session.run(transaction)
        result = session.end_block(block)
        assert result.state_root() == session.state_root() == block.header.state_root
        assert result.gas_used == block.header.gas_used
        assert result.logs_bloom == block.header.logs_bloom
        assert result.requests_hash == block.header.requests_hash
        if fork >= Fork.BYZANTIUM:
            assert result.receipts_root == block.header.receipts_root
        chain.import_block(block)


def test_what_was_run_stays_in_the_session_alone() -> None:
    session, state = begun()
    before = state.dump()
    session.run(transfer(0, 5))
    session.run(transfer(1, 6))
    session.end_block(replace(BLOCK, transactions=(transfer(0, 5), transfer(1, 6))))
    assert session.account(POOR) == (0, 11)
    assert session.account(RICH) == (2, ETHER - 11)
    assert state.dump() == before
    state.apply(session.diff())
    assert state.balance(POOR) == 11


def test_a_block_begins_where_the_one_before_ended() -> None:
    session, _ = begun()
    session.run(transfer())
    session.end_block(replace(BLOCK, transactions=(transfer(),)))
    session.begin_block(replace(BLOCK, header=replace(HEADER, number=2, timestamp=24)))
    assert session.gas_left == HEADER.gas_limit
    session.run(transfer(1))
    assert session.account(POOR) == (0, 2)


def test_an_invalid_transaction_changes_nothing() -> None:
    session, _ = begun()
    session.run(transfer())
    with pytest.raises(InvalidTransaction) as caught:
        session.run(transfer(7))
    assert (caught.value.reason, caught.value.index) == (Reason.NONCE_MISMATCH_TOO_HIGH, 1)
    assert caught.value.detail.endswith(" with nonce 7, expected 1")
    session.run(transfer(1))
    result = session.end_block(replace(BLOCK, transactions=(transfer(), transfer(1))))
    assert [receipt.cumulative_gas_used for receipt in result.receipts] == [21_000, 42_000]


def test_checks_can_be_left_out() -> None:
    session, _ = begun({CODE: Account(balance=ETHER, code=b"\x00")})
    session.run(transfer(7), nonce=False)
    with pytest.raises(InvalidTransaction):
        session.run(replace(transfer(), sender=CODE))
    session.run(replace(transfer(), sender=CODE), eoa=False)
    with pytest.raises(InvalidTransaction):
        session.run(replace(transfer(8), gas_limit=HEADER.gas_limit))
    session.run(replace(transfer(8), gas_limit=HEADER.gas_limit), nonce=False, gas_cap=False)


def test_nonces_wrap_where_they_are_not_checked() -> None:
    session, _ = begun({RICH: Account(balance=ETHER, nonce=2**64 - 1)})
    session.run(transfer(0), nonce=False)
    assert session.account(RICH)[0] == 0
    with pytest.raises(InvalidTransaction):
        begun({RICH: Account(nonce=2**64 - 1)})[0].run(transfer(0, 0, None), nonce=False)


# ---- transfers


FORWARD = assemble(f"0 0 0 0 CALLVALUE 0x{POOR.hex()} GAS CALL STOP")
LOG_AND_FORWARD = assemble(f"0 0 LOG0 0 0 0 0 CALLVALUE 0x{CODE.hex()} GAS CALL STOP")


def test_transfers_are_shown_among_the_logs_but_not_in_receipts() -> None:
    outer = b"\x0d" * 20
    session, _ = begun({CODE: Account(code=FORWARD), outer: Account(code=LOG_AND_FORWARD)})
    shown = session.run(transfer(0, 5, outer), show_transfers=True)
    moved = [(log.topics[1][12:], log.topics[2][12:]) for log in shown.logs if log.address == b"\xee" * 20]
    assert moved == [(RICH, outer), (outer, CODE), (CODE, POOR)]
    assert [log.address for log in shown.logs] == [b"\xee" * 20, outer, b"\xee" * 20, b"\xee" * 20]
    assert {int.from_bytes(log.data, "big") for log in shown.logs if log.data} == {5}
    result = session.end_block(replace(BLOCK, transactions=(transfer(0, 5, outer),)))
    assert [log.address for log in result.receipts[0].logs] == [outer]


def test_transfers_that_were_reverted_are_not_shown_but_counted() -> None:
    session, _ = begun({CODE: Account(code=assemble("0 0 LOG0 0 0 REVERT"))})
    assert session.run(transfer(0, 5, CODE), show_transfers=True).logs == ()
    after = session.run(transfer(1), show_transfers=True)
    assert (len(after.logs), after.log_serials, session.logs_seen) == (1, (2,), 3)


def test_creations_and_selfdestructs_move_value() -> None:
    dying = assemble(f"0x{POOR.hex()} SELFDESTRUCT")
    session, _ = begun({CODE: Account(code=dying, balance=3)})
    created = session.run(transfer(0, 7, None), show_transfers=True)
    assert created.logs[0].topics[2][12:] == created.created_address
    died = session.run(transfer(1, 0, CODE), show_transfers=True)
    assert [(log.topics[1][12:], log.topics[2][12:], log.data[-1]) for log in died.logs] == [(CODE, POOR, 3)]


def test_without_being_asked_no_transfer_is_shown() -> None:
    session, _ = begun()
    assert session.run(transfer()).logs == ()


# ---- overrides


def overridden(alloc: dict[bytes, Account], overrides: dict[Any, Any]) -> Session:
    session = Session(MemoryState(alloc), CANCUN)
    session.override(overrides)
    return session


def test_overrides_give_the_state_that_has_these_accounts() -> None:
    alloc = {RICH: Account(1, 2, b"\x01", {1: 1, 2: 2}), POOR: Account(storage={1: 1}, code=b"\x02")}
    session = overridden(
        alloc,
        {
            RICH: {"state": {2: 5, 3: 6}},
            POOR: {"stateDiff": {2: 7}, "balance": 9, "nonce": 3},
            CODE: {"code": b"\xfe"},
        },
    )
    wanted = {
        RICH: Account(1, 2, b"\x01", {2: 5, 3: 6}),
        POOR: Account(3, 9, b"\x02", {1: 1, 2: 7}),
        CODE: Account(code=b"\xfe"),
    }
    assert session.state_root() == MemoryState(wanted).state_root()
    assert session.code(CODE) == b"\xfe"


def test_an_override_makes_an_account_even_when_it_is_empty() -> None:
    root = overridden({RICH: Account(1)}, {POOR: {"balance": 0}}).state_root()
    assert root == MemoryState({RICH: Account(1), POOR: Account()}).state_root()
    assert overridden({RICH: Account(1)}, {POOR: {}}).state_root() == MemoryState({RICH: Account(1)}).state_root()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({POOR: {"nonce": 1, "balance": "lots"}}, r"overrides\[0x0b.*\]\.balance"),
        ({POOR: {"nonce": 1, "state": 5}}, "state and stateDiff map slots to values, got int"),
        ({POOR: {"stateDiff": {0: 2**256}}}, "slot value"),
        ({POOR: {"state": {}, "stateDiff": {}}}, "not both"),
        ({POOR: {"nonces": 1}}, "unknown field 'nonces'; fields are balance, code, nonce, state, stateDiff"),
        ({"0x" + POOR.hex(): {"nonce": 1}, POOR: {"nonce": 2}}, "is given twice"),
        ([POOR], "expected a mapping of address to override, got list"),
    ],
)
def test_overrides_are_made_all_or_none(wrong: Any, says: str) -> None:
    session = Session(MemoryState({RICH: Account(balance=ETHER), POOR: Account(balance=7)}), CANCUN)
    right = {RICH: {"nonce": 5}} if isinstance(wrong, dict) else None
    with pytest.raises(InputError, match=says):
        session.override(wrong if right is None else {**right, **wrong})
    assert (session.account(RICH), session.account(POOR)) == ((0, ETHER), (0, 7))
    assert len(session.diff()) == 0


def test_overrides_are_for_between_blocks() -> None:
    session, _ = begun()
    with pytest.raises(InputError, match="before it begins"):
        session.override({RICH: {"nonce": 1}})
    with pytest.raises(InputError, match="not both"):
        overridden({}, {RICH: {"state": {}, "stateDiff": {}}})


def test_precompiles_can_be_moved() -> None:
    identity, sha256 = (4).to_bytes(20, "big"), (2).to_bytes(20, "big")
    session, _ = begun()
    session.move_precompiles({identity: CODE})
    assert session.run(transfer(0, 0, CODE, b"data")).output == b"data"
    assert session.run(transfer(1, 0, identity, b"data")).output == b""
    assert len(session.run(transfer(2, 0, sha256, b"data")).output) == 32
    session.move_precompiles({})
    assert session.run(transfer(3, 0, identity, b"data")).output == b"data"
    with pytest.raises(InputError, match="is not a precompile"):
        session.move_precompiles({RICH: CODE})


def test_steps_come_in_order() -> None:
    session, _ = begun()
    with pytest.raises(InputError, match="has not ended"):
        session.begin_block(BLOCK)
    session.run(transfer())
    with pytest.raises(InputError, match="0 transactions, 1 have been run"):
        session.end_block(BLOCK)
    session.end_block(replace(BLOCK, transactions=(transfer(),)))
    with pytest.raises(InputError, match="no block has begun"):
        session.run(transfer(1))
    with pytest.raises(InputError, match="no block has begun"):
        session.end_block(BLOCK)
