"""Block access lists (EIP-7928) as objects: encodings, and the one form a block may have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from evmcore.access_lists import (
    AccountChanges,
    BalanceChange,
    BlockAccessList,
    CodeChange,
    NonceChange,
    SlotChanges,
    StorageChange,
)
from evmcore.errors import BlockReason, InputError, InvalidBlock, RlpError

A = bytes.fromhex("00" * 18 + "aaaa")
B = bytes.fromhex("00" * 18 + "bbbb")
FULL = AccountChanges(
    A,
    (
        SlotChanges(1, (StorageChange(0, 7), StorageChange(2, 0))),
        SlotChanges(2**256 - 1, (StorageChange(1, 2**256 - 1),)),
    ),
    (0, 5),
    (BalanceChange(1, 10**18),),
    (NonceChange(1, 2**64 - 1), NonceChange(3, 1)),
    (CodeChange(2, b""), CodeChange(3, bytes(100))),
)
LIST = BlockAccessList([FULL, AccountChanges(B)])


def test_the_hash_of_an_empty_list_is_that_of_the_eip() -> None:
    assert BlockAccessList().to_rlp() == b"\xc0"
    assert BlockAccessList().hash.hex() == "1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347"


def test_the_encoding_has_the_fields_in_the_order_of_the_eip() -> None:
    changes = AccountChanges(
        A, (SlotChanges(0, (StorageChange(1, 0x200),)),), (9,), (BalanceChange(1, 0),), (NonceChange(2, 3),),
        (CodeChange(3, b"\x60\x00"),),
    )  # fmt: skip
    slots = "c8c780c5c401820200"
    body = "94" + A.hex() + slots + "c109" + "c3c20180" + "c3c20203" + "c5c403826000"
    account = bytes.fromhex(body)
    assert BlockAccessList([changes]).to_rlp() == bytes([0xC0 + len(account) + 1, 0xC0 + len(account)]) + account


def test_what_is_encoded_can_be_decoded() -> None:
    assert BlockAccessList.from_rlp(LIST.to_rlp()).accounts == LIST.accounts
    assert BlockAccessList.from_json(LIST.to_json()).accounts == LIST.accounts
    assert BlockAccessList.from_rlp(LIST.to_rlp()) == LIST
    assert hash(BlockAccessList.from_rlp(LIST.to_rlp())) == hash(LIST)


def test_accounts_are_found_by_address() -> None:
    assert LIST.account(A) is FULL
    assert LIST.account("0x" + B.hex()) == AccountChanges(B)
    assert LIST.account(bytes(20)) is None
    assert len(LIST) == 2 and LIST[1].address == B and [account.address for account in LIST] == [A, B]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("80", "expected a list"),
        ("c180", "'account changes'"),
        ("c1c0", "expected 6 members, got 0"),
        ("dad993" + "11" * 19 + "c0c0c0c0c0", "'address': expected 20 bytes, got 19"),
        ("dedd94" + "11" * 20 + "c0c3820001c0c0c0", "leading zero"),
        ("c0c0", "follow the item"),
    ],
)
def test_what_is_not_an_access_list_is_not_decoded(data: str, words: str) -> None:
    with pytest.raises(RlpError, match=words):
        BlockAccessList.from_rlp(bytes.fromhex(data))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({}, "expected an array"),
        ([{}], "field 'address' is missing"),
        ([{"address": "0x11"}], "address"),
        ([{"address": "0x" + A.hex(), "nonceChanges": [{"blockAccessIndex": 1}]}], "'postNonce' is missing"),
        ([{"address": "0x" + A.hex(), "storageReads": ["x"]}], "storageReads"),
    ],
)
def test_malformed_json_is_named(value: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        BlockAccessList.from_json(value)


def test_the_canonical_form_passes() -> None:
    LIST.check()
    LIST.check(transactions=2)
    BlockAccessList().check(transactions=0)


ONE, OTHER = StorageChange(1, 1), StorageChange(2, 2)
OUT_OF_FORM = {
    "slots reversed": AccountChanges(A, (SlotChanges(2, (ONE,)), SlotChanges(1, (ONE,)))),
    "slot twice": AccountChanges(A, (SlotChanges(1, (ONE,)), SlotChanges(1, (OTHER,)))),
    "slot without changes": AccountChanges(A, (SlotChanges(1, ()),)),
    "slot changed and read": AccountChanges(A, (SlotChanges(1, (ONE,)),), (1,)),
    "reads reversed": AccountChanges(A, (), (2, 1)),
    "read twice": AccountChanges(A, (), (2, 2)),
    "slot index twice": AccountChanges(A, (SlotChanges(1, (ONE, ONE)),)),
    "slot indices reversed": AccountChanges(A, (SlotChanges(1, (OTHER, ONE)),)),
    "balance indices reversed": AccountChanges(A, balance_changes=(BalanceChange(2, 1), BalanceChange(1, 2))),
    "nonce index twice": AccountChanges(A, nonce_changes=(NonceChange(1, 1), NonceChange(1, 2))),
    "code indices reversed": AccountChanges(A, code_changes=(CodeChange(1, b"a"), CodeChange(0, b"b"))),
    "index after the last": AccountChanges(A, nonce_changes=(NonceChange(4, 1),)),
}


@pytest.mark.parametrize("accounts", [(B, A), (A, A)])
def test_accounts_out_of_order_or_twice_are_a_wrong_format(accounts: tuple[bytes, bytes]) -> None:
    with pytest.raises(InvalidBlock, match=A.hex()) as raised:
        BlockAccessList(map(AccountChanges, accounts)).check()
    assert raised.value.reason == BlockReason.INCORRECT_BLOCK_FORMAT


@pytest.mark.parametrize("name", OUT_OF_FORM)
def test_any_other_form_of_an_account_is_an_invalid_list(name: str) -> None:
    with pytest.raises(InvalidBlock, match=A.hex()) as raised:
        BlockAccessList([OUT_OF_FORM[name]]).check(transactions=2)
    assert raised.value.reason == BlockReason.INVALID_BLOCK_ACCESS_LIST


def test_the_size_is_limited_by_the_gas_limit() -> None:
    assert LIST.item_count == 6
    LIST.check_size(12_000)
    with pytest.raises(InvalidBlock, match="6 addresses and slots") as raised:
        LIST.check_size(11_999)
    assert raised.value.reason == BlockReason.BLOCK_ACCESS_LIST_GAS_LIMIT_EXCEEDED


def test_the_hash_is_compared() -> None:
    LIST.check_hash(LIST.hash)
    with pytest.raises(InvalidBlock, match=LIST.hash.hex()) as raised:
        LIST.check_hash(bytes(32))
    assert raised.value.reason == BlockReason.INVALID_BAL_HASH


@pytest.mark.parametrize(
    ("ask", "named"),
    [
        (lambda: BlockAccessList.from_rlp(5), "data"),  # type: ignore[arg-type]
        (lambda: BlockAccessList(5), "accounts"),  # type: ignore[arg-type]
        (lambda: BlockAccessList([A]), "accounts"),  # type: ignore[list-item]
        (lambda: BlockAccessList.joined(None), "parts"),  # type: ignore[arg-type]
        (lambda: BlockAccessList.joined([[A]]), "parts"),  # type: ignore[list-item]
        (lambda: LIST.check("x"), "transactions"),  # type: ignore[arg-type]
        (lambda: LIST.check_size(None), "gas_limit"),  # type: ignore[arg-type]
        (lambda: LIST.check_hash(b"short"), "expected"),
    ],
)
def test_wrong_arguments_are_named(ask: Callable[[], Any], named: str) -> None:
    with pytest.raises(InputError, match=f"argument '{named}': expected"):
        ask()
