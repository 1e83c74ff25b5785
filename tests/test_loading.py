"""Loading accounts into Redis: whole or in part, from nothing or beside what is served, interrupted and resumed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from evmcore.errors import InputError, StateCorrupted, StateError, WriterFenced
from evmcore.state import MemoryState, feed, loading, stored
from evmcore.state.base import EMPTY_CODE_HASH
from evmcore.state.feed import decode_entry
from evmcore.state.layout import Keys, Record, decode_record
from evmcore.state.loading import Loader
from evmcore.state.publisher import Publisher
from evmcore.state.sources import SourceAccount, from_alloc, from_memory
from evmcore.state.stored import load_memory
from evmcore.types import Account
from tests.stored_state import ADDRESSES, GENESIS, balance_diff, child, random_diff, random_state, read_state, state_of

KEYS = Keys(1)
A, B, C = ADDRESSES[:3]


@pytest.fixture
def publisher(client: Any) -> Iterator[Publisher]:
    with Publisher(client, 1) as publisher:
        yield publisher


def big_state(rng: random.Random, accounts: int = 40, slots: int = 300) -> MemoryState:
    return MemoryState(
        {
            rng.randbytes(20): Account(
                rng.randrange(9),
                rng.getrandbits(70),
                rng.randbytes(50),
                {rng.getrandbits(256): 1 for _ in range(slots)},
            )
            for _ in range(accounts)
        }
    )


class Interrupted(Exception):
    pass


def stopping(accounts: Iterable[SourceAccount], after: int) -> Iterator[SourceAccount]:
    """Accounts until something happens, in the middle of the storage of one."""
    for count, account in enumerate(accounts):
        if count == after:

            def slots(account: SourceAccount = account) -> Iterator[tuple[int, int]]:
                yield from list(account.slots)[:-1]
                raise Interrupted

            account = SourceAccount(account.address, 0, 0, account.code_hash, account.code, slots())
        yield account


def record_of(client: Any, address: bytes) -> Record | None:
    data = client.get(KEYS.account(address))
    return None if data is None else decode_record(data, KEYS.account(address))


def test_what_would_be_damage_once_it_is_stored_is_refused_before_anything_is(
    client: Any, publisher: Publisher
) -> None:
    with pytest.raises(InputError, match="argument 'chain': expected what JSON can hold"):
        Loader(publisher, GENESIS, complete=True, chain={"chainId": b"1"})
    for hashes in ({1: b"short"}, {-1: bytes(32)}):
        with pytest.raises(InputError, match="block_hashes"):
            Loader(publisher, GENESIS, complete=True, block_hashes=hashes)
    assert publisher.is_clear()


def test_a_load_waits_for_replies_as_long_as_its_publisher_does(client: Any) -> None:
    with Publisher(client, 1, timeout=2.5) as publisher:
        assert loading._Batch(publisher).session.timeout == 2.5


def test_an_alloc_is_loaded_with_selected_accounts_only(client: Any, publisher: Publisher) -> None:
    alloc = {
        "0x" + A.hex(): {"balance": "0x5", "nonce": "1", "code": "0x6001", "storage": {"0x01": "0x02", "0x02": "0x00"}},
        B.hex(): {"balance": "7"},
    }
    result = Loader(publisher, GENESIS, source="alloc").run(from_alloc(alloc, [A, C]))
    assert (result.accounts, result.slots) == (2, 1)
    assert read_state(client) == {A: (1, 5, b"\x60\x01", {1: 2}), C: None}
    assert client.hget(KEYS.meta, "complete") == b"0"
    memory, _ = load_memory(client, 1)
    assert memory.addresses() == [A]


@pytest.mark.parametrize("after", [0, 1, 17, 39])
def test_an_interrupted_load_goes_on_where_it_was(
    client: Any, publisher: Publisher, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "BATCH_BYTES", 3000)
    state = big_state(random.Random(after))
    with pytest.raises(Interrupted):
        Loader(publisher, GENESIS, complete=True, source="x").run(stopping(from_memory(state), after))
    assert publisher.head() is None and not client.exists(KEYS.head)
    told: list[bytes] = []
    loader = Loader(publisher, GENESIS, complete=True, source="x", progress=lambda address, _: told.append(address))
    result = loader.run(from_memory(state))
    assert result.skipped <= after and result.skipped >= after - 1
    assert result.accounts + result.skipped == 40 and told == state.addresses()
    assert read_state(client) == state_of(state)
    assert not client.exists(KEYS.loader)


def test_a_load_of_something_else_does_not_go_on_from_it(client: Any, publisher: Publisher) -> None:
    rng = random.Random(5)
    first, second = big_state(rng, 5), big_state(rng, 5)
    with pytest.raises(Interrupted):
        Loader(publisher, GENESIS, complete=True, source="first").run(stopping(from_memory(first), 3))
    Loader(publisher, GENESIS, complete=True, source="second").run(from_memory(second))
    assert read_state(client) == state_of(second)


def test_another_writer_stops_a_load(client: Any, publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "BATCH_BYTES", 3000)
    state = big_state(random.Random(6))

    def taken_over() -> Iterator[SourceAccount]:
        for count, account in enumerate(from_memory(state)):
            if count == 20:
                client.incr(KEYS.writer)
            yield account

    with pytest.raises(WriterFenced):
        Loader(publisher, GENESIS, complete=True).run(taken_over())
    # Two batches at most are on their way; nothing of the later ones was written.
    assert 18 <= len(client.keys(KEYS.account(b"") + b"*")) <= 22
    assert not client.exists(KEYS.head)


def test_replacing_a_state_renews_the_feed_and_goes_on_counting(client: Any, publisher: Publisher) -> None:
    rng = random.Random(8)
    first, second = random_state(rng), random_state(rng)
    Loader(publisher, GENESIS, complete=True).run(from_memory(first))
    publisher.publish(child(GENESIS), random_diff(rng, first))
    feed = client.hget(KEYS.head, "feed")
    with pytest.raises(StateError, match="a complete state is there already, at block 1"):
        Loader(publisher, GENESIS, complete=True).run(from_memory(second))
    head = Loader(publisher, GENESIS, complete=True, replace=True).run(from_memory(second)).head
    assert (head.seq, head.number) == (3, 0) and head.feed != feed
    assert read_state(client) == state_of(second)
    publisher.publish(child(GENESIS), random_diff(rng, second))


@pytest.mark.parametrize(
    ("field", "value"), [("schema", "1"), ("schema", "x"), ("header", "?"), ("seq", "?"), ("seq", "0"), ("feed", "")]
)
def test_a_state_that_cannot_be_read_can_be_replaced(client: Any, publisher: Publisher, field: str, value: str) -> None:
    state = MemoryState({bytes(20): {"balance": 1}})
    Loader(publisher, GENESIS, complete=True).run(from_memory(state))
    client.hset(publisher.keys.head, field, value)
    with pytest.raises(StateCorrupted):
        Publisher(client, publisher.keys.chain_id)
    with Publisher(client, publisher.keys.chain_id, replaces=True) as other:
        Loader(other, GENESIS, complete=True, replace=True).run(from_memory(state))
    with Publisher(client, publisher.keys.chain_id) as last:
        head = last.head()
        assert head is not None and head.hash == GENESIS.hash


WRONG: dict[str, tuple[str, ...]] = {
    "a string": ("SET", "x"),
    "a list": ("RPUSH", "x"),
    "a hash": ("HSET", "seq", "x"),
}


def places(state: MemoryState) -> dict[str, bytes]:
    """A key of each kind."""
    account = next(iter(state))
    return {
        "head": KEYS.head,
        "block hashes": KEYS.block_hashes,
        "feed": KEYS.feed,
        "meta": KEYS.meta,
        "loader": KEYS.loader,
        "account": KEYS.account(account),
        "storage": KEYS.storage(account, 0),
        "code": KEYS.code(state.code_hash(account)),
    }


@pytest.mark.parametrize("loaded", [True, False], ids=["a state", "nothing else"])
@pytest.mark.parametrize("wrong", list(WRONG))
@pytest.mark.parametrize("place", list(places(big_state(random.Random(0), 1))))
def test_keys_of_any_type_can_be_replaced(client: Any, place: str, wrong: str, loaded: bool) -> None:
    state = big_state(random.Random(9), 3)
    if loaded:
        with Publisher(client, 1) as publisher:
            Loader(publisher, GENESIS, complete=True).run(from_memory(state))
    command, *words = WRONG[wrong]
    client.delete(places(state)[place])
    client.execute_command(command, places(state)[place], *words)
    with Publisher(client, 1, replaces=True) as publisher:
        Loader(publisher, GENESIS, complete=True, replace=True).run(from_memory(state))
    assert read_state(client) == state_of(state)
    assert load_memory(client, 1)[0] == state
    diff = random_diff(random.Random(10), state)
    with Publisher(client, 1) as publisher:
        publisher.publish(child(GENESIS), diff)
    state.apply(diff)
    assert read_state(client) == state_of(state)


def test_a_load_that_cannot_go_on_can_be_replaced(client: Any, publisher: Publisher) -> None:
    state = big_state(random.Random(11), 3)
    with pytest.raises(Interrupted):
        Loader(publisher, GENESIS, complete=True).run(stopping(from_memory(state), 1))
    client.set(KEYS.storage(state.addresses()[1], 0), "x")
    with pytest.raises(StateCorrupted, match=r"a command failed: .*replace the state"):
        Loader(publisher, GENESIS, complete=True, replace=True).run(from_memory(state))
    Loader(publisher, GENESIS, complete=True, replace=True).run(from_memory(state))
    assert read_state(client) == state_of(state)


@pytest.mark.parametrize("wrong", list(WRONG))
def test_who_is_in_office_is_not_guessed(client: Any, wrong: str) -> None:
    """Another writer may have been: it could not be fenced off, so nothing is replaced."""
    state = big_state(random.Random(9), 3)
    with Publisher(client, 1) as publisher:
        Loader(publisher, GENESIS, complete=True).run(from_memory(state))
    command, *words = WRONG[wrong]
    client.delete(KEYS.writer)
    client.execute_command(command, KEYS.writer, *words)
    before = {key: client.dump(key) for key in client.scan_iter()}
    with pytest.raises(StateCorrupted, match=r"\{evm:1\}:writer: this is no epoch .* is right: .* delete"):
        Publisher(client, 1, replaces=True)
    assert {key: client.dump(key) for key in client.scan_iter()} == before


def test_accounts_are_added_to_an_incomplete_state_in_one_step(client: Any, publisher: Publisher) -> None:
    state = MemoryState({A: Account(1, 5, b"\x01", {1: 2}), B: Account(2, 6, b"\x02", {3: 4}), C: Account(balance=1)})
    Loader(publisher, GENESIS).run(from_memory(state, [A]))
    head = Loader(publisher, GENESIS).run(from_memory(state, [A, B, C])).head
    assert head.seq == 2
    assert read_state(client) == state_of(state)
    stream_id, fields = client.xrange(KEYS.feed)[0]
    entry = decode_entry(stream_id, fields, KEYS.feed)
    changes = entry.decode(KEYS.feed)
    assert entry.kind == feed.LOAD and entry.header == GENESIS
    assert [account.address for account in changes.accounts] == [B, C]
    assert all(account.old is None and not account.slots for account in changes.accounts)
    assert set(changes.codes.values()) == {b"\x02"}
    # A block goes on from there, and only known accounts change.
    state.delete_account(C)
    publisher.publish(child(GENESIS), balance_diff(MemoryState({B: state.account(B)}), B, 9))
    assert read_state(client)[B] == (2, 9, b"\x02", {3: 4})


def test_accounts_that_are_not_known_do_not_change(client: Any, publisher: Publisher) -> None:
    Loader(publisher, GENESIS).run([SourceAccount(A, 1, 5)])
    publisher.publish(child(GENESIS), balance_diff(MemoryState({B: Account(balance=1)}), B, 9))
    assert read_state(client) == {A: (1, 5, b"", {})}


def test_accounts_of_another_block_are_not_added(client: Any, publisher: Publisher) -> None:
    Loader(publisher, GENESIS).run([SourceAccount(A)])
    with pytest.raises(StateError, match=r"the accounts are those after block 1 .*, the state is at block 0"):
        Loader(publisher, child(GENESIS)).run([SourceAccount(B)])


def test_a_loaded_account_cannot_become_another_at_the_same_block(client: Any, publisher: Publisher) -> None:
    Loader(publisher, GENESIS).run([SourceAccount(A, balance=1)])
    with pytest.raises(StateError, match="is there already and is another"):
        Loader(publisher, GENESIS).run([SourceAccount(A, balance=2)])
    assert Loader(publisher, GENESIS).run([SourceAccount(A, balance=1)]).skipped == 1


def test_accounts_out_of_order_are_refused(publisher: Publisher) -> None:
    with pytest.raises(InputError, match="out of order"):
        Loader(publisher, GENESIS).run([SourceAccount(B), SourceAccount(A)])


# ---- storage known in part


def partial(address: bytes, slots: dict[int, int], balance: int = 1) -> SourceAccount:
    return SourceAccount(address, 0, balance, slots=slots.items(), storage_complete=False)


def slot_diff(address: bytes, slot: int, old: int, new: int) -> Any:
    from evmcore._diff import StateDiff

    slots = {hex(slot): {"old": hex(old), "new": hex(new)}}
    return StateDiff.from_json({"accounts": {}, "storage": {"0x" + address.hex(): slots}, "codes": {}})


def test_known_zeros_of_partly_known_storage_are_kept_apart_from_unknown_slots(
    client: Any, publisher: Publisher
) -> None:
    Loader(publisher, GENESIS).run([partial(A, {1: 5, 2: 0})])
    assert read_state(client)[A] == (0, 1, b"", {1: 5, 2: 0})
    record = record_of(client, A)
    assert record is not None and not record.storage_complete and record.slot_count == 2
    # A slot that a block changes becomes known; one that it clears stays known.
    publisher.publish(child(GENESIS), slot_diff(A, 3, 7, 8))
    assert read_state(client)[A] == (0, 1, b"", {1: 5, 2: 0, 3: 8})
    publisher.publish(child(child(GENESIS)), slot_diff(A, 1, 5, 0))
    assert read_state(client)[A] == (0, 1, b"", {1: 0, 2: 0, 3: 8})
    publisher.revert()
    publisher.revert()
    assert read_state(client)[A] == (0, 1, b"", {1: 5, 2: 0})


def test_a_destroyed_account_of_partly_known_storage_is_known_whole_and_comes_back(
    client: Any, publisher: Publisher
) -> None:
    from evmcore._diff import StateDiff

    Loader(publisher, GENESIS).run([partial(A, {1: 5, 2: 0})])
    before = client.dump(KEYS.account(A))
    old = {"nonce": "0x0", "balance": "0x1", "codeHash": "0x" + EMPTY_CODE_HASH.hex()}
    account = {"0x" + A.hex(): {"old": old, "new": {**old, "balance": "0x2"}, "wiped": True}}
    slots = {"0x" + A.hex(): {"0x9": {"old": "0x3", "new": "0x4"}}}
    publisher.publish(child(GENESIS), StateDiff.from_json({"accounts": account, "storage": slots, "codes": {}}))
    assert read_state(client)[A] == (0, 2, b"", {9: 4})
    record = record_of(client, A)
    assert record is not None and record.storage_complete and record.generation == 1
    publisher.revert()
    assert read_state(client)[A] == (0, 1, b"", {1: 5, 2: 0})
    assert client.dump(KEYS.account(A)) == before


def test_more_slots_and_then_all_become_known(client: Any, publisher: Publisher) -> None:
    Loader(publisher, GENESIS).run([partial(A, {1: 5})])
    head = Loader(publisher, GENESIS).run([partial(A, {1: 5, 2: 0, 3: 6})]).head
    assert read_state(client)[A] == (0, 1, b"", {1: 5, 2: 0, 3: 6})
    stream_id, fields = client.xrange(KEYS.feed)[-1]
    changes = decode_entry(stream_id, fields, KEYS.feed).decode(KEYS.feed)
    assert changes.accounts[0].slots == ((2, None, 0), (3, None, 6))
    whole = SourceAccount(A, 0, 1, slots={1: 5, 3: 6, 4: 7}.items())
    head = Loader(publisher, GENESIS).run([whole]).head
    assert head.seq == 3
    assert read_state(client)[A] == (0, 1, b"", {1: 5, 3: 6, 4: 7})
    stream_id, fields = client.xrange(KEYS.feed)[-1]
    changes = decode_entry(stream_id, fields, KEYS.feed).decode(KEYS.feed)
    assert changes.accounts[0].slots == ((1, 5, 5), (2, 0, 0), (3, 6, 6), (4, None, 7))


def test_slots_that_contradict_what_is_known_are_refused(client: Any, publisher: Publisher) -> None:
    Loader(publisher, GENESIS).run([partial(A, {1: 5})])
    for account in (partial(A, {1: 6}), SourceAccount(A, 0, 1, slots=[(1, 6)]), SourceAccount(A, 0, 1)):
        with pytest.raises(StateError, match=r"slot 0x1 of account .* is 0x5 in the state"):
            Loader(publisher, GENESIS).run([account])
    assert read_state(client)[A] == (0, 1, b"", {1: 5})


def test_a_large_account_that_becomes_known_whole_starts_a_new_feed(
    client: Any, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "MAX_LISTED_SLOTS", 10)
    head = Loader(publisher, GENESIS).run([partial(A, {1: 5})]).head
    slots = {1: 5, **{slot: slot for slot in range(10, 30)}}
    new = Loader(publisher, GENESIS).run([SourceAccount(A, 0, 1, slots=slots.items())]).head
    assert new.feed != head.feed
    assert read_state(client)[A] == (0, 1, b"", slots)
    assert client.xlen(KEYS.feed) == 0


def test_an_interrupted_load_beside_a_served_state_leaves_it_as_it_was(
    client: Any, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "BATCH_BYTES", 3000)
    state = big_state(random.Random(9), 10)
    first = state.addresses()[0]
    Loader(publisher, GENESIS, source="x").run(from_memory(state, [first]))
    with pytest.raises(Interrupted):
        Loader(publisher, GENESIS, source="x").run(stopping(from_memory(state), 6))
    assert client.keys(KEYS.account(b"") + b"*") == [KEYS.account(first)]
    assert client.hget(KEYS.head, "seq") == b"1"
    result = Loader(publisher, GENESIS, source="x").run(from_memory(state))
    assert (result.skipped, result.accounts, result.head.seq) == (1, 9, 2)
    assert read_state(client) == state_of(state)


def test_a_block_taken_back_forgets_what_was_loaded_after_it(
    client: Any, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    state = MemoryState({A: Account(balance=5, storage={1: 2}), B: Account(balance=6, storage={3: 4})})
    Loader(publisher, GENESIS).run(from_memory(state, [A]))
    one = child(GENESIS)
    publisher.publish(one, balance_diff(state, A, 7))
    head = Loader(publisher, one).run([SourceAccount(B, 0, 8, slots=[(3, 9)])]).head
    two = child(one)
    publisher.publish(two, balance_diff(MemoryState({B: Account(balance=8)}), B, 10))
    # Taking back only what came after the load keeps it.
    assert publisher.revert().feed == head.feed
    assert read_state(client)[B] == (0, 8, b"", {3: 9})
    back = publisher.revert()
    assert back.feed != head.feed and back.header == GENESIS
    assert read_state(client) == {A: (0, 5, b"", {1: 2})}
    assert f"load it again: 0x{B.hex()}" in caplog.text


# ---- reading back


def test_large_storage_is_read_in_parts(client: Any, publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "LARGE_STORAGE", 1000)
    state = big_state(random.Random(10), 2, 12_000)
    Loader(publisher, GENESIS, complete=True).run(from_memory(state))
    assert load_memory(client, 1)[0] == state


@pytest.mark.parametrize("damage", ["slot", "record", "code", "zero"])
def test_damage_is_found_when_reading_back(client: Any, publisher: Publisher, damage: str) -> None:
    Loader(publisher, GENESIS, complete=True).run([SourceAccount(A, 0, 1, EMPTY_CODE_HASH, b"", [(1, 2)])])
    state = MemoryState({A: Account(0, 1, b"\x01", {1: 2})})
    Loader(publisher, GENESIS, complete=True, replace=True).run(from_memory(state))
    if damage == "slot":
        client.delete(KEYS.storage(A, 0))
    elif damage == "record":
        client.setrange(KEYS.account(A), 15, b"\7")
    elif damage == "zero":
        client.hset(KEYS.storage(A, 0), (1).to_bytes(32, "big"), b"")
    else:
        client.set(KEYS.code(state.code_hash(A)), b"\x02")
    with pytest.raises(StateCorrupted, match=f"0x{(state.code_hash(A) if damage == 'code' else A).hex()}"):
        load_memory(client, 1)
