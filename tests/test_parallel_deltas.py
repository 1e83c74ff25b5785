"""Storage slots that transactions only add to are committed as deltas, each with the bounds within which the run would
have been the same. Every use that depends on more than that is found at the frontier."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from evmcore._decision import forget
from evmcore.bench.contracts import contract, mapping_slot
from evmcore.blocks import Block, Header
from evmcore.execution import execute_block
from evmcore.forks import Fork
from evmcore.state import MemoryState
from evmcore.stm import ParallelExecutor
from evmcore.transactions import Transaction
from evmcore.types import Account
from tests.assembly import assemble
from tests.parallel_blocks import check_equal, executors_for, observe

PEOPLE = tuple(bytes([0xA0, number]) * 10 for number in range(12))
COUNTER, CALLER, PROXY, TOKEN = (bytes([byte]) * 20 for byte in (0xC1, 0xC2, 0xC3, 0x70))
MOST = 2**256 - 1
# Keeps the frontier busy while later transactions run on the state before it.
BUSY = "3000 loop: 1 SWAP1 SUB DUP1 @loop JUMPI POP "


def call(person: int, nonce: int, to: bytes, *words: int, selector: str = "") -> Transaction:
    data = bytes.fromhex(selector) + b"".join(word.to_bytes(32, "big") for word in words)
    return Transaction(
        type=0,
        chain_id=1,
        sender=PEOPLE[person],
        nonce=nonce,
        gas_price=1,
        gas_limit=300_000,
        to=to,
        data=data,
    )


def in_order(calls: Sequence[tuple[int, bytes, tuple[int, ...], str]]) -> tuple[Transaction, ...]:
    nonces: dict[int, int] = {}
    made = []
    for person, to, words, selector in calls:
        made.append(call(person, nonces.get(person, 0), to, *words, selector=selector))
        nonces[person] = nonces.get(person, 0) + 1
    return tuple(made)


def block_of(transactions: Sequence[Transaction], fork: Fork = Fork.LONDON) -> Block:
    fields: dict[str, Any] = {"base_fee_per_gas": 0} if fork >= Fork.LONDON else {}
    if fork >= Fork.SHANGHAI:
        fields["withdrawals_root"] = bytes(32)
    if fork < Fork.SPURIOUS_DRAGON:
        transactions = [replace(tx, chain_id=None) for tx in transactions]
    return Block(
        Header(number=1, gas_limit=10**9, coinbase=b"\xcb" * 20, **fields),
        tuple(transactions),
        (),
        () if fork >= Fork.SHANGHAI else None,
    )


def rich() -> dict[bytes, Account]:
    return {person: Account(balance=10**18) for person in PEOPLE}


def outcome(
    transactions: Sequence[Transaction], contracts: dict[bytes, Account], fork: Fork = Fork.LONDON
) -> tuple[MemoryState, dict[int, ParallelExecutor]]:
    """The state after a block, with every slot taken for contended; it must be the same however the block is
    executed."""
    state = MemoryState(rich() | contracts)
    block = block_of(transactions, fork)
    executors = executors_for((1, 2, 3, 8), watch_all=True)
    for delays in (0, 77):
        expected, words = check_equal(
            block, state, fork, executors, before=state.copy(), repetitions=6, delays=delays, state_root=True
        )
        assert words is None
    assert "error" not in expected, expected
    execute_block(block, state, fork, validate=False, commit=True)
    return state, executors


# ------------------------------------------------------------ what no longer has to be re-executed


def token_state(fund: int = 10**18) -> dict[bytes, Account]:
    code = contract("Token")
    slot = code.slots["balanceOf"]
    return {TOKEN: Account(1, 0, code.runtime, {mapping_slot(slot, person): fund for person in PEOPLE})}


def transfer(sender: int, to: int, amount: int) -> tuple[int, bytes, tuple[int, ...], str]:
    return sender, TOKEN, (int.from_bytes(PEOPLE[to], "big"), amount), "a9059cbb"


SHAPES: dict[str, Callable[[int, Random], tuple[int, int]]] = {
    "two parties": lambda k, random: (k % 2, 1 - k % 2),
    "one receiver": lambda k, random: (1 + k % 11, 0),
    "one sender": lambda k, random: (0, 1 + k % 11),
    "clusters": lambda k, random: (k // 4 % 3 * 4 + k % 4, k // 4 % 3 * 4 + random.randrange(4)),
    "to oneself": lambda k, random: (k % 2, k % 2),
    "chain": lambda k, random: (k % 12, (k + 1) % 12),
}


@pytest.mark.usefixtures("nothing_known")
@pytest.mark.parametrize("shape", SHAPES)
def test_token_transfers_between_the_same_holders_run_once(shape: str) -> None:
    random = Random(1)
    calls = [transfer(*SHAPES[shape](k, random), random.randrange(1, 1000)) for k in range(200)]
    block, state = block_of(in_order(calls), Fork.SHANGHAI), MemoryState(rich() | token_state())
    expected = observe(block, state, Fork.SHANGHAI)
    for threads, executor in executors_for((2, 3, 8)).items():
        for delays in (0, 9, 99):
            executor.delays = delays
            assert observe(block, state, Fork.SHANGHAI, executor) == expected
            assert executor.counters["reruns"] == 0, (threads, executor.counters)
            assert executor.counters["runs"] == 200


def test_a_counter_is_added_to_without_waiting() -> None:
    code = assemble(BUSY + "0 SLOAD 1 ADD 0 SSTORE")
    calls = [(k % 12, COUNTER, (), "") for k in range(40)]
    state, executors = outcome(in_order(calls), {COUNTER: Account(1, 0, code, {0: 5})})
    assert state.storage(COUNTER, 0) == 45
    for executor in executors.values():
        assert executor.counters["reruns"] == 0


# ------------------------------------------------------------ every predicate, where it fails


def moves(code: str, amounts: Sequence[int], start: int, **others: Any) -> MemoryState:
    """Calls a contract, whose slot 0 is `start`, once for each amount; the first caller is slow."""
    calls = [(k % 12, COUNTER, (amount,), "") for k, amount in enumerate(amounts)]
    state, _ = outcome(in_order(calls), {COUNTER: Account(1, 0, assemble(BUSY + code), {0: start})}, **others)
    return state


SPEND = "0 CALLDATALOAD 0 SLOAD DUP1 DUP3 GT @poor JUMPI SUB 0 SSTORE STOP poor: 0 0 REVERT"


def test_a_balance_that_has_become_too_low_reverts() -> None:
    assert moves(SPEND, (6, 3, 2, 1), 10).storage(COUNTER, 0) == 0
    assert moves(SPEND, (4, 7, 3, 4, 3), 10).storage(COUNTER, 0) == 0
    assert moves(SPEND, (10, 1, 1), 10).storage(COUNTER, 0) == 0


def test_an_overflow_that_comes_only_after_others_reverts() -> None:
    code = "0 CALLDATALOAD 0 SLOAD DUP1 SWAP2 ADD DUP1 SWAP2 GT @over JUMPI 0 SSTORE STOP over: 0 0 REVERT"
    assert moves(code, (3, 2, 1), MOST - 4).storage(COUNTER, 0) == MOST
    assert moves(code, (5, 2, 1), MOST - 4).storage(COUNTER, 0) == MOST - 1


def test_a_sum_that_wraps_is_a_sum() -> None:
    code = "0 CALLDATALOAD 0 SLOAD ADD 0 SSTORE"
    assert moves(code, (3, 9, 1, 5), MOST - 7).storage(COUNTER, 0) == 10


@pytest.mark.parametrize("fork", [Fork.FRONTIER, Fork.BYZANTIUM, Fork.CONSTANTINOPLE, Fork.ISTANBUL, Fork.LONDON])
@pytest.mark.parametrize("start", [0, 3])
def test_gas_and_refund_of_zero_and_not_zero(start: int, fork: Fork) -> None:
    """From zero, to zero and back again, across transactions and within one."""
    code = "0 CALLDATALOAD 0 SLOAD SUB 0 SSTORE 2 0 SLOAD ADD 0 SSTORE 2 0 SLOAD SUB 0 SSTORE"
    code = code.replace("0 CALLDATALOAD 0 SLOAD SUB", "0 CALLDATALOAD 0 SLOAD ADD")
    moves(code, (MOST - 2, 1, MOST, 3, MOST - 1, 2, 0, MOST), start, fork=fork)


def test_adding_nothing_is_no_write() -> None:
    assert moves("0 CALLDATALOAD 0 SLOAD ADD 0 SSTORE", (0, 0, 1, 0), 7).storage(COUNTER, 0) == 8


def test_what_a_reverted_call_wrote_is_forgotten() -> None:
    child = assemble("0 CALLDATALOAD 0 SLOAD ADD 0 SSTORE 0 CALLDATALOAD 1 AND @odd JUMPI STOP odd: 0 0 REVERT")
    parent = assemble(
        BUSY + "0 CALLDATALOAD 0 MSTORE 0 0 32 0 0 0xc1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1 100000 CALL POP "
        "2 0 MSTORE 0 0 32 0 0 0xc1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1 100000 CALL POP"
    )
    accounts = {CALLER: Account(1, 0, parent), COUNTER: Account(1, 0, child, {0: 100})}
    address = int.from_bytes(COUNTER, "big")
    assert address == 0xC1C1C1C1C1C1C1C1C1C1C1C1C1C1C1C1C1C1C1C1
    calls = [(k % 12, CALLER, (k,), "") for k in range(16)]
    state, _ = outcome(in_order(calls), accounts)
    assert state.storage(COUNTER, 0) == 100 + sum(range(0, 16, 2)) + 2 * 16


def test_a_proxy_has_the_balances() -> None:
    logic = assemble("0 CALLDATALOAD 0 SLOAD DUP1 DUP3 GT @poor JUMPI SUB 0 SSTORE STOP poor: 0 0 REVERT")
    front = assemble(
        BUSY + "CALLDATASIZE 0 0 CALLDATACOPY 0 0 CALLDATASIZE 0 0xc1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1 GAS "
        "DELEGATECALL @fine JUMPI 0 0 REVERT fine:"
    )
    accounts = {PROXY: Account(1, 0, front, {0: 9}), COUNTER: Account(1, 0, logic, {0: 1000})}
    calls = [(k % 12, PROXY, (amount,), "") for k, amount in enumerate((2, 3, 4, 1, 1))]
    state, _ = outcome(in_order(calls), accounts)
    assert (state.storage(PROXY, 0), state.storage(COUNTER, 0)) == (0, 1000)


def test_an_allowance_is_spent_by_many() -> None:
    code = contract("Token")
    owner, spender = PEOPLE[0], PEOPLE[1]
    allowed = mapping_slot(mapping_slot(code.slots["allowance"], owner), spender)
    accounts = token_state(500)
    accounts[TOKEN].storage[allowed] = 60
    words: list[tuple[int, ...]] = [
        (int.from_bytes(owner, "big"), int.from_bytes(PEOPLE[2 + k % 3], "big"), 7 + k) for k in range(6)
    ]
    calls = [(1, TOKEN, each, "23b872dd") for each in words]
    calls += [transfer(0, 3, 300), transfer(0, 4, 150), transfer(0, 5, 1)]
    state, _ = outcome(in_order(calls), accounts, Fork.SHANGHAI)
    spent = 7 + 8 + 9 + 10 + 11 + 12
    assert state.storage(TOKEN, allowed) == 60 - spent
    assert state.storage(TOKEN, mapping_slot(code.slots["balanceOf"], owner)) == 500 - spent - 300 - 1


def test_a_destroyed_contract_starts_again_from_nothing() -> None:
    """Before EIP-6780: what was added before the destruction is gone, also for transactions that read it."""
    code = assemble(BUSY + "0 CALLDATALOAD DUP1 99 EQ @die JUMPI 0 SLOAD ADD 0 SSTORE STOP die: 0 SELFDESTRUCT")
    calls = [(k % 12, COUNTER, (amount,), "") for k, amount in enumerate((1, 2, 99, 3, 4, 99, 5))]
    outcome(in_order(calls), {COUNTER: Account(1, 0, code, {0: 5})})


def test_reading_the_value_for_something_else_depends_on_it() -> None:
    """It is stored elsewhere, logged, hashed, returned, or decides a branch."""
    for use in (
        "1 SSTORE",
        "0 MSTORE 32 0 LOG0",
        "0 MSTORE 32 0 KECCAK256 2 SSTORE",
        "7 SWAP1 DIV 1 SSTORE",
        "3 AND 1 SSTORE",
    ):
        moves(f"0 CALLDATALOAD 0 SLOAD ADD DUP1 0 SSTORE {use}", (1, 2, 3, 4), 5)
    moves("0 SLOAD 1 ADD DUP1 0 SSTORE 4 LT @more JUMPI STOP more: 1 1 SLOAD ADD 1 SSTORE", (0, 0, 0, 0, 0, 0), 1)
    moves("1 0 SLOAD 3 EQ @three JUMPI 0 SLOAD ADD 0 SSTORE STOP three: 1 SLOAD ADD 1 SSTORE", (0, 0, 0, 0, 0), 1)


# ------------------------------------------------------------ the bounds themselves

PROGRAMS = int(os.environ.get("EVMCORE_DELTA_PROGRAMS", "1600"))
VALUES = (0, 1, 2, 5, 6, 1000, 2**96 - 1, 2**96, 2**255 - 1, 2**255, MOST - 4, MOST)


def random_program(random: Random) -> str:
    """Sums, comparisons, masks and jumps over three slots, and now and then a use that needs the exact value."""
    words: list[str] = []
    depth = labels = 0

    def constant() -> str:
        return str(random.choice((*VALUES, random.randrange(10), random.randrange(10))))

    for _ in range(random.randrange(4, 28)):
        slot = random.randrange(3)
        choices = ["load", "load", "push", "spend"]
        if depth >= 1:
            choices += ["dup", "not", "iszero", "branch", "store", "store", "pop", "narrow", "use", "jumpon"]
        if depth >= 2:
            choices += ["swap", "add", "add", "sub", "sub", "compare", "compare", "check", "and", "same"]
        kind = random.choice(choices)
        if kind == "load":
            words.append(f"{slot} SLOAD")
            depth += 1
        elif kind == "push":
            words.append(constant())
            depth += 1
        elif kind == "spend":
            words.append(f"{constant()} {slot} SLOAD {random.choice(('ADD', 'SUB', 'SWAP1 SUB'))} {slot} SSTORE")
        elif kind == "dup":
            words.append(f"DUP{random.randint(1, min(depth, 4))}")
            depth += 1
        elif kind == "swap":
            words.append(f"SWAP{random.randint(1, min(depth - 1, 4))}")
        elif kind in ("not", "iszero"):
            words.append(kind.upper())
        elif kind == "pop":
            words.append("POP")
            depth -= 1
        elif kind in ("add", "sub", "and"):
            words.append(kind.upper())
            depth -= 1
        elif kind == "same":
            words.append(random.choice(("0 SHR", "0 SHL", "0 OR", "1 MUL", "1 SWAP1 DIV", f"{MOST} AND")))
        elif kind == "narrow":
            words.append(f"{2**96 - 1} AND" if random.random() < 0.5 else f"{MOST - 2**96 + 1} AND")
        elif kind == "compare":
            words.append(random.choice(("LT", "GT", "SLT", "SGT", "EQ")))
            depth -= 1
        elif kind == "check":
            words.append(f"DUP2 DUP2 {random.choice(('LT', 'GT', 'SLT', 'SGT', 'EQ'))}")
            depth += 1
        elif kind in ("branch", "jumpon"):
            if kind == "branch":
                words.append(random.choice((f"DUP1 {constant()} LT", f"DUP1 {constant()} GT", "DUP1 ISZERO", "DUP1")))
            else:
                depth -= 1
            label = f"l{labels}"
            labels += 1
            body = random.choice(
                (f"{constant()} {slot} SSTORE", "0 0 LOG0", "0 0 REVERT", f"1 {slot} SLOAD ADD {slot} SSTORE")
            )
            words.append(f"@{label} JUMPI {body} {label}:")
        elif kind == "store":
            words.append(f"{slot} SSTORE")
            depth -= 1
        else:
            words.append(
                random.choice(("0 MSTORE 32 0 LOG0", "1 TIMESTAMP POP DIV POP", "0 MSTORE", "3 SWAP1 MOD POP"))
            )
            depth -= 1
    return " ".join(words)


def run(code: bytes, slots: dict[int, int], executor: ParallelExecutor | None = None) -> tuple[Any, dict[int, int]]:
    """The result of a call of the program, and the slots afterwards."""
    state = MemoryState(rich() | {COUNTER: Account(1, 0, code, slots)})
    options: dict[str, Any] = {} if executor is None else {"executor": executor}
    result = execute_block(block_of([call(0, 0, COUNTER)]), state, Fork.LONDON, validate=False, commit=True, **options)
    first = result.transactions[0]
    seen = (first.status, first.gas_used, first.gas_refund, first.output, first.logs)
    return seen, {slot: state.storage(COUNTER, slot) for slot in range(3)}


@pytest.mark.parametrize("share", range(8))
def test_with_every_value_within_the_bounds_a_program_does_the_same(share: int) -> None:
    """The oracle is execution itself, on other values of the slots."""
    executor = ParallelExecutor(1, always=True)
    executor.watch_all = True
    open_slots = changed = 0
    for seed in range(share, PROGRAMS, 8):
        random = Random(seed)
        code = assemble(random_program(random))
        before = {slot: random.choice((*VALUES, random.randrange(2000))) for slot in range(3)}
        seen, after = run(code, before, executor)
        bounds = {slot: (low, high) for _, address, slot, low, high in executor.learnt if address == COUNTER}
        assert executor.counters["reruns"] == 0
        for slot, (low, high) in bounds.items():
            assert low <= before[slot] <= high
        free = {slot: limits for slot, limits in bounds.items() if limits[0] < limits[1]}
        open_slots += len(free)
        trials = [{slot: value} for slot, limits in free.items() for value in limits]
        trials += [{slot: random.randint(*limits) for slot, limits in free.items()} for _ in range(2)]
        trials += [{slot: random.choice(limits) for slot, limits in free.items()} for _ in range(2)]
        unread = set(range(3)) - set(bounds)
        trials.append({slot: random.choice(VALUES) for slot in unread})
        for trial in trials:
            other = before | trial
            seen_again, after_again = run(code, other)
            assert seen_again == seen, (seed, trial, bounds)
            for slot in range(3):
                if slot in free:
                    changed += after[slot] != before[slot]
                    moved = (after[slot] - before[slot]) % 2**256
                    assert (after_again[slot] - other[slot]) % 2**256 == moved, (seed, slot, trial, bounds)
                elif slot in bounds:
                    assert after_again[slot] == after[slot], (seed, slot, trial, bounds)
    assert open_slots > 100 and changed > 100


def test_who_pays_from_a_guess_cannot_pay_what_is_not_there() -> None:
    """A purse that has one coin pays it away, receives one, and is asked for two. Its calls conflict, so they come to
    run in a line and publish their balances; the payment to the purse is not published. The last call assumes that the
    purse still has its first coin and pays it. Only then it reads the exact balance, which is zero: so it has paid a
    coin that was not there."""
    purse, poor = bytes([0xC7]) * 20, bytes([0xB1]) * 20
    pay = f"0 0 0 0 1 0x{poor.hex()} 50000 CALL POP "
    code = assemble(
        "CALLDATASIZE ISZERO @given JUMPI 1 SLOAD 3 MUL 1 ADD 1 SSTORE "
        + pay
        + "0 CALLDATALOAD 2 EQ ISZERO @done JUMPI "
        + pay
        + "done: STOP given: STOP"
    )
    alloc = {person: Account(balance=10**18) for person in PEOPLE}
    alloc[purse] = Account(nonce=1, balance=1, code=code, storage={1: 1})
    alloc[poor] = Account(balance=5)
    alloc[CALLER] = Account(nonce=1, code=assemble(BUSY + "STOP"))
    give = replace(call(2, 0, purse), value=1)
    block = block_of((call(0, 0, CALLER), call(1, 0, purse, 1), give, call(3, 0, purse, 2)))
    executors = executors_for((2, 3))
    for turn in range(240):
        if turn % 4 == 0:
            forget()  # and so the lines begin anew
        _, words = check_equal(block, MemoryState(alloc), Fork.LONDON, executors, delays=turn)
        assert words is None, words
