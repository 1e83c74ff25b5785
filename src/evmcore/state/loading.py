"""Loading accounts into Redis.

A load into an empty database writes accounts one after the other and the head last: until then nobody can read the
state. A load into an incomplete state that is being served writes storage first, under names that no record points to,
and makes all accounts known in one transaction. Either may be interrupted at any time; the same load, started again,
resumes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

from evmcore._hash import keccak256
from evmcore.blocks import Header
from evmcore.errors import InputError, StateCorrupted, StateError, WriterFenced
from evmcore.state import layout
from evmcore.state._requests import Request
from evmcore.state._wire import ErrorReply
from evmcore.state.feed import AccountChange, Changes, SlotChange
from evmcore.state.layout import Head, Record
from evmcore.state.planning import MAX_GENERATION, table_commands
from evmcore.state.publisher import Publisher
from evmcore.state.session import Command, Session, as_fields
from evmcore.state.sources import SourceAccount
from evmcore.state.stored import Progress, read_storage, scan
from evmcore.types import to_hash, to_uint

# Slots of one HSET, and bytes of one request: large enough to keep both sides busy, small enough for other clients.
SLOTS_PER_COMMAND: Final = 256
BATCH_BYTES: Final = 256 * 1024
# If accounts that were known in part get more slots than this, no feed entry lists them: readers start anew instead.
MAX_LISTED_SLOTS: Final = 50_000


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The result of a load. `skipped` accounts were stored already."""

    head: Head
    accounts: int
    slots: int
    skipped: int


