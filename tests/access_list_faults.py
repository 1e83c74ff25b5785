"""Access lists with one thing wrong: every kind of change, at a place that a seed chooses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from typing import Any

from evmcore.access_lists import (
    AccountChanges,
    BalanceChange,
    BlockAccessList,
    CodeChange,
    NonceChange,
    SlotChanges,
    StorageChange,
)

Accounts = list[AccountChanges]
Fault = Callable[[Random, Accounts, int], Accounts | None]
"""From a random source, the accounts and the block's last index; None where the list has nothing to do that to."""

STRANGER = bytes.fromhex("5712a496e7" * 4)
FIELDS = ("balance_changes", "nonce_changes", "code_changes")


def _choose(random: Random, accounts: Accounts, has: Callable[[AccountChanges], Any]) -> int | None:
    fitting = [at for at, account in enumerate(accounts) if has(account)]
    return random.choice(fitting) if fitting else None


def _with(accounts: Accounts, at: int, **changes: Any) -> Accounts:
    return [*accounts[:at], replace(accounts[at], **changes), *accounts[at + 1 :]]


def _other(random: Random, change: Any) -> Any:
    if isinstance(change, CodeChange):
        return change._replace(code=change.code + b"\x00")
    if isinstance(change, NonceChange):
        return change._replace(nonce=(change.nonce + random.choice((1, -1))) % 2**64)
    name = "balance" if isinstance(change, BalanceChange) else "value"
    return change._replace(**{name: (getattr(change, name) + random.choice((1, -1, 2**255))) % 2**256})


def _sorted_reads(slots: set[int]) -> tuple[int, ...]:
    return tuple(sorted(slots))


def account_missing(random: Random, accounts: Accounts, last: int) -> Accounts | None:
    at = random.randrange(len(accounts))
    return accounts[:at] + accounts[at + 1 :]


def account_too_many(random: Random, accounts: Accounts, last: int) -> Accounts | None:
    return sorted([*accounts, AccountChanges(STRANGER)], key=lambda account: account.address)


def account_twice(random: Random, accounts: Accounts, last: int) -> Accounts | None:
    at = random.randrange(len(accounts))
    return [*accounts[:at], accounts[at], *accounts[at:]]


def accounts_swapped(random: Random, accounts: Accounts, last: int) -> Accounts | None:
    if len(accounts) < 2:
        return None
    at = random.randrange(len(accounts) - 1)
    return [*accounts[:at], accounts[at + 1], accounts[at], *accounts[at + 2 :]]


def read_missing(random: Random, accounts: Accounts, last: int) -> Accounts | None:
    at = _choose(random, accounts, lambda account: account.storage_reads)
    if at is None:
        return None
    gone = random.choice(accounts[at].storage_reads)
    return _with(accounts, at, storage_reads=_sorted_reads({*accounts[at].storage_reads} - {gone}))


def read_too_many(random: Random, accounts: Accounts, last: int) -> Accounts | None:
    at = random.randrange(len(accounts))
    return _with(
        accounts, at, storage_reads=_sorted_reads({*accounts[at].storage_reads, 2**200 + random.randrange(99)})
    )


def read_twice(random: Random, accounts: Accounts, last: int) -> Accounts | None:
    at = _choose(random, accounts, lambda account: account.storage_reads)
    if at is None:
        return None
    return _with(
        accounts, at, storage_reads=tuple(sorted([*accounts[at].storage_reads, accounts[at].storage_reads[0]]))
    )


def read_also_changed(random: Random, accounts: Accounts, last: int) -> Accounts | None:
    at = _choose(random, accounts, lambda account: account.storage_changes)
    if at is None:
        return None
    slot = random.choice(accounts[at].storage_changes).slot
    return _with(accounts, at, storage_reads=_sorted_reads({*accounts[at].storage_reads, slot}))


