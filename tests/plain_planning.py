"""What a block's state diff changes in Redis, in plain Python, to compare the native `Plan` and `ChangeSet` with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from evmcore._diff import AccountDiff, AccountFields, SlotDiff, StateDiff
from evmcore.errors import StateCorrupted, StateError
from evmcore.state.base import EMPTY_CODE_HASH
from evmcore.state.feed import AccountChange, Changes, SlotChange
from evmcore.state.layout import Keys, Record, absent_record, decode_value, encode_record, show_key
from evmcore.state.planning import MAX_GENERATION, storage_commands
from evmcore.state.session import Command, as_fields


@dataclass(slots=True)
class Touched:
    """An account of a diff: how it changes (None: only its slots do), and its changed slots by key."""

    address: bytes
    change: AccountDiff | None = None
    slots: list[SlotDiff] = field(default_factory=list)


def touched_accounts(diff: StateDiff) -> list[Touched]:
    """The accounts that a diff names, by address."""
    touched = {change.address: Touched(change.address, change) for change in diff.account_changes}
    for slot in diff.storage_changes:
        if slot.address not in touched:
            touched[slot.address] = Touched(slot.address)
        touched[slot.address].slots.append(slot)
    return [touched[address] for address in sorted(touched)]


# ------------------------------------------------------------------------------------------- one account


class AccountPlan:
    """One account of a diff against its record: what has to be read of its storage, and then what changes."""

    __slots__ = ("address", "complete", "destroyed", "key", "new", "old", "slots", "touched")

    def __init__(self, touched: Touched, record: Record | None, keys: Keys, complete: bool) -> None:
        """`record`: what is stored, None if nothing is. `complete`: whether the state holds every account."""
        self.touched = touched
        self.address = touched.address
        self.old = record
        self.complete = complete
        self.slots = {slot.key: slot for slot in touched.slots}
        exists = record is not None and not record.absent
        change = touched.change
        if change is None:
            if not exists:
                raise StateError(f"cannot apply the diff: slots of {self.name} change, which is absent in the state")
            assert record is not None
            self.new: AccountFields | None = AccountFields(record.nonce, record.balance, record.code_hash)
        else:
            self._check_fields(change.old)
            self.new = change.new
        self.destroyed = exists and change is not None and (change.wiped or change.new is None)
        self.key = keys.storage(self.address, record.generation if record is not None else 0)

    @property
    def name(self) -> str:
        return f"account 0x{self.address.hex()}"

    def _check_fields(self, expected: AccountFields | None) -> None:
        record = self.old
        found = None
        if record is not None and not record.absent:
            found = AccountFields(record.nonce, record.balance, record.code_hash)
        if found != expected:
            raise StateError(
                f"cannot apply the diff: {self.name} is {_fields_text(found)} in the state, "
                f"but {_fields_text(expected)} in the diff"
            )

    def reads(self) -> list[Command]:
        """The commands whose replies `finish` needs: the number of slots, and the slots that the diff touches."""
        if self.old is None or (not self.old.slot_count and not self.slots):
            return []
        if self.destroyed:
            return [(b"HGETALL", self.key)]
        commands: list[Command] = [(b"HLEN", self.key)]
        if self.slots:
            commands.append((b"HMGET", self.key, *(key.to_bytes(32, "big") for key in self.slots)))
        return commands

    def finish(self, replies: Sequence[Any]) -> AccountChange | None:
        """The account's change; None when nothing is different in the end."""
        stored, count = self._stored(replies)
        if self.old is not None and count != self.old.slot_count:
            raise StateCorrupted(
                f"{show_key(self.key)}: {count} slots, the account record has {self.old.slot_count}: some are lost"
            )
        old_complete = self.old is None or self.old.storage_complete
        slots: list[SlotChange] = []
        gone = came = 0
        for key in sorted(self.slots.keys() | stored.keys()) if self.destroyed else self.slots:
            known = stored.get(key)
            old = 0 if known is None and old_complete else known
            diff = self.slots.get(key)
            new = diff.new if diff is not None else 0
            if diff is not None and old is not None and old != diff.old:
                raise StateError(
                    f"cannot apply the diff: slot {key:#x} of {self.name} is {old:#x} in the state, "
                    f"but {diff.old:#x} in the diff"
                )
            if self.destroyed:
                came += new != 0
            elif old_complete:
                gone += old != 0
                came += new != 0
            else:
                came += old is None
            if old != new or (self.destroyed and key in stored):
                slots.append(SlotChange(key, old, new))
        new_record = self._new_record(came if self.destroyed else count - gone + came)
        if self.new is None and came:
            raise StateError(f"cannot apply the diff: {self.name} is absent after it, but has slots")
        if not slots and new_record == self.old:
            return None
        return AccountChange(self.address, self.old, new_record, self.destroyed, tuple(slots))

    def _stored(self, replies: Sequence[Any]) -> tuple[dict[int, int], int]:
        """What is stored of the slots that matter, and how many there are in all."""
        if not replies:
            return {}, 0
        if self.destroyed:
            fields = as_fields(replies[0])
            return {int.from_bytes(key, "big"): self._value(key, value) for key, value in fields.items()}, len(fields)
        stored = {}
        if len(replies) > 1:
            for key, value in zip(self.slots, replies[1], strict=True):
                if value is not None:
                    stored[key] = self._value(key.to_bytes(32, "big"), value)
        return stored, replies[0]

    def _value(self, key: bytes, value: bytes) -> int:
        if not value and self.old is not None and self.old.storage_complete:
            raise StateCorrupted(f"{show_key(self.key)}: slot 0x{key.hex()} is zero, which is not stored")
        return decode_value(value, self.key, key)

    def _new_record(self, slot_count: int) -> Record | None:
        generation = self.old.generation if self.old is not None else 0
        if self.destroyed and self.old is not None and self.old.slot_count:
            generation = (generation + 1) & MAX_GENERATION
        if self.new is None:
            return None if self.complete else absent_record(generation)
        fresh = self.old is None or self.old.absent or self.destroyed
        return Record(
            self.new.nonce,
            self.new.balance,
            self.new.code_hash,
            generation,
            slot_count,
            fresh or (self.old is not None and self.old.storage_complete),
        )


def _fields_text(fields: AccountFields | None) -> str:
    if fields is None:
        return "absent"
    return f"nonce {fields.nonce}, balance {fields.balance}, code hash 0x{fields.code_hash.hex()}"


def needed_codes(accounts: Sequence[AccountChange]) -> set[bytes]:
    """Hashes of the codes that new records name and old ones do not."""
    return {
        account.new.code_hash
        for account in accounts
        if account.new is not None
        and account.new.code_hash != EMPTY_CODE_HASH
        and (account.old is None or account.old.code_hash != account.new.code_hash)
    }


def change_commands(keys: Keys, changes: Changes) -> Iterator[Command]:
    """The commands that bring the keys of accounts, storage and codes from the old to the new side of changes."""
    for code_hash, code in changes.codes.items():
        yield b"SET", keys.code(code_hash), code
    for account in changes.accounts:
        yield from storage_commands(keys, account)
        if account.new is None:
            yield b"DEL", keys.account(account.address)
        elif account.new != account.old:
            yield b"SET", keys.account(account.address), encode_record(account.new)


def inverted(changes: Changes) -> Changes:
    """The changes that lead back. Codes stay where they are."""
    return Changes(
        tuple(
            AccountChange(a.address, a.new, a.old, a.wiped, tuple(SlotChange(s.key, s.new, s.old) for s in a.slots))
            for a in changes.accounts
        )
    )