class Loader:
    """Loads accounts of the state after one block."""

    def __init__(
        self,
        publisher: Publisher,
        header: Header,
        *,
        complete: bool = False,
        chain: Mapping[str, Any] | None = None,
        block_hashes: Mapping[int, bytes] | None = None,
        source: str = "",
        replace: bool = False,
        progress: Progress | None = None,
    ) -> None:
        """`header`: of the block whose post-state has the accounts. `complete`: these are all accounts of the chain.

        `chain`: the configuration as in a geth-style genesis, stored with the state. `block_hashes`: of blocks before
        `header`. `source`: a name for the origin of the accounts; an interrupted load resumes only if `source`, the
        block and `complete` are the same. `replace`: an existing state is deleted first.

        Raises `InputError` if `chain` is not JSON, or if a block hash is malformed.
        """
        self.publisher = publisher
        self.keys = publisher.keys
        self.header = header
        self.complete = complete
        self._chain_json = _chain_json(chain)
        self._block_hashes = {
            to_uint(number, "block_hashes: number", 64): to_hash(block_hash, f"block_hashes[{number}]")
            for number, block_hash in (block_hashes or {}).items()
        }
        self.replace = replace
        self.progress = progress
        self._session = publisher.session
        text = f"{source}\0{header.hash.hex()}\0{complete}"
        self._mark = hashlib.sha256(text.encode()).hexdigest().encode()
        self._accounts = self._slots = self._skipped = 0

    def run(self, accounts: Iterable[SourceAccount]) -> LoadResult:
        """Loads accounts, which must come by ascending address; returns the head of the state they are in.

        Raises `StateError` if the stored state is complete, is not at this block, or has an account with other values;
        `InputError` for accounts out of order; and the errors of `Publisher`.
        """
        if self.replace and not self.publisher.is_clear():
            clear(self.publisher)
        head = self.publisher.head()
        if head is None:
            return self._into_nothing(accounts)
        if self.publisher.complete():
            raise StateError(
                f"a complete state is there already, at block {head.number}: replace it, or load under another chain id"
            )
        if self.complete:
            raise StateError(f"an incomplete state is there already, at block {head.number}: replace it")
        if head.hash != self.header.hash:
            raise StateError(
                f"the accounts are those after block {self.header.number} 0x{self.header.hash.hex()}, the state is at "
                f"block {head.number} 0x{head.hash.hex()}"
            )
        return self._into_served(head, accounts)

    # ---- into an empty database

    def _into_nothing(self, accounts: Iterable[SourceAccount]) -> LoadResult:
        done = self._resume()
        try:
            self._write_accounts(accounts, done)
        except StateCorrupted:
            self._session.request([(b"DEL", self.keys.loader)], "loading")  # no load can resume from here
            raise
        hashes = {**self._block_hashes, self.header.number: self.header.hash}
        head = self.publisher.begin(self.header, self.complete, sorted(hashes.items()), self._chain_json)
        return LoadResult(head, self._accounts, self._slots, self._skipped)

    def _write_accounts(self, accounts: Iterable[SourceAccount], done: bytes | None) -> None:
        """Writes the accounts after the address `done`."""
        with _Batch(self.publisher) as batch:
            for account in _ordered(accounts):
                if done is not None and account.address <= done:
                    self._skipped += 1
                    self._tell(account.address, 0)
                    continue
                if account.absent and self.complete:
                    continue
                count = self._write_storage(batch, account, 0)
                self._write_code(batch, account)
                record = _record(account, 0, count)
                batch.add((b"SET", self.keys.account(account.address), layout.encode_record(record)))
                batch.mark = (b"HSET", self.keys.loader, b"done", account.address)
                self._count(account.address, count)

    def _resume(self) -> bytes | None:
        """The last address that an interrupted load of the same accounts has finished; otherwise deletes its
        remains."""
        fields = self._progress()
        if fields.get(b"mark") == self._mark:
            return fields.get(b"done")
        clear(self.publisher)
        self._session.request([(b"HSET", self.keys.loader, b"mark", self._mark)], "loading")
        return None

    def _progress(self) -> dict[bytes, bytes]:
        return as_fields(self._session.request([(b"HGETALL", self.keys.loader)], "reading how far the load came")[0])

    # ---- into a state that is being served

    def _into_served(self, head: Head, accounts: Iterable[SourceAccount]) -> LoadResult:
        pending = self._pending()
        changes: list[AccountChange] = []
        codes: dict[bytes, bytes] = {}
        listed = 0
        with _Batch(self.publisher) as batch:
            for account in _ordered(accounts):
                old = self.publisher.tracked([account.address])[0]
                if old is not None:
                    self._compare(account, old)
                    if old.storage_complete:
                        self._skipped += 1
                        self._tell(account.address, 0)
                        continue
                self._write_code(batch, account)
                if account.code and (old is None or old.code_hash != account.code_hash):
                    codes[account.code_hash] = account.code
                change = self._prepare(batch, account, old, pending.get(account.address))
                listed += len(change.slots)
                changes.append(change)
        if not changes:
            return LoadResult(head, 0, 0, self._skipped)
        if listed > MAX_LISTED_SLOTS:
            head = self.publisher.load_anew(self.header, Changes(tuple(changes)))
        else:
            head = self.publisher.load(self.header, Changes(tuple(changes), codes))
        return LoadResult(head, self._accounts, self._slots, self._skipped)

    def _pending(self) -> dict[bytes, Record]:
        """The records of accounts whose storage an interrupted load of the same accounts has written."""
        fields = self._progress()
        mark = fields.pop(b"mark", None)
        found = {address: layout.decode_record(value, self.keys.loader) for address, value in fields.items()}
        if mark == self._mark:
            return found
        commands: list[Command] = [
            (b"UNLINK", self.keys.storage(address, record.generation)) for address, record in found.items()
        ]
        commands += [(b"DEL", self.keys.loader), (b"HSET", self.keys.loader, b"mark", self._mark)]
        self._session.request(commands, "loading")
        return {}

    def _compare(self, account: SourceAccount, old: Record) -> None:
        """Checks that the known values of an account are those to load."""
        new = _record(account, old.generation, old.slot_count)
        if not new.same_fields(old):
            raise StateError(
                f"account 0x{account.address.hex()} is there already and is another at the same block: {old}, to load "
                f"{new}: replace the state"
            )

    def _prepare(
        self, batch: _Batch, account: SourceAccount, old: Record | None, pending: Record | None
    ) -> AccountChange:
        """Writes the storage of an account under a name that no record points to yet; or lists it, if one does."""
        if old is not None and not account.storage_complete:
            return self._more_slots(account, old)
        if old is not None:
            account = replace(account, slots=list(account.slots))  # the slots are needed twice
        generation = 0 if old is None else (old.generation + 1) & MAX_GENERATION
        if pending is not None and pending.generation == generation:
            count = pending.slot_count
        else:
            batch.add((b"UNLINK", self.keys.storage(account.address, generation)))
            count = self._write_storage(batch, account, generation)
        record = _record(account, generation, count)
        batch.add((b"HSET", self.keys.loader, account.address, layout.encode_record(record)))
        self._count(account.address, count)
        slots: tuple[SlotChange, ...] = ()
        if old is not None:
            # Readers that know some of its slots get all of them.
            slots = self._upgrade(account, old)
        return AccountChange(account.address, old, record, old is not None, slots)

    def _stored(self, address: bytes, record: Record) -> dict[int, int]:
        key = self.keys.storage(address, record.generation)
        return dict(read_storage(self._session, key, record))

    def _more_slots(self, account: SourceAccount, old: Record) -> AccountChange:
        stored = self._stored(account.address, old)
        slots = []
        for key, value in sorted(account.slots):
            if key not in stored:
                slots.append(SlotChange(key, None, value))
            elif stored[key] != value:
                raise _differs(account.address, key, stored[key], value)
        new = _record(account, old.generation, old.slot_count + len(slots))
        self._count(account.address, len(slots))
        return AccountChange(account.address, old, new, False, tuple(slots))

    def _upgrade(self, account: SourceAccount, old: Record) -> tuple[SlotChange, ...]:
        stored = self._stored(account.address, old)
        new = dict(account.slots)
        slots = []
        for key in sorted(stored.keys() | new.keys()):
            value = new.get(key, 0)
            if key in stored and stored[key] != value:
                raise _differs(account.address, key, stored[key], value)
            slots.append(SlotChange(key, stored.get(key), value))
        return tuple(slots)

    # ---- one account

    def _write_storage(self, batch: _Batch, account: SourceAccount, generation: int) -> int:
        key = self.keys.storage(account.address, generation)
        count = 0
        slots = iter(account.slots)
        while part := list(islice(slots, SLOTS_PER_COMMAND)):
            words: list[bytes] = []
            for slot, value in part:
                if value or not account.storage_complete:
                    words += (slot.to_bytes(32, "big"), layout.encode_value(value))
            if words:
                before, count = count, count + len(words) // 2
                grown = table_commands(key) if before <= layout.LONGEST_LIST < count else ()
                batch.add((b"HSET", key, *words), *grown)
        return count

    def _write_code(self, batch: _Batch, account: SourceAccount) -> None:
        if not account.code:
            return
        if keccak256(account.code) != account.code_hash:
            raise InputError(f"account 0x{account.address.hex()}: the code is not that of its code hash")
        batch.add((b"SET", self.keys.code(account.code_hash), account.code))

    def _count(self, address: bytes, slots: int) -> None:
        self._accounts += 1
        self._slots += slots
        self._tell(address, slots)

    def _tell(self, address: bytes, slots: int) -> None:
        if self.progress is not None:
            self.progress(address, slots)


