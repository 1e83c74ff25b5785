"""What stops a block: unreadable state, bad arguments, system contracts, requests; and what never changes by it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from evmcore._diff import StateDiff
from evmcore.blocks import EMPTY_TRIE_ROOT, Block, Header, encode_withdrawal
from evmcore.body import parse_deposit, requests_hash
from evmcore.errors import BlockReason, InputError, InvalidBlock, StateError
from evmcore.execution import execute_block
from evmcore.forks import DEPOSIT_CONTRACT
from evmcore.state import MemoryState, State
from evmcore.transactions import Transaction
from evmcore.trie import ordered_root
from evmcore.types import Account, Withdrawal

SENDER = bytes.fromhex("a94f5374fce5edbc8e2a8697c15331677e6ebf0b")
TARGET = bytes.fromhex("1000000000000000000000000000000000000001")
WITHDRAWALS = bytes.fromhex("00000961ef480eb55e80d19ad83579a64c007002")
CONSOLIDATIONS = bytes.fromhex("0000bbddc7ce488642fb579f8b00f3a590007251")
HISTORY = bytes.fromhex("0000f90827f1c53a10cb7a02335b175320002935")
STOP = Account(nonce=1, code=b"\x00")


class Watched(MemoryState):
    """Notes what there is whenever its root is asked for."""

    def __init__(self, alloc: dict[bytes, Account]) -> None:
        super().__init__(alloc)
        self.seen: list[int] = []

    def state_root(self, *arguments: Any, **named: Any) -> bytes:
        self.seen.append(self.balance(TARGET))
        return super().state_root(*arguments, **named)


def prague(*transactions: Transaction, **fields: Any) -> Block:
    header = Header(
        number=1,
        timestamp=1000,
        base_fee_per_gas=7,
        withdrawals_root=EMPTY_TRIE_ROOT,
        blob_gas_used=0,
        excess_blob_gas=0,
        parent_beacon_block_root=bytes(32),
        requests_hash=bytes(32),
        **fields,
    )
    return Block(header, transactions, withdrawals=())


def alloc(**changes: Account | None) -> dict[bytes, Account]:
    accounts: dict[bytes, Account | None] = {
        SENDER: Account(balance=10**18),
        WITHDRAWALS: STOP,
        CONSOLIDATIONS: STOP,
        TARGET: Account(nonce=1, code=bytes.fromhex("6000543100")),  # BALANCE of the address in slot 0
    }
    accounts |= {globals()[name]: account for name, account in changes.items()}
    return {address: account for address, account in accounts.items() if account is not None}


CALL = Transaction(type=0, gas_price=10, gas_limit=100_000, to=TARGET, sender=SENDER)


class Failing(State):
    """Reads an alloc until one account or slot is asked for."""

    def __init__(self, fails_on: bytes | int) -> None:
        self.accounts = alloc()
        self.fails_on = fails_on
        self.applied = 0

    def account(self, address: bytes) -> Account | None:
        if address == self.fails_on:
            raise ConnectionError("the node is gone")
        return self.accounts.get(address)

    def storage(self, address: bytes, slot: int) -> int:
        if slot == self.fails_on:
            raise ConnectionError("the node is gone")
        return 0

    def apply(self, diff: StateDiff) -> None:
        self.applied += 1


@pytest.mark.parametrize("fails_on", [SENDER, TARGET, 0, bytes(20), HISTORY, CONSOLIDATIONS])
def test_a_state_that_cannot_be_read_is_an_error_and_never_zero(fails_on: bytes | int) -> None:
    state = Failing(fails_on)
    with pytest.raises(StateError, match="the node is gone") as error:
        execute_block(prague(CALL), state, "prague", validate=False, commit=True)
    assert isinstance(error.value.__cause__, ConnectionError)
    assert state.applied == 0
    # The machine is in order again.
    good = Failing(b"")
    assert execute_block(prague(CALL), good, "prague", validate=False, commit=True).receipts[0].status == 1
    assert good.applied == 1


def test_a_backend_without_roots_says_so() -> None:
    state = Failing(b"")
    result = execute_block(prague(), state, "prague", validate=False)
    with pytest.raises(StateError, match="cannot compute a state root"):
        result.state_root()
    assert state.applied == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"state": 3}, "state"),
        ({"block": b"\xc0"}, "block: expected a Block, got bytes"),
        ({"chain": "atlantis"}, "unknown chain or fork 'atlantis'"),
        ({"chain": 3}, "chain: expected a ChainConfig"),
        ({"fork": "atlantis"}, "unknown fork 'atlantis'"),
        ({"tracer": 3}, "tracer: expected one of evmcore.tracing"),
        ({"parent": True}, "'parent': expected a Header, got bool"),
        ({"executor": 2}, "'executor': expected an Executor, got int"),
        ({"threads": 10**5000}, "'threads': expected 1 to"),
        ({"block_hashes": [1]}, "block_hashes"),
        ({"block_hashes": {"0x1": bytes(32)}}, "'block_hashes': expected numbers of blocks, got str '0x1'"),
        ({"block_hashes": {0: bytes(32), "0x1": bytes(32)}}, "block_hashes"),
        ({"block_hashes": {0: b"\x01"}, "block": Block(Header(number=2, timestamp=1, difficulty=1))}, "block_hashes"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"block": prague(), "state": MemoryState(alloc())}
    given |= {"chain": "prague"} | arguments
    block, state, chain = given.pop("block"), given.pop("state"), given.pop("chain")
    with pytest.raises(InputError, match=message):
        execute_block(block, state, chain, validate=False, **given)


# ---- system contracts and requests


def refusal_of(accounts: dict[bytes, Account], *transactions: Transaction) -> InvalidBlock:
    state = MemoryState(accounts)
    with pytest.raises(InvalidBlock) as error:
        execute_block(prague(*transactions), state, "prague", validate=False, commit=True)
    assert state == MemoryState(accounts)
    return error.value


def reason_of(accounts: dict[bytes, Account], *transactions: Transaction) -> BlockReason:
    reason = refusal_of(accounts, *transactions).reason
    assert isinstance(reason, BlockReason)
    return reason


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("WITHDRAWALS", f"the withdrawal request contract (EIP-7002) at 0x{WITHDRAWALS.hex()}"),
        ("CONSOLIDATIONS", f"the consolidation request contract (EIP-7251) at 0x{CONSOLIDATIONS.hex()}"),
    ],
)
def test_request_contracts_must_be_there_and_must_not_fail(name: str, said: str) -> None:
    empty = refusal_of(alloc(**{name: None}))
    assert (empty.reason, empty.detail) == (BlockReason.SYSTEM_CONTRACT_EMPTY, f"{said} has no code")
    failed = refusal_of(alloc(**{name: Account(nonce=1, code=b"\xfe")}))
    assert failed.reason is BlockReason.SYSTEM_CONTRACT_CALL_FAILED
    assert failed.detail == f"the call of {said} ended with INVALID_OPCODE"


def test_a_failing_history_contract_does_not_matter() -> None:
    accounts = alloc(HISTORY=Account(nonce=1, code=b"\xfe"))
    assert execute_block(prague(), MemoryState(accounts), "prague", validate=False).requests == []


def test_requests_are_in_order_of_type_and_hashed() -> None:
    # Each returns its own byte: PUSH1 b PUSH0 MSTORE8 PUSH1 1 PUSH0 RETURN.
    accounts = alloc(
        WITHDRAWALS=Account(nonce=1, code=bytes.fromhex("60aa5f5360015ff3")),
        CONSOLIDATIONS=Account(nonce=1, code=bytes.fromhex("60bb5f5360015ff3")),
    )
    result = execute_block(prague(), MemoryState(accounts), "prague", validate=False)
    assert result.requests == [b"\x01\xaa", b"\x02\xbb"]
    assert result.requests_hash == requests_hash([b"\x01\xaa", b"\x02\xbb"])


def deposit_event(**changes: int) -> bytes:
    data = b""
    for name, word in (("pubkey", 160), ("credentials", 256), ("amount", 320), ("signature", 384), ("index", 512)):
        data += changes.get(name, word).to_bytes(32, "big")
    for size, padded in ((48, 64), (32, 32), (8, 32), (96, 96), (8, 32)):
        data += size.to_bytes(32, "big") + bytes([size]) * size + bytes(padded - size)
    return data


def test_deposits_are_read_from_the_contracts_events() -> None:
    event = deposit_event()
    expected = b"".join(bytes([size]) * size for size in (48, 32, 8, 96, 8))
    assert parse_deposit(event) == expected
    # CALLDATACOPY(0, 0, CALLDATASIZE), LOG1 with the event's topic.
    code = bytes.fromhex("365f5f377f649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5365fa100")
    contract = Account(nonce=1, code=code)
    accounts = alloc() | {DEPOSIT_CONTRACT: contract, TARGET: contract}
    deposit = Transaction(type=0, gas_price=10, gas_limit=200_000, to=DEPOSIT_CONTRACT, data=event, sender=SENDER)
    elsewhere = Transaction(type=0, nonce=1, gas_price=10, gas_limit=200_000, to=TARGET, data=event, sender=SENDER)
    result = execute_block(prague(deposit, elsewhere), MemoryState(accounts), "prague", validate=False)
    assert result.requests == [b"\x00" + expected]
    bad = Transaction(type=0, gas_price=10, gas_limit=200_000, to=DEPOSIT_CONTRACT, data=event + b"\x00", sender=SENDER)
    assert reason_of(accounts, bad) is BlockReason.INVALID_DEPOSIT_EVENT_LAYOUT


@pytest.mark.parametrize(
    "event",
    [
        b"",
        deposit_event()[:-1],
        deposit_event() + b"\x00",
        deposit_event(pubkey=161),
        deposit_event(credentials=2**255),
        deposit_event(index=0),
        deposit_event()[:191] + b"\x31" + deposit_event()[192:],
    ],
)
def test_other_layouts_of_deposit_events_make_the_block_invalid(event: bytes) -> None:
    with pytest.raises(InvalidBlock) as error:
        parse_deposit(event)
    assert error.value.reason is BlockReason.INVALID_DEPOSIT_EVENT_LAYOUT


# ---- withdrawals and rewards


def test_withdrawals_are_in_gwei_and_leave_no_empty_accounts() -> None:
    empty, rich = b"\x01" * 20, b"\x02" * 20
    header = Header(number=1, timestamp=1, base_fee_per_gas=7, withdrawals_root=EMPTY_TRIE_ROOT)
    block = Block(
        header, withdrawals=(Withdrawal(0, 0, empty, 0), Withdrawal(1, 0, rich, 3), Withdrawal(2, 0, rich, 4))
    )
    state = MemoryState({empty: Account()})
    execute_block(block, state, "shanghai", validate=False, commit=True)
    assert state.balance(rich) == 7 * 10**9
    assert empty not in state


@pytest.mark.parametrize(("fork", "ether"), [("homestead", 5), ("byzantium", 3), ("petersburg", 2), ("london", 2)])
def test_miners_and_ommers_are_rewarded(fork: str, ether: int) -> None:
    miner, uncle = b"\x01" * 20, b"\x02" * 20
    fee: dict[str, Any] = {"base_fee_per_gas": 7} if fork == "london" else {}
    header = Header(number=10, timestamp=1, coinbase=miner, difficulty=5, **fee)
    state = MemoryState({})
    block = Block(header, ommers=(Header(number=8, coinbase=uncle),))
    execute_block(block, state, fork, validate=False, commit=True)
    assert state.balance(miner) == ether * 10**18 * 33 // 32
    assert state.balance(uncle) == ether * 10**18 * 6 // 8


# ---- threads


def test_one_state_serves_many_blocks_at_once() -> None:
    state = MemoryState(alloc())
    expected = execute_block(prague(CALL), state, "prague", validate=False).diff

    def run(_: int) -> bool:
        return bool(execute_block(prague(CALL), state, "prague", validate=False).diff == expected)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(run, range(200)))


def valid_block(state: MemoryState) -> Block:
    """One that gives TARGET a gwei."""
    header = Header(number=1, timestamp=1000, base_fee_per_gas=7, withdrawals_root=bytes(32))
    block = Block(header, withdrawals=(Withdrawal(0, 0, TARGET, 1),))
    result = execute_block(block, state, "shanghai", validate=False)
    header = replace(
        header,
        withdrawals_root=ordered_root([encode_withdrawal(item) for item in block.withdrawals or ()]),
        transactions_root=EMPTY_TRIE_ROOT,
        receipts_root=EMPTY_TRIE_ROOT,
        state_root=result.state_root(),
    )
    return Block(header, withdrawals=block.withdrawals)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"state_root": bytes(32)}, BlockReason.INVALID_STATE_ROOT),
        ({"receipts_root": bytes(32)}, BlockReason.INVALID_RECEIPTS_ROOT),
        ({"state_root": bytes(32), "receipts_root": bytes(32)}, BlockReason.INVALID_STATE_ROOT),
        ({"gas_used": 1, "state_root": bytes(32)}, BlockReason.INVALID_GAS_USED),
    ],
)
def test_nobody_sees_the_changes_of_a_block_that_is_not_valid(wrong: dict[str, Any], reason: BlockReason) -> None:
    state = Watched({TARGET: Account(balance=5)})
    block = valid_block(state)
    before = state.dump()
    with pytest.raises(InvalidBlock) as caught:
        execute_block(
            Block(replace(block.header, **wrong), withdrawals=block.withdrawals),
            state,
            "shanghai",
            validate=True,
            check_state_root=True,
            commit=True,
        )
    assert caught.value.reason is reason
    assert state.dump() == before
    assert set(state.seen) == {5}
    result = execute_block(block, state, "shanghai", validate=True, check_state_root=True, commit=True)
    assert result.state_root() == state.state_root() == block.header.state_root
    assert state.balance(TARGET) == 10**9 + 5