def read_said_to_be_changed(random: Random, accounts: Accounts, last: int) -> Accounts | None:
    at = _choose(random, accounts, lambda account: account.storage_reads)
    if at is None:
        return None
    slot = random.choice(accounts[at].storage_reads)
    changed = SlotChanges(slot, (StorageChange(random.randint(0, last), 0xCAFE),))
    return _with(
        accounts,
        at,
        storage_reads=_sorted_reads({*accounts[at].storage_reads} - {slot}),
        storage_changes=tuple(sorted([*accounts[at].storage_changes, changed])),
    )


def change_said_to_be_read(random: Random, accounts: Accounts, last: int) -> Accounts | None:
    at = _choose(random, accounts, lambda account: account.storage_changes)
    if at is None:
        return None
    changed = random.choice(accounts[at].storage_changes)
    return _with(
        accounts,
        at,
        storage_reads=_sorted_reads({*accounts[at].storage_reads, changed.slot}),
        storage_changes=tuple(entry for entry in accounts[at].storage_changes if entry != changed),
    )


def _edit_slot(
    random: Random, accounts: Accounts, edit: Callable[[tuple[StorageChange, ...]], tuple[StorageChange, ...]]
) -> Accounts | None:
    at = _choose(random, accounts, lambda account: account.storage_changes)
    if at is None:
        return None
    entries = list(accounts[at].storage_changes)
    which = random.randrange(len(entries))
    entries[which] = SlotChanges(entries[which].slot, edit(entries[which].changes))
    return _with(accounts, at, storage_changes=tuple(entries))


def _one_different(random: Random, changes: tuple[Any, ...]) -> tuple[Any, ...]:
    at = random.randrange(len(changes))
    return (*changes[:at], _other(random, changes[at]), *changes[at + 1 :])


def _one_missing(random: Random, changes: tuple[Any, ...]) -> tuple[Any, ...]:
    at = random.randrange(len(changes))
    return changes[:at] + changes[at + 1 :]


def _one_twice(random: Random, changes: tuple[Any, ...]) -> tuple[Any, ...]:
    at = random.randrange(len(changes))
    return (*changes[:at], changes[at], *changes[at:])


def _one_elsewhere(random: Random, changes: tuple[Any, ...], last: int) -> tuple[Any, ...] | None:
    free = sorted(set(range(last + 1)) - {change.block_access_index for change in changes})
    if not free:
        return None
    at = random.randrange(len(changes))
    moved = changes[at]._replace(block_access_index=random.choice(free))
    return tuple(sorted((*changes[:at], moved, *changes[at + 1 :])))


def _one_too_late(random: Random, changes: tuple[Any, ...], last: int) -> tuple[Any, ...]:
    return (*changes, changes[-1]._replace(block_access_index=last + random.choice((1, 7, 2**32 - 1 - last))))


def slot_value(random: Random, accounts: Accounts, last: int) -> Accounts | None:
    return _edit_slot(random, accounts, lambda changes: _one_different(random, changes))


def slot_change_missing(random: Random, accounts: Accounts, last: int) -> Accounts | None:
    return _edit_slot(random, accounts, lambda changes: _one_missing(random, changes))


def slot_change_twice(random: Random, accounts: Accounts, last: int) -> Accounts | None:
    return _edit_slot(random, accounts, lambda changes: _one_twice(random, changes))


def slot_change_elsewhere(random: Random, accounts: Accounts, last: int) -> Accounts | None:
    return _edit_slot(random, accounts, lambda changes: _one_elsewhere(random, changes, last) or changes)


def slot_change_too_late(random: Random, accounts: Accounts, last: int) -> Accounts | None:
    return _edit_slot(random, accounts, lambda changes: _one_too_late(random, changes, last))


def slot_twice(random: Random, accounts: Accounts, last: int) -> Accounts | None:
    at = _choose(random, accounts, lambda account: account.storage_changes)
    if at is None:
        return None
    return _with(accounts, at, storage_changes=_one_twice(random, accounts[at].storage_changes))


def slots_swapped(random: Random, accounts: Accounts, last: int) -> Accounts | None:
    at = _choose(random, accounts, lambda account: len(account.storage_changes) > 1)
    return None if at is None else _with(accounts, at, storage_changes=accounts[at].storage_changes[::-1])


