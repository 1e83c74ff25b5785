"""The pool takes what could be in a block, and the builder makes the block that the chain would accept."""

from __future__ import annotations

from typing import Any

import pytest

from evmcore import Block, Transaction
from evmcore.service.building import next_gas_limit
from evmcore.service.memory_source import MemorySource
from evmcore.service.pool import PoolLimits
from tests.pool_chain import ETHER, GENESIS, GWEI, KEYS, SENDERS, TARGET, send, signed
from tests.service_client import Service


@pytest.fixture
def served() -> Service:
    return Service(MemorySource.from_genesis(GENESIS))


def refusal(served: Service, transaction: Transaction) -> str:
    error = served.error("eth_sendRawTransaction", "0x" + transaction.encode().hex())
    assert error.code == -32000
    return error.message


def build(served: Service, transactions: Any = None, **attributes: Any) -> dict[str, Any]:
    head = served.result("eth_getBlockByNumber", "latest", False)
    wanted = {
        "timestamp": hex(int(head["timestamp"], 16) + 12),
        "prevRandao": "0x" + "11" * 32,
        "suggestedFeeRecipient": "0x" + "22" * 20,
        "parentBeaconBlockRoot": "0x" + "33" * 32,
        "withdrawals": [],
        **attributes,
    }
    answer: dict[str, Any] = served.result("testing_buildBlockV1", head["hash"], wanted, transactions, "0x")
    return answer


# ---- the pool


def test_transactions_wait_by_nonce(served: Service) -> None:
    for nonce in (0, 1, 3):
        send(served, signed(nonce))
    send(served, signed(0, key=1))
    assert served.result("txpool_status") == {"pending": "0x3", "queued": "0x1"}
    content = served.result("txpool_content")
    [name] = list(content["queued"])
    assert bytes.fromhex(name[2:]) == SENDERS[0] and name != name.lower()
    assert (list(content["pending"][name]), list(content["queued"][name])) == (["0", "1"], ["3"])
    mine = served.result("txpool_contentFrom", name)
    assert mine["pending"]["1"]["hash"] == "0x" + signed(1).hash.hex()
    assert mine["pending"]["1"]["blockHash"] is None
    assert "21000 gas" in served.result("txpool_inspect")["queued"][name]["3"]


def test_what_the_pool_does_not_take(served: Service) -> None:
    send(served, signed())
    for transaction, message in (
        (signed(), "already known"),
        (signed(value=2), "replacement transaction underpriced"),
        (signed(1, chain_id=8), "invalid sender"),
        (Transaction(gas_price=GWEI, to=TARGET).sign(KEYS[0]), "replay-protected"),
        (signed(1, gas_limit=20_000), "intrinsic gas too low"),
        (signed(1, gas_limit=40_000_000), "exceeds block gas limit"),
        (signed(1, value=2 * ETHER), "insufficient funds"),
        (signed(1, max_fee_per_gas=ETHER), "exceeds the configured cap"),
        (signed(1, tip=11), "higher than max fee"),
        (signed(1, data=bytes(200_000), gas_limit=29_000_000), "oversized data"),
        (signed(1, to=None, data=bytes(49_153), gas_limit=1_000_000), "max initcode size"),
    ):
        assert message in refusal(served, transaction), message
    assert served.error("eth_sendRawTransaction", "0x02c0").code == -32000
    assert served.error("eth_sendRawTransaction", "0x0").code == -32602


def test_a_transaction_is_replaced_by_one_that_pays_a_tenth_more(served: Service) -> None:
    send(served, signed(tip=2))
    better = signed(tip=3, max_fee_per_gas=11 * GWEI)
    send(served, better)
    [entry] = served.result("txpool_contentFrom", "0x" + (SENDERS[0] or b"").hex())["pending"].values()
    assert entry["hash"] == "0x" + better.hash.hex()


def test_the_pool_has_limits(served: Service) -> None:
    pool = served.dispatcher.service.pool
    pool.limits = PoolLimits(transactions=3, per_account=2)
    for nonce in (0, 1):
        send(served, signed(nonce))
    assert "of this account" in refusal(served, signed(2))
    send(served, signed(0, key=1))
    assert refusal(served, signed(1, key=1)) == "txpool is full"


