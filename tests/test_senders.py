"""Senders recovered many at once are those recovered one by one."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from evmcore import execute_block
from evmcore._crypto import address_of
from evmcore._senders import recover_senders
from evmcore.bench.scenes import REQUEST_CONTRACTS
from evmcore.blocks import Block, Header
from evmcore.errors import InputError, InvalidBlock, InvalidTransaction, TransactionReason
from evmcore.forks import Fork
from evmcore.state import MemoryState
from evmcore.transactions import SECP256K1_ORDER, Authorization, Transaction
from evmcore.types import Account


def signed(count: int, seed: int = 1) -> tuple[list[Transaction], list[bytes]]:
    chance = random.Random(seed)
    transactions, senders = [], []
    for number in range(count):
        key = chance.randrange(1, 2**200).to_bytes(32, "big")
        forms: list[dict[str, Any]] = [
            {"gas_price": 1},
            {"gas_price": 1, "chain_id": 1},
            {"type": 1, "chain_id": 1, "gas_price": 2, "access_list": ((b"\1" * 20, (3,)),)},
            {"type": 2, "chain_id": 1, "max_fee_per_gas": 3},
        ]
        fields = forms[number % 4]
        transactions.append(
            Transaction(nonce=number, gas_limit=100_000, to=b"\2" * 20, data=bytes(number % 70), **fields).sign(key)
        )
        senders.append(address_of(key))
    return transactions, senders


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_senders_are_those_who_signed(threads: int) -> None:
    transactions, senders = signed(61)
    assert recover_senders(transactions, threads) == senders
    assert recover_senders([], threads) == []


def test_every_type_and_size_is_hashed_as_by_itself() -> None:
    """Lengths around those at which the form of an RLP header changes."""
    blob = {"max_fee_per_blob_gas": 1, "blob_versioned_hashes": (b"\1" + bytes(31),) * 3}
    permit = Authorization(1, b"\3" * 20, 7).sign(b"\5" * 32)
    kinds = [
        {"gas_price": 1},
        {"gas_price": 1, "chain_id": 1},
        {"gas_price": 1, "chain_id": 2**62 // 2},
        {"type": 1, "chain_id": 1, "access_list": ((b"\1" * 20, tuple(range(40))),)},
        {"type": 2, "chain_id": 2**256 - 1, "value": 2**256 - 1},
        {"type": 3, "chain_id": 1, "to": b"\2" * 20, **blob},
        {"type": 4, "chain_id": 1, "to": b"\2" * 20, "authorization_list": (permit,) * 3},
    ]
    sizes = [0, 1, 2, 3, 20, 21, 22, *range(50, 60), 180, 200, 255, 256, 257, 65_500, 65_536]
    key = b"\7" * 32
    given = [
        Transaction.decode(Transaction(data=b"\x81" * size, **kind).sign(key).encode())  # type: ignore[arg-type]
        for kind in kinds
        for size in sizes
    ]
    assert recover_senders(given, 2) == [address_of(key)] * len(given)
    # Made from their fields, without the bytes they were read from.
    assert recover_senders([replace(one, sender=None) for one in given], 2) == [address_of(key)] * len(given)


def test_replay_protection_for_the_chain_of_id_0_is_no_lack_of_it() -> None:
    keys = [bytes([number]) * 32 for number in range(1, 9)]
    given = [Transaction.decode(Transaction(gas_price=1, chain_id=0).sign(key).encode()) for key in keys]
    assert {one.v for one in given} == {35, 36}
    assert recover_senders(given, 2) == [address_of(key) for key in keys]


def test_the_first_signature_that_is_not_valid_is_named_as_if_it_were_alone() -> None:
    transactions, _ = signed(8)
    wrong = Transaction(type=2, chain_id=1, max_fee_per_gas=1, v=1, r=5, s=SECP256K1_ORDER - 1)
    with pytest.raises(InvalidTransaction) as alone:
        wrong.recover_sender()
    with pytest.raises(InvalidTransaction) as together:
        recover_senders([*transactions, wrong], 3)
    assert str(together.value) == str(alone.value)


def test_the_fork_decides_what_is_valid() -> None:
    transactions, senders = signed(4)
    assert recover_senders(transactions, 2, "london") == senders
    with pytest.raises(InvalidTransaction):
        recover_senders(transactions[1:2], 2, Fork.HOMESTEAD)


def test_what_is_no_transaction_is_refused() -> None:
    with pytest.raises(InputError, match="transactions"):
        recover_senders([b"\1"])  # type: ignore[list-item]


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_blocks_of_signed_transactions_are_executed_as_by_their_signers(threads: int) -> None:
    transactions, senders = signed(40)
    anonymous = [Transaction.decode(transaction.encode()) for transaction in transactions]
    assert all(transaction.sender is None for transaction in anonymous)
    state = MemoryState({sender: Account(nonce=number, balance=10**18) for number, sender in enumerate(senders)})
    header = Header(number=1, gas_limit=30_000_000, base_fee_per_gas=0)
    result = execute_block(Block(header, tuple(anonymous)), state, Fork.LONDON, validate=False, threads=threads)
    assert all(receipt.status == 1 for receipt in result.receipts)
    wrong = Transaction(type=2, chain_id=1, max_fee_per_gas=1, v=1, r=5, s=SECP256K1_ORDER - 1)
    with pytest.raises(InvalidBlock, match="transaction 40: ") as caught:
        execute_block(Block(header, (*anonymous, wrong)), state, Fork.LONDON, validate=False, threads=threads)
    assert caught.value.reason is TransactionReason.INVALID_SIGNATURE_VRS


# ---- recovered beside the execution


def rich_state(block: Block) -> MemoryState:
    return MemoryState({transaction.recover_sender(): Account(balance=10**18) for transaction in block.transactions})


def own_block(count: int, seed: int) -> Block:
    """Every sender's first transaction: signed, of types 0 to 2, with some data."""
    transactions, _ = signed(count, seed)
    keys = random.Random(seed)
    made = []
    for transaction in transactions:
        key = keys.randrange(1, 2**200).to_bytes(32, "big")
        made.append(replace(replace(transaction, nonce=0, sender=None).sign(key), sender=None))
    return Block(Header(gas_limit=10**8), tuple(made))


