"""Five ways in which an optimistic executor can go wrong without a crash, suspected in another executor by reading it.
Each has a test here that would show it; so do the rules of state that are easily forgotten."""

from __future__ import annotations

import pytest

from evmcore import rlp
from evmcore._crypto import address_of
from evmcore._hash import keccak256
from evmcore.blocks import Block, Header
from evmcore.dao import DAO_ACCOUNTS, DAO_RECOVERY
from evmcore.execution import execute_block
from evmcore.forks import MAINNET, Fork
from evmcore.state import MemoryState
from evmcore.stm import ParallelExecutor
from evmcore.transactions import Authorization, Transaction
from evmcore.types import Account
from tests.assembly import assemble, deploying
from tests.parallel_blocks import THREADS, assert_bounded, check_equal, executors_for
from tests.parallel_fuzz.programs import init_code

KEYS = tuple(number.to_bytes(32, "big") for number in range(11, 31))
PEOPLE = tuple(address_of(key) for key in KEYS)
COINBASE, SLOW, FIRST, SECOND, TARGET = (bytes([byte]) * 20 for byte in (0xCB, 0x51, 0xD1, 0xD2, 0xE1))
BEACON_ROOTS = bytes.fromhex("000f3df6d732807ef1319fb7b8bb8522d0beac02")
WEI = 10**18

# Keeps the frontier busy while later transactions run on the state before it; then continues with `then`.
BUSY = "4000 loop: 1 SWAP1 SUB DUP1 @loop JUMPI POP "
RECORD = {FIRST: assemble("0 SLOAD 1 ADD 0 SSTORE"), SECOND: assemble("1 SLOAD 1 ADD 1 SSTORE")}
REPETITIONS = 12


def tx(person: int, nonce: int, to: bytes | None, **fields: object) -> Transaction:
    values: dict[str, object] = {"gas_limit": 400_000, "max_fee_per_gas": 1, "max_priority_fee_per_gas": 1}
    values |= {"type": 2, "chain_id": 1, "sender": PEOPLE[person], "nonce": nonce, "to": to}
    return Transaction(**{**values, **fields})  # type: ignore[arg-type]


def authorize(person: int, nonce: int, delegate: bytes) -> Authorization:
    return Authorization(1, delegate, nonce).sign(KEYS[person])


def created(creator: bytes, nonce: int) -> bytes:
    return keccak256(rlp.encode([creator, nonce]))[12:]


def final_state(
    transactions: list[Transaction],
    extra: dict[bytes, Account],
    *,
    fork: Fork = Fork.PRAGUE,
    coinbase: bytes = COINBASE,
) -> MemoryState:
    """The state after a block, which must be the same however the block is executed."""
    alloc = {person: Account(balance=WEI) for person in PEOPLE}
    alloc |= {SLOW: Account(1, 0, assemble(BUSY))} | {address: Account(1, 0, code) for address, code in RECORD.items()}
    request = Account(1, 0, assemble("STOP"))
    for name in ("00000961ef480eb55e80d19ad83579a64c007002", "0000bbddc7ce488642fb579f8b00f3a590007251"):
        alloc[bytes.fromhex(name)] = request
    state = MemoryState(alloc | extra)
    header = Header(
        number=1,
        coinbase=coinbase,
        base_fee_per_gas=0,
        withdrawals_root=bytes(32),
        blob_gas_used=0,
        excess_blob_gas=0,
        parent_beacon_block_root=b"\x0b" * 32,
        requests_hash=bytes(32),
    )
    block = Block(header, tuple(transactions), (), ())
    before = state.copy()
    executors = executors_for(THREADS)
    for delays in (0, 1000):
        expected, words = check_equal(
            block, state, fork, executors, before=before, repetitions=REPETITIONS, delays=delays
        )
        assert words is None
        for executor in executors.values():
            assert_bounded(executor, len(transactions))
    assert "error" not in expected, expected
    execute_block(block, state, fork, validate=False, commit=True, executor=ParallelExecutor(3, always=True))
    return state


# ------------------------------------------------------------ the five


