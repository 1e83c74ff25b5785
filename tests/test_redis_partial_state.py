"""A state of selected accounts and slots: what it lacks is an error or asked of a node, never zero."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import pytest

from evmcore._diff import StateDiff
from evmcore.bench.contracts import mapping_slot
from evmcore.blocks import Header
from evmcore.errors import StateUnknown
from evmcore.state._cache_view import CacheView
from evmcore.state.base import EMPTY_CODE_HASH
from evmcore.state.loading import Loader
from evmcore.state.publisher import Publisher
from evmcore.state.redis import RedisPin, RedisState
from evmcore.state.rpc import ProvenAccount
from evmcore.state.sources import SourceAccount, from_memory
from tests.redis_reading import wait_for
from tests.redis_server import RedisServer
from tests.redis_token import HOLDERS, TOKEN, TOKEN_ADDRESS, call_token, token_state
from tests.stored_state import GENESIS, child
from tests.waiting import until


def incomplete(server: RedisServer) -> Publisher:
    """The token with one of its slots known, nothing else."""
    publisher = Publisher(server.url, 1)
    slot = mapping_slot(TOKEN.slots["balanceOf"], HOLDERS[0])
    account = next(iter(from_memory(token_state(1))))
    partly = SourceAccount(
        TOKEN_ADDRESS, 1, 0, account.code_hash, account.code, [(slot, 1000), (5, 0)], storage_complete=False
    )
    Loader(publisher, GENESIS).run([partly])
    return publisher


def test_what_an_incomplete_state_lacks_is_an_error_never_zero(server: RedisServer) -> None:
    with incomplete(server), RedisState(server.url) as state, state.pin() as pin:
        assert pin.storage(TOKEN_ADDRESS, 5) == 0
        assert pin.run(lambda backend: call_token(backend, HOLDERS[0])) == 1000
        for _ in range(2):
            with pytest.raises(StateUnknown, match=f"of 0x{TOKEN_ADDRESS.hex()} was not loaded"):
                pin.run(lambda backend: call_token(backend, HOLDERS[1]))
            with pytest.raises(StateUnknown, match=f"of 0x{TOKEN_ADDRESS.hex()} was not loaded"):
                call_token(pin.backend, HOLDERS[1])
            with pytest.raises(StateUnknown, match=f"account 0x{HOLDERS[0].hex()} was not loaded"):
                pin.account(HOLDERS[0])


def test_threads_that_share_a_backend_are_told_of_their_own_failures(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them fails after the other has failed, and before that has looked why."""
    meanwhile: list[threading.Thread] = []
    told: dict[bytes, str] = {}

    class Interrupted(CacheView):
        def take_error(self) -> BaseException | None:
            if meanwhile:
                thread = meanwhile.pop()
                thread.start()
                thread.join()
            return super().take_error()

    def read(pin: RedisPin, holder: bytes) -> None:
        with pytest.raises(StateUnknown) as caught:
            pin.account(holder)
        told[holder] = str(caught.value)

    monkeypatch.setattr("evmcore.state.redis.CacheView", Interrupted)
    with incomplete(server), RedisState(server.url) as state, state.pin() as pin:
        meanwhile.append(threading.Thread(target=read, args=(pin, HOLDERS[1])))
        read(pin, HOLDERS[0])
    assert {holder: holder.hex() in text for holder, text in told.items()} == {HOLDERS[0]: True, HOLDERS[1]: True}