def outcome(block: Block, state: MemoryState, threads: int) -> object:
    try:
        result = execute_block(block, state, "berlin", threads=threads, validate=False)
    except InvalidBlock as error:
        return error.reason, str(error)
    return result.gas_used, result.receipts_root, result.diff


def test_senders_recovered_while_transactions_run_give_the_same_block() -> None:
    """On one thread where that pays, others then find the senders: no time of its own goes into it."""
    beside = 0
    for seed in range(40):
        block = replace_types(own_block(20 + seed, seed))
        state = rich_state(block)
        expected = outcome(block, state, 1)
        for threads in (2, 3, 8):
            assert outcome(block, state, threads) == expected
            phases = execute_block(block, state, "berlin", threads=threads, validate=False).parallel.phases
            beside += phases["senders"] == 0
    assert beside > 40


def replace_types(block: Block) -> Block:
    """Without transactions of types that the fork does not have."""
    return replace(block, transactions=tuple(each for each in block.transactions if each.type < 2))


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_a_signature_of_nobody_is_the_first_thing_wrong_with_a_block(threads: int) -> None:
    """Wherever it is, and whatever else is wrong before and after it; the same words on any number of threads."""
    found = 0
    for seed in range(30):
        block = replace_types(own_block(24, 100 + seed))
        state = rich_state(block)
        rng = random.Random(seed)
        transactions = list(block.transactions)
        place = rng.randrange(len(transactions))
        # An x that is on no curve point, half of the time; the other half of them are someone's after all.
        transactions[place] = replace(transactions[place], r=rng.randrange(1, 2**255))
        late = rng.randrange(len(transactions))
        if late != place:
            transactions[late] = replace(transactions[late], r=0)  # which shows without a computation
        poor = rng.randrange(len(transactions))
        if poor not in (place, late):
            state.delete_account(transactions[poor].recover_sender())
        broken = replace(block, transactions=tuple(transactions))
        nobody = [index for index, each in enumerate(transactions) if not is_signed_by_somebody(each)]
        got = outcome(broken, state, threads)
        if nobody:
            assert isinstance(got[1], str) and f"transaction {nobody[0]}: " in got[1]
            assert got == outcome(broken, state, 1)
            found += 1
    assert found > 20


def is_signed_by_somebody(transaction: Transaction) -> bool:
    try:
        transaction.recover_sender("berlin")
    except InvalidTransaction:
        return False
    return True


def some_permits(rng: random.Random) -> tuple[Authorization, ...]:
    """Each by another signer; of some nobody could have signed them, whose r is the x of no curve point."""
    permits = []
    for _ in range(rng.randrange(1, 6)):
        permit = Authorization(1, rng.randbytes(20), 0).sign(rng.randrange(1, 2**200))
        permits.append(replace(permit, r=rng.randrange(1, 2**255)) if rng.random() < 0.4 else permit)
    return tuple(permits)


def test_authorities_recovered_with_the_senders_are_those_who_signed() -> None:
    """A signature of nobody passes its authorization over; the rest of the block stands."""
    passed_over = 0
    for seed in range(12):
        rng = random.Random(seed)
        state = MemoryState({contract: Account(1, 0, b"\0") for contract in REQUEST_CONTRACTS})
        transactions: list[Transaction] = []
        delegates: dict[bytes | None, bytes] = {}  # None: of authorizations that nobody signed
        for number in range(16):
            key = rng.randrange(1, 2**200).to_bytes(32, "big")
            state.set_account(address_of(key), Account(balance=10**18))
            permits = some_permits(rng) if number % 4 else ()
            fields: dict[str, Any] = {"type": 4, "authorization_list": permits} if permits else {"type": 2}
            fields |= {"chain_id": 1, "max_fee_per_gas": 1, "gas_limit": 500_000, "to": b"\2" * 20}
            transaction = Transaction(**fields).sign(key)
            transactions.append(replace(transaction, sender=None))
            delegates |= {permit.recover_authority(): b"\xef\x01\x00" + permit.address for permit in permits}
        passed_over += delegates.pop(None, None) is not None
        block = Block(Header(number=1, gas_limit=30_000_000, base_fee_per_gas=0), tuple(transactions))
        for threads in (1, 2, 8):
            diff = execute_block(block, state, "prague", threads=threads, validate=False).diff
            made = {each.address: diff.codes.get(each.new.code_hash) for each in diff.account_changes if each.new}
            assert {address: code for address, code in made.items() if code} == delegates
    assert passed_over > 6
