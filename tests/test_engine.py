"""What the facade promises about calls, transactions and deployments."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from evmcore import (
    EVM,
    Account,
    Authorization,
    BlockEnv,
    Call,
    ChainConfig,
    ExecutionAborted,
    Fork,
    InvalidTransaction,
    MemoryState,
    State,
    StateError,
    Status,
    Transaction,
    TransactionReason,
)
from evmcore._hash import keccak256
from evmcore.errors import InputError
from evmcore.tracing import AccessListTracer
from tests.assembly import assemble, deploying, returning

CONTRACT = bytes(19) + b"\xaa"
OTHER = bytes(19) + b"\xbb"
KEY = 1
SENDER = bytes.fromhex("7e5f4552091a69125d5dfcb7b8c2659029395bdf")  # of the private key 1
COINBASE = bytes(19) + b"\xcc"
ETHER = 10**18


def evm_with(code: bytes = b"", fork: str = "osaka", block: BlockEnv | None = None, **accounts: Account) -> EVM:
    state = MemoryState({CONTRACT: Account(code=code), SENDER: Account(balance=ETHER)})
    for name, account in accounts.items():
        state.set_account({"other": OTHER}[name], account)
    return EVM(state, fork, block)


def word(data: bytes, index: int = 0) -> int:
    return int.from_bytes(data[32 * index : 32 * index + 32], "big")


# ---- calls


def test_a_call_gives_output_and_gas_and_leaves_the_state_alone() -> None:
    evm = evm_with(assemble("1 0 SSTORE 42 0 MSTORE 32 0 RETURN"))
    before = evm.state.dump()
    result = evm.call(CONTRACT, sender=SENDER, value=5)
    assert (result.success, result.status, result.error) == (True, Status.SUCCESS, None)
    assert word(result.output) == 42
    assert evm.state.dump() == before


def test_gas_used_of_a_call_includes_the_intrinsic_gas_and_that_of_a_message_does_not() -> None:
    evm = evm_with(assemble("1 POP"), "cancun")
    data = b"\x00\x01"
    assert evm.call(CONTRACT, data).gas_used == 21_000 + 4 + 16 + 3 + 2
    assert evm.message(CONTRACT, data).gas_used == 3 + 2


def test_the_calldata_floor_counts_from_prague_on() -> None:
    data = b"\x01" * 100
    assert evm_with(fork="cancun").call(CONTRACT, data).gas_used == 21_000 + 16 * 100
    assert evm_with(fork="prague").call(CONTRACT, data).gas_used == 21_000 + 40 * 100


def test_a_call_without_enough_gas_for_a_transaction_is_no_call() -> None:
    with pytest.raises(InvalidTransaction) as caught:
        evm_with().call(CONTRACT, gas=20_999)
    assert caught.value.reason is TransactionReason.INTRINSIC_GAS_TOO_LOW
    assert evm_with().message(CONTRACT, gas=0).success


def test_a_call_needs_no_balance_nonce_or_externally_owned_sender() -> None:
    evm = evm_with(returning("CALLVALUE", "CALLER", "ORIGIN", "GASPRICE", "SELFBALANCE"))
    result = evm.call(CONTRACT, sender=CONTRACT, value=7 * ETHER, gas_price=3)
    assert [word(result.output, i) for i in range(4)] == [7 * ETHER, 0xAA, 0xAA, 3]
    result = evm.call(CONTRACT, sender=OTHER, value=7 * ETHER)
    assert word(result.output, 4) == 7 * ETHER


def test_refunds_are_subtracted_from_the_gas_used_of_a_call() -> None:
    evm = evm_with(assemble("0 0 SSTORE"))
    evm.state.set_account(CONTRACT, Account(code=assemble("0 0 SSTORE"), storage={0: 1}))
    result = evm.call(CONTRACT)
    # PUSH1, PUSH1, SSTORE of a cold slot to zero (EIP-2929, EIP-3529)
    spent = 21_000 + 6 + 2_100 + 2_900
    assert result.gas_refund == 4_800
    assert result.gas_used == spent - 4_800
    message = evm.message(CONTRACT)
    assert (message.gas_used, message.gas_refund) == (spent - 21_000, 4_800)


def test_logs_come_in_order_and_only_from_what_succeeded() -> None:
    emit = assemble("0xbeef 0 MSTORE 2 1 2 30 LOG2 0 0 LOG0")
    result = evm_with(emit).call(CONTRACT)
    first, second = result.logs
    assert first.address == CONTRACT
    assert [int.from_bytes(topic, "big") for topic in first.topics] == [1, 2]
    assert first.data == b"\xbe\xef"
    assert (second.topics, second.data) == ((), b"")
    assert evm_with(emit + assemble("0 0 REVERT")).call(CONTRACT).logs == ()


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("INVALID", "INVALID_OPCODE"),
        ("ADD", "STACK_UNDERFLOW"),
        ("again: 0 @again JUMP", "STACK_OVERFLOW"),
        ("7 JUMP", "INVALID_JUMP"),
        ("0xffffffff MLOAD", "OUT_OF_GAS"),
        ("1 0 0 RETURNDATACOPY", "RETURN_DATA_OUT_OF_BOUNDS"),
    ],
)
def test_an_exceptional_halt_is_a_result_that_takes_all_gas(code: str, error: str) -> None:
    result = evm_with(assemble(code)).call(CONTRACT, gas=100_000)
    assert (result.success, result.error, result.gas_used, result.output) == (False, error, 100_000, b"")
    assert result.revert_reason is None


@pytest.mark.parametrize("switch_dispatch", [False, True])
@pytest.mark.parametrize("size", [2**37, 2**41, 2**64, 2**255])
def test_memory_that_no_gas_can_pay_is_out_of_gas_however_large_it_is(size: int, switch_dispatch: bool) -> None:
    """Of 2**37 bytes, 2**32 words, the square of the words no longer fits 64 bits; they cost more than 2**55 gas."""
    state = MemoryState({CONTRACT: Account(code=assemble(f"{size - 32:#x} MLOAD"))})
    evm = EVM(state, switch_dispatch=switch_dispatch)
    gas = 2**54 if size == 2**37 else 2**63 - 1
    assert evm.message(CONTRACT, gas=gas).error == "OUT_OF_GAS"


@pytest.mark.parametrize("left", [2**59, 2**60, 2**63 - 2**59])
def test_hashing_costs_the_same_however_much_gas_there_is(left: int) -> None:
    """`left`: gas after the fixed price of the instruction, of which 32 times as much is a multiple of 2**64."""
    result = evm_with(assemble("64 0 KECCAK256")).message(CONTRACT, gas=left + 36)
    assert (result.success, result.gas_used) == (True, 36 + 2 * 6 + 2 * 3)


def test_a_static_message_forbids_state_changes() -> None:
    evm = evm_with(assemble("1 0 SSTORE"))
    assert evm.message(CONTRACT, is_static=True).error == "WRITE_PROTECTION"
    assert evm.message(CONTRACT).success


def revert_with(data: bytes) -> bytes:
    """A program that reverts with `data`: it is the end of its own code."""
    head = b"\x61" + len(data).to_bytes(2, "big") + bytes.fromhex("600e600039")
    return head + b"\x61" + len(data).to_bytes(2, "big") + bytes.fromhex("6000fd") + data


def test_revert_reasons_are_decoded() -> None:
    text = "not enough allowance"
    error = (
        bytes.fromhex("08c379a0")
        + (32).to_bytes(32, "big")
        + len(text).to_bytes(32, "big")
        + text.encode().ljust(32, b"\x00")
    )
    panic = bytes.fromhex("4e487b71") + (0x11).to_bytes(32, "big")
    custom = bytes.fromhex("deadbeef01")
    cut = error[:-40]
    reasons = {}
    for data in (error, panic, custom, cut, b""):
        result = evm_with(revert_with(data)).call(CONTRACT)
        assert (result.status, result.output) == (Status.REVERT, data)
        reasons[data] = result.revert_reason
        assert reasons[data] is not None and reasons[data].data == data
    assert (reasons[error].kind, str(reasons[error])) == ("error", text)
    assert (reasons[panic].kind, reasons[panic].code) == ("panic", 0x11)
    assert "arithmetic overflow" in reasons[panic].message
    assert (reasons[custom].kind, reasons[custom].message) == ("raw", "0xdeadbeef01")
    assert reasons[cut].kind == "raw"
    assert reasons[b""].kind == "empty"


def test_a_call_to_nobody_runs_init_code() -> None:
    evm = evm_with()
    result = evm.call(None, deploying(b"\x00\x01\x02"), sender=SENDER)
    # keccak(rlp([sender, 0])): the yellow paper, section 7
    assert result.created_address == keccak256(b"\xd6\x94" + SENDER + b"\x80")[12:]
    assert result.output == b"\x00\x01\x02"
    assert evm.state.account(result.created_address) is None
    assert evm.call(CONTRACT).created_address is None
    assert evm.message(None, deploying(b"\x01")).output == b"\x01"


def test_addresses_data_and_numbers_may_be_bytes_ints_or_hex() -> None:
    evm = evm_with(returning("CALLER", "CALLVALUE", "0 CALLDATALOAD"))
    expected = evm.call(CONTRACT, b"\x01\x02", sender=OTHER, value=16, gas=90_000)
    for to in (0xAA, "0x" + CONTRACT.hex(), "0x" + CONTRACT.hex().upper(), bytearray(CONTRACT), memoryview(CONTRACT)):
        for data in ("0x0102", bytearray(b"\x01\x02")):
            got = evm.call(to, data, sender=0xBB, value="0x10", gas="0x15f90")
            assert (got.output, got.gas_used) == (expected.output, expected.gas_used)


# ---- what the code sees


def test_block_opcodes_show_the_block() -> None:
    names = ("NUMBER", "TIMESTAMP", "COINBASE", "GASLIMIT", "BASEFEE", "PREVRANDAO", "CHAINID", "BLOBBASEFEE")
    block = BlockEnv(
        number=11, timestamp=12, coinbase=COINBASE, gas_limit=13_000_000, base_fee=14, prevrandao=b"\x0f" * 32
    )
    block = replace(block, blob_base_fee=17)
    evm = EVM(MemoryState({CONTRACT: Account(code=returning(*names))}), block=block, chain_id=16)
    output = evm.call(CONTRACT).output
    shown = [word(output, i) for i in range(len(names))]
    assert shown == [11, 12, 0xCC, 13_000_000, 14, int.from_bytes(b"\x0f" * 32, "big"), 16, 17]


def test_difficulty_is_shown_before_paris() -> None:
    block = BlockEnv(difficulty=1234, prevrandao=b"\x01" * 32)
    assert word(evm_with(returning("PREVRANDAO"), "london", block).call(CONTRACT).output) == 1234


@pytest.mark.parametrize(
    ("fork", "excess", "fee"),
    # EIP-4844's fake_exponential(1, excess, fraction), worked out with exact fractions
    [("cancun", 0, 1), ("cancun", 3_338_477, 2), ("cancun", 10 * 3_338_477, 22026), ("prague", 10 * 5_007_716, 22026)],
)
def test_the_blob_base_fee_follows_from_the_excess_blob_gas(fork: str, excess: int, fee: int) -> None:
    block = BlockEnv(excess_blob_gas=excess)
    assert word(evm_with(returning("BLOBBASEFEE"), fork, block).call(CONTRACT).output) == fee


def test_block_hashes_come_from_the_block_environment_then_from_the_state() -> None:
    block = BlockEnv(number=300, block_hashes={299: b"\x01" * 32, 44: b"\x02" * 32, 43: b"\x03" * 32})
    code = returning("299 BLOCKHASH", "44 BLOCKHASH", "43 BLOCKHASH", "298 BLOCKHASH", "300 BLOCKHASH")
    evm = evm_with(code, block=block)
    evm.state.set_block_hash(298, b"\x04" * 32)
    output = evm.call(CONTRACT).output
    assert [output[32 * i] for i in range(5)] == [1, 2, 0, 4, 0]


def test_the_block_of_a_call_can_be_replaced() -> None:
    evm = evm_with(returning("NUMBER", "BASEFEE"), block=BlockEnv(number=1, base_fee=2))
    output = evm.call(CONTRACT, block={"number": 9}).output
    assert (word(output), word(output, 1)) == (9, 2)
    assert word(evm.call(CONTRACT, block=BlockEnv(number=8)).output) == 8
    assert word(evm.with_block({"number": 7}).call(CONTRACT).output) == 7
    assert word(evm.call(CONTRACT).output) == 1


def test_blob_hashes_and_access_list_are_seen() -> None:
    hashes = [b"\x01" + bytes(31), b"\x01" + b"\x07" * 31]
    output = evm_with(returning("0 BLOBHASH", "1 BLOBHASH", "2 BLOBHASH")).call(CONTRACT, blob_hashes=hashes).output
    assert [output[:32], output[32:64], word(output, 2)] == [*hashes, 0]
    evm = evm_with(assemble("5 SLOAD"))
    cold, warm = evm.call(CONTRACT), evm.call(CONTRACT, access_list=[(CONTRACT, [5])])
    # EIP-2930: 2,400 for the address, 1,900 for the slot, which is then 100 instead of 2,100
    assert warm.gas_used - cold.gas_used == 2_400 + 1_900 - 2_000


def test_an_authorization_gives_an_account_code_for_the_call() -> None:
    evm = evm_with(returning("ADDRESS"))
    permission = Authorization(chain_id=1, address=CONTRACT, nonce=0).sign(KEY)
    result = evm.call(SENDER, authorization_list=[permission], sender=OTHER)
    assert word(result.output) == int.from_bytes(SENDER, "big")
    assert evm.call(SENDER, sender=OTHER).output == b""


def test_a_call_has_blob_hashes_or_authorizations() -> None:
    authorization = Authorization(chain_id=1, address=OTHER, nonce=0).sign(KEY)
    with pytest.raises(InputError, match="'blob_hashes' and 'authorization_list': no transaction has both"):
        evm_with().call(CONTRACT, blob_hashes=[b"\x01" + bytes(31)], authorization_list=[authorization])


def test_forks_differ_in_what_they_know() -> None:
    code = assemble("PUSH0 POP")
    assert evm_with(code, "paris").call(CONTRACT).error == "INVALID_OPCODE"
    assert evm_with(code, "Shanghai").call(CONTRACT).success


def test_a_chain_chooses_the_fork_by_block() -> None:
    state = MemoryState()
    assert EVM(state, "mainnet", BlockEnv(number=12_964_999)).fork is Fork.BERLIN
    assert EVM(state, "mainnet", BlockEnv(number=12_965_000)).fork is Fork.LONDON
    assert EVM(state, ChainConfig.of_fork(Fork.CANCUN, chain_id=77)).chain_id == 77


# ---- overrides


def test_overrides_change_what_a_call_sees_and_nothing_else() -> None:
    code = returning(f"{0xBB} BALANCE", "0 SLOAD", "1 SLOAD")
    evm = evm_with()
    evm.state.set_account(CONTRACT, Account(code=code, storage={0: 10, 1: 11}))
    before = evm.state.dump()

    def seen(overrides: dict[Any, Any]) -> list[int]:
        output = evm.call(CONTRACT, overrides=overrides).output
        return [word(output, i) for i in range(3)]

    assert seen({}) == [0, 10, 11]
    assert seen({OTHER: {"balance": 5}}) == [5, 10, 11]
    assert seen({CONTRACT: {"stateDiff": {1: 99}}}) == [0, 10, 99]
    assert seen({CONTRACT: {"state": {"0x1": "0x63"}}}) == [0, 0, 99]
    assert seen({"0x" + CONTRACT.hex(): {"stateDiff": {bytes(32): b"\x00" * 31 + b"\x07"}}}) == [0, 7, 11]
    assert seen({CONTRACT: Account(code=returning("ADDRESS", "0 SLOAD", "1 SLOAD"), storage={1: 3})}) == [0xAA, 0, 3]
    assert evm.state.dump() == before


def test_an_overridden_nonce_decides_the_created_address() -> None:
    evm = evm_with()
    address = evm.call(None, b"", sender=SENDER, overrides={SENDER: {"nonce": 5}}).created_address
    assert address == keccak256(b"\xd6\x94" + SENDER + b"\x05")[12:]


def test_code_of_a_message_runs_in_place_of_the_accounts() -> None:
    evm = evm_with(assemble("INVALID"))
    assert word(evm.message(CONTRACT, code=returning("ADDRESS")).output) == 0xAA
    assert word(evm.message(OTHER, code=returning("1 SLOAD"), overrides={OTHER: {"state": {1: 6}}}).output) == 6
    there = Account(balance=5, code=returning("1"))
    assert word(evm.message(OTHER, code=returning("SELFBALANCE"), overrides={OTHER: there}).output) == 5


# ---- stopping


def test_a_timeout_stops_a_call_and_the_next_one_runs() -> None:
    evm = evm_with(assemble("again: @again JUMP"))
    with pytest.raises(ExecutionAborted, match="timeout"):
        evm.call(CONTRACT, gas=2**62, timeout=0.02)
    with pytest.raises(ExecutionAborted):
        evm.call_many([(CONTRACT, b"", None, 0, 2**62)] * 3, threads=2, timeout=0.02)
    assert evm.call(CONTRACT, gas=100_000, timeout=10).error == "OUT_OF_GAS"


# ---- transactions


def test_a_transaction_pays_its_gas_and_is_applied() -> None:
    evm = evm_with(assemble("7 1 SSTORE"), block=BlockEnv(coinbase=COINBASE, base_fee=10))
    tx = Transaction(
        chain_id=1, nonce=0, max_fee_per_gas=50, max_priority_fee_per_gas=3, gas_limit=100_000, to=CONTRACT, value=9
    ).sign(KEY)
    result = evm.transact(tx)
    assert result.success and result.gas_used == 21_000 + 6 + 22_100
    assert evm.state.storage(CONTRACT, 1) == 7
    assert evm.state.balance(CONTRACT) == 9
    assert evm.state.nonce(SENDER) == 1
    assert evm.state.balance(SENDER) == ETHER - 9 - 13 * result.gas_used
    assert evm.state.balance(COINBASE) == 3 * result.gas_used
    with pytest.raises(InvalidTransaction) as caught:
        evm.transact(tx.encode())
    assert caught.value.reason is TransactionReason.NONCE_MISMATCH_TOO_LOW


def test_the_diff_of_a_transaction_undoes_it() -> None:
    evm = evm_with(assemble("7 1 SSTORE"))
    before = evm.state.dump()
    result = evm.transact(Transaction(sender=SENDER, to=CONTRACT, gas_limit=100_000, value=1))
    assert evm.state.dump() != before
    evm.state.undo(result.diff)
    assert evm.state.dump() == before


def test_a_reverted_transaction_pays_but_changes_nothing_else() -> None:
    evm = evm_with(assemble("7 1 SSTORE 0 0 REVERT"))
    result = evm.transact(Transaction(sender=SENDER, to=CONTRACT, gas_limit=100_000, gas_price=2, value=1))
    assert (result.status, result.logs) == (Status.REVERT, ())
    assert evm.state.storage(CONTRACT, 1) == 0
    assert evm.state.balance(SENDER) == ETHER - 2 * result.gas_used


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"nonce": 1}, "NONCE_MISMATCH_TOO_HIGH"),
        ({"nonce": 2**64 - 1}, "NONCE_IS_MAX"),
        ({"gas_limit": 20_999}, "INTRINSIC_GAS_TOO_LOW"),
        ({"gas_limit": 21_100, "data": b"\x01" * 5}, "INTRINSIC_GAS_BELOW_FLOOR_GAS_COST"),
        ({"gas_limit": 2**24 + 1}, "GAS_LIMIT_EXCEEDS_MAXIMUM"),
        ({"gas_limit": 11_000_000}, "GAS_ALLOWANCE_EXCEEDED"),
        ({"value": 2 * ETHER}, "INSUFFICIENT_ACCOUNT_FUNDS"),
        ({"gas_price": 6}, "INSUFFICIENT_MAX_FEE_PER_GAS"),
        ({"chain_id": 5}, "INVALID_CHAINID"),
        ({"sender": CONTRACT}, "SENDER_NOT_EOA"),
        (
            {"gas_price": None, "max_fee_per_gas": 8, "max_priority_fee_per_gas": 9},
            "PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS",
        ),
        ({"to": None, "data": b"\x00" * 49_153, "gas_limit": 5_000_000}, "INITCODE_SIZE_EXCEEDED"),
        ({"type": 3, "gas_price": None, "max_fee_per_gas": 8}, "TYPE_3_TX_ZERO_BLOBS"),
        ({"type": 4, "gas_price": None, "max_fee_per_gas": 8}, "TYPE_4_EMPTY_AUTHORIZATION_LIST"),
    ],
)
def test_an_invalid_transaction_names_its_reason_and_leaves_the_state_alone(
    fields: dict[str, Any], reason: str
) -> None:
    evm = evm_with(block=BlockEnv(base_fee=7, gas_limit=10_000_000))
    evm.state.set_account(CONTRACT, Account(balance=ETHER, code=b"\x00"))
    before = evm.state.dump()
    base = {"sender": SENDER, "to": CONTRACT, "gas_price": 8, "gas_limit": 50_000}
    with pytest.raises(InvalidTransaction) as caught:
        evm.transact(Transaction(**{**base, **fields}))
    assert caught.value.reason.name == reason
    assert evm.state.dump() == before


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"nonce": 5}, "with nonce 5, expected 0"),
        ({"gas_limit": 20_000}, "with gas limit 20000, at least 21000"),
        ({"gas_limit": 22_000, "data": b"\x01" * 100}, "with gas limit 22000, at least 25000"),
        ({"gas_limit": 25_000, "data": b"\x01" * 120}, "with gas limit 25000, at least 25800"),
        ({"gas_limit": 2**24 + 1}, "with gas limit 16777217, at most 16777216"),
        ({"value": 2 * ETHER}, f"cannot pay {2 * ETHER} wei and 50000 gas at up to 8 wei"),
        ({"gas_price": 6}, "with a maximum of 6 and a tip of 6 wei per gas"),
    ],
)
def test_an_invalid_transaction_tells_the_numbers_that_make_it_so(fields: dict[str, Any], said: str) -> None:
    evm = evm_with(fork="osaka", block=BlockEnv(base_fee=7))
    base = {"sender": SENDER, "to": CONTRACT, "gas_price": 8, "gas_limit": 50_000}
    with pytest.raises(InvalidTransaction) as caught:
        evm.transact(Transaction(**{**base, **fields}))
    assert caught.value.detail == f"type 0 from 0x{SENDER.hex()} {said}"


def test_a_call_that_could_not_be_run_tells_the_numbers_too() -> None:
    for call in (evm_with().call, lambda to, gas: evm_with().call_many([{"to": to, "gas": gas}])):
        with pytest.raises(InvalidTransaction, match=r"with gas limit 5, at least 21000$"):
            call(CONTRACT, gas=5)


def test_a_signature_of_somebody_else_is_rejected() -> None:
    evm = evm_with()
    signed = Transaction(chain_id=1, to=CONTRACT, gas_limit=21_000).sign(KEY)
    with pytest.raises(InvalidTransaction, match="INVALID_SIGNATURE_VRS"):
        evm.transact(replace(signed, sender=OTHER))
    assert evm.transact(signed).success


def test_a_type_the_fork_does_not_have_is_rejected() -> None:
    evm = evm_with(fork="berlin")
    with pytest.raises(InvalidTransaction, match="TYPE_NOT_SUPPORTED"):
        evm.transact(Transaction(max_fee_per_gas=0, sender=SENDER, to=CONTRACT, gas_limit=21_000))


# ---- deployments, snapshots


def test_deploy_puts_a_contract_into_the_state() -> None:
    evm = evm_with()
    code = returning("ADDRESS", "SELFBALANCE")
    result = evm.deploy(deploying(code), sender=SENDER, value=4)
    address = result.created_address
    assert address == keccak256(b"\xd6\x94" + SENDER + b"\x80")[12:]
    assert evm.state.account(address) == Account(nonce=1, balance=4, code=code)
    output = evm.call(address).output
    assert (word(output), word(output, 1)) == (int.from_bytes(address, "big"), 4)
    assert evm.state.nonce(SENDER) == 1
    assert evm.deploy(deploying(code), sender=SENDER).created_address != address


def test_a_failed_deployment_makes_no_contract_but_uses_the_nonce() -> None:
    evm = evm_with()
    result = evm.deploy(assemble("0 0 REVERT"), sender=SENDER)
    assert (result.success, result.created_address) == (False, None)
    assert evm.state.nonce(SENDER) == 1
    assert evm.deploy(deploying(b"\xef"), sender=SENDER).error == "INVALID_CODE_PREFIX"
    with pytest.raises(InvalidTransaction, match="INSUFFICIENT_ACCOUNT_FUNDS"):
        evm.deploy(b"", sender=OTHER, value=1)


def test_code_size_limits_can_be_lifted() -> None:
    big = deploying(b"\x00" * 24_577)
    evm = evm_with()
    assert evm.call(None, big).error == "CODE_TOO_LARGE"
    assert EVM(evm.state, unlimited_code_size=True).call(None, big).success


def test_revert_brings_back_the_snapshot() -> None:
    evm = evm_with()
    before = evm.state.dump()
    snapshot = evm.snapshot()
    evm.deploy(deploying(b"\x01"), sender=SENDER)
    evm.revert(snapshot)
    assert evm.state.dump() == before


# ---- batches


def test_a_batch_gives_what_single_calls_give_whatever_the_threads() -> None:
    evm = evm_with(assemble("0 CALLDATALOAD 0 SSTORE CALLVALUE 0 MSTORE 1 32 0 LOG1 32 0 RETURN"))
    calls = [Call(CONTRACT, i.to_bytes(32, "big"), SENDER, i) for i in range(100)]
    expected = [evm.call(c.to, c.data, sender=c.sender, value=c.value) for c in calls]
    for threads in (None, 1, 2, 7):
        got = evm.call_many(calls, threads=threads)
        assert [(r.status, r.output, r.gas_used, r.gas_refund, r.logs) for r in got] == [
            (r.status, r.output, r.gas_used, r.gas_refund, r.logs) for r in expected
        ]


def test_calls_of_a_batch_may_be_tuples_mappings_or_calls() -> None:
    evm = evm_with(returning("CALLVALUE"))
    text = ["0x" + CONTRACT.hex(), "0x", None, "0x3"]
    calls = [(CONTRACT, b"", None, 3), {"to": CONTRACT, "value": 3}, Call(CONTRACT, value=3), text]
    assert [word(r.output) for r in evm.call_many(calls)] == [3, 3, 3, 3]
    assert evm.call_many([]) == []
    created = evm.call_many([{"to": None, "data": deploying(b"\x05"), "sender": SENDER}])[0]
    assert created.created_address == evm.call(None, deploying(b"\x05"), sender=SENDER).created_address
    warm, cold = evm.call_many([{"to": CONTRACT, "access_list": [(CONTRACT, [])]}, {"to": CONTRACT}])
    assert warm.gas_used - cold.gas_used == 2_400


def test_a_batch_names_the_call_that_could_not_be_run() -> None:
    with pytest.raises(InvalidTransaction) as caught:
        evm_with().call_many([(CONTRACT,), {"to": CONTRACT, "gas": 100}, {"to": CONTRACT, "gas": 100}])
    assert (caught.value.index, caught.value.reason.name) == (1, "INTRINSIC_GAS_TOO_LOW")


def test_a_batch_sees_overrides_and_block() -> None:
    evm = evm_with(returning("NUMBER", f"{0xBB} BALANCE"))
    (result,) = evm.call_many([(CONTRACT,)], overrides={OTHER: {"balance": 6}}, block={"number": 3})
    assert (word(result.output), word(result.output, 1)) == (3, 6)


# ---- states written in Python


class OneContract(State):
    """A state of one account that fails when asked for slot 1."""

    def account(self, address: bytes) -> Account | None:
        return Account(code=assemble("0 CALLDATALOAD SLOAD 0 MSTORE 32 0 RETURN")) if address == CONTRACT else None

    def storage(self, address: bytes, slot: int) -> int:
        if slot == 1:
            raise ConnectionError("the disk is gone")
        return slot * 2


def test_a_state_written_in_python_answers_calls() -> None:
    state = OneContract()
    evm = EVM(state)
    assert evm.state is state
    assert word(evm.call(CONTRACT, (21).to_bytes(32, "big")).output) == 42
    got = evm.call_many([(CONTRACT, i.to_bytes(32, "big")) for i in range(2, 20)], threads=3)
    assert [word(r.output) for r in got] == [2 * i for i in range(2, 20)]


def test_a_failing_state_is_an_error_with_its_cause_and_never_a_zero() -> None:
    evm = EVM(OneContract())
    question = (1).to_bytes(32, "big")
    for ask in (
        lambda: evm.call(CONTRACT, question),
        lambda: evm.message(CONTRACT, question),
        lambda: evm.call_many([(CONTRACT,), (CONTRACT, question)]),
    ):
        with pytest.raises(StateError) as caught:
            ask()
        assert isinstance(caught.value.__cause__, ConnectionError)
    assert word(evm.call(CONTRACT, (2).to_bytes(32, "big")).output) == 4


def test_a_state_that_cannot_be_written_refuses_transactions() -> None:
    evm = EVM(OneContract())
    with pytest.raises(StateError):
        evm.deploy(deploying(b"\x00"))
    with pytest.raises(StateError):
        evm.snapshot()


# ---- estimates


@pytest.mark.parametrize(
    "code",
    [
        "STOP",
        "0 0 SSTORE",  # with a refund: needs more than it pays
        "1 1 SSTORE 0 1 SSTORE",
        f"0 0 0 0 1 0x{OTHER.hex()} GAS CALL ISZERO @bad JUMPI STOP bad: INVALID",  # needs what the caller keeps
        "GAS 50000 GT @bad JUMPI STOP bad: 0 0 REVERT",  # needs far more than it uses
    ],
)
def test_estimated_gas_is_the_least_that_succeeds(code: str) -> None:
    evm = evm_with(assemble(code), other=Account(code=assemble("1 5 SSTORE")))
    evm.state.set_account(CONTRACT, Account(code=assemble(code), balance=9, storage={0: 1}))
    gas, result = evm.estimate_gas(CONTRACT, sender=SENDER)
    assert gas is not None and result.success
    assert evm.call(CONTRACT, sender=SENDER, gas=gas).success
    try:
        assert not evm.call(CONTRACT, sender=SENDER, gas=gas - 1).success
    except InvalidTransaction:
        assert gas - 1 < 21_000


def test_a_call_that_always_fails_has_no_estimate() -> None:
    gas, result = evm_with(assemble("0 0 REVERT")).estimate_gas(CONTRACT)
    assert (gas, result.error) == (None, "REVERT")


def test_the_access_list_of_a_call_names_what_it_touches() -> None:
    callee = Account(code=assemble("7 SLOAD 8 SLOAD"))
    code = assemble(f"1 SLOAD 2 3 SSTORE 0x99 BALANCE 0 0 0 0 4 GAS STATICCALL 0 0 0 0 0x{OTHER.hex()} GAS STATICCALL")
    evm = evm_with(code, other=callee)
    access_list, result = evm.create_access_list(CONTRACT, sender=SENDER)
    assert access_list == ((bytes(19) + b"\x99", ()), (CONTRACT, (1, 3)), (OTHER, (7, 8)))
    assert result.gas_used == evm.call(CONTRACT, sender=SENDER, access_list=access_list).gas_used


def test_an_access_list_keeps_what_is_given() -> None:
    evm = evm_with(assemble("1 SLOAD"))
    given = [(OTHER, [9, 8]), (CONTRACT, [5]), (bytes(19) + b"\x04", []), (SENDER, []), (OTHER, [7])]
    access_list, result = evm.create_access_list(CONTRACT, sender=SENDER, access_list=given)
    assert access_list == ((CONTRACT, (1, 5)), (OTHER, (7, 8, 9)))
    assert result.gas_used == evm.call(CONTRACT, sender=SENDER, access_list=access_list).gas_used
    for argument in ({"access_list": 5}, {"tracer": AccessListTracer()}):
        with pytest.raises(InputError, match=f"argument '{next(iter(argument))}': "):
            evm.create_access_list(CONTRACT, **argument)


@pytest.mark.parametrize("override", [{"nonce": 7}, {"nonce": "0x7"}, Account(nonce=7)])
def test_the_access_list_of_a_creation_leaves_out_what_an_overridden_nonce_makes(override: Any) -> None:
    evm = evm_with(b"")
    overrides = {"0x" + SENDER.hex(): override}
    init_code = assemble("ADDRESS BALANCE")
    access_list, result = evm.create_access_list(None, init_code, sender=SENDER, overrides=overrides)
    assert access_list == ()
    assert result.created_address == evm.call(None, init_code, sender=SENDER, overrides=overrides).created_address
    assert evm.create_access_list(None, init_code, sender=SENDER, overrides={OTHER: override}).access_list == ()
    assert evm.create_access_list(None, init_code, sender=SENDER, overrides={SENDER: {"code": "0x"}}).access_list == ()


# ---- corners


def test_overrides_work_on_forks_without_access_lists() -> None:
    evm = evm_with(fork="frontier")
    assert word(evm.call(CONTRACT, overrides={CONTRACT: {"code": returning("42")}}, access_list=[]).output) == 42
    with pytest.raises(InvalidTransaction, match="TYPE_NOT_SUPPORTED"):
        evm.call(CONTRACT, access_list=[(CONTRACT, [])])


def test_an_evm_that_was_never_initialised_fails_its_reads() -> None:
    bare = EVM.__new__(EVM)
    with pytest.raises(StateError):
        bare.call(CONTRACT, gas=100_000)
    with pytest.raises(StateError):
        bare.call_many([{"to": CONTRACT, "gas": 100_000}])


def test_a_state_that_transacts_while_it_is_read_is_an_error_not_a_deadlock() -> None:
    class Greedy(OneContract):
        def storage(self, address: bytes, slot: int) -> int:
            evm.deploy(b"")
            return 0

    evm = EVM(Greedy())
    with pytest.raises(StateError):
        evm.transact(Transaction(sender=SENDER, to=CONTRACT, gas_limit=100_000))
