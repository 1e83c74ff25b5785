"""One transaction: every reason to refuse it, gas before and after, fees, refunds, authorisations, warmth."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from evmcore._block_result import BlockResult
from evmcore._prepared import PreparedTransaction, intrinsic_gas_of
from evmcore.blocks import EMPTY_TRIE_ROOT, Block, Header
from evmcore.errors import InputError, InvalidBlock, InvalidTransaction, TransactionReason
from evmcore.execution import execute_block
from evmcore.forks import CANCUN_BLOBS, Fork, chain_of
from evmcore.headers import GAS_PER_BLOB
from evmcore.state import MemoryState
from evmcore.transactions import Authorization, Transaction
from evmcore.types import Account

R = TransactionReason
SENDER = bytes.fromhex("a94f5374fce5edbc8e2a8697c15331677e6ebf0b")
TARGET = bytes.fromhex("1000000000000000000000000000000000000001")
COINBASE = bytes.fromhex("2adc25665018aa1fe0e6bc666dac8fc2697ff9ba")
ETHER = 10**18
BLOB_HASH = b"\x01" + bytes(31)


def run(
    tx: Transaction | list[Transaction],
    fork: Fork,
    alloc: dict[bytes, Account] | None = None,
    *,
    base_fee: int = 7,
    gas_limit: int = 30_000_000,
    excess_blob_gas: int = 0,
) -> tuple[BlockResult, MemoryState]:
    """Executes transactions in a block of `fork` and applies the result."""
    fields: dict[str, Any] = {}
    if fork >= Fork.LONDON:
        fields["base_fee_per_gas"] = base_fee
    if fork >= Fork.SHANGHAI:
        fields["withdrawals_root"] = EMPTY_TRIE_ROOT
    if fork >= Fork.CANCUN:
        fields |= {"blob_gas_used": 0, "excess_blob_gas": excess_blob_gas, "parent_beacon_block_root": bytes(32)}
    if fork >= Fork.PRAGUE:
        fields["requests_hash"] = bytes(32)
    difficulty = 0 if fork >= Fork.PARIS else 1000
    header = Header(number=1, timestamp=1000, coinbase=COINBASE, gas_limit=gas_limit, difficulty=difficulty, **fields)
    accounts = {SENDER: Account(balance=ETHER), **(alloc or {})}
    if fork >= Fork.PRAGUE:
        # EIP-7002 and EIP-7251 want their contracts; these return no request.
        for address in ("00000961ef480eb55e80d19ad83579a64c007002", "0000bbddc7ce488642fb579f8b00f3a590007251"):
            accounts[bytes.fromhex(address)] = Account(nonce=1, code=b"\x00")
    state = MemoryState(accounts)
    transactions = tx if isinstance(tx, list) else [tx]
    block = Block(header, tuple(transactions), withdrawals=() if fork >= Fork.SHANGHAI else None)
    result = execute_block(block, state, chain_of(fork), validate=False, commit=True, reward=-1)
    return result, state


def legacy(**fields: Any) -> Transaction:
    values: dict[str, Any] = {"gas_price": 10, "gas_limit": 100_000, "to": TARGET, "sender": SENDER}
    return Transaction(type=0, **(values | fields))


def typed(kind: int, **fields: Any) -> Transaction:
    values: dict[str, Any] = {"chain_id": 1, "gas_limit": 100_000, "to": TARGET, "sender": SENDER}
    if kind == 1:
        values["gas_price"] = 10
    else:
        values |= {"max_fee_per_gas": 10, "max_priority_fee_per_gas": 1}
    if kind == 3:
        values |= {"max_fee_per_blob_gas": 1, "blob_versioned_hashes": (BLOB_HASH,)}
    if kind == 4:
        values["authorization_list"] = (Authorization(1, TARGET, 0, 0, 1, 1),)
    return Transaction(type=kind, **(values | fields))


# ---- why a transaction is refused

REFUSED: list[tuple[str, Fork, Transaction, dict[bytes, Account], TransactionReason]] = [
    ("type 1 before Berlin", Fork.ISTANBUL, typed(1), {}, R.TYPE_NOT_SUPPORTED),
    ("type 2 before London", Fork.BERLIN, typed(2), {}, R.TYPE_NOT_SUPPORTED),
    ("type 3 before Cancun", Fork.SHANGHAI, typed(3), {}, R.TYPE_NOT_SUPPORTED),
    ("type 4 before Prague", Fork.CANCUN, typed(4), {}, R.TYPE_NOT_SUPPORTED),
    ("chain id of another chain", Fork.LONDON, typed(2, chain_id=5), {}, R.INVALID_CHAINID),
    ("EIP-155 before Spurious Dragon", Fork.HOMESTEAD, legacy(chain_id=1), {}, R.INVALID_CHAINID),
    ("nonce too low", Fork.FRONTIER, legacy(), {SENDER: Account(1, ETHER)}, R.NONCE_MISMATCH_TOO_LOW),
    ("nonce too high", Fork.OSAKA, legacy(nonce=1), {}, R.NONCE_MISMATCH_TOO_HIGH),
    ("nonce at its maximum", Fork.BERLIN, legacy(nonce=2**64 - 1), {SENDER: Account(2**64 - 1, ETHER)}, R.NONCE_IS_MAX),
    ("sender with code", Fork.LONDON, legacy(), {SENDER: Account(0, ETHER, b"\x00")}, R.SENDER_NOT_EOA),
    ("no balance", Fork.FRONTIER, legacy(), {SENDER: Account()}, R.INSUFFICIENT_ACCOUNT_FUNDS),
    (
        "one wei less than gas and value",
        Fork.BERLIN,
        legacy(value=5),
        {SENDER: Account(0, 1_000_004)},
        R.INSUFFICIENT_ACCOUNT_FUNDS,
    ),
    (
        "the maximum fee counts, not the effective one",
        Fork.LONDON,
        typed(2, max_fee_per_gas=100),
        {SENDER: Account(0, 9_999_999)},
        R.INSUFFICIENT_ACCOUNT_FUNDS,
    ),
    (
        "a price times gas beyond 256 bits",
        Fork.BERLIN,
        legacy(gas_price=2**250),
        {SENDER: Account(0, 2**256 - 1)},
        R.INSUFFICIENT_ACCOUNT_FUNDS,
    ),
    ("less gas than intrinsic", Fork.FRONTIER, legacy(gas_limit=20_999), {}, R.INTRINSIC_GAS_TOO_LOW),
    ("creation costs more", Fork.HOMESTEAD, legacy(to=None, gas_limit=52_999), {}, R.INTRINSIC_GAS_TOO_LOW),
    (
        "less gas than the floor",
        Fork.PRAGUE,
        legacy(data=b"\xff" * 100, gas_limit=24_999),
        {},
        R.INTRINSIC_GAS_BELOW_FLOOR_GAS_COST,
    ),
    ("above 2**24 gas", Fork.OSAKA, legacy(gas_limit=2**24 + 1), {}, R.GAS_LIMIT_EXCEEDS_MAXIMUM),
    ("more gas than the block has", Fork.PRAGUE, legacy(gas_limit=30_000_001), {}, R.GAS_ALLOWANCE_EXCEEDED),
    ("price below the base fee", Fork.LONDON, legacy(gas_price=6), {}, R.INSUFFICIENT_MAX_FEE_PER_GAS),
    (
        "maximum fee below the base fee",
        Fork.LONDON,
        typed(2, max_fee_per_gas=6),
        {},
        R.INSUFFICIENT_MAX_FEE_PER_GAS,
    ),
    (
        "tip above the maximum fee",
        Fork.LONDON,
        typed(2, max_priority_fee_per_gas=11),
        {},
        R.PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS,
    ),
    (
        "init code too large",
        Fork.SHANGHAI,
        legacy(to=None, data=bytes(49_153), gas_limit=10_000_000),
        {},
        R.INITCODE_SIZE_EXCEEDED,
    ),
    ("blobs create nothing", Fork.CANCUN, typed(3, to=None), {}, R.TYPE_3_TX_CONTRACT_CREATION),
    ("no blobs", Fork.CANCUN, typed(3, blob_versioned_hashes=()), {}, R.TYPE_3_TX_ZERO_BLOBS),
    (
        "a blob hash of another version",
        Fork.CANCUN,
        typed(3, blob_versioned_hashes=(BLOB_HASH, bytes(32))),
        {},
        R.TYPE_3_TX_INVALID_BLOB_VERSIONED_HASH,
    ),
    (
        "more blobs than the block takes",
        Fork.CANCUN,
        typed(3, blob_versioned_hashes=(BLOB_HASH,) * 7),
        {},
        R.TYPE_3_TX_MAX_BLOB_GAS_ALLOWANCE_EXCEEDED,
    ),
    (
        "more than six blobs in one transaction",
        Fork.OSAKA,
        typed(3, blob_versioned_hashes=(BLOB_HASH,) * 7),
        {},
        R.TYPE_3_TX_BLOB_COUNT_EXCEEDED,
    ),
    (
        "blob fee below the block's",
        Fork.CANCUN,
        typed(3, max_fee_per_blob_gas=0),
        {},
        R.INSUFFICIENT_MAX_FEE_PER_BLOB_GAS,
    ),
    ("set code creates nothing", Fork.PRAGUE, typed(4, to=None), {}, R.TYPE_4_TX_CONTRACT_CREATION),
    (
        "no authorisations",
        Fork.PRAGUE,
        typed(4, authorization_list=()),
        {},
        R.TYPE_4_EMPTY_AUTHORIZATION_LIST,
    ),
]


@pytest.mark.parametrize(("fork", "tx", "alloc", "reason"), [case[1:] for case in REFUSED], ids=[c[0] for c in REFUSED])
def test_refused(fork: Fork, tx: Transaction, alloc: dict[bytes, Account], reason: TransactionReason) -> None:
    with pytest.raises(InvalidBlock) as error:
        run(tx, fork, alloc)
    assert error.value.reason is reason
    assert isinstance(error.value.__cause__, InvalidTransaction)
    assert error.value.__cause__.index == 0
    assert "transaction 0" in str(error.value)


def test_the_second_transaction_is_named_and_the_state_stays() -> None:
    state = MemoryState({SENDER: Account(balance=ETHER)})
    before = MemoryState({SENDER: Account(balance=ETHER)})
    block = Block(Header(number=1, difficulty=1000, timestamp=5), (legacy(), legacy()))
    with pytest.raises(InvalidBlock, match="transaction 1: NONCE_MISMATCH_TOO_LOW"):
        execute_block(block, state, "istanbul", validate=False, commit=True)
    assert state == before


def test_an_unsigned_transaction_without_a_sender_is_refused() -> None:
    with pytest.raises((InvalidBlock, InputError)):
        run(replace(legacy(), sender=None), Fork.BERLIN)
    with pytest.raises(InputError, match="no sender"):
        PreparedTransaction(replace(legacy(), sender=None))
    with pytest.raises(InputError, match="sender: expected 20 bytes"):
        PreparedTransaction(legacy(), b"\x01")


def test_what_is_no_whole_transaction_is_not_prepared() -> None:
    with pytest.raises(InputError, match="expected Transaction, got SimpleNamespace"):
        PreparedTransaction(SimpleNamespace(sender=SENDER), SENDER)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="made without its fields"):
        PreparedTransaction(object.__new__(Transaction), SENDER)


def test_just_enough_is_enough() -> None:
    result, _ = run(legacy(value=5), Fork.BERLIN, {SENDER: Account(0, 1_000_005)})
    assert result.receipts[0].status == 1
    run(legacy(gas_limit=2**24), Fork.OSAKA)
    run(legacy(to=None, data=bytes(49_152), gas_limit=10_000_000), Fork.SHANGHAI)
    run(legacy(gas_price=0), Fork.BERLIN, {SENDER: Account()})


# ---- intrinsic gas

ACCESS = ((TARGET, (0, 1)), (SENDER, ()))


@pytest.mark.parametrize(
    ("tx", "fork", "expected"),
    [
        (legacy(), Fork.FRONTIER, (21_000, 0)),
        (legacy(data=b"\x00\x01"), Fork.FRONTIER, (21_072, 0)),
        (legacy(data=b"\x00\x01"), Fork.ISTANBUL, (21_020, 0)),  # EIP-2028
        (legacy(to=None), Fork.FRONTIER, (21_000, 0)),
        (legacy(to=None), Fork.HOMESTEAD, (53_000, 0)),  # EIP-2
        (legacy(to=None, data=bytes(33)), Fork.SHANGHAI, (53_000 + 132 + 4, 0)),  # EIP-3860
        (typed(1, access_list=ACCESS), Fork.BERLIN, (21_000 + 2 * 2400 + 2 * 1900, 0)),  # EIP-2930
        (legacy(data=b"\x00\x01"), Fork.PRAGUE, (21_020, 21_050)),  # EIP-7623
        (typed(4), Fork.PRAGUE, (21_000 + 25_000, 21_000)),  # EIP-7702
    ],
)
def test_intrinsic_gas_of(tx: Transaction, fork: Fork, expected: tuple[int, int]) -> None:
    assert intrinsic_gas_of(tx, fork.revision) == expected


# ---- fees


def test_before_london_the_beneficiary_gets_the_whole_price() -> None:
    result, state = run(legacy(value=3), Fork.BERLIN)
    assert result.gas_used == 21_000
    assert state.balance(COINBASE) == 210_000
    assert state.balance(TARGET) == 3
    assert state.balance(SENDER) == ETHER - 210_003
    assert state.nonce(SENDER) == 1


@pytest.mark.parametrize(
    ("tx", "price"),
    [(legacy(), 10), (typed(1), 10), (typed(2), 8), (typed(2, max_priority_fee_per_gas=9), 10)],
)
def test_from_london_on_the_base_fee_is_burnt(tx: Transaction, price: int) -> None:
    result, state = run(tx, Fork.LONDON)
    assert result.receipts[0].effective_gas_price == price
    assert state.balance(COINBASE) == 21_000 * (price - 7)
    assert ETHER - state.balance(SENDER) == result.gas_used * price


def test_blob_fees_are_burnt_at_the_blocks_price() -> None:
    # An excess at which a blob gas costs 2 wei: e ** 0.7 is a little above 2.
    excess = CANCUN_BLOBS.base_fee_update_fraction * 7 // 10
    tx = typed(3, max_fee_per_blob_gas=9, blob_versioned_hashes=(BLOB_HASH,) * 2)
    result, state = run(tx, Fork.CANCUN, excess_blob_gas=excess)
    assert result.blob_gas_used == 2 * GAS_PER_BLOB
    assert ETHER - state.balance(SENDER) == 21_000 * 8 + 2 * GAS_PER_BLOB * 2
    assert state.balance(COINBASE) == 21_000


def test_a_beneficiary_without_fee_exists_only_before_spurious_dragon() -> None:
    _, frontier = run(legacy(gas_price=0), Fork.FRONTIER)
    assert COINBASE in frontier
    _, spurious = run(legacy(gas_price=0), Fork.SPURIOUS_DRAGON)
    assert COINBASE not in spurious


def test_an_empty_beneficiary_is_cleared_from_spurious_dragon_on() -> None:
    _, state = run(legacy(gas_price=0), Fork.SPURIOUS_DRAGON, {COINBASE: Account()})
    assert COINBASE not in state


# ---- refunds

CLEAR_SLOTS = bytes.fromhex("".join(f"600060{slot:02x}55" for slot in range(8)))  # SSTORE(slot, 0) for slots 0 to 7
FULL = {TARGET: Account(nonce=1, code=CLEAR_SLOTS, storage=dict.fromkeys(range(8), 1))}


def test_refunds_are_at_most_half_of_the_gas_then_a_fifth() -> None:
    berlin, _ = run(legacy(gas_limit=1_000_000), Fork.BERLIN, FULL)
    outcome = berlin.transactions[0]
    assert outcome.gas_refund == outcome.gas_spent // 2  # 8 * 15,000 would be more
    london, _ = run(legacy(gas_limit=1_000_000), Fork.LONDON, FULL)
    outcome = london.transactions[0]
    assert outcome.gas_refund == outcome.gas_spent // 5  # EIP-3529: 8 * 4,800 would be more
    assert outcome.gas_used == outcome.gas_spent - outcome.gas_refund


def test_a_failed_transaction_gets_no_refund_and_keeps_its_nonce_and_fee() -> None:
    code = CLEAR_SLOTS + b"\xfe"
    alloc = {TARGET: Account(nonce=1, code=code, storage=dict.fromkeys(range(8), 1))}
    result, state = run(legacy(value=5), Fork.BERLIN, alloc)
    assert result.receipts[0].status == 0
    assert result.gas_used == 100_000
    assert state.storage(TARGET, 0) == 1
    assert (state.nonce(SENDER), state.balance(SENDER)) == (1, ETHER - 1_000_000)


def test_the_calldata_floor_takes_back_refunds() -> None:
    """EIP-7623: 1,000 bytes that are not zero cost at least 21,000 + 40,000 gas."""
    result, _ = run(legacy(gas_limit=100_000, data=b"\x01" * 1000), Fork.PRAGUE)
    assert result.gas_used == 61_000
    assert result.transactions[0].gas_spent == 37_000


# ---- creations


def test_a_creation_tells_its_address_when_it_succeeds() -> None:
    result, state = run(legacy(to=None, data=bytes.fromhex("60016000526001601ff3")), Fork.SHANGHAI)
    receipt = result.receipts[0]
    assert receipt.contract_address is not None
    assert state.code(receipt.contract_address) == b"\x01"
    failed, _ = run(legacy(to=None, data=b"\xfe"), Fork.SHANGHAI)
    assert failed.receipts[0].contract_address is None
    assert failed.gas_used == 100_000


def test_code_that_cannot_be_paid_for_is_empty_before_homestead_and_a_failure_after() -> None:
    """EIP-2. The init code returns 1,000 bytes, 200,000 gas to store."""
    data = bytes.fromhex("6103e86000f3")
    frontier, state = run(legacy(to=None, data=data), Fork.FRONTIER)
    created = frontier.receipts[0].contract_address
    assert created is not None and state.code(created) == b"" and created in state
    homestead, _ = run(legacy(to=None, data=data), Fork.HOMESTEAD)
    assert homestead.receipts[0].contract_address is None
    assert homestead.gas_used == 100_000


# ---- EIP-7702

AUTHORITY_KEY = 0x0101010101010101010101010101010101010101010101010101010101010101
DELEGATE = bytes.fromhex("2000000000000000000000000000000000000002")
RETURN_SELF = bytes.fromhex("3060005500")  # SSTORE(0, ADDRESS)


def authorize(**fields: Any) -> tuple[Authorization, bytes]:
    values: dict[str, Any] = {"chain_id": 1, "address": DELEGATE, "nonce": 0}
    signed = Authorization(**(values | fields)).sign(AUTHORITY_KEY)
    authority = signed.recover_authority()
    assert authority is not None
    return signed, authority


def test_an_authorisation_sets_code_and_nonce_and_the_new_code_runs() -> None:
    signed, authority = authorize()
    alloc = {DELEGATE: Account(nonce=1, code=RETURN_SELF)}
    result, state = run(typed(4, to=authority, authorization_list=(signed,)), Fork.PRAGUE, alloc)
    assert result.receipts[0].status == 1
    assert state.code(authority) == b"\xef\x01\x00" + DELEGATE
    assert state.nonce(authority) == 1
    assert state.storage(authority, 0) == int.from_bytes(authority, "big")
    assert result.transactions[0].gas_refund == 0  # the authority did not exist


def test_an_authority_that_exists_gives_gas_back() -> None:
    signed, authority = authorize()
    result, _ = run(typed(4, authorization_list=(signed,)), Fork.PRAGUE, {authority: Account(balance=1)})
    assert result.transactions[0].gas_spent == 46_000
    assert result.transactions[0].gas_refund == 9_200  # 12,500 capped to a fifth


@pytest.mark.parametrize(
    ("fields", "account"),
    [
        ({"chain_id": 2}, None),
        ({"nonce": 1}, None),
        ({"nonce": 2**64 - 1}, Account(nonce=2**64 - 1)),
        ({}, Account(nonce=1)),
        ({}, Account(code=b"\x00")),
    ],
    ids=["other chain", "nonce too high", "nonce at its maximum", "nonce too low", "authority with code"],
)
def test_an_authorisation_that_does_not_hold_is_passed_over(fields: dict[str, Any], account: Account | None) -> None:
    signed, authority = authorize(**fields)
    alloc = {} if account is None else {authority: account}
    result, state = run(typed(4, authorization_list=(signed,)), Fork.PRAGUE, alloc)
    assert result.receipts[0].status == 1
    assert state.code(authority) == (b"" if account is None else account.code)


def test_any_chain_and_clearing() -> None:
    set_code, authority = authorize(chain_id=0)
    clear, _ = authorize(chain_id=0, address=bytes(20), nonce=1)
    _, state = run(typed(4, authorization_list=(set_code,)), Fork.PRAGUE)
    assert state.code(authority) == b"\xef\x01\x00" + DELEGATE
    _, state = run(typed(4, gas_limit=200_000, authorization_list=(set_code, clear)), Fork.PRAGUE)
    assert state.code(authority) == b""
    assert state.nonce(authority) == 2


def test_authorisations_outlive_a_revert() -> None:
    signed, authority = authorize()
    alloc = {TARGET: Account(nonce=1, code=bytes.fromhex("60006000fd"))}
    result, state = run(typed(4, authorization_list=(signed,)), Fork.PRAGUE, alloc)
    assert result.receipts[0].status == 0
    assert state.code(authority) == b"\xef\x01\x00" + DELEGATE


def test_a_delegated_sender_is_still_a_sender() -> None:
    """EIP-3607 as EIP-7702 changes it."""
    designator = b"\xef\x01\x00" + DELEGATE
    result, _ = run(legacy(), Fork.PRAGUE, {SENDER: Account(0, ETHER, designator)})
    assert result.receipts[0].status == 1


def test_a_bad_signature_in_an_authorisation_is_no_error() -> None:
    result, _ = run(
        typed(4, authorization_list=(Authorization(1, DELEGATE, 0, 1, 2**256 - 1, 2**256 - 1),)), Fork.PRAGUE
    )
    assert result.receipts[0].status == 1


# ---- warmth

BALANCE_OF_COINBASE = bytes.fromhex("413100")  # COINBASE BALANCE STOP


def test_the_beneficiary_is_warm_from_shanghai_on() -> None:
    alloc = {TARGET: Account(nonce=1, code=BALANCE_OF_COINBASE)}
    paris, _ = run(legacy(), Fork.PARIS, alloc)
    shanghai, _ = run(legacy(), Fork.SHANGHAI, alloc)
    assert (paris.gas_used, shanghai.gas_used) == (21_000 + 2 + 2600, 21_000 + 2 + 100)


def test_an_access_list_warms_accounts_and_slots() -> None:
    alloc = {TARGET: Account(nonce=1, code=bytes.fromhex("60015400"))}  # SLOAD(1)
    cold, _ = run(typed(1), Fork.BERLIN, alloc)
    warm, _ = run(typed(1, access_list=((TARGET, (1,)),)), Fork.BERLIN, alloc)
    assert cold.gas_used == 21_000 + 3 + 2100
    assert warm.gas_used == 21_000 + 2400 + 1900 + 3 + 100
