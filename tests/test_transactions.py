"""Transactions: the whole transaction-test archive, real senders and authorities, and round trips."""

from __future__ import annotations

import json
import lzma
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from evmcore import EVM, Account, BlockEnv, MemoryState
from evmcore._prepared import intrinsic_gas_of
from evmcore.blocks import Block, Header
from evmcore.errors import InputError, InvalidTransaction, TransactionReason
from evmcore.forks import Fork
from evmcore.transactions import SECP256K1_ORDER, Authorization, Transaction
from evmcore.types import Withdrawal
from tests.shared_files import archive_documents, shared_path
from tests.some_transactions import KEY, some_transaction

TO = bytes.fromhex("095e7baea6a6c7c4c2dfeb977efac326af552d87")

# EIP-2681 in the words of the archive and in ours.
SAME = {"NONCE_TOO_BIG": "NONCE_IS_MAX"}
SINCE = {1: Fork.BERLIN, 2: Fork.LONDON, 3: Fork.CANCUN, 4: Fork.PRAGUE}


def rejection(data: bytes, fork: Fork) -> str | None:
    """Why the transaction can be in no block of `fork`, by its encoding, its signature and its sender's means."""
    try:
        transaction = Transaction.decode(data)
        sender = transaction.recover_sender(fork, chain_id=1)
        state = MemoryState({sender: Account(nonce=transaction.nonce, balance=2**256 - 1)})
        block = BlockEnv(gas_limit=2**63 - 1, base_fee=0)
        EVM(state, fork=fork, block=block, chain_id=1).transact(replace(transaction, sender=sender))
    except InvalidTransaction as error:
        return error.reason.name
    return None


def other_faults(data: bytes, fork: Fork) -> set[str]:
    """Rules that a rejected transaction may break besides: which one is named is a matter of order."""
    faults = set()
    # Decoding knows no fork, and comes first.
    if data[0] < 0xC0 and fork < SINCE.get(data[0], fork):
        faults.add("TYPE_NOT_SUPPORTED")
    try:
        transaction = Transaction.decode(data)
    except InvalidTransaction:
        return faults
    # More gas than fits any block, or at a price that makes more wei than anyone has.
    price = transaction.gas_price if transaction.type < 2 else transaction.max_fee_per_gas
    assert price is not None
    if transaction.gas_limit * price >= 2**256:
        faults.add("GASLIMIT_PRICE_PRODUCT_OVERFLOW")
    return faults


def archive_cases() -> Iterator[tuple[str, bytes, Fork, dict[str, Any]]]:
    for _, tests in archive_documents("transaction_tests", ""):
        for name, test in tests.items():
            for fork, result in test["result"].items():
                yield name, bytes.fromhex(test["txbytes"][2:]), Fork.from_name(fork), result


def test_every_transaction_of_the_archive_is_judged_as_published() -> None:
    wrong = []
    count: Counter[str] = Counter()
    for name, data, fork, result in archive_cases():
        expected = result.get("exception", "").removeprefix("TransactionException.")
        if expected:
            reason = rejection(data, fork)
            if reason is None or SAME.get(expected, expected) not in {reason} | other_faults(data, fork):
                wrong.append(f"{name} [{fork.title}]: expected {expected}, got {reason}")
            count["rejected"] += 1
        else:
            transaction = Transaction.decode(data)
            got = (
                "0x" + transaction.recover_sender(fork, chain_id=1).hex(),
                "0x" + transaction.hash.hex(),
                intrinsic_gas_of(transaction, fork.revision)[0],
            )
            if got != (result["sender"], result["hash"], int(result["intrinsicGas"], 16)):
                wrong.append(f"{name} [{fork.title}]: expected {result}, got {got}")
            assert transaction.encode() == data
            assert replace(transaction).encode() == data
            count["accepted"] += 1
    assert not wrong, "\n".join(wrong)
    assert count == {"accepted": 419, "rejected": 1408}