@pytest.mark.parametrize("how", ["creation", "delegation"])
def test_a_plain_transfer_depends_on_its_recipients_code(how: str) -> None:
    """No read is exempt from validation: the recipient gets code by an earlier, slower transaction."""
    if how == "creation":
        recipient = created(PEOPLE[0], 0)
        first = tx(0, 0, None, data=init_code(assemble(BUSY), RECORD[FIRST]))
    else:
        recipient = PEOPLE[9]
        first = tx(0, 0, SLOW, type=4, authorization_list=(authorize(9, 0, FIRST),))
    transfers = [tx(person, 0, recipient, value=person) for person in range(1, 9)]
    state = final_state([first, *transfers], {})
    assert state.storage(recipient, 0) == len(transfers)
    assert state.balance(recipient) == sum(range(1, 9)) + (WEI if how == "delegation" else 0)


def test_delegating_again_and_clearing_are_seen_at_once() -> None:
    """EIP-7702: an account that has a delegation gets another one, and then none, in the same block."""
    account = PEOPLE[9]
    calls = iter(range(100))

    def call() -> Transaction:
        person = next(calls) % 8 + 1
        nonces[person] += 1
        return tx(person, nonces[person] - 1, account)

    nonces = dict.fromkeys(range(10), 0)
    block = [
        tx(0, 0, SLOW, type=4, authorization_list=(authorize(9, 0, FIRST),)),
        *(call() for _ in range(3)),
        tx(0, 1, SLOW, type=4, authorization_list=(authorize(9, 1, SECOND),)),
        *(call() for _ in range(4)),
        tx(0, 2, SLOW, type=4, authorization_list=(authorize(9, 2, bytes(20)),)),
        *(call() for _ in range(5)),
    ]
    state = final_state(block, {})
    assert state.slots(account) == {0: 3, 1: 4}
    assert state.code(account) == b""
    assert state.nonce(account) == 3


def test_re_delegation_of_an_account_delegated_before_the_block() -> None:
    account = PEOPLE[9]
    extra = {account: Account(0, WEI, b"\xef\x01\x00" + FIRST)}
    block = [
        tx(0, 0, SLOW, type=4, authorization_list=(authorize(9, 0, SECOND),)),
        *(tx(person, 0, account) for person in range(1, 6)),
    ]
    state = final_state(block, extra)
    assert state.slots(account) == {1: 5}


def test_authorities_of_a_plain_transfer_are_counted() -> None:
    """A set-code transaction that is otherwise a plain transfer still raises its authorities' nonces."""
    block = [tx(8, 0, SLOW)]
    for turn in range(3):
        block += [
            tx(0, turn, TARGET, type=4, value=1, authorization_list=(authorize(9, 2 * turn, bytes(20)),)),
            tx(9, 2 * turn + 1, TARGET, value=1),
        ]
    state = final_state(block, {})
    assert state.nonce(PEOPLE[9]) == 6
    assert state.balance(TARGET) == 6


def test_the_sender_may_be_its_own_authority() -> None:
    block = [tx(8, 0, SLOW), tx(9, 0, TARGET, type=4, value=1, authorization_list=(authorize(9, 1, FIRST),))]
    block += [tx(person, 0, PEOPLE[9]) for person in range(4)] + [tx(9, 2, TARGET, value=1)]
    state = final_state(block, {})
    assert state.nonce(PEOPLE[9]) == 3
    assert state.slots(PEOPLE[9]) == {0: 4}


def test_a_delegated_sender_of_plain_transfers_keeps_its_delegation() -> None:
    account = PEOPLE[9]
    extra = {account: Account(0, WEI, b"\xef\x01\x00" + FIRST)}
    block = [tx(8, 0, SLOW)]
    for turn in range(4):
        block += [tx(9, turn, TARGET, value=1), tx(turn, 0, account, value=1)]
    state = final_state(block, extra)
    assert state.slots(account) == {0: 4}
    assert state.code(account) == b"\xef\x01\x00" + FIRST
    assert state.balance(TARGET) == 4