def _edit_field(
    random: Random, accounts: Accounts, edit: Callable[[tuple[Any, ...]], tuple[Any, ...] | None]
) -> Accounts | None:
    """Of one kind each in turn of all that the list has, so that rare kinds have their turn."""
    kinds = [name for name in FIELDS if any(getattr(account, name) for account in accounts)]
    if not kinds:
        return None
    name = random.choice(kinds)
    at = _choose(random, accounts, lambda account: getattr(account, name))
    assert at is not None
    edited = edit(getattr(accounts[at], name))
    return None if edited is None else _with(accounts, at, **{name: edited})


def field_value(random: Random, accounts: Accounts, last: int) -> Accounts | None:
    return _edit_field(random, accounts, lambda changes: _one_different(random, changes))


def field_missing(random: Random, accounts: Accounts, last: int) -> Accounts | None:
    return _edit_field(random, accounts, lambda changes: _one_missing(random, changes))


def field_twice(random: Random, accounts: Accounts, last: int) -> Accounts | None:
    return _edit_field(random, accounts, lambda changes: _one_twice(random, changes))


def field_elsewhere(random: Random, accounts: Accounts, last: int) -> Accounts | None:
    return _edit_field(random, accounts, lambda changes: _one_elsewhere(random, changes, last))


def field_too_late(random: Random, accounts: Accounts, last: int) -> Accounts | None:
    return _edit_field(random, accounts, lambda changes: _one_too_late(random, changes, last))


def field_too_many(random: Random, accounts: Accounts, last: int) -> Accounts | None:
    name, change = random.choice(
        (
            ("balance_changes", BalanceChange(random.randint(0, last), random.randrange(2**70))),
            ("nonce_changes", NonceChange(random.randint(0, last), random.randrange(2**64))),
            ("code_changes", CodeChange(random.randint(0, last), random.randbytes(5))),
        )
    )
    at = random.randrange(len(accounts))
    taken = {known.block_access_index for known in getattr(accounts[at], name)}
    if change.block_access_index in taken:
        return None
    return _with(accounts, at, **{name: tuple(sorted([*getattr(accounts[at], name), change]))})


def places_swapped(random: Random, accounts: Accounts, last: int) -> Accounts | None:
    """Two places of the block change parts throughout."""
    if last < 2:
        return None
    one, other = random.sample(range(last + 1), 2)
    swap = {one: other, other: one}

    def swapped(changes: tuple[Any, ...]) -> tuple[Any, ...]:
        moved = [c._replace(block_access_index=swap.get(c.block_access_index, c.block_access_index)) for c in changes]
        return tuple(sorted(moved))

    return [
        replace(
            account,
            storage_changes=tuple(SlotChanges(slot, swapped(changes)) for slot, changes in account.storage_changes),
            **{name: swapped(getattr(account, name)) for name in FIELDS},  # type: ignore[arg-type]
        )
        for account in accounts
    ]


FAULTS: tuple[Fault, ...] = (
    account_missing,
    account_too_many,
    account_twice,
    accounts_swapped,
    read_missing,
    read_too_many,
    read_twice,
    read_also_changed,
    read_said_to_be_changed,
    change_said_to_be_read,
    slot_value,
    slot_change_missing,
    slot_change_twice,
    slot_change_elsewhere,
    slot_change_too_late,
    slot_twice,
    slots_swapped,
    field_value,
    field_missing,
    field_twice,
    field_elsewhere,
    field_too_late,
    field_too_many,
    places_swapped,
)
WRONG_FORMAT = (account_twice, accounts_swapped)


def faulty_lists(seed: int, right: BlockAccessList, transactions: int) -> Iterator[tuple[Fault, BlockAccessList]]:
    """The list with each kind of fault that it can have."""
    for number, fault in enumerate(FAULTS if right.accounts else (account_too_many,)):
        accounts = fault(Random(f"{seed} {number}"), list(right.accounts), transactions + 1)
        if accounts is not None and (wrong := BlockAccessList(accounts)) != right:
            yield fault, wrong