def test_senders_and_hashes_of_mainnet_transactions_are_recovered() -> None:
    kinds: Counter[int] = Counter()
    for path in sorted(shared_path("blocks").glob("*.json.xz")):
        document = json.loads(lzma.decompress(path.read_bytes()))
        fork = Fork.from_name(document["fork"])
        for item in document["block"]["transactions"]:
            transaction = Transaction.from_json(item)
            assert "0x" + transaction.hash.hex() == item["hash"], path
            decoded = Transaction.decode(transaction.encode())
            assert decoded == replace(transaction, sender=None)
            # Every eighth: recovering all of them is what the block tests do.
            if int(item["hash"], 16) % 8 == 0:
                assert "0x" + decoded.recover_sender(fork, chain_id=1).hex() == item["from"], path
            kinds[transaction.type] += 1
    assert sum(kinds.values()) == 9553
    assert set(kinds) == {0, 1, 2, 3, 4}


def test_chain_of_the_rpc_tests_has_senders_of_its_accounts() -> None:
    accounts = set(json.loads(shared_path("rpc-compat", "chain", "accounts.json").read_text()))
    for block in Block.decode_stream(shared_path("rpc-compat", "chain", "chain.rlp").read_bytes()):
        for transaction in block.transactions:
            assert "0x" + transaction.recover_sender(chain_id=3503995874084926).hex() in accounts


def test_authorities_of_the_archive_are_recovered() -> None:
    recovered = refused = 0
    for name, tests in archive_documents("state_tests_eest", "eip7702"):
        for test in tests.values():
            for item in test["transaction"].get("authorizationList", ()):
                authority = Authorization.from_json(item).recover_authority()
                if authority is None:
                    assert "invalid_auth_signature" in name or "signature_s_out_of_range" in name
                    refused += 1
                elif "signer" in item:
                    assert "0x" + authority.hex() == item["signer"], name
                    recovered += 1
    assert (recovered, refused) == (4417, 40)


@pytest.mark.parametrize("kind", range(5))
def test_signed_transactions_survive_encoding_and_name_their_signer(kind: int) -> None:
    rng = random.Random(kind)
    signer = Transaction().sign(KEY).sender
    for _ in range(40):
        signed = some_transaction(rng, kind).sign(KEY)
        decoded = Transaction.decode(signed.encode())
        assert decoded == replace(signed, sender=None)
        assert decoded.recover_sender() == signed.sender == signer
        assert decoded.hash == signed.hash
        assert decoded.s <= SECP256K1_ORDER // 2


def test_an_authorization_names_its_signer() -> None:
    signed = Authorization(1, TO, 7).sign(KEY)
    assert signed.recover_authority() == Transaction().sign(KEY).sender
    high = replace(signed, s=SECP256K1_ORDER - signed.s, y_parity=1 - signed.y_parity)
    assert high.recover_authority() is None
    assert replace(signed, y_parity=2).recover_authority() is None
    assert replace(signed, r=0).recover_authority() is None
    assert replace(signed, r=2**256 - 1).recover_authority() is None


def test_rules_of_signatures_change_with_the_forks() -> None:
    signed = Transaction(to=TO).sign(KEY)
    high = replace(signed, s=SECP256K1_ORDER - signed.s, v=55 - signed.v, sender=None)
    assert high.recover_sender(Fork.FRONTIER) == signed.sender
    protected = Transaction(to=TO, chain_id=1).sign(KEY)
    assert protected.v in (37, 38)
    assert protected.recover_sender(Fork.SPURIOUS_DRAGON, chain_id=1) == signed.sender
    for transaction, fork, chain_id, reason in (
        (high, Fork.HOMESTEAD, None, TransactionReason.INVALID_SIGNATURE_VRS),
        (high, None, None, TransactionReason.INVALID_SIGNATURE_VRS),
        (protected, Fork.TANGERINE_WHISTLE, 1, TransactionReason.INVALID_SIGNATURE_VRS),
        (protected, Fork.BERLIN, 5, TransactionReason.INVALID_CHAINID),
        (Transaction(to=TO), None, None, TransactionReason.INVALID_SIGNATURE_VRS),
        (
            replace(Transaction(type=2, chain_id=1, to=TO).sign(KEY), v=2),
            None,
            1,
            TransactionReason.INVALID_SIGNATURE_VRS,
        ),
    ):
        with pytest.raises(InvalidTransaction) as caught:
            transaction.recover_sender(fork, chain_id)
        assert caught.value.reason is reason