def _chain_json(chain: Mapping[str, Any] | None) -> bytes | None:
    if chain is None:
        return None
    try:
        return json.dumps(chain, sort_keys=True, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"argument 'chain': expected what JSON can hold, as the `config` of a genesis: {error}"
        ) from error


def _differs(address: bytes, key: int, stored: int, value: int) -> StateError:
    return StateError(
        f"slot {key:#x} of account 0x{address.hex()} is {stored:#x} in the state, to load is {value:#x} at the same "
        "block: replace the state"
    )


def _record(account: SourceAccount, generation: int, count: int) -> Record:
    if account.absent:
        return layout.absent_record(generation)
    return Record(account.nonce, account.balance, account.code_hash, generation, count, account.storage_complete)


def _ordered(accounts: Iterable[SourceAccount]) -> Iterator[SourceAccount]:
    last = b""
    for account in accounts:
        if account.address <= last:
            raise InputError(f"account 0x{account.address.hex()} is out of order: ascending addresses are needed")
        last = account.address
        yield account


class _Batch:
    """Gathers commands and executes them in transactions that fail as soon as another writer takes office.

    While one batch is being executed, the next one is gathered. `mark` is a command that records the progress of the
    load; it is in the same transaction as the commands before it.
    """

    def __init__(self, publisher: Publisher) -> None:
        self.publisher = publisher
        # A separate session: the publisher's is used for other requests while a batch is being executed.
        self.session = Session(publisher.session.client, publisher.timeout)
        self.mark: Command | None = None
        self._gathered: list[Command] = []
        self._bytes = 0
        self._sent = Request()

    def __enter__(self) -> _Batch:
        self._sent = self.session.send(self._watching(), "loading")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush()
            self._settle()
        self.session.drop()

    def add(self, *commands: Command) -> None:
        """Adds commands; those of one call stay together."""
        self._gathered += commands
        self._bytes += sum(len(word) for command in commands for word in command)
        if self._bytes >= BATCH_BYTES:
            self._flush()

    def _watching(self) -> list[Command]:
        return [(b"WATCH", self.publisher.keys.writer), (b"GET", self.publisher.keys.writer)]

    def _flush(self) -> None:
        commands = self._gathered + ([] if self.mark is None else [self.mark])
        self._gathered, self._bytes, self.mark = [], 0, None
        if not commands:
            return
        self._settle()
        self._sent = self.session.send([(b"MULTI",), *commands, (b"EXEC",), *self._watching()], "loading")

    def _settle(self) -> None:
        """Takes the replies to the last request."""
        replies = self.session.receive(self._sent, "loading")
        executed = replies[-3] if len(replies) > 2 else ()
        if executed is None or replies[-1] != b"%d" % self.publisher.epoch:
            self.session.drop()
            raise WriterFenced("another writer took over while accounts were loaded")
        for result in executed:
            if isinstance(result, ErrorReply):
                raise StateCorrupted(f"loading: a command failed: {result}: replace the state")


def clear(publisher: Publisher) -> None:
    """Deletes a chain's state, the head first, so that nobody reads the rest meanwhile."""
    keys = publisher.keys
    publisher.drop_head()
    pattern = layout.escape_pattern(keys.prefix + b":") + b"*"
    keep = {keys.writer, keys.meta}
    for found in scan(publisher.session, pattern):
        gone = [key for key in found if key not in keep]
        if gone:
            publisher.session.request([(b"UNLINK", *gone)], "deleting the state")