class CountedNode:
    """An upstream that knows one account and says 77 for every slot, with a note of what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, dict[bytes, list[int]]]] = []
        self.closed = False

    def accounts(self, header: Header, wanted: Mapping[bytes, Sequence[int]]) -> dict[bytes, ProvenAccount]:
        self.asked.append((header.number, {address: list(slots) for address, slots in wanted.items()}))
        return {
            address: ProvenAccount(address == HOLDERS[0], 7, 8, EMPTY_CODE_HASH, None, dict.fromkeys(slots, 77))
            for address, slots in wanted.items()
        }

    def codes(self, header: Header, hashes: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        raise AssertionError("no account has code")

    def close(self) -> None:
        self.closed = True


def test_what_an_incomplete_state_lacks_is_asked_of_the_node(server: RedisServer) -> None:
    node = CountedNode()
    with incomplete(server), RedisState(server.url, upstream=node) as state, state.pin() as pin:
        assert pin.run(lambda backend: call_token(backend, HOLDERS[1])) == 77
        assert pin.run(lambda backend: call_token(backend, HOLDERS[0])) == 1000
        found = pin.account(HOLDERS[0])
        assert found is not None and (found.nonce, found.balance) == (7, 8)
        assert pin.account(HOLDERS[1]) is None
        slot = mapping_slot(TOKEN.slots["balanceOf"], HOLDERS[1])
        assert node.asked == [(0, {TOKEN_ADDRESS: [slot]}), (0, {HOLDERS[0]: []}), (0, {HOLDERS[1]: []})]
    assert node.closed


def test_what_one_run_lacks_is_asked_at_once(server: RedisServer) -> None:
    node = CountedNode()
    with incomplete(server), RedisState(server.url, upstream=node) as state, state.pin() as pin:
        balances = pin.run(lambda backend: [call_token(backend, holder) for holder in HOLDERS[1:6]])
        assert balances == [77] * 5
        asked = [len(slots[TOKEN_ADDRESS]) for _, slots in node.asked]
        assert sum(asked) == 5 and len(asked) < 5, "on a loaded machine the run is cut short, once or twice"


def test_an_asked_slot_is_known_at_later_blocks_until_one_changes_it(server: RedisServer) -> None:
    node = CountedNode()
    slots = [mapping_slot(TOKEN.slots["balanceOf"], holder) for holder in HOLDERS[1:3]]
    with incomplete(server) as publisher, RedisState(server.url, upstream=node) as state:
        first = state.pin()
        assert [first.run(lambda backend, h=h: call_token(backend, h)) for h in HOLDERS[1:3]] == [77, 77]
        header = child(GENESIS)
        changes = {hex(slots[0]): {"old": hex(77), "new": "0x5"}}
        publisher.publish(
            header,
            StateDiff.from_json({"accounts": {}, "storage": {"0x" + TOKEN_ADDRESS.hex(): changes}, "codes": {}}),
        )
        wait_for(state, header)
        with state.pin() as pin:
            assert [pin.run(lambda backend, h=h: call_token(backend, h)) for h in HOLDERS[1:3]] == [5, 77]
        assert [first.run(lambda backend, h=h: call_token(backend, h)) for h in HOLDERS[1:3]] == [77, 77]
        assert len(node.asked) == 2


def test_a_cached_slot_says_nothing_of_blocks_before_its_account_was_loaded(server: RedisServer) -> None:
    with incomplete(server) as publisher, RedisState(server.url) as state:
        before = state.pin()
        header = child(GENESIS)
        publisher.publish(header, StateDiff.from_json({"accounts": {}, "storage": {}, "codes": {}}))
        Loader(publisher, header).run([SourceAccount(HOLDERS[2], 3, 4, slots=[(1, 9)])])
        until(lambda: state.pin().seq >= before.seq + 2)
        assert state.pin().storage(HOLDERS[2], 1) == 9
        with pytest.raises(StateUnknown):
            before.storage(HOLDERS[2], 1)


def test_accounts_that_are_loaded_later_become_known(server: RedisServer) -> None:
    with incomplete(server) as publisher, RedisState(server.url) as state:
        pin = state.pin()
        with pytest.raises(StateUnknown):
            pin.account(HOLDERS[2])
        Loader(publisher, GENESIS).run([SourceAccount(HOLDERS[2], 3, 4)])
        until(lambda: state.pin().seq > pin.seq)
        found = state.pin().account(HOLDERS[2])
        assert found is not None and found.balance == 4
        with pytest.raises(StateUnknown):
            pin.account(HOLDERS[2])