@pytest.mark.parametrize("kind", range(5))
def test_damaged_encodings_are_rejected_or_decode_to_what_they_say(kind: int) -> None:
    rng = random.Random(100 + kind)
    accepted = rejected = 0
    for _ in range(60):
        data = some_transaction(rng, kind).sign(KEY).encode()
        for _ in range(30):
            damaged = bytearray(data)
            if rng.random() < 0.2:
                del damaged[rng.randrange(len(damaged)) :]
            else:
                damaged[rng.randrange(len(damaged))] = rng.choice([0, 1, 0x7F, 0x80, 0xB8, 0xC0, 0xC1, 0xF8, 0xFF])
            try:
                decoded = Transaction.decode(bytes(damaged))
            except InvalidTransaction:
                rejected += 1
            else:
                # The encoding is canonical: what was accepted is what would be written.
                assert replace(decoded).encode() == bytes(damaged)
                accepted += 1
    assert accepted
    assert rejected


def test_the_type_follows_from_the_fields() -> None:
    assert Transaction().type == 0
    assert Transaction(access_list=((TO, (1,)),)).type == 1
    assert Transaction(max_fee_per_gas=1).type == 2
    assert Transaction(max_fee_per_blob_gas=1, to=TO).type == 3
    assert Transaction(authorization_list=(Authorization(1, TO, 0),), to=TO).type == 4


def test_fields_are_converted() -> None:
    transaction = Transaction(
        to="0x" + TO.hex(),
        value="0x10",
        data="0x0102",
        access_list=[(TO, ["0x01", bytes(31) + b"\x02", 3])],
    )
    assert (transaction.to, transaction.value, transaction.data) == (TO, 16, b"\x01\x02")
    assert transaction.access_list == ((TO, (1, 2, 3)),)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"type": 5}, "'type': expected a transaction type from 0 to 4, got 5"),
        ({"type": True}, "'type'"),
        ({"type": "0x1"}, "'type'"),
        ({"to": bytes(19)}, "'to': expected 20 bytes, got 19"),
        ({"nonce": 2**64}, "'nonce'"),
        ({"gas_limit": 2**64}, "'gas_limit'"),
        ({"gas_limit": -1}, "'gas_limit'"),
        ({"value": 2**256}, "'value'"),
        ({"data": "zz"}, "'data'"),
        ({"sender": bytes(21)}, "'sender'"),
        ({"chain_id": 2**256}, "'chain_id'"),
        ({"v": -1}, "'v'"),
        ({"r": 2**256}, "'r'"),
        ({"type": 0, "max_fee_per_gas": 1}, "'max_fee_per_gas': a transaction of type 0 has none"),
        ({"type": 2, "gas_price": 1}, "'gas_price': a transaction of type 2 has none"),
        ({"type": 0, "access_list": ((TO, ()),)}, "'access_list': a transaction of type 0 has none"),
        ({"type": 1, "access_list": (TO,)}, "'access_list'"),
        ({"type": 1, "access_list": 5}, "'access_list'"),
        ({"type": 1, "access_list": ((TO, (2**256,)),)}, "'access_list'"),
        ({"type": 3, "blob_versioned_hashes": (bytes(31),)}, "'blob_versioned_hashes'"),
        ({"type": 3, "blob_versioned_hashes": bytes(32)}, "'blob_versioned_hashes'"),
        ({"type": 4, "authorization_list": (1,)}, "'authorization_list'"),
        ({"chain_id": 1, "v": 41, "r": 1, "s": 1}, "'chain_id': v 41 says 3, got 1"),
    ],
)
def test_a_transaction_that_cannot_be_is_an_error(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Transaction(**fields)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"nonce": 2**64}, "'nonce'"),
        ({"y_parity": 256}, "'y_parity'"),
        ({"address": bytes(19)}, "'address'"),
        ({"chain_id": 2**256}, "'chain_id'"),
        ({"s": 2**256}, "'s'"),
    ],
)
def test_an_authorization_that_cannot_be_is_an_error(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Authorization(**{"chain_id": 1, "address": TO, "nonce": 0, **fields})


@pytest.mark.parametrize("key", [0, SECP256K1_ORDER, bytes(31), "0x12", None, -1])
def test_a_key_that_cannot_be_is_an_error(key: Any) -> None:
    with pytest.raises(InputError, match="'private_key'"):
        Transaction().sign(key)


def test_a_typed_transaction_needs_a_chain_to_be_encoded() -> None:
    with pytest.raises(InputError, match="'chain_id'"):
        Transaction(type=2).encode()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "RLP_ERROR_EOF"),
        ("02", "RLP_ERROR_EOF"),
        ("05c0", "TYPE_NOT_SUPPORTED"),
        ("00c0", "TYPE_NOT_SUPPORTED"),
        ("7fc0", "TYPE_NOT_SUPPORTED"),
        ("0280", "RLP_INVALID_HEADER"),
        ("c0", "RLP_TOO_FEW_ELEMENTS"),
        ("ca80808080808080808080", "RLP_TOO_MANY_ELEMENTS"),
        ("02c08080", "RLP_ERROR_SIZE"),
        ("03c4c0808080", "TYPE_3_TX_WITH_FULL_BLOBS"),
        ("01cb8080808080808080808080", "RLP_INVALID_VALUE"),
    ],
)
def test_malformed_encodings_are_rejected_with_their_reason(data: str, reason: str) -> None:
    with pytest.raises(InvalidTransaction) as caught:
        Transaction.decode(bytes.fromhex(data))
    assert caught.value.reason == reason


