"""The changes of the writer's transactions: a block is applied or reverted, or accounts are loaded.

Each class reads what it needs, compares it, and determines the changes; `publisher` executes them.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from evmcore._diff import StateDiff
from evmcore.blocks import Header
from evmcore.errors import StateCorrupted, StateError, WrongParent
from evmcore.state import feed, layout
from evmcore.state._changes import ChangeSet
from evmcore.state._commands import Commands
from evmcore.state._planning import Plan
from evmcore.state._replies import Replies
from evmcore.state._requests import Request
from evmcore.state.feed import Changes, FeedEntry
from evmcore.state.layout import Head, Keys, Record
from evmcore.state.planning import load_commands
from evmcore.state.session import Session

# The number of accounts with destroyed storage whose generation is remembered.
MOST_GENERATIONS: Final = 100_000


@dataclass
class Known:
    """Values that a writer remembers from one change to the next. They are only guesses: all are compared again."""

    complete: bool = False
    generations: dict[bytes, int] = field(default_factory=dict)  # of accounts whose storage was destroyed

    def note_generations(self, found: dict[bytes, int]) -> None:
        if len(self.generations) > MOST_GENERATIONS:
            self.generations.clear()
        self.generations.update(found)


class Work:
    """The change of one transaction. `kind` and `header` are those of its feed entry."""

    kind: bytes
    header: Header
    # Whether readers may be told before the keys are changed: the head's hash must identify the state before.
    may_be_told_first = False

    def __init__(self, keys: Keys) -> None:
        self.keys = keys

    def ask(self, request: Request) -> None:
        """Adds commands that read what `changes` needs."""
        raise NotImplementedError

    def use_time(self) -> None:
        """Called while the server reads."""

    def is_done(self, head: Head) -> bool:
        """Whether the change is made already. Raises `WrongParent` or `StateError` if it cannot be made."""
        raise NotImplementedError

    def changes(self, complete: bool, replies: Replies, first: int, session: Session) -> ChangeSet:
        """The changes; `replies` from `first` on answer the commands of `ask`. May send more requests on `session`."""
        raise NotImplementedError

    def write(self, commands: Commands, changes: ChangeSet) -> None:
        """Adds the commands that make the changes, other than those for codes."""
        commands.write(changes)

    def read_records(self, replies: Replies, first: int, addresses: Sequence[bytes]) -> list[Record | None]:
        """The records in the reply to an MGET, if there was one."""
        return layout.decode_records(self.keys, addresses, replies[first] if addresses else ())


class Publication(Work):
    """A block that follows the head."""

    kind = feed.BLOCK
    may_be_told_first = True

    def __init__(self, keys: Keys, known: Known, header: Header, diff: StateDiff, checked_slots: int | None) -> None:
        super().__init__(keys)
        self.known = known
        self.header = header
        self.hash = header.hash
        self.diff = diff
        self.checked_slots = len(diff) if checked_slots is None else checked_slots

    def ask(self, request: Request) -> None:
        self.plan = Plan(self.diff, self.keys.prefix, self.checked_slots, secrets.randbits(64))
        self.plan.ask_records(request)
        if self.known.complete:
            # Most accounts have the generation they always had: one round instead of two.
            self.plan.ask_storage(request, self.known.generations)

    def use_time(self) -> None:
        if self.known.complete:
            self.plan.foresee()

    def is_done(self, head: Head) -> bool:
        header = self.header
        if self.hash == head.hash:
            return True
        if header.parent_hash != head.hash or header.number != head.number + 1:
            raise WrongParent(
                f"block {header.number} 0x{self.hash.hex()} has the parent 0x{header.parent_hash.hex()}, "
                f"the head is block {head.number} 0x{head.hash.hex()}"
            )
        return False

    def changes(self, complete: bool, replies: Replies, first: int, session: Session) -> ChangeSet:
        plan = self.plan
        plan.take_records(replies, first, complete)
        if not plan.answered():
            self.known.note_generations(plan.generations())
            plan.forget_foreseen()
            request = Request()
            plan.ask_storage(request)
            replies = session.exchange(request, doing="reading storage")
        changes = plan.finish(replies)
        self._add_codes(changes, session)
        return changes

    def _add_codes(self, changes: ChangeSet, session: Session) -> None:
        codes = self.diff.codes
        needed = changes.needed_codes()
        changes.codes.update((code_hash, codes[code_hash]) for code_hash in sorted(needed & codes.keys()))
        missing = sorted(needed - codes.keys())
        if not missing:
            return
        there = session.request([(b"EXISTS", self.keys.code(code_hash)) for code_hash in missing])
        for code_hash, exists in zip(missing, there, strict=True):
            if not exists:
                raise StateError(f"the code of hash 0x{code_hash.hex()} is neither in the diff nor in the state")


class Undoing(Work):
    """The block at the head is reverted."""

    kind = feed.REVERT

    def __init__(self, keys: Keys, entry: FeedEntry, back: ChangeSet) -> None:
        super().__init__(keys)
        self.header = entry.parent
        self.entry = entry
        self.back = back
        self.accounts = back.records()

    def ask(self, request: Request) -> None:
        if self.accounts:
            request.add(b"MGET", *(self.keys.account(address) for address, _, _ in self.accounts))
        for address, old, _ in self.accounts:
            if old is not None:
                request.add(b"HLEN", self.keys.storage(address, old.generation))

    def is_done(self, head: Head) -> bool:
        number = self.entry.header.number
        if head.hash != self.entry.parent.hash and head.hash != self.entry.header.hash:
            raise WrongParent(
                f"block {number} 0x{self.entry.header.hash.hex()} cannot be taken back: the head is block "
                f"{head.number} 0x{head.hash.hex()}"
            )
        return head.hash == self.entry.parent.hash

    def changes(self, complete: bool, replies: Replies, first: int, session: Session) -> ChangeSet:
        records = self.read_records(replies, first, [address for address, _, _ in self.accounts])
        reply = first + 1
        for (address, old, _), record in zip(self.accounts, records, strict=True):
            if record != old:
                raise StateCorrupted(
                    f"{layout.show_key(self.keys.account(address))}: {record} is stored, "
                    f"the feed says that block {self.entry.header.number} left {old}"
                )
            if old is not None:
                if replies[reply] != old.slot_count:
                    raise StateCorrupted(
                        f"{layout.show_key(self.keys.storage(address, old.generation))}: {replies[reply]} slots, the "
                        f"account record has {old.slot_count}: some are lost"
                    )
                reply += 1
        return self.back


class Loading(Work):
    """Accounts become known."""

    kind = feed.LOAD

    def __init__(self, keys: Keys, header: Header, changes: Changes) -> None:
        super().__init__(keys)
        self.header = header
        self.loaded = changes

    def ask(self, request: Request) -> None:
        if self.loaded.accounts:
            request.add(b"MGET", *(self.keys.account(account.address) for account in self.loaded.accounts))

    def is_done(self, head: Head) -> bool:
        if head.hash != self.header.hash:
            raise StateError(
                f"what was loaded is the state after block {self.header.number} 0x{self.header.hash.hex()}, "
                f"the head is block {head.number} 0x{head.hash.hex()}: load again"
            )
        return False

    def changes(self, complete: bool, replies: Replies, first: int, session: Session) -> ChangeSet:
        if complete:
            raise StateError("the state is complete: there is no account to load")
        accounts = self.loaded.accounts
        records = self.read_records(replies, first, [account.address for account in accounts])
        for account, record in zip(accounts, records, strict=True):
            if record != account.old:
                raise StateError(f"account 0x{account.address.hex()} changed while it was loaded: load again")
        return ChangeSet.decode(feed.encode_changes(self.loaded), self.keys.feed)

    def write(self, commands: Commands, changes: ChangeSet) -> None:
        commands.request.extend(load_commands(self.keys, self.loaded))