def test_a_server_without_a_chain_of_its_own_takes_none() -> None:
    from evmcore import MemoryState
    from evmcore.service.state_source import StateSource

    alone = Service(StateSource(MemoryState()))
    assert "sends transactions to nobody" in refusal(alone, signed())


# ---- the builder


def test_built_blocks_are_blocks_of_the_chain(served: Service) -> None:
    """The chain checks every root and field when it imports them."""
    source: Any = served.dispatcher.service.source
    withdrawal = {"index": "0x1", "validatorIndex": "0x2", "address": "0x" + "44" * 20, "amount": "0x5"}
    for nonce in range(3):
        send(served, signed(nonce, tip=2))
        send(served, signed(nonce, key=1, tip=1 + nonce))
        answer = build(served, withdrawals=[withdrawal])
        payload = answer["executionPayload"]
        assert len(payload["transactions"]) == 2
        transactions = tuple(Transaction.decode(bytes.fromhex(entry[2:])) for entry in payload["transactions"])
        block = block_of(payload, transactions)
        assert "0x" + block.hash.hex() == payload["blockHash"]
        before = int(served.result("eth_getBalance", payload["feeRecipient"], "latest"), 16)
        source.import_block(block)
        after = int(served.result("eth_getBalance", payload["feeRecipient"], "latest"), 16)
        assert after - before == int(answer["blockValue"], 16) == 21_000 * (3 + nonce) * GWEI
        assert served.result("txpool_status")["pending"] == "0x0"


def block_of(payload: dict[str, Any], transactions: tuple[Transaction, ...]) -> Block:
    from evmcore import Header, Withdrawal
    from evmcore.blocks import encode_withdrawal
    from evmcore.trie import ordered_root

    withdrawals = tuple(Withdrawal.from_json(entry) for entry in payload["withdrawals"])
    names = {"feeRecipient": "miner", "prevRandao": "mixHash", "blockNumber": "number"}
    item = {names.get(name, name): value for name, value in payload.items()}
    item |= {
        "sha3Uncles": "0x" + Header().ommers_hash.hex(),
        "transactionsRoot": "0x" + ordered_root([tx.encode() for tx in transactions]).hex(),
        "withdrawalsRoot": "0x" + ordered_root([encode_withdrawal(entry) for entry in withdrawals]).hex(),
        "difficulty": "0x0",
        "nonce": "0x" + "00" * 8,
        "parentBeaconBlockRoot": "0x" + "33" * 32,
    }
    return Block(Header.from_json(item), transactions, (), withdrawals)


def test_the_best_tip_comes_first_and_nonces_stay_in_order(served: Service) -> None:
    for transaction in (signed(0, 0, 1), signed(1, 0, 9), signed(0, 1, 5), signed(0, 2, 3)):
        send(served, transaction)
    payload = build(served)["executionPayload"]
    hashes = [Transaction.decode(bytes.fromhex(entry[2:])).hash for entry in payload["transactions"]]
    assert hashes == [tx.hash for tx in (signed(0, 1, 5), signed(0, 2, 3), signed(0, 0, 1), signed(1, 0, 9))]


def test_given_transactions_are_taken_as_they_are(served: Service) -> None:
    send(served, signed(0, 1))
    payload = build(served, ["0x" + signed().encode().hex()])["executionPayload"]
    assert payload["transactions"] == ["0x" + signed().encode().hex()]
    head = served.result("eth_getBlockByNumber", "latest", False)["hash"]
    attributes = {"timestamp": "0x1", "prevRandao": "0x" + "00" * 32, "suggestedFeeRecipient": "0x" + "00" * 20}
    error = served.error("testing_buildBlockV1", head, attributes, ["0x" + signed(5).encode().hex()], "0x")
    assert error.code == -32000 and "cannot be in the block" in error.message
    assert served.error("testing_buildBlockV1", "0x" + "77" * 32, attributes).message == "parent block not found"
    assert served.error("testing_buildBlockV1", head, {**attributes, "timestamp": "0x0"}, []).code == -32000
    assert served.error("testing_buildBlockV1", head, attributes, [], "0x" + "00" * 33).code == -32000


@pytest.mark.parametrize(
    ("parent", "limit"), [(200_000_000, 199_804_689), (30_000_000, 30_029_295), (60_000_000, 60_000_000)]
)
def test_gas_limits_move_to_the_target(parent: int, limit: int) -> None:
    assert next_gas_limit(parent) == limit