def test_fixture_and_rpc_objects_give_the_same_transaction() -> None:
    rpc = {
        "type": "0x2",
        "chainId": "0x1",
        "nonce": "0x0",
        "maxFeePerGas": "0x9",
        "maxPriorityFeePerGas": "0x1",
        "gasPrice": "0x5",
        "gas": "0x5208",
        "to": "0x" + TO.hex(),
        "value": "0x1",
        "input": "0x",
        "accessList": [{"address": "0x" + TO.hex(), "storageKeys": ["0x" + "00" * 31 + "01"]}],
        "yParity": "0x1",
        "v": "0x1",
        "r": "0x2",
        "s": "0x3",
        "from": "0x" + "11" * 20,
    }
    fixture = {key: value for key, value in rpc.items() if key not in ("type", "gasPrice", "yParity")}
    for new, old in (("gasLimit", "gas"), ("data", "input"), ("sender", "from")):
        fixture[new] = fixture.pop(old)
    transaction = Transaction.from_json(rpc)
    assert transaction == Transaction.from_json(fixture)
    assert transaction.access_list == ((TO, (1,)),)
    assert transaction.sender == b"\x11" * 20
    assert Transaction.from_json({"to": "", "gasPrice": "0x1"}).to is None


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ({"type": "0x5"}, "'type'"),
        ({"type": "two"}, "'type'"),
        ({"nonce": "1"}, "'nonce'"),
        ({"to": "0x12"}, "'to'"),
        ({"type": "0x1", "accessList": "0x"}, "'accessList'"),
        ({"type": "0x1", "accessList": [{"address": "0x" + "00" * 20}]}, "'storageKeys'"),
        ({"type": "0x4", "authorizationList": [{"chainId": "0x1"}]}, "is missing"),
    ],
)
def test_malformed_objects_are_errors_that_name_the_field(item: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Transaction.from_json(item)


def test_what_is_no_object_is_an_error() -> None:
    values: tuple[Any, ...] = (None, 5, "0x", [], b"")
    for value in values:
        for read in (
            Transaction.from_json,
            Authorization.from_json,
            Block.from_json,
            Header.from_json,
            Withdrawal.from_json,
        ):
            with pytest.raises(InputError, match="expected an object, got"):
                read(value)


def test_a_fork_may_be_named() -> None:
    signed = Transaction(to=TO).sign(KEY)
    assert signed.recover_sender("frontier") == signed.sender
    with pytest.raises(InputError, match="unknown fork"):
        signed.recover_sender("kowloon")
