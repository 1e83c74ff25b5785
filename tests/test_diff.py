"""State diffs: applying and undoing them is exact, joining and reversing them is right, damaged ones are refused."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import random
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from Crypto.Hash import keccak

from evmcore._diff import AccountDiff, AccountFields, SlotDiff, StateDiff
from evmcore.blocks import Block, Header
from evmcore.errors import InputError, StateError
from evmcore.execution import execute_block
from evmcore.state import MemoryState
from evmcore.state._view import DiffView
from evmcore.transactions import Transaction
from evmcore.types import Account
from tests.assembly import assemble

ADDRESSES = [bytes([i]) * 20 for i in range(1, 7)]
A, B = ADDRESSES[:2]
CODES = [b"", b"\x00", b"\x60\x00", bytes(300)]

# address -> (nonce, balance, code, storage)
World = dict[bytes, tuple[int, int, bytes, dict[int, int]]]


def hash_of(data: bytes) -> str:
    return "0x" + keccak.new(digest_bits=256, data=data).hexdigest()


def state_of(world: World) -> MemoryState:
    return MemoryState({address: Account(*fields) for address, fields in world.items()})


def account_json(fields: tuple[int, int, bytes, dict[int, int]] | None) -> dict[str, str] | None:
    if fields is None:
        return None
    return {"nonce": hex(fields[0]), "balance": hex(fields[1]), "codeHash": hash_of(fields[2])}


def random_world(rng: random.Random) -> World:
    return {
        address: (
            rng.randrange(3),
            rng.choice((0, 1, rng.getrandbits(256))),
            rng.choice(CODES),
            {rng.randrange(8): rng.getrandbits(rng.choice((1, 256))) | 1 for _ in range(rng.randrange(6))},
        )
        for address in ADDRESSES
        if rng.randrange(3)
    }


def step(rng: random.Random, before: World) -> tuple[World, StateDiff]:
    """A random next world, and its diff as an execution collects it: of wiped accounts only some slots are read."""
    after = copy.deepcopy(before)
    document: dict[str, Any] = {"accounts": {}, "storage": {}, "codes": {}}
    for address in ADDRESSES:
        if rng.randrange(2):
            continue
        old = before.get(address)
        new = random_world(rng).get(address)
        if rng.randrange(3) == 0 and old is not None:
            new = (old[0] + 1, old[1], rng.choice((old[2], b"\xef\x01\x00" + rng.randbytes(20))), dict(old[3]))
        wiped = old is not None and (new is None or rng.randrange(4) == 0)
        old_slots, new_slots = (old[3] if old else {}), (new[3] if new else {})
        slots = {}
        for slot in range(8):
            pair = old_slots.get(slot, 0), new_slots.get(slot, 0)
            if wiped and pair[1] == 0 and rng.randrange(2):
                continue  # destroyed without having been read
            if pair[0] != pair[1] or (wiped and pair[1]):
                slots[hex(slot)] = {"old": hex(pair[0]), "new": hex(pair[1])}
        if new is None:
            after.pop(address, None)
        else:
            after[address] = new
        key = "0x" + address.hex()
        if slots:
            document["storage"][key] = slots
        if wiped or account_json(old) != account_json(new):
            document["accounts"][key] = {"old": account_json(old), "new": account_json(new), "wiped": wiped}
            if new is not None and new[2] and (old is None or old[2] != new[2]):
                document["codes"][hash_of(new[2])] = "0x" + new[2].hex()
    return after, StateDiff.from_json(document)


@pytest.mark.parametrize("seed", range(150))
def test_apply_then_undo_restores_the_state_exactly(seed: int) -> None:
    rng = random.Random(seed)
    worlds, diffs = [random_world(rng)], []
    state = state_of(worlds[0])
    for _ in range(6):
        world, diff = step(rng, worlds[-1])
        state.apply(diff)
        assert state.dump() == state_of(world).dump()
        worlds.append(world)
        diffs.append(diff)
    for world, diff in zip(reversed(worlds[:-1]), reversed(diffs), strict=True):
        state.undo(diff)
        assert state.dump() == state_of(world).dump()
        assert state.state_root() == state_of(world).state_root()
    for diff in diffs:
        state.apply(diff)
    assert state.dump() == state_of(worlds[-1]).dump()


@pytest.mark.parametrize("seed", range(150))
def test_composed_and_inverted_diffs_do_what_they_say(seed: int) -> None:
    rng = random.Random(1000 + seed)
    first_world = random_world(rng)
    state = state_of(first_world)
    world, joined = first_world, None
    for _ in range(4):
        world, diff = step(rng, world)
        state.apply(diff)
        joined = diff if joined is None else joined.compose(diff)
        from_start = state_of(first_world)
        from_start.apply(joined)
        assert from_start.dump() == state.dump()
        from_start.undo(joined)
        assert from_start.dump() == state_of(first_world).dump()
    assert joined is not None
    back = joined.invert()
    state.apply(back)
    assert state.dump() == state_of(first_world).dump()
    assert back.invert() == joined
    nothing = joined.compose(back)
    assert all(change.old == change.new for change in nothing.account_changes)
    assert all(change.old == change.new for change in nothing.storage_changes)


@pytest.mark.parametrize("seed", range(60))
def test_every_form_gives_the_same_diff_back(seed: int) -> None:
    rng = random.Random(2000 + seed)
    world = random_world(rng)
    _, diff = step(rng, world)
    if seed % 2:
        state_of(world).apply(diff)
    for again in (
        StateDiff.from_bytes(diff.to_bytes()),
        StateDiff.from_json(json.loads(json.dumps(diff.to_json()))),
        pickle.loads(pickle.dumps(diff)),
        copy.deepcopy(diff),
    ):
        assert again == diff
        assert again.codes == diff.codes
        assert again.to_bytes() == diff.to_bytes()
        assert len(again) == len(diff)


def example() -> tuple[MemoryState, StateDiff]:
    """A state, and a diff for it in which A is wiped and pays, and B appears with code."""
    state = MemoryState({A: Account(1, 100, b"\x01", {1: 10, 2: 20, 3: 30})})
    document = {
        "accounts": {
            "0x" + A.hex(): {
                "old": {"nonce": "0x1", "balance": "0x64", "codeHash": hash_of(b"\x01")},
                "new": {"nonce": "0x0", "balance": "0x0", "codeHash": hash_of(b"")},
                "wiped": True,
            },
            "0x" + B.hex(): {
                "old": None,
                "new": {"nonce": "0x1", "balance": "0x64", "codeHash": hash_of(b"\x02")},
            },
        },
        "storage": {
            "0x" + A.hex(): {"0x1": {"old": "0xa", "new": "0x0"}, "0x2": {"old": "0x14", "new": "0x14"}},
            "0x" + B.hex(): {"0x9": {"old": "0x0", "new": "0x1"}},
        },
        "codes": {hash_of(b"\x02"): "0x02"},
    }
    return state, StateDiff.from_json(document)


def test_python_views() -> None:
    _, diff = example()
    assert diff.account_changes == [
        AccountDiff(
            A,
            AccountFields(1, 100, bytes.fromhex(hash_of(b"\x01")[2:])),
            AccountFields(0, 0, bytes.fromhex(hash_of(b"")[2:])),
            True,
        ),
        AccountDiff(B, None, AccountFields(1, 100, bytes.fromhex(hash_of(b"\x02")[2:])), False),
    ]
    assert diff.storage_changes == [SlotDiff(A, 1, 10, 0), SlotDiff(A, 2, 20, 20), SlotDiff(B, 9, 0, 1)]
    assert len(diff) == 5
    assert repr(diff) == "<StateDiff: 2 accounts, 3 slots, 1 codes>"


def test_applying_completes_the_diff() -> None:
    state, diff = example()
    state.apply(diff)
    assert SlotDiff(A, 3, 30, 0) in diff.storage_changes
    assert diff.codes[bytes.fromhex(hash_of(b"\x01")[2:])] == b"\x01"
    assert state.account(A) == Account(storage={2: 20})
    assert state.account(B) == Account(1, 100, b"\x02", {9: 1})
    again = diff.to_bytes()
    state.undo(diff)
    state.apply(diff)
    assert diff.to_bytes() == again


SLOTS = {slot: slot + 1 for slot in range(200)}


def two_contracts() -> MemoryState:
    return MemoryState({A: Account(1, 0, b"\x01", SLOTS), B: Account(1, 0, b"\x01", SLOTS)})


def both_gone() -> StateDiff:
    """The end of `two_contracts`, without their slots: who applies it completes it."""
    gone = {"0x" + address.hex(): {"old": account_json((1, 0, b"\x01", {})), "new": None} for address in (A, B)}
    return StateDiff.from_json({"accounts": gone, "storage": {}, "codes": {}})


def kept_of_before(diff: StateDiff) -> list[Any]:
    lists = (held for held in gc.get_referents(diff) if isinstance(held, list))
    return [former for held in lists for former in held]


def test_a_diff_that_is_completed_keeps_what_it_was_only_for_who_may_be_reading_it() -> None:
    unread, viewed, listed = both_gone(), both_gone(), both_gone()
    two_contracts().apply(unread)
    assert (len(unread.storage_changes), kept_of_before(unread)) == (2 * len(SLOTS), [])
    view, before = DiffView(two_contracts(), viewed), listed.storage_changes
    two_contracts().apply(viewed)
    two_contracts().apply(listed)
    assert view.diff is viewed and before == []
    assert [len(kept_of_before(diff)) for diff in (viewed, listed)] == [1, 1]


def test_threads_may_apply_and_read_one_diff_at_once() -> None:
    state = two_contracts()

    def use(diff: StateDiff) -> None:
        copied = state.copy()
        together.wait()
        copied.apply(diff)
        assert len(diff.storage_changes) == 2 * len(SLOTS)
        copied.undo(diff)
        assert copied.dump() == state.dump()

    together = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        for _ in range(200):
            diff = both_gone()
            for used in [pool.submit(use, diff), pool.submit(use, diff)]:
                used.result()


def break_balance(state: MemoryState) -> str:
    state.set_balance(A, 99)
    return rf"account 0x{A.hex()} is nonce 1, balance 99, .*, but nonce 1, balance 100, .* in the diff"


def break_existence(state: MemoryState) -> str:
    state.set_balance(B, 5)
    return rf"account 0x{B.hex()} is nonce 0, balance 5, .* in the state, but absent in the diff"


def break_slot(state: MemoryState) -> str:
    state.set_storage(A, 2, 21)
    return rf"slot 0x2 of 0x{A.hex()} is 0x15 in the state, but 0x14 in the diff"


def break_absence(state: MemoryState) -> str:
    state.delete_account(A)
    return rf"account 0x{A.hex()} is absent in the state, but nonce 1"


@pytest.mark.parametrize("damage", [break_balance, break_existence, break_slot, break_absence])
@pytest.mark.parametrize("snapshots", [0, 1])
def test_a_state_that_differs_is_refused_and_unchanged(damage: Any, snapshots: int) -> None:
    state, diff = example()
    message = damage(state)
    if snapshots:
        state.snapshot()
    before, bytes_before = state.dump(), diff.to_bytes()
    with pytest.raises(StateError, match=message):
        state.apply(diff)
    assert state.dump() == before
    assert diff.to_bytes() == bytes_before


def test_the_diff_of_a_block_is_complete_before_anything_is_done_with_it() -> None:
    """A contract that ends in a block takes with it slots that nobody read, and its code."""
    contract = Account(1, 5, assemble("0 SLOAD POP CALLER SELFDESTRUCT"), {0: 7, 1: 8})
    state = MemoryState({A: Account(balance=10**18), B: contract})
    before = state.copy()
    end = Transaction(sender=A, to=B, gas_limit=100_000, gas_price=1)
    block = Block(Header(number=1, gas_limit=1_000_000, difficulty=1), (end,))
    result = execute_block(block, state, "berlin", validate=False)
    diff, data = result.diff, result.diff.to_bytes()
    assert diff.codes == {keccak.new(digest_bits=256, data=contract.code).digest(): contract.code}
    assert diff.storage_changes == [SlotDiff(B, 0, 7, 0), SlotDiff(B, 1, 8, 0)]
    result.state_root()
    assert diff.to_bytes() == data
    state.apply(diff)
    assert diff.to_bytes() == data
    state.apply(StateDiff.from_bytes(data).invert())
    assert state == before


@pytest.mark.parametrize("seed", range(3))
def test_the_diff_of_a_block_is_in_order_whatever_its_addresses_and_slots_have_in_common(seed: int) -> None:
    rng = random.Random(seed)
    heads = [rng.randbytes(size) for size in (0, 1, 7, 8, 9, 19)]
    contracts = sorted({(head := rng.choice(heads)) + rng.randbytes(20 - len(head)) for _ in range(60)} - {A})
    # Slots that differ in their lowest word only, in their highest only, or in any.
    keys = [
        rng.getrandbits(8) << rng.choice((0, 64, 248)) if rng.randrange(2) else rng.getrandbits(256) for _ in range(40)
    ]
    world: World = {A: (0, 10**18, b"", {})}
    world |= {address: (1, 0, assemble("7 0 CALLDATALOAD SSTORE"), {}) for address in contracts}
    sent = [(address, key) for address in contracts for key in rng.sample(keys, 4)]
    rng.shuffle(sent)
    transactions = tuple(
        Transaction(nonce=nonce, gas_limit=100_000, to=to, data=key.to_bytes(32, "big"), sender=A)
        for nonce, (to, key) in enumerate(sent)
    )
    block = Block(Header(number=1, gas_limit=10**9, difficulty=1), transactions)
    diff = execute_block(block, state_of(world), "berlin", validate=False, reward=0).diff
    assert [(change.address, change.key) for change in diff.storage_changes] == sorted(set(sent))
    addresses = [change.address for change in diff.account_changes]
    assert addresses == sorted(addresses) and A in addresses
    paid = MemoryState({A: Account(balance=10**18)} | {address: Account() for address in contracts[::2]})
    transfers = tuple(
        Transaction(nonce=nonce, to=to, value=1, sender=A)
        for nonce, to in enumerate(rng.sample(contracts, len(contracts)))
    )
    block = Block(Header(number=1, gas_limit=10**9, difficulty=1), transfers)
    diff = execute_block(block, paid, "berlin", validate=False, reward=0).diff
    assert [change.address for change in diff.account_changes if change.address in contracts] == contracts


def test_undo_of_what_is_not_there_is_refused() -> None:
    state, diff = example()
    with pytest.raises(StateError, match=r"cannot undo the diff: account"):
        state.undo(diff)
    state.apply(diff)
    state.set_storage(A, 77, 1)
    before = state.dump()
    with pytest.raises(StateError, match=r"cannot undo the diff: slot 0x4d .* is 0x1 in the state, but 0x0"):
        state.undo(diff)
    assert state.dump() == before


def test_a_code_that_is_nowhere_is_refused() -> None:
    state, diff = example()
    diff.codes.clear()
    before = state.dump()
    with pytest.raises(StateError, match=rf"the code of account 0x{B.hex()}.* neither in the diff nor in the state"):
        state.apply(diff)
    assert state.dump() == before


def test_a_code_under_a_wrong_hash_is_refused() -> None:
    state, diff = example()
    diff.codes[bytes.fromhex(hash_of(b"\x02")[2:])] = b"\x03"
    with pytest.raises(InputError, match=r"codes\[0x.*\] is not the code of that hash"):
        state.apply(diff)


def test_a_slot_of_an_absent_account_is_refused() -> None:
    diff = StateDiff.from_json(
        {"accounts": {}, "storage": {"0x" + A.hex(): {"0x1": {"old": "0x0", "new": "0x1"}}}, "codes": {}}
    )
    state = MemoryState()
    with pytest.raises(StateError, match=r"slot 0x1 of .* would be 0x1 in an absent account"):
        state.apply(diff)
    assert len(state) == 0


@pytest.mark.parametrize("seed", range(20))
def test_the_root_after_a_diff_is_told_without_a_change(seed: int) -> None:
    rng = random.Random(3000 + seed)
    world = random_world(rng)
    state = state_of(world)
    if seed % 2:
        state.snapshot()
    before = state.dump()
    after, diff = step(rng, world)
    assert state.state_root(diff) == state_of(after).state_root()
    assert state.dump() == before
    assert state.state_root() == state_of(world).state_root()


def test_snapshots_see_through_diffs() -> None:
    state, diff = example()
    before = state.dump()
    number = state.snapshot()
    state.apply(diff)
    state.revert(number)
    assert state.dump() == before


def test_diffs_that_do_not_follow_cannot_be_composed() -> None:
    _, diff = example()
    with pytest.raises(InputError, match=rf"account 0x{A.hex()} was left as .* but the later diff starts from"):
        diff.compose(diff)
    slots = {"0x" + B.hex(): {"0x9": {"old": "0x2", "new": "0x3"}}}
    later = StateDiff.from_json({"accounts": {}, "storage": slots, "codes": {}})
    with pytest.raises(InputError, match=r"slot 0x9 of .* was left as 0x1, but the later diff starts from 0x2"):
        diff.compose(later)


# ---- damaged input


def test_every_cut_and_every_flipped_byte_is_noticed() -> None:
    state, diff = example()
    state.apply(diff)
    data = diff.to_bytes()
    for size in range(len(data)):
        with pytest.raises(InputError, match="not a state diff"):
            StateDiff.from_bytes(data[:size])
    for at in range(len(data)):
        with pytest.raises(InputError, match="not a state diff"):
            StateDiff.from_bytes(data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :])
    with pytest.raises(InputError, match="not a state diff"):
        StateDiff.from_bytes(data + b"\x00")


@pytest.mark.parametrize("seed", range(3))
def test_damage_under_a_right_checksum_never_gives_another_meaning_to_the_same_bytes(seed: int) -> None:
    """What decodes is canonical: it encodes to the bytes it came from."""
    rng = random.Random(seed)
    state, diff = example()
    state.apply(diff)
    body = diff.to_bytes()[:-4]
    refused = 0
    for _ in range(20_000):
        damaged = bytearray(body)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(5, len(damaged))
            kind = rng.randrange(3)
            if kind == 0:
                damaged[at] = rng.choice((0, 1, 0x20, 0x21, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            elif kind == 1:
                del damaged[at : at + rng.randrange(1, 30)]
                if len(damaged) <= 6:
                    break
            else:
                damaged[at:at] = rng.randbytes(rng.randrange(1, 30))
        data = bytes(damaged) + zlib.crc32(damaged).to_bytes(4, "big")
        try:
            again = StateDiff.from_bytes(data)
        except InputError:
            refused += 1
        else:
            assert again.to_bytes() == data
    assert refused > 10_000


def with_checksum(body: bytes) -> bytes:
    return body + zlib.crc32(body).to_bytes(4, "big")


ADDRESS_1, ADDRESS_2 = bytes([1]) * 20, bytes([2]) * 20
EMPTY_BODY = b"EVMD\x01\x00\x00\x00"
DAMAGED = [
    (b"", "starts with b''"),
    (b"EVMX\x01\x00\x00\x00", "starts with b'EVMX'"),
    (with_checksum(b"EVMD"), "too few"),
    (with_checksum(b"EVMD\x02\x00\x00\x00"), "version is 2, this package reads 1"),
    (EMPTY_BODY + bytes(4), "checksum"),
    (with_checksum(EMPTY_BODY + b"\x00"), "1 bytes too many"),
    (with_checksum(b"EVMD\x01\xff\xff\xff\xff\x0f"), "accounts cannot be in the 0 bytes"),
    (with_checksum(b"EVMD\x01\xff\xff\xff\xff\xff\xff\xff\x0f"), "count of accounts .* is too long"),
    (with_checksum(b"EVMD\x01\x80\x00\x00\x00"), "count of accounts .* fewest bytes"),
    (with_checksum(b"EVMD\x01\x01" + ADDRESS_1 + b"\x00\x00\x00"), "does not change"),
    (with_checksum(b"EVMD\x01\x01" + ADDRESS_1 + b"\x40\x00\x00"), "flags 0x40"),
    (with_checksum(b"EVMD\x01\x01" + ADDRESS_1 + b"\x08\x01\x01\x00\x00"), "flags 0x8"),
    (with_checksum(b"EVMD\x01\x01" + ADDRESS_1 + b"\x0c\x00\x00\x00"), "marked as changed that is not"),
    (with_checksum(b"EVMD\x01\x01" + ADDRESS_1 + b"\x0c\x02\x00\x01\x00\x00"), "leading zeros"),
    (with_checksum(b"EVMD\x01\x01" + ADDRESS_1 + b"\x0c\x09" + b"\x01" * 9 + b"\x00\x00"), r"2\*\*64"),
    (with_checksum(b"EVMD\x01\x01" + ADDRESS_1 + b"\x14\x21" + b"\x01" * 33), "33 bytes, at most 32"),
    (with_checksum(b"EVMD\x01\x01" + ADDRESS_1 + b"\x24\x05" + b"\x01" * 9), "code hash .* 5 bytes, 0 or 32"),
    (
        with_checksum(b"EVMD\x01\x01" + ADDRESS_1 + b"\x24\x20" + bytes.fromhex(hash_of(b"")[2:]) + bytes(2)),
        "hash of no code .* written out",
    ),
    (with_checksum(b"EVMD\x01\x02" + (ADDRESS_1 + b"\x04") * 2 + b"\x00\x00"), "out of order"),
    (with_checksum(b"EVMD\x01\x00\x01" + ADDRESS_1 + b"\x00" + bytes(9)), "listed without slots"),
    (with_checksum(b"EVMD\x01\x00\x01" + ADDRESS_1 + b"\x01\x00\x01\x01\x01\x01\x00"), "slot 0x0 .* does not change"),
    (with_checksum(b"EVMD\x01\x00\x01" + ADDRESS_1 + b"\x02" + b"\x00\x00\x01\x01" * 2 + b"\x00"), "out of order"),
    (
        with_checksum(b"EVMD\x01\x00\x02" + (ADDRESS_1 + b"\x01\x00\x00\x01\x01") * 2 + b"\x00"),
        "slots of 0x01.* out of order",
    ),
    (with_checksum(b"EVMD\x01\x00\x00\x02\x01\xaa\x01\xaa"), "code of hash .* out of order"),
    (with_checksum(b"EVMD\x01\x00\x00\x01\x05\xaa"), "code bytes cannot be in"),
]


@pytest.mark.parametrize(("data", "message"), DAMAGED)
def test_damaged_bytes_are_named(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=f"argument 'data': not a state diff: .*{message}"):
        StateDiff.from_bytes(data)


@pytest.mark.parametrize("data", [None, "EVMD", 5, [1]])
def test_wrong_types_are_named(data: Any) -> None:
    with pytest.raises(InputError, match="argument 'data': expected bytes, got"):
        StateDiff.from_bytes(data)


FIELDS = {"nonce": "0x1", "balance": "0x0", "codeHash": hash_of(b"")}
KEY = "0x" + A.hex()


def document(**parts: Any) -> dict[str, Any]:
    return {"accounts": {}, "storage": {}, "codes": {}, **parts}


DAMAGED_JSON = [
    ([], "'diff': expected an object, got list"),
    ({}, "'diff': the field 'accounts' is missing"),
    (document(extra=1), "'diff': unknown field 'extra'"),
    (document(accounts=[]), "'diff.accounts': expected an object, got list"),
    (document(accounts={"0x1": {}}), r"'diff.accounts\[0x1\]': expected 20 bytes"),
    (document(accounts={KEY: {"old": None}}), "field 'new' is missing"),
    (document(accounts={KEY: {"old": None, "new": None}}), "does not change"),
    (document(accounts={KEY: {"old": None, "new": FIELDS, "wiped": 1}}), "wiped': expected true or false"),
    (document(accounts={KEY: {"old": None, "new": {}}}), r"\.new': the field 'balance' is missing"),
    (document(accounts={KEY: {"old": None, "new": {**FIELDS, "nonce": "0x10000000000000000"}}}), r"\.new\.nonce'"),
    (document(accounts={KEY: {"old": None, "new": {**FIELDS, "codeHash": "0x"}}}), r"\.new\.codeHash'"),
    (document(storage={KEY: []}), "expected an object, got list"),
    (document(storage={KEY: {"0x1": {"old": "0x1", "new": "0x1"}}}), "does not change"),
    (document(storage={KEY: {"0x1": {"old": "0x1", "new": "one"}}}), r"\[0x1\]\.new'"),
    (document(storage={KEY: {"0x1": {"old": "0x0", "new": "0x1"}, "0x01": {"old": "0x0", "new": "0x1"}}}), "twice"),
    (document(codes={hash_of(b"\x01"): "0x02"}), "the code has the hash"),
    (document(codes={hash_of(b"\x01"): None}), r"'diff.codes\["),
]


@pytest.mark.parametrize(("value", "message"), DAMAGED_JSON)
def test_damaged_json_is_named(value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        StateDiff.from_json(value)


def test_one_address_in_two_spellings_is_refused() -> None:
    lower = "0x" + "ab" * 20
    change = {"old": None, "new": FIELDS}
    with pytest.raises(InputError, match="is there twice"):
        StateDiff.from_json(document(accounts={lower: change, "0x" + "AB" * 20: change}))


def test_equality() -> None:
    _, diff = example()
    _, other = example()
    assert diff == other
    assert diff != StateDiff()
    assert StateDiff() == StateDiff()
    assert diff != 1
    assert len(StateDiff()) == 0
    assert StateDiff.from_bytes(StateDiff().to_bytes()) == StateDiff()
    with pytest.raises(TypeError):
        hash(diff)
