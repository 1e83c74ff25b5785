"""The writer of a chain's state in Redis: one block, one transaction; or nothing at all.

A block's changes, the head and the feed entry are one WATCH/MULTI/EXEC. A block of many changes is two, so that readers
need not wait for what takes the server longest: the first makes it the head and tells of it in the feed, the second
changes the keys of accounts and storage, and the head says which of them was the last (`Head.behind`). What the first
has told the second must do, be it by another writer: it is the first thing that one does.

Whoever opens a `Publisher` takes office: the one before is fenced off and gets `WriterFenced` at its next change.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evmcore._diff import StateDiff
from evmcore.blocks import Block, Header
from evmcore.errors import (
    ReorgTooDeep,
    StateCorrupted,
    StateError,
    StateUnavailable,
    WriterFenced,
)
from evmcore.headers import BLOCK_HASH_WINDOW
from evmcore.state import evictions, feed, layout
from evmcore.state._changes import ChangeSet
from evmcore.state._commands import Commands
from evmcore.state._requests import Request
from evmcore.state._wire import ErrorReply
from evmcore.state.feed import Changes, FeedEntry
from evmcore.state.layout import Head, Keys, Record
from evmcore.state.planning import load_commands
from evmcore.state.session import DEFAULT_TIMEOUT, Command, Session, as_fields, command_text
from evmcore.state.works import Known, Loading, Publication, Undoing, Work

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger(__name__)

# How often a transaction is tried again when something else touched the watched keys without taking office.
ATTEMPTS = 3

DEFAULT_CHECKED_SLOTS = 64

# Of a block that changes more slots readers are told first.
DEFAULT_TOLD_FIRST = 256


class Publisher:
    """Applies blocks to the state of one chain in Redis, and takes them back. Not for several threads at once.

    Every method either returns with the change made, or raises with nothing changed; `StateUnavailable` alone may leave
    it open whether the change was made, and the same call may then be made again: a block that is the head already
    changes nothing. Of a block of many changes, readers may have been told by then, also where another error is raised
    (`WriterFenced`, or `WriteRefused` by a server that has no memory left): the next change, by whoever makes it,
    finishes it first.
    """

    def __init__(
        self,
        redis: str | Redis,
        chain_id: int,
        *,
        ring: int = layout.DEFAULT_RING,
        replicas: int = 0,
        replica_timeout: float = 1.0,
        timeout: float = DEFAULT_TIMEOUT,
        checked_slots: int | None = DEFAULT_CHECKED_SLOTS,
        told_first: int | None = DEFAULT_TOLD_FIRST,
        replaces: bool = False,
    ) -> None:
        """Takes office. `redis`: an address (see `session.open_client`) or a redis-py client.

        `ring`: how many feed entries are kept, and so how many blocks can be taken back. `replicas`: after each change,
        wait until so many replicas have it, at most `replica_timeout` seconds; `replicated` tells how it went.
        `checked_slots`: of how many slots of a block the value is compared with what is stored before anything is
        written, chosen at random; None: of all, which takes Redis as long as writing them. Whatever it is, all account
        records and numbers of slots are compared, and that each slot that was zero was not there. `told_first`: of a
        block that changes more slots readers are told before the keys are changed; None: of none.
        `replaces`: the state that is there is going to be deleted, and may be of another schema or corrupted.
        Raises `UnsafeStorage` when the server may evict keys, `StateUnavailable`, `WriteRefused`, `StateCorrupted`.
        """
        self.keys = Keys(chain_id)
        self.ring = ring
        self.replicas = replicas
        self.replica_timeout = replica_timeout
        self.timeout = timeout
        self.replicated: bool | None = None
        self.session = Session(redis, timeout)
        self.checked_slots = checked_slots
        self.told_first = told_first
        self._last_seq = 0
        self._written: tuple[Head, dict[bytes, bytes]] | None = None  # the last head that was written
        self._known = Known()
        self._questions, self._request = Request(), Request()
        try:
            evictions.check_server(self.session)
            self._mark = evictions.read_mark(self.session)
            self.epoch: int = self.session.request([(b"INCR", self.keys.writer)], "taking office")[0]
            if not replaces:
                self._check_feed()
        except BaseException:
            self.session.close()
            raise

    def close(self) -> None:
        """Closes the connection. The office stays with this writer's epoch until another takes it."""
        self.session.close()

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- what is there

    def head(self) -> Head | None:
        """The head as it is stored now; None when no state is loaded."""
        fields = self.session.request([(b"HGETALL", self.keys.head)], "reading the head")[0]
        return layout.decode_head(as_fields(fields), self.keys.head)

    def is_loaded(self) -> bool:
        """Whether there is a head, in whatever form and condition."""
        return bool(self.session.request([(b"EXISTS", self.keys.head)], "reading the head")[0])

    def complete(self) -> bool:
        """Whether the state holds every account of the chain."""
        return self._is_complete(self.session.request([(b"HGET", self.keys.meta, b"complete")], "reading")[0])

    def block_hashes(self) -> dict[int, bytes]:
        """The hashes of the last blocks by number, as far as they are stored."""
        fields = as_fields(self.session.request([(b"HGETALL", self.keys.block_hashes)], "reading block hashes")[0])
        return {layout.decimal(number, self.keys.block_hashes, "number"): value for number, value in fields.items()}

    def chain_json(self) -> bytes | None:
        """The chain configuration that is kept with the state, as JSON; None where there is none."""
        text: bytes | None = self.session.request([(b"HGET", self.keys.meta, b"chain")], "reading")[0]
        return text

    def tracked(self, addresses: Sequence[bytes]) -> list[Record | None]:
        """The records of accounts, None where there is none."""
        return self._records(addresses, self.session.request([self._get_records(addresses)])[0] if addresses else [])

    def stored_slots(self, address: bytes, record: Record, slots: Sequence[int]) -> dict[int, int]:
        """Some slots of an account, zero for those that are not stored."""
        if not slots:
            return {}
        key = self.keys.storage(address, record.generation)
        names = [slot.to_bytes(32, "big") for slot in slots]
        values = self.session.request([(b"HMGET", key, *names)], "reading storage")[0]
        return {
            slot: 0 if value is None else layout.decode_value(value, key, name)
            for slot, name, value in zip(slots, names, values, strict=True)
        }

    def _decode_head(self, reply: Any) -> Head | None:
        """The head in the reply to an HGETALL; it need not be read again as long as it is what was written last."""
        fields = as_fields(reply)
        if self._written is not None and fields == self._written[1]:
            return self._written[0]
        return layout.decode_head(fields, self.keys.head)

    def _is_complete(self, value: bytes | None) -> bool:
        if value not in (b"0", b"1"):
            raise StateCorrupted(f"{layout.show_key(self.keys.meta)}: the field complete is {value!r:.40}, not 0 or 1")
        return value == b"1"

    def _get_records(self, addresses: Sequence[bytes]) -> Command:
        return b"MGET", *(self.keys.account(address) for address in addresses)

    def _records(self, addresses: Sequence[bytes], values: Sequence[bytes | None]) -> list[Record | None]:
        return [
            None if value is None else layout.decode_record(value, self.keys.account(address))
            for address, value in zip(addresses, values, strict=True)
        ]

    def _check_feed(self) -> None:
        """The feed's last id has to be the head's: an entry with a lower id cannot be added."""
        replies = self.session.request([(b"HGETALL", self.keys.head), (b"EXISTS", self.keys.feed)], "reading the head")
        head = layout.decode_head(as_fields(replies[0]), self.keys.head)
        if head is None or not replies[1]:
            return
        info = as_fields(self.session.request([(b"XINFO", b"STREAM", self.keys.feed)], "reading the feed")[0])
        last = info[b"last-generated-id"]
        if int(last.partition(b"-")[0]) > head.seq:
            raise StateCorrupted(
                f"{layout.show_key(self.keys.feed)}: the last entry is {last.decode()}, the head has seq {head.seq}: "
                "the state has to be loaded anew"
            )
        self._last_seq = head.seq
        if head.behind:
            self._finish(head)

    # ---- changes

    def publish(self, block: Block | Header, diff: StateDiff) -> Head:
        """Applies a block's diff to the state after its parent; gives the new head.

        Of an incomplete state only the accounts that are there change. The diff need not list every slot of wiped
        accounts. A block that is the head already changes nothing. Raises `WrongParent`, `WriterFenced`, `StateError`
        naming account or slot with both values where the state is not the one the diff starts from, `StateCorrupted`,
        `WriteRefused`, `StateUnavailable`.
        """
        header = block.header if isinstance(block, Block) else block
        return self._transact(
            Publication(self.keys, self._known, header, diff, self.checked_slots), f"block {header.number}"
        )

    def revert(self) -> Head:
        """Takes the head block back; gives the head before it. See `revert_to`."""
        head = self._need_head(self.head())
        return self.revert_to(head.header.parent_hash)

    def revert_to(self, block_hash: bytes) -> Head:
        """Takes blocks back until the block of that hash is the head, one transaction each.

        Accounts that were loaded into an incomplete state after such a block are forgotten, since nothing tells what
        they were before it: a warning names them, and readers start anew. Raises `ReorgTooDeep` when the feed does not
        go back that far; the head is then as before.
        """
        head = self._need_head(self.head())
        if head.hash == block_hash:
            return head
        forgotten: set[bytes] = set()
        for entry, loaded in self._way_back(head, block_hash):
            if loaded - forgotten:
                self._forget(loaded - forgotten, entry)
                forgotten |= loaded
            head = self._take_back(entry, forgotten)
        return head

    def _way_back(self, head: Head, block_hash: bytes) -> list[tuple[FeedEntry, set[bytes]]]:
        """The entries of the blocks to take back, last first, each with the accounts that were loaded on top of it."""
        way: list[tuple[FeedEntry, set[bytes]]] = []
        loaded: set[bytes] = set()
        at = head.hash
        start = b"+"
        while at != block_hash:
            found = self.session.request(
                [(b"XREVRANGE", self.keys.feed, start, b"-", b"COUNT", b"1")], "reading the feed"
            )
            if not found[0]:
                raise ReorgTooDeep(
                    f"block 0x{block_hash.hex()} is not among the {len(way)} blocks before block {head.number} "
                    f"0x{head.hash.hex()} that the feed can take back: the state has to be loaded anew"
                )
            stream_id, fields = found[0][0]
            entry = feed.decode_entry(stream_id, as_fields(fields), self.keys.feed)
            start = b"(" + stream_id
            if entry.header.hash != at:
                continue  # Of a branch that was taken back.
            if entry.kind == feed.LOAD:
                loaded.update(account.address for account in entry.decode(self.keys.feed).accounts)
            elif entry.kind == feed.BLOCK:
                way.append((entry, loaded))
                loaded = set()
                at = entry.parent.hash
        return way

    def _take_back(self, entry: FeedEntry, forgotten: set[bytes]) -> Head:
        back = ChangeSet.decode(entry.changes, self.keys.feed).invert(forgotten)
        return self._transact(Undoing(self.keys, entry, back), f"taking back block {entry.header.number}")

    def _forget(self, addresses: set[bytes], entry: FeedEntry) -> None:
        """Makes accounts of an incomplete state unknown, and readers start anew."""
        names = ", ".join(f"0x{address.hex()}" for address in sorted(addresses))
        log.warning(
            "block %d is taken back: what was loaded after it is forgotten, load it again: %s",
            entry.header.number,
            names,
        )
        order = sorted(addresses)
        records = self.tracked(order)
        commands: list[Command] = []
        for address, record in zip(order, records, strict=True):
            if record is not None:
                commands += [
                    (b"DEL", self.keys.account(address)),
                    (b"UNLINK", self.keys.storage(address, record.generation)),
                ]
        self.renew_feed(commands)

    def load(self, header: Header, changes: Changes) -> Head:
        """Makes accounts known to an incomplete state whose head is `header`; their storage hashes are there already.

        `changes` has their records; slots only of accounts that were known in part. Raises `StateError` when the head
        is another block, or a record is not what `changes` starts from.
        """
        return self._transact(Loading(self.keys, header, changes), "loading accounts")

    def load_anew(self, header: Header, changes: Changes) -> Head:
        """As `load`, without a feed entry: readers start anew. For changes too large for an entry."""
        records = self.tracked([account.address for account in changes.accounts])
        head = self._need_head(self.head())
        if head.hash != header.hash or records != [account.old for account in changes.accounts]:
            raise StateError("the state changed while accounts were loaded: load again")
        return self.renew_feed([*load_commands(self.keys, changes), (b"DEL", self.keys.loader)])

    def drop_head(self) -> None:
        """Makes the state unreadable, as the first step of deleting it; remembers how far the feed was."""
        fields = as_fields(self._watch([(b"HGETALL", self.keys.head)])[0])
        seq = fields.get(b"seq")
        commands: list[Command] = [(b"MULTI",), (b"DEL", self.keys.head), (b"DEL", self.keys.loader)]
        if seq is not None and seq.isdigit():
            commands.append((b"HSET", self.keys.meta, b"seq", seq))
        if self.session.request([*commands, (b"EXEC",)], "deleting the head")[-1] is None:
            raise StateError("another writer was at work while the state was deleted")

    def begin(
        self,
        header: Header,
        complete: bool,
        block_hashes: Iterable[tuple[int, bytes]] = (),
        chain: bytes | None = None,
    ) -> Head:
        """Makes a state that was loaded from nothing readable: writes the first head, with a new feed.

        Raises `StateError` when there is a head already.
        """
        replies = self._watch([(b"HGETALL", self.keys.head), (b"HGET", self.keys.meta, b"seq")])
        if replies[0]:
            self.session.drop()
            raise StateError("the state has a head already")
        seq = layout.decimal(replies[1] or b"0", self.keys.meta, "seq") + 1
        head = Head(seq, os.urandom(16), self.epoch, header)
        hashes: list[bytes] = []
        for number, block_hash in [*block_hashes, (header.number, header.hash)]:
            hashes += (b"%d" % number, block_hash)
        chain_field = () if chain is None else (b"chain", chain)
        commands: list[Command] = [
            (b"MULTI",),
            (b"UNLINK", self.keys.block_hashes, self.keys.feed),
            (b"HSET", self.keys.block_hashes, *hashes),
            (b"DEL", self.keys.meta, self.keys.loader),
            (b"HSET", self.keys.meta, b"complete", b"1" if complete else b"0", b"evicted", self._mark, *chain_field),
            (b"HSET", self.keys.head, *_flat(layout.encode_head(head))),
        ]
        if not self._execute(Request(commands), head, "writing the first head"):
            raise StateError("another writer was at work while the first head was written")
        return head

    def renew_feed(self, commands: Sequence[Command] = ()) -> Head:
        """Carries out commands in one transaction after which readers start anew and nothing can be taken back."""
        head = self._finished_head()
        new = Head(head.seq, os.urandom(16), self.epoch, head.header)
        own: list[Command] = [
            (b"XTRIM", self.keys.feed, b"MAXLEN", b"0"),
            (b"HSET", self.keys.head, *_flat(layout.encode_head(new))),
        ]
        if not self._execute(Request([(b"MULTI",), *commands, *own]), new, "starting a new feed"):
            raise StateError("another writer was at work while a new feed was started")
        return new

    # ---- one transaction

    def _need_head(self, head: Head | None) -> Head:
        if head is None:
            raise StateError(f"no state is loaded: there is no {layout.show_key(self.keys.head)}")
        return head

    def _watch(self, commands: list[Command]) -> list[Any]:
        """Begins a transaction: watches head and office, and reads. `WriterFenced` when the office is lost."""
        watch: list[Command] = [(b"WATCH", self.keys.head, self.keys.writer), (b"GET", self.keys.writer)]
        replies = self.session.request([*watch, *commands], "reading the head")
        with self.session.guard_watch():
            self._check_office(replies[1])
        return replies[2:]

    def _transact(self, work: Work, doing: str) -> Head:
        """Reads under WATCH, lets `work` say what to change, and executes it; again when nothing came of it."""
        for _ in range(ATTEMPTS + 1):
            questions, request = self._questions, self._request
            first = self._ask(questions)
            work.ask(questions)
            self.session.send(questions, "reading the head")
            with self.session.guard_watch():
                work.use_time()
                replies = self.session.exchange(questions, doing="reading the head")
                self._check_office(replies[1])
                head = self._need_head(self._decode_head(replies[2]))
                if head.behind:
                    self._finish(head)
                    continue
                self._known.complete = self._is_complete(replies[3])
                changes = None
                if not work.is_done(head):
                    changes = work.changes(self._known.complete, replies, first, self.session)
            if changes is None:
                self.session.request([(b"UNWATCH",)])
                return head
            # After a failover the server may lack what readers have seen; what follows has the same numbers.
            feed_id = os.urandom(16) if head.seq < self._last_seq else head.feed
            behind = work.may_be_told_first and self.told_first is not None and changes.slot_count > self.told_first
            new = Head(head.seq + 1, feed_id, self.epoch, work.header, behind)
            request.clear()
            request.add(b"MULTI")
            commands = Commands(request, self.keys.prefix)
            commands.write_codes(changes)
            if not behind:
                work.write(commands, changes)
            request.extend(self._head_commands(head, work.kind, new))
            self._write_entry(commands, changes, head, work.kind, new)
            if self._execute(request, new, doing, commands):
                return self._store(new, changes, doing) if behind else new
        raise StateUnavailable(f"{doing}: nothing came of {ATTEMPTS} tries; the state is as before")

    def _store(self, head: Head, changes: ChangeSet, doing: str) -> Head:
        """Changes the keys of accounts and storage as the last feed entry says; gives the head that is then there."""
        new = replace(head, behind=False)
        for _ in range(ATTEMPTS + 1):
            questions, request = self._questions, self._request
            questions.clear()
            questions.extend(
                [
                    (b"WATCH", self.keys.head, self.keys.writer),
                    (b"GET", self.keys.writer),
                    (b"HGETALL", self.keys.head),
                ]
            )
            request.clear()
            request.add(b"MULTI")
            # Meanwhile the server sends readers the entry. What is sent to it then keeps it busy.
            commands = Commands(request, self.keys.prefix)
            commands.write(changes)
            request.add(b"HSET", self.keys.head, b"stored", b"%d" % new.stored)
            with self.session.guard_watch():
                replies = self.session.exchange(questions, request, doing=doing)
                self._check_office(replies[1])
                found = self._decode_head(replies[2])
            if found != head:
                self.session.request([(b"DISCARD",)])
                if found == new:
                    return new
                raise StateUnavailable(f"{doing}: the head moved meanwhile; applying it again is safe")
            self._written = (new, layout.encode_head(new))
            if self._execute(request, new, doing, commands):
                return new
        raise StateUnavailable(f"{doing}: readers have been told, but nothing came of {ATTEMPTS} tries to store it")

    def _finish(self, head: Head) -> None:
        """Stores what the last feed entry says, which whoever wrote it has not come to."""
        entry_id = feed.entry_id(head.seq)
        found = self.session.request([(b"XRANGE", self.keys.feed, entry_id, entry_id)], "reading the feed")[0]
        if not found:
            raise StateCorrupted(
                f"{layout.show_key(self.keys.feed)}: the entry {head.seq} is missing, and what it says is not stored "
                "yet: the state has to be loaded anew"
            )
        entry = feed.decode_entry(found[0][0], as_fields(found[0][1]), self.keys.feed)
        changes = ChangeSet.decode(entry.changes, self.keys.feed)
        self._store(head, changes, f"finishing block {head.number}")

    def _finished_head(self) -> Head:
        """Begins a transaction; the head, once everything it says is stored."""
        while True:
            fields = as_fields(self._watch([(b"HGETALL", self.keys.head)])[0])
            head = self._need_head(layout.decode_head(fields, self.keys.head))
            if not head.behind:
                return head
            self._finish(head)

    def _ask(self, questions: Request) -> int:
        """Begins to watch, and asks what every transaction needs; gives the number of commands."""
        keys = self.keys
        questions.clear()
        questions.extend(
            (
                (b"WATCH", keys.head, keys.writer),
                (b"GET", keys.writer),
                (b"HGETALL", keys.head),
                (b"HGET", keys.meta, b"complete"),
                # Of another type they would fail inside the transaction, when it is too late.
                (b"HLEN", keys.block_hashes),
                (b"XLEN", keys.feed),
            )
        )
        return len(questions)

    def _head_commands(self, old: Head, kind: bytes, new: Head) -> Iterator[Command]:
        hashes = self.keys.block_hashes
        if kind == feed.BLOCK:
            yield b"HSET", hashes, b"%d" % new.number, new.hash
            # As many more as can be taken back, so that the last 256 are there afterwards.
            forgotten = new.number - BLOCK_HASH_WINDOW - self.ring
            if forgotten >= 0:
                yield b"HDEL", hashes, b"%d" % forgotten
        elif kind == feed.REVERT:
            yield b"HDEL", hashes, b"%d" % old.number
        else:
            yield b"DEL", self.keys.loader
        fields = layout.encode_head(new)
        self._written = (new, fields)
        yield b"HSET", self.keys.head, *_flat(fields)

    def _write_entry(self, commands: Commands, changes: ChangeSet, old: Head, kind: bytes, new: Head) -> None:
        place = [b"XADD", self.keys.feed, b"MAXLEN", b"~", b"%d" % self.ring, feed.entry_id(new.seq)]
        fields = feed.entry_fields(kind, new.encoded, new.hash, old.encoded, time.time_ns() // 1000)
        commands.write_entry(changes, place, _flat(fields))

    def _check_office(self, epoch: bytes | None) -> None:
        if epoch != b"%d" % self.epoch:
            raise WriterFenced(
                f"another writer took over {self.keys.prefix.decode()}: its epoch is "
                f"{(epoch or b'missing').decode('ascii', 'replace')}, this one's {self.epoch}"
            )

    def _execute(self, request: Request, new: Head, doing: str, commands: Commands | None = None) -> bool:
        """Carries out a request that begins with MULTI. False: nothing was done, and trying again makes sense.

        `commands` knows what some of them have to change.
        """
        request.add(b"EXEC")
        try:
            results = self.session.exchange(request, doing=doing)[-1]
        except StateUnavailable:
            # Should the lost request still arrive, it fails by what it watches as soon as another try was carried out.
            if not self._happened(new):
                return False
        except StateError:
            self.session.drop()
            raise
        else:
            if results is None:
                return False
            self._check_results(request, results, doing, commands)
        self._last_seq = new.seq
        if self.replicas and not new.behind:
            self._wait_for_replicas()
        return True

    def _check_results(self, request: Request, results: list[Any], doing: str, commands: Commands | None) -> None:
        for index, result in enumerate(results):
            if isinstance(result, ErrorReply):
                raise StateCorrupted(
                    f"{doing}: {command_text(request, index + 1)} failed inside the transaction, whose other commands "
                    f"were carried out: {result}: the state has to be loaded anew"
                )
        odd = None if commands is None else commands.unexpected(results)
        if odd is not None:
            raise StateCorrupted(
                f"{doing}: {command_text(request, odd + 1)} changed {results[odd]} fields, not as many as the "
                "changes say: what was stored is not what they start from, the state has to be loaded anew"
            )

    def _happened(self, new: Head) -> bool:
        """Whether the transaction was carried out whose reply did not come. `StateUnavailable` if nobody can tell."""
        deadline = time.monotonic() + self.timeout
        pause = 0.02
        while True:
            try:
                head = self.head()
            except StateUnavailable as error:
                if time.monotonic() + pause > deadline:
                    raise StateUnavailable(
                        f"whether block {new.number} 0x{new.hash.hex()} was applied is not known; applying it again is "
                        f"safe: {error}"
                    ) from error
                time.sleep(pause)
                pause = min(pause * 2, 1.0)
            else:
                return head == new

    def _wait_for_replicas(self) -> None:
        wait = (b"WAIT", b"%d" % self.replicas, b"%d" % int(self.replica_timeout * 1000))
        try:
            count = self.session.request([wait], "waiting for replicas")[0]
        except StateError as error:
            log.warning("%s", error)
            count = 0
        self.replicated = count >= self.replicas


def _flat(fields: dict[bytes, bytes]) -> list[bytes]:
    return [word for pair in fields.items() for word in pair]
