"""The native planner against the plain one: the same changes, byte by byte, and the same refusals."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from evmcore._diff import StateDiff
from evmcore.errors import StateError
from evmcore.state import MemoryState
from evmcore.state._changes import ChangeSet
from evmcore.state._commands import Commands
from evmcore.state._planning import Plan
from evmcore.state._requests import Request
from evmcore.state.feed import Changes, encode_changes
from evmcore.state.layout import Keys, decode_record
from evmcore.state.loading import Loader
from evmcore.state.publisher import Publisher
from evmcore.state.session import Session
from evmcore.state.sources import from_memory
from evmcore.types import Account
from tests.plain_planning import AccountPlan, change_commands, inverted, needed_codes, touched_accounts
from tests.redis_server import RedisServer
from tests.stored_state import ADDRESSES, GENESIS, child, random_diff, random_state

KEYS = Keys(1)


@pytest.fixture
def session(shared_redis: RedisServer) -> Iterator[Session]:
    session = Session(shared_redis.url)
    session.request([(b"FLUSHALL",)])
    yield session
    session.close()


def plain(session: Session, diff: StateDiff, complete: bool) -> Changes:
    """What the plain planner makes of a diff and what is stored."""
    touched = touched_accounts(diff)
    if not touched:
        return Changes()
    values = session.request([(b"MGET", *(KEYS.account(account.address) for account in touched))])[0]
    records = [
        None if value is None else decode_record(value, KEYS.account(account.address))
        for account, value in zip(touched, values, strict=True)
    ]
    accounts = []
    for account, record in zip(touched, records, strict=True):
        if complete or record is not None:
            plan = AccountPlan(account, record, KEYS, complete)
            change = plan.finish(session.request(plan.reads()))
            if change is not None:
                accounts.append(change)
    return Changes(tuple(accounts), {code_hash: diff.codes[code_hash] for code_hash in sorted(needed_codes(accounts))})


class Unforeseen(Exception):
    """An account is not as most are."""


def native(
    session: Session,
    diff: StateDiff,
    complete: bool,
    *,
    guess: bool,
    generations: dict[bytes, int] | None = None,
    foresee: bool = False,
    strict: bool = False,
) -> ChangeSet:
    """What the native planner makes of them, in one round of questions where `guess`, else in two. With `foresee` it
    encodes before the answers what it can; `strict`: raises `Unforeseen` where the answers say otherwise."""
    plan = Plan(diff, KEYS.prefix, 1000, 7)
    request = Request([(b"PING",)])
    plan.ask_records(request)
    if guess:
        plan.ask_storage(request, generations or {})
    if foresee:
        plan.foresee()
    replies = session.exchange(request)
    plan.take_records(replies, 1, complete)
    if not plan.answered():
        if strict:
            raise Unforeseen
        plan.forget_foreseen()
        request = Request([(b"PING",)])
        plan.ask_storage(request)
        replies = session.exchange(request)
    changes = plan.finish(replies)
    changes.codes.update((code_hash, diff.codes[code_hash]) for code_hash in changes.needed_codes())
    return changes


def sent(commands: Any) -> bytes:
    return b"".join(
        b"*%d\r\n" % len(command) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in command)
        for command in commands
    )


@pytest.mark.parametrize("guess", [False, True])
def test_native_plans_are_those_of_the_plain_planner(session: Session, guess: bool) -> None:
    wiped = 0
    for seed in range(25):
        rng = random.Random(seed)
        session.request([(b"FLUSHALL",)])
        with Publisher(session.client, 1) as publisher:
            state = random_state(rng)
            Loader(publisher, GENESIS, complete=True).run(from_memory(state))
            header = GENESIS
            for step in range(20):
                diff = random_diff(rng, state)
                expected = plain(session, diff, True)
                changes = native(session, diff, True, guess=guess)
                assert changes.encode() == encode_changes(expected)
                assert ChangeSet.decode(changes.encode(), b"feed").encode() == changes.encode()
                assert changes.invert().encode() == encode_changes(inverted(expected))
                request = Request()
                commands = Commands(request, KEYS.prefix)
                commands.write_codes(changes)
                commands.write(changes)
                assert request.size == len(sent(change_commands(KEYS, expected)))
                wiped += sum(account.wiped for account in expected.accounts)
                header = child(header, salt=step)
                publisher.publish(header, diff)
                state.apply(diff)
    assert wiped > 20


def test_what_is_foreseen_is_what_the_plain_planner_finds(session: Session) -> None:
    """Encoded before anything is known, the changes are those of knowing all; where an account is not as most are, the
    plan says so, and never where all are, and goes on without."""
    foreseen = unforeseen = 0
    for seed in range(25):
        rng = random.Random(1000 + seed)
        session.request([(b"FLUSHALL",)])
        with Publisher(session.client, 1) as publisher:
            state = random_state(rng)
            Loader(publisher, GENESIS, complete=True).run(from_memory(state))
            header = GENESIS
            generations: dict[bytes, int] = {}
            for step in range(20):
                diff = random_diff(rng, state)
                expected = plain(session, diff, True)
                known = {account.address: account.old for account in expected.accounts}
                usual = all(
                    record is None or generations.get(address, 0) == record.generation
                    for address, record in known.items()
                )
                try:
                    native(session, diff, True, guess=True, generations=generations, foresee=True, strict=True)
                except Unforeseen:
                    assert not usual
                    unforeseen += 1
                else:
                    foreseen += len(diff.storage_changes) > 0
                changes = native(session, diff, True, guess=True, generations=generations, foresee=True)
                assert changes.encode() == encode_changes(expected)
                assert changes.invert().encode() == encode_changes(inverted(expected))
                request = Request()
                commands = Commands(request, KEYS.prefix)
                commands.write_codes(changes)
                commands.write(changes)
                assert request.size == len(sent(change_commands(KEYS, expected)))
                if step % 5 == 0:
                    generations = {a: r.generation for a, r in known.items() if r is not None and r.generation}
                header = child(header, salt=step)
                publisher.publish(header, diff)
                state.apply(diff)
    assert foreseen > 60 and unforeseen > 60


@pytest.mark.parametrize("guess", [False, True])
def test_diffs_of_another_state_are_refused_alike(session: Session, guess: bool) -> None:
    refused = 0
    for seed in range(60):
        rng = random.Random(seed)
        session.request([(b"FLUSHALL",)])
        with Publisher(session.client, 1) as publisher:
            Loader(publisher, GENESIS, complete=True).run(from_memory(random_state(rng)))
        diff = random_diff(rng, random_state(rng))
        outcomes: list[Any] = []
        for planner in (plain, lambda *arguments: native(*arguments, guess=guess)):
            try:
                outcomes.append(planner(session, diff, True))
            except StateError as error:
                outcomes.append(str(error))
        if isinstance(outcomes[0], str):
            # Both look at everything; which fault they come upon first is theirs.
            assert isinstance(outcomes[1], str)
            refused += 1
        else:
            assert outcomes[1].encode() == encode_changes(outcomes[0])
    assert refused > 30


def test_of_many_slots_as_many_as_wanted_are_compared(session: Session) -> None:
    """A wrong value among 200 slots is found by a quarter of the plans that compare a quarter of the slots."""
    address = ADDRESSES[0]
    state = MemoryState({address: Account(balance=1, storage={slot: slot for slot in range(1, 201)})})
    with Publisher(session.client, 1) as publisher:
        Loader(publisher, GENESIS, complete=True).run(from_memory(state))
    slots = {hex(slot): {"old": hex(slot + (slot == 77)), "new": hex(slot + 1000)} for slot in range(1, 201)}
    diff = StateDiff.from_json({"accounts": {}, "storage": {"0x" + address.hex(): slots}, "codes": {}})
    found = 0
    for seed in range(400):
        plan = Plan(diff, KEYS.prefix, 50, random.Random(seed).getrandbits(64))
        request = Request()
        plan.ask_records(request)
        plan.ask_storage(request, {})
        replies = session.exchange(request)
        plan.take_records(replies, 0, True)
        assert plan.answered() and len(replies[2]) == 50
        try:
            plan.finish(replies)
        except StateError as error:
            assert "slot 0x4d of account" in str(error)
            found += 1
    assert 60 < found < 140