def test_readers_of_changing_code_run_a_bounded_number_of_times() -> None:
    """Changing code is waited for like any other value (`final_state` bounds the runs)."""
    account, count = PEOPLE[9], 8
    block: list[Transaction] = []
    for turn in range(count):
        delegate = FIRST if turn % 2 else SECOND
        block.append(tx(0, turn, SLOW, type=4, authorization_list=(authorize(9, turn, delegate),)))
        block += [tx(person, turn, account) for person in range(1, 4)]
    state = final_state(block, {})
    assert state.slots(account) == {0: 3 * count // 2, 1: 3 * count // 2}


# ------------------------------------------------------------ lifetimes


# A contract that counts in slot 0 and destroys itself if there is calldata; and its factory, which makes it at one
# address.
COUNTING = assemble("CALLDATASIZE @die JUMPI 0 SLOAD 1 ADD 0 SSTORE STOP die: CALLER SELFDESTRUCT")
INIT = deploying(COUNTING)
FACTORY = b"\xfa" * 20
CHILD = keccak256(b"\xff" + FACTORY + bytes(32) + keccak256(INIT))[12:]
WORDS = " ".join(f"0x{INIT[at : at + 32].ljust(32, b'!').hex()} {at} MSTORE" for at in range(0, len(INIT), 32))
MAKE = assemble(f"{WORDS} 0 {len(INIT)} 0 0 CREATE2 POP")


def legacy(person: int, nonce: int, to: bytes, **fields: object) -> Transaction:
    values: dict[str, object] = {"gas_limit": 400_000, "gas_price": 1, "sender": PEOPLE[person], "nonce": nonce}
    return Transaction(to=to, **{**values, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize("fork", [Fork.ISTANBUL, Fork.SHANGHAI], ids=lambda fork: fork.title)
def test_destroyed_and_made_again_at_one_address(fork: Fork) -> None:
    """Storage, nonce and balance of the earlier life are gone; later credits are kept."""
    block = [
        legacy(0, 0, SLOW),
        legacy(0, 1, FACTORY),
        legacy(1, 0, CHILD),
        legacy(2, 0, CHILD, value=5),
        legacy(3, 0, CHILD, data=b"\x01"),  # dies; its caller inherits
        legacy(4, 0, CHILD, value=7),  # a plain transfer to nobody
        legacy(1, 1, FACTORY),
        legacy(5, 0, CHILD),
        legacy(6, 0, CHILD, data=b"\x01"),
        legacy(7, 0, FACTORY),
        legacy(8, 0, CHILD, value=2),
    ]
    state = final_state(block, {FACTORY: Account(1, 0, MAKE)}, fork=fork)
    assert state.slots(CHILD) == {0: 1}
    assert state.nonce(CHILD) == 1
    assert state.balance(CHILD) == 2
    assert state.code(CHILD) == COUNTING


def test_what_a_slot_held_before_the_block_is_known_in_every_life() -> None:
    """The first access to a slot in a later life of its contract must not decide what earlier transactions find
    there."""
    init = init_code(assemble("0 SLOAD 100 ADD 0 SSTORE"), COUNTING)
    words = " ".join(f"0x{init[at : at + 32].ljust(32, b'!').hex()} {at} MSTORE" for at in range(0, len(init), 32))
    child = keccak256(b"\xff" + FACTORY + bytes(32) + keccak256(init))[12:]
    late = b"\x1a" * 20
    extra = {
        FACTORY: Account(1, 0, assemble(f"{words} 0 {len(init)} 0 0 CREATE2 POP")),
        child: Account(1, 0, COUNTING, {0: 41, 1: 1}),
        late: Account(
            1, 0, assemble(f"{BUSY} {BUSY.replace('loop', 'again')} 0 0 0 0 0 0x{child.hex()} 90000 CALL POP")
        ),
    }
    block = [
        legacy(0, 0, late),  # reads slot 0 in the first life, but later than the others run
        legacy(1, 0, child, data=b"\x01"),
        legacy(2, 0, FACTORY),
        legacy(3, 0, child),
    ]
    state = final_state(block, extra, fork=Fork.SHANGHAI)
    assert state.slots(child) == {0: 101}


def test_an_empty_account_takes_its_storage_with_it() -> None:
    """EIP-161 deletes one of the accounts that EIP-7610 is about; then a contract can be made at its address."""
    block = [legacy(0, 0, SLOW), legacy(1, 0, CHILD), legacy(2, 0, FACTORY), legacy(3, 0, CHILD)]
    extra = {FACTORY: Account(1, 0, MAKE), CHILD: Account(storage={0: 41, 1: 1})}
    state = final_state(block, extra, fork=Fork.SHANGHAI)
    assert state.code(CHILD) == COUNTING
    assert state.slots(CHILD) == {0: 1}


def test_an_account_that_only_speculation_made_is_not_there() -> None:
    """It has neither code nor balance: only its nonce, not being zero, could be known of it."""
    maker = b"\x1b" * 20
    child = keccak256(b"\xff" + maker + bytes(32) + keccak256(b""))[12:]
    make = assemble(
        f"CALLDATASIZE @close JUMPI 0 SLOAD @make JUMPI STOP make: 0 0 0 0 CREATE2 STOP close: {BUSY} 0 0 SSTORE"
    )
    look = assemble(f"0x{child.hex()} EXTCODEHASH 1 ADD NUMBER SSTORE 0 0 0 0 1 0x{child.hex()} 0 CALL POP")
    watchers = [bytes([0x60 + number]) * 20 for number in range(4)]
    extra = {maker: Account(1, 0, make, {0: 1})} | {watcher: Account(1, 1, look) for watcher in watchers}
    block = [legacy(0, 0, maker, data=b"\x01"), legacy(1, 0, maker)]
    block += [legacy(2 + number, 0, watcher) for number, watcher in enumerate(watchers)]
    state = final_state(block, extra, fork=Fork.SHANGHAI)
    assert [state.storage(watcher, 1) for watcher in watchers[:1]] == [1]
    assert state.nonce(child) == 0
    assert state.balance(child) == len(watchers)


def test_slots_written_before_the_first_transaction_are_seen() -> None:
    """EIP-4788: the transactions find the writes of the system call."""
    code = assemble("CALLVALUE @read JUMPI 0 CALLDATALOAD 3 SSTORE STOP read: 3 SLOAD 4 SSTORE")
    state = final_state([tx(n, 0, BEACON_ROOTS, value=1) for n in range(4)], {BEACON_ROOTS: Account(1, 0, code)})
    assert state.storage(BEACON_ROOTS, 4) == int.from_bytes(b"\x0b" * 32, "big")


def test_balances_moved_before_the_first_transaction_are_seen() -> None:
    """The DAO fork's irregular change of state."""
    drained = DAO_ACCOUNTS[0]
    watch = assemble(
        f"0x{drained.hex()} BALANCE 0 SSTORE 0x{DAO_RECOVERY.hex()} BALANCE 1 SSTORE 2 SLOAD 1 ADD 2 SSTORE"
    )
    alloc = {person: Account(balance=WEI) for person in PEOPLE}
    alloc |= {drained: Account(balance=77), FIRST: Account(1, 0, watch), SLOW: Account(1, 0, assemble(BUSY))}
    header = Header(number=1_920_000, coinbase=COINBASE, difficulty=131_072)
    senders = [Transaction(sender=person, to=FIRST, gas_price=1, gas_limit=300_000) for person in PEOPLE[1:6]]
    block = Block(header, (Transaction(sender=PEOPLE[0], to=SLOW, gas_price=1, gas_limit=300_000), *senders))
    state = MemoryState(alloc)
    _, words = check_equal(block, state, MAINNET, executors_for((1, 2, 3, 8)), repetitions=4, delays=5)
    assert words is None
    execute_block(block, state, MAINNET, validate=False, commit=True, executor=ParallelExecutor(3, always=True))
    assert state.slots(FIRST) == {1: 77, 2: 5}


# ------------------------------------------------------------ the beneficiary


@pytest.mark.parametrize(
    "coinbase", [PEOPLE[9], FIRST, TARGET, bytes(19) + b"\x04"], ids=["sender", "contract", "new", "precompile"]
)
def test_fees_are_seen_by_who_asks_for_them(coinbase: bytes) -> None:
    watch = assemble("COINBASE BALANCE NUMBER SSTORE")
    watcher = b"\x77" * 20
    block = [tx(0, 0, SLOW)]
    for turn in range(4):
        block += [tx(1, turn, TARGET, value=1), tx(2 + turn, 0, watcher), tx(9, turn, TARGET, value=2)]
    state = final_state(block, {watcher: Account(1, 0, watch)}, coinbase=coinbase)
    assert state.storage(watcher, 1) > 0


def test_a_sender_that_only_an_earlier_payment_can_fund() -> None:
    block = [tx(0, 0, SLOW)]
    for turn in range(5):
        block += [
            tx(1, turn, PEOPLE[10 + turn], value=21_000 + 3, gas_limit=21_000),
            tx(10 + turn, 0, TARGET, value=3, gas_limit=21_000),
        ]
    extra = {PEOPLE[10 + turn]: Account() for turn in range(5)}
    state = final_state(block, extra)
    assert state.balance(TARGET) == 15
    assert all(state.balance(PEOPLE[10 + turn]) == 0 for turn in range(5))
