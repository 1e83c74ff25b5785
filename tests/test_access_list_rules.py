"""What a block access list holds, rule by rule of EIP-7928, in small blocks.

Each list comes from sequential and from parallel execution, and is accepted when it is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from evmcore._crypto import address_of
from evmcore._hash import keccak256
from evmcore.access_lists import (
    AccountChanges,
    BalanceChange,
    BlockAccessList,
    CodeChange,
    NonceChange,
    SlotChanges,
    StorageChange,
)
from evmcore.blocks import Block, Header
from evmcore.execution import execute_block
from evmcore.forks import Fork
from evmcore.state import MemoryState
from evmcore.stm import ParallelExecutor
from evmcore.transactions import Authorization, Transaction
from evmcore.types import Account, Withdrawal
from tests.assembly import assemble
from tests.parallel_fuzz.cases import created_by

ALICE, BOB, ORACLE, TARGET, COINBASE = (bytes([number]) * 20 for number in (0xA1, 0xB0, 0x0A, 0x7A, 0xCB))
KEY = (7).to_bytes(32, "big")
AUTHORITY = address_of(KEY)
REQUESTS = [
    bytes.fromhex(f"0000{rest}")
    for rest in ("0961ef480eb55e80d19ad83579a64c007002", "bbddc7ce488642fb579f8b00f3a590007251")
]
BEACON_ROOTS = bytes.fromhex("000f3df6d732807ef1319fb7b8bb8522d0beac02")
HISTORY = bytes.fromhex("0000f90827f1c53a10cb7a02335b175320002935")
QUIET = {address: Account(1, 0, b"\x00") for address in REQUESTS}
BASE_FEE = 7


def send(nonce: int, to: bytes | None = ORACLE, *, gas: int = 500_000, tip: int = 3, **fields: Any) -> Transaction:
    fields.setdefault("type", 2)
    fees: dict[str, Any] = {"max_fee_per_gas": BASE_FEE + tip, "max_priority_fee_per_gas": tip}
    return Transaction(sender=ALICE, nonce=nonce, to=to, gas_limit=gas, chain_id=1, **fees, **fields)


def listed(
    transactions: Sequence[Transaction],
    alloc: Mapping[bytes, Account] = {},
    *,
    fork: Fork = Fork.PRAGUE,
    withdrawals: Sequence[Withdrawal] = (),
) -> BlockAccessList:
    """The list of a block; the same from any executor, and accepted by execution with a given list."""
    state = MemoryState({ALICE: Account(0, 10**20), **(QUIET if fork >= Fork.PRAGUE else {}), **alloc})
    header = Header(
        number=1,
        timestamp=1,
        gas_limit=30_000_000,
        base_fee_per_gas=BASE_FEE,
        coinbase=COINBASE,
        parent_hash=b"\x0a" * 32,
        withdrawals_root=bytes(32),
        blob_gas_used=0,
        parent_beacon_block_root=b"\x0b" * 32,
        excess_blob_gas=0,
    )
    block = Block(header, tuple(transactions), (), tuple(withdrawals))
    made = execute_block(block, state, fork, validate=False, access_list=True).access_list
    assert made is not None
    made.check(len(transactions))
    for threads in (1, 2, 3):
        executor = ParallelExecutor(threads, always=True)
        other = execute_block(block, state, fork, validate=False, access_list=True, executor=executor)
        assert other.access_list == made
        given = execute_block(block, state, fork, validate=False, access_list=made, threads=threads)
        assert given.diff.to_bytes() == other.diff.to_bytes()
    return made


def only(address: bytes) -> AccountChanges:
    """An account that was looked at."""
    return AccountChanges(address)


def slots(account: AccountChanges | None) -> dict[int, list[tuple[int, int]]]:
    assert account is not None
    return {entry.slot: [tuple(change) for change in entry.changes] for entry in account.storage_changes}


def found(made: BlockAccessList, address: bytes) -> AccountChanges:
    account = made.account(address)
    assert account is not None, f"0x{address.hex()} is not listed"
    return account


# ---------------------------------------------------------------------------------------------------- storage


def test_a_write_of_the_value_that_is_there_is_a_read() -> None:
    made = listed([send(0)], {ORACLE: Account(1, 0, assemble("0x42 1 SSTORE"), {1: 0x42})})
    assert found(made, ORACLE) == AccountChanges(ORACLE, storage_reads=(1,))


def test_a_write_that_is_taken_back_within_the_transaction_is_a_read() -> None:
    made = listed([send(0)], {ORACLE: Account(1, 0, assemble("5 1 SSTORE 0x42 1 SSTORE"), {1: 0x42})})
    assert found(made, ORACLE) == AccountChanges(ORACLE, storage_reads=(1,))


def test_a_write_is_compared_with_the_value_before_its_own_place_in_the_block() -> None:
    """Calldata goes to slot 1, which holds 9: 5 is a change, 5 again none, 9 and zero are changes again."""
    calls = [send(number, data=bytes(31) + bytes([value])) for number, value in enumerate((5, 5, 9, 0))]
    made = listed(calls, {ORACLE: Account(1, 0, assemble("0 CALLDATALOAD 1 SSTORE"), {1: 9})})
    assert slots(found(made, ORACLE)) == {1: [(1, 5), (3, 9), (4, 0)]}
    assert found(made, ORACLE).storage_reads == ()


def test_what_a_reverted_call_looked_at_counts_and_what_it_wrote_was_read() -> None:
    inner = assemble("7 2 SSTORE 3 SLOAD POP 0x" + BOB.hex() + " BALANCE POP 0 0 REVERT")
    outer = assemble("0 0 0 0 0 0x" + TARGET.hex() + " GAS CALL POP")
    made = listed([send(0)], {ORACLE: Account(1, 0, outer), TARGET: Account(1, 0, inner, {3: 1})})
    assert found(made, TARGET) == AccountChanges(TARGET, storage_reads=(2, 3))
    assert found(made, BOB) == only(BOB)


def test_a_transaction_that_halts_keeps_what_it_accessed() -> None:
    made = listed([send(0, gas=60_000)], {ORACLE: Account(1, 0, assemble("1 1 SSTORE INVALID"))})
    assert found(made, ORACLE) == AccountChanges(ORACLE, storage_reads=(1,))
    assert found(made, ALICE).nonce_changes == ((1, 1),)


# ---------------------------------------------------------------------------------------------------- gas before access

MANY = {ORACLE: Account(1, 10**18, b""), TARGET: Account(1, 1, b"\x00")}
PUSH = 3


@pytest.mark.parametrize(
    ("code", "pushes", "price"),
    [
        ("0x" + TARGET.hex() + " BALANCE", 1, 2600),
        ("0x" + TARGET.hex() + " EXTCODESIZE", 1, 2600),
        ("0x" + TARGET.hex() + " EXTCODEHASH", 1, 2600),
        ("64 0 0 0x" + TARGET.hex() + " EXTCODECOPY", 4, 2600 + 2 * 3 + 2 * 3),  # words copied, words of memory
        ("0 0 0 0 0 0x" + TARGET.hex() + " 0 CALL", 7, 2600),
        ("0 0 0 0 1 0x" + TARGET.hex() + " 0 CALL", 7, 2600 + 9000),
        ("0 0 0 0 1 0x" + TARGET.hex() + " 0 CALLCODE", 7, 2600 + 9000),
        ("32 0 0 0 0x" + TARGET.hex() + " 0 DELEGATECALL", 6, 2600 + 3),
        ("0 0 32 0 0x" + TARGET.hex() + " 0 STATICCALL", 6, 2600 + 3),
        ("0x" + TARGET.hex() + " SELFDESTRUCT", 1, 5000 + 2600),
    ],
)
def test_an_account_counts_once_its_access_is_paid_for(code: str, pushes: int, price: int) -> None:
    gas = 21_000 + pushes * PUSH + price
    alloc = MANY | {ORACLE: Account(1, 10**18, assemble(code))}
    assert listed([send(0, gas=gas - 1)], alloc).account(TARGET) is None
    assert listed([send(0, gas=gas)], alloc).account(TARGET) is not None


@pytest.mark.parametrize(
    ("code", "pushes", "price"), [("1 SLOAD", 1, 2100), ("7 1 SSTORE", 2, 2301)], ids=["SLOAD", "SSTORE"]
)
def test_a_slot_counts_once_its_access_is_paid_for(code: str, pushes: int, price: int) -> None:
    """An SSTORE also needs more gas than the stipend, and then fails for the price of the write, having looked."""
    gas = 21_000 + pushes * PUSH + price
    alloc = {ORACLE: Account(1, 0, assemble(code), {1: 1})}
    assert found(listed([send(0, gas=gas - 1)], alloc), ORACLE).storage_reads == ()
    assert found(listed([send(0, gas=gas)], alloc), ORACLE).storage_reads == (1,)


def test_the_price_of_a_new_account_comes_after_the_access() -> None:
    """A call with a value to nobody fails for 25,000 gas, and has seen that nobody is there."""
    code = assemble("0 0 0 0 1 0x" + BOB.hex() + " 0 CALL")
    made = listed([send(0, gas=21_000 + 7 * PUSH + 2600 + 9000)], {ORACLE: Account(1, 10, code)})
    assert found(made, BOB) == only(BOB)
    assert found(made, ORACLE) == only(ORACLE)


def test_what_a_transaction_only_declares_is_not_listed() -> None:
    """EIP-2930: a declared account or slot that is not touched does not count; one that is touched does."""
    alloc = {ORACLE: Account(1, 0, assemble("1 SLOAD"), {1: 5, 2: 5}), TARGET: Account(1, 1)}
    made = listed([send(0, access_list=((TARGET, (7,)), (ORACLE, (1, 2))))], alloc)
    assert made.account(TARGET) is None
    assert found(made, ORACLE) == AccountChanges(ORACLE, storage_reads=(1,))


# ---------------------------------------------------------------------------------------------------- calls, creations


def test_a_call_that_is_too_poor_has_accessed_its_target() -> None:
    made = listed([send(0)], {ORACLE: Account(1, 0, assemble("0 0 0 0 1 0x" + BOB.hex() + " GAS CALL"))})
    assert found(made, BOB) == only(BOB)


def test_a_creation_that_is_too_poor_has_not_accessed_the_new_address() -> None:
    made = listed([send(0)], {ORACLE: Account(1, 0, assemble("0 0 1 CREATE"))})
    assert made.account(created_by(ORACLE, 1)) is None
    assert found(made, ORACLE).nonce_changes == ()


def test_a_creation_that_meets_another_contract_has_accessed_it() -> None:
    there = created_by(ORACLE, 1)
    made = listed([send(0)], {ORACLE: Account(1, 0, assemble("0 0 0 CREATE")), there: Account(1, 5)})
    assert found(made, there) == only(there)
    assert found(made, ORACLE).nonce_changes == ((1, 2),)


def test_a_created_contract_has_its_nonce_code_balance_and_storage() -> None:
    init = assemble("9 4 SSTORE 0x6000 0 MSTORE 2 30 RETURN")
    new = created_by(ALICE, 0)
    made = listed([send(0, None, data=init, value=3)])
    assert found(made, new) == AccountChanges(
        new,
        (SlotChanges(4, (StorageChange(1, 9),)),),
        (),
        (BalanceChange(1, 3),),
        (NonceChange(1, 1),),
        (CodeChange(1, b"\x60\x00"),),
    )


def test_a_contract_made_and_destroyed_in_one_transaction_has_only_read() -> None:
    """Its writes are reads, its nonce and code no changes; the wei that its address had before are a change to zero."""
    new = created_by(ALICE, 0)
    init = assemble("9 4 SSTORE 5 SLOAD POP 0x" + BOB.hex() + " SELFDESTRUCT")
    made = listed([send(0, None, data=init, value=3)], {new: Account(0, 40)})
    assert found(made, new) == AccountChanges(new, (), (4, 5), (BalanceChange(1, 0),))
    assert found(made, BOB).balance_changes == ((1, 43),)
    assert found(listed([send(0, None, data=init, value=3)]), new) == AccountChanges(new, (), (4, 5))


def test_selfdestruct_moves_the_balance_of_a_contract_that_stays() -> None:
    made = listed([send(0)], {ORACLE: Account(1, 9, assemble("0x" + BOB.hex() + " SELFDESTRUCT"))})
    assert found(made, ORACLE) == AccountChanges(ORACLE, balance_changes=(BalanceChange(1, 0),))
    assert found(made, BOB).balance_changes == ((1, 9),)


def test_before_cancun_a_destroyed_contract_loses_nonce_code_and_what_it_was_seen_to_store() -> None:
    code = assemble("1 SLOAD POP 0x" + BOB.hex() + " SELFDESTRUCT")
    made = listed([send(0), send(1)], {ORACLE: Account(1, 9, code, {1: 6, 2: 6})}, fork=Fork.SHANGHAI)
    assert found(made, ORACLE) == AccountChanges(
        ORACLE,
        (SlotChanges(1, (StorageChange(1, 0),)),),
        (),
        (BalanceChange(1, 0),),
        (NonceChange(1, 0),),
        (CodeChange(1, b""),),
    )


# ---------------------------------------------------------------------------------------------------- balances


def test_a_transfer_to_oneself_changes_the_fee_only() -> None:
    made = listed([send(0, ALICE, value=100)])
    assert found(made, ALICE).balance_changes == ((1, 10**20 - 21_000 * 10),)


def test_a_transfer_of_nothing_lists_the_recipient() -> None:
    assert found(listed([send(0, BOB)]), BOB) == only(BOB)


def test_what_comes_in_and_goes_out_again_is_no_change() -> None:
    code = assemble("0 0 0 0 CALLVALUE 0x" + BOB.hex() + " GAS CALL")
    made = listed([send(0, value=5)], {ORACLE: Account(1, 0, code)})
    assert found(made, ORACLE) == only(ORACLE)
    assert found(made, BOB).balance_changes == ((1, 5),)


def test_a_precompile_is_listed_with_what_it_is_sent() -> None:
    identity, ripemd = bytes(19) + b"\x04", bytes(19) + b"\x03"
    made = listed([send(0, identity, value=2), send(1, ripemd)])
    assert found(made, identity).balance_changes == ((1, 2),)
    assert found(made, ripemd) == only(ripemd)


def test_the_beneficiary_has_its_balance_after_each_transaction() -> None:
    made = listed([send(number, BOB, value=1) for number in range(4)])
    fees = tuple((index, index * 21_000 * 3) for index in range(1, 5))
    assert found(made, COINBASE) == AccountChanges(COINBASE, balance_changes=fees)  # type: ignore[arg-type]


def test_a_beneficiary_without_a_tip_is_listed_and_one_without_transactions_is_not() -> None:
    assert found(listed([send(0, BOB, tip=0)]), COINBASE) == only(COINBASE)
    assert listed([]).account(COINBASE) is None


def test_a_reward_counts_after_the_transactions_and_none_of_nothing() -> None:
    made = listed([send(0, BOB)], fork=Fork.LONDON)
    assert found(made, COINBASE).balance_changes == ((1, 63_000), (2, 63_000 + 2 * 10**18))


def test_withdrawals_come_after_the_transactions() -> None:
    made = listed([send(0, BOB, value=1)], withdrawals=[Withdrawal(0, 0, BOB, 2), Withdrawal(1, 1, TARGET, 0)])
    assert found(made, BOB).balance_changes == ((1, 1), (2, 1 + 2 * 10**9))
    assert found(made, TARGET) == only(TARGET)


# ---------------------------------------------------------------------------------------------------- system calls


def test_system_calls_have_the_places_before_and_after_the_transactions() -> None:
    """What calls the contracts is not listed. The request contract counts the transaction and the call at the end."""
    keep = assemble("0 CALLDATALOAD 5 SSTORE")
    count = assemble("1 0 SLOAD ADD 0 SSTORE")
    alloc = {BEACON_ROOTS: Account(1, 0, keep), HISTORY: Account(1, 0, keep), REQUESTS[0]: Account(1, 0, count)}
    made = listed([send(0, REQUESTS[0])], alloc)
    assert slots(made.account(BEACON_ROOTS)) == {5: [(0, int.from_bytes(b"\x0b" * 32, "big"))]}
    assert slots(made.account(HISTORY)) == {5: [(0, int.from_bytes(b"\x0a" * 32, "big"))]}
    assert slots(made.account(REQUESTS[0])) == {0: [(1, 1), (2, 2)]}
    assert found(made, REQUESTS[1]) == only(REQUESTS[1])
    assert made.account(b"\xff" * 19 + b"\xfe") is None


def test_a_part_is_compared_as_a_whole() -> None:
    """A withdrawal brings what the call of a request contract then sends away: within one place that is no change."""
    code = assemble("0 0 0 0 SELFBALANCE 0x" + BOB.hex() + " GAS CALL")
    made = listed([], {REQUESTS[0]: Account(1, 0, code)}, withdrawals=[Withdrawal(0, 0, REQUESTS[0], 1)])
    assert found(made, REQUESTS[0]) == only(REQUESTS[0])
    assert found(made, BOB).balance_changes == ((1, 10**9),)


# ---------------------------------------------------------------------------------------------------- delegations


def permit(target: bytes, nonce: int = 0, chain_id: int = 1) -> Authorization:
    return Authorization(chain_id, target, nonce).sign(KEY)


def test_a_delegation_lists_the_authority_and_not_its_target() -> None:
    made = listed([send(0, BOB, type=4, authorization_list=(permit(TARGET),))], {TARGET: Account(1, 0, b"\x00")})
    assert found(made, AUTHORITY) == AccountChanges(
        AUTHORITY,
        nonce_changes=(NonceChange(1, 1),),
        code_changes=(CodeChange(1, b"\xef\x01\x00" + TARGET),),
    )
    assert made.account(TARGET) is None


def test_a_delegation_changed_and_cleared_is_listed_each_time() -> None:
    permits = [permit(TARGET), permit(ORACLE, 1), permit(bytes(20), 2)]
    made = listed([send(number, BOB, type=4, authorization_list=(one,)) for number, one in enumerate(permits)])
    codes = ((1, b"\xef\x01\x00" + TARGET), (2, b"\xef\x01\x00" + ORACLE), (3, b""))
    assert found(made, AUTHORITY).code_changes == codes
    assert found(made, AUTHORITY).nonce_changes == ((1, 1), (2, 2), (3, 3))


def test_an_authority_counts_once_it_was_loaded() -> None:
    """A wrong nonce is found after the account was loaded, a wrong chain before."""
    wrong_nonce, wrong_chain = permit(TARGET, nonce=9), permit(TARGET, chain_id=2)
    made = listed([send(0, BOB, type=4, authorization_list=(wrong_nonce,))])
    assert found(made, AUTHORITY) == only(AUTHORITY)
    assert listed([send(0, BOB, type=4, authorization_list=(wrong_chain,))]).account(AUTHORITY) is None


DELEGATED = {AUTHORITY: Account(1, 0, b"\xef\x01\x00" + TARGET), TARGET: Account(1, 0, assemble("1 SLOAD"))}


def test_running_a_delegation_accesses_its_target_and_the_storage_of_the_authority() -> None:
    made = listed([send(0, AUTHORITY)], DELEGATED)
    assert found(made, AUTHORITY) == AccountChanges(AUTHORITY, storage_reads=(1,))
    assert found(made, TARGET) == only(TARGET)


def test_a_delegate_counts_once_its_own_access_is_paid_for() -> None:
    alloc = DELEGATED | {ORACLE: Account(1, 0, assemble("0 0 0 0 0 0x" + AUTHORITY.hex() + " 0 CALL"))}
    gas = 21_000 + 7 * PUSH + 2 * 2600
    short = listed([send(0, gas=gas - 1)], alloc)
    assert found(short, AUTHORITY) == only(AUTHORITY) and short.account(TARGET) is None
    assert found(listed([send(0, gas=gas)], alloc), TARGET) == only(TARGET)


def test_a_delegated_call_that_is_too_poor_has_accessed_both() -> None:
    alloc = DELEGATED | {ORACLE: Account(1, 0, assemble("0 0 0 0 1 0x" + AUTHORITY.hex() + " GAS CALL"))}
    made = listed([send(0)], alloc)
    assert found(made, AUTHORITY) == only(AUTHORITY)
    assert found(made, TARGET) == only(TARGET)


# ---------------------------------------------------------------------------------------------------- parts


def test_the_record_of_each_transaction_tells_what_it_did_by_itself() -> None:
    """The lists of the parts, put together, are the block's."""
    alloc = {ALICE: Account(0, 10**20), ORACLE: Account(1, 0, assemble("0 CALLDATALOAD DUP1 SLOAD POP 1 SSTORE"))}
    header = Header(number=1, timestamp=1, gas_limit=30_000_000, base_fee_per_gas=BASE_FEE, coinbase=COINBASE)
    calls = tuple(send(number, data=bytes(31) + bytes([number])) for number in range(5))
    for executor in (ParallelExecutor(1), ParallelExecutor(3, always=True)):
        result = execute_block(
            Block(header, calls), MemoryState(alloc), Fork.LONDON, validate=False, access_list=True, executor=executor
        )
        record, whole = result.accesses, result.access_list
        assert record is not None and whole is not None
        parts = [record.part(index) for index in range(7)]
        assert slots(parts[3].account(ORACLE)) == {1: [(3, 2)]}
        assert found(parts[3], ORACLE).storage_reads == (2,)
        assert {account.address for part in parts for account in part} == {account.address for account in whole}
        for account in whole:
            own = [part.account(account.address) for part in parts]
            for name in ("balance_changes", "nonce_changes", "code_changes"):
                assert getattr(account, name) == tuple(c for part in own if part for c in getattr(part, name))


def test_the_hash_is_that_of_the_encoding() -> None:
    made = listed([send(0, BOB, value=1)])
    assert made.hash == keccak256(made.to_rlp())
