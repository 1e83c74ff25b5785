"""The office of a chain's writer: transactions on the chain's state in Redis, each made in full or not at all.

The change, the head and the feed entry are written in one WATCH/MULTI/EXEC. A block of many changes takes two, so that
readers need not wait for the slowest part: the first makes the block the head and announces it in the feed; the second
changes the keys of accounts and storage. The head says whether the second is still to come (`Head.behind`). What the
first has announced must be stored: a writer that finds it unfinished, also of another writer, finishes it first.

Each office has an epoch, and every transaction watches it: the next writer to take office fences off the previous one.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from evmcore.errors import StateCorrupted, StateError, StateUnavailable, WriteRefused, WriterFenced, not_copied
from evmcore.headers import BLOCK_HASH_WINDOW
from evmcore.state import evictions, feed, layout
from evmcore.state._changes import ChangeSet
from evmcore.state._commands import Commands
from evmcore.state._requests import Request
from evmcore.state._wire import ErrorReply
from evmcore.state.arguments import check_count, check_seconds
from evmcore.state.backoff import Backoff
from evmcore.state.layout import MOST_RING, Head, Keys
from evmcore.state.session import Command, Session, as_fields, command_text
from evmcore.state.works import Known, Work

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger(__name__)

# How often a transaction is tried again if another client touched the watched keys without taking office.
ATTEMPTS = 3

MOST_REPLICAS = 2**31 - 1

# Seconds between two checks whether a transaction was executed.
FIRST_PAUSE = 0.02
LONGEST_PAUSE = 1.0


class _Later:
    """The second transaction of a block that was announced first: the keys of accounts and storage."""

    def __init__(self, request: Request, keys: Keys, head: Head, changes: ChangeSet) -> None:
        """`head`: the head after this transaction."""
        self.request = request
        self.keys = keys
        self.head = head
        self.changes = changes

    def write(self) -> None:
        """Writes the request, up to its EXEC."""
        self.request.clear()
        self.request.add(b"MULTI")
        self.commands = Commands(self.request, self.keys.prefix)
        self.commands.write(self.changes)
        self.request.add(b"HSET", self.keys.head, b"stored", b"%d" % self.head.stored)


class Office:
    """The office of one chain's writer, taken when this is made. `Publisher` documents its arguments."""

    def __init__(
        self,
        redis: str | Redis,
        chain_id: int,
        *,
        ring: int,
        replicas: int,
        replica_timeout: float,
        timeout: float,
        told_first: int | None,
        replaces: bool,
    ) -> None:
        self.keys = Keys(chain_id)
        check_count(ring, "ring", 1, MOST_RING)
        check_count(replicas, "replicas", 0, MOST_REPLICAS)
        check_seconds(replica_timeout, "replica_timeout", above_zero=True)
        check_seconds(timeout, "timeout", above_zero=True)
        if told_first is not None:
            check_count(told_first, "told_first", 0, 2**63 - 1)
        self.ring = ring
        self.replicas = replicas
        self.replica_timeout = replica_timeout
        self.timeout = timeout
        self.told_first = told_first
        self.replicated: bool | None = None
        self.session = Session(redis, timeout)
        self._last_seq = 0
        self._written: tuple[Head, dict[bytes, bytes]] | None = None  # the last head that was written
        self._known = Known()
        # The commands at the beginning of every transaction; the second reply is the office's epoch.
        self._beginning: tuple[Command, ...] = (
            (b"WATCH", self.keys.head, self.keys.writer),
            (b"GET", self.keys.writer),
        )
        self._questions, self._request, self._later = Request(), Request(), Request()
        try:
            evictions.check_server(self.session)
            self._mark = evictions.read_mark(self.session)
            self.epoch = self._take_office()
            if not replaces:
                with self._in_office():
                    self._check_feed()
        except BaseException:
            self.session.close()
            raise

    def __reduce__(self) -> NoReturn:
        raise not_copied(self, "its office is this process's; make another there, which takes the office over")

    def close(self) -> None:
        """Closes the connection. The office stays with this writer's epoch until another writer takes it."""
        self.session.close()

    def _take_office(self) -> int:
        """Writes a new epoch, which fences off the previous writer."""
        try:
            epoch: int = self.session.request([(b"INCR", self.keys.writer)], "taking office")[0]
        except (StateUnavailable, WriteRefused):
            raise
        except StateError as error:
            raise layout.corrupted(
                self.keys.writer,
                "this is no epoch of a writer, a number in decimal is right: see that none is at work, then delete the "
                f"key ({error})",
            ) from error
        return epoch

    # ---- the head

    def head(self) -> Head | None:
        """The head as stored now; None if no state is loaded."""
        fields = self.session.request([(b"HGETALL", self.keys.head)], "reading the head")[0]
        return layout.decode_head(as_fields(fields), self.keys.head)

    def _decode_head(self, reply: Any) -> Head | None:
        """The head in the reply to an HGETALL; not decoded again if it is the head that was written last."""
        fields = as_fields(reply)
        if self._written is not None and fields == self._written[1]:
            return self._written[0]
        return layout.decode_head(fields, self.keys.head)

    def _need_head(self, head: Head | None) -> Head:
        if head is None:
            raise StateError(f"no state is loaded: there is no {layout.show_key(self.keys.head)}")
        return head

    def _check_feed(self) -> None:
        """Checks that the feed's last id is the head's: an entry with a lower id could not be added."""
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

    # ---- one transaction

    @contextmanager
    def _in_office(self) -> Iterator[None]:
        """If another writer takes over between two reads, the reads are of two states. An error inside that results
        from this is wrong; `WriterFenced` is raised instead."""
        try:
            yield
        except (StateUnavailable, WriteRefused, WriterFenced):
            raise
        except StateError as error:
            self.session.drop()  # ends WATCH too
            try:
                epoch = self.session.request([(b"GET", self.keys.writer)])[0]
            except StateError:
                raise error from None
            self._check_office(epoch)
            raise

    def _watch(self, commands: list[Command]) -> list[Any]:
        """Begins a transaction: watches head and office, and reads. `WriterFenced` if the office is lost."""
        replies = self.session.request([*self._beginning, *commands], "reading the head")
        with self.session.guard_watch():
            self._check_office(replies[1])
        return replies[2:]

    def _transact(self, work: Work, doing: str) -> Head:
        """Reads under WATCH, lets `work` determine the changes, and executes them; repeats this if EXEC did nothing."""
        for _ in range(ATTEMPTS + 1):
            questions, request = self._questions, self._request
            first = self._ask(questions)
            work.ask(questions)
            self.session.send(questions, "reading the head")
            with self._in_office(), self.session.guard_watch():
                work.use_time()
                replies = self.session.exchange(questions, doing="reading the head")
                self._check_office(replies[1])
                head = self._need_head(self._decode_head(replies[2]))
                if head.behind:
                    self._finish(head)
                    continue
                self._known.complete = layout.decode_complete(replies[3], self.keys.meta)
                changes = None
                if not work.is_done(head):
                    changes = work.changes(self._known.complete, replies, first, self.session)
            if changes is None:
                self.session.request([(b"UNWATCH",)])
                return head
            # After a failover the server may lack steps that readers have seen; the next steps reuse their numbers.
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
            if not behind:
                if self._execute(request, new, doing, commands):
                    return new
                continue
            later = _Later(self._later, self.keys, replace(new, behind=False), changes)
            if self._execute(request, new, doing, commands, later.write):
                return self._store(later, new, doing)
        raise StateUnavailable(f"{doing}: nothing came of {ATTEMPTS} tries; the state is as before")

    def _store(self, later: _Later, head: Head, doing: str) -> Head:
        """Changes the keys of accounts and storage as the last feed entry says; returns the head after that."""
        new = later.head
        for _ in range(ATTEMPTS + 1):
            questions = self._questions
            questions.clear()
            questions.extend((*self._beginning, (b"HGETALL", self.keys.head)))
            with self.session.guard_watch():
                replies = self.session.exchange(questions, doing=doing)
                self._check_office(replies[1])
                found = self._decode_head(replies[2])
            if found != head:
                _, epoch = self.session.request([(b"UNWATCH",), (b"GET", self.keys.writer)])
                if found == new:
                    return new
                self._check_office(epoch)
                raise StateUnavailable(f"{doing}: the head moved meanwhile; applying it again is safe")
            # The server may still be sending the entry to readers; one large request would delay that.
            self.session.deliver(later.request, doing)
            self._written = (new, layout.encode_head(new))
            if self._execute(later.request, new, doing, later.commands):
                return new
            later.write()
        raise StateUnavailable(f"{doing}: readers have been told, but nothing came of {ATTEMPTS} tries to store it")

    def _finish(self, head: Head) -> None:
        """Stores the changes of the last feed entry, if its writer has not done so."""
        entry_id = feed.entry_id(head.seq)
        found = self.session.request([(b"XRANGE", self.keys.feed, entry_id, entry_id)], "reading the feed")[0]
        if not found:
            raise StateCorrupted(
                f"{layout.show_key(self.keys.feed)}: the entry {head.seq} is missing, and what it says is not stored "
                "yet: the state has to be loaded anew"
            )
        entry = feed.decode_entry(found[0][0], as_fields(found[0][1]), self.keys.feed)
        changes = ChangeSet.decode(entry.changes, self.keys.feed)
        later = _Later(self._later, self.keys, replace(head, behind=False), changes)
        later.write()
        self._store(later, head, f"finishing block {head.number}")

    def _finished_head(self) -> Head:
        """Begins a transaction; returns the head, after the changes of its last entry are stored."""
        while True:
            fields = as_fields(self._watch([(b"HGETALL", self.keys.head)])[0])
            head = self._need_head(layout.decode_head(fields, self.keys.head))
            if not head.behind:
                return head
            self._finish(head)

    def _ask(self, questions: Request) -> int:
        """Begins to watch, and asks for everything a transaction needs; returns the number of commands."""
        keys = self.keys
        questions.clear()
        questions.extend(
            (
                *self._beginning,
                (b"HGETALL", keys.head),
                (b"HGET", keys.meta, b"complete"),
                # A key of another type would make a command fail inside the transaction, when it is too late.
                (b"HLEN", keys.block_hashes),
                (b"XLEN", keys.feed),
            )
        )
        return len(questions)

    def _head_commands(self, old: Head, kind: bytes, new: Head) -> Iterator[Command]:
        hashes = self.keys.block_hashes
        if kind == feed.BLOCK:
            yield b"HSET", hashes, b"%d" % new.number, new.hash
            # Keeps as many more as can be reverted, so that the last 256 are stored even after reverting.
            forgotten = new.number - BLOCK_HASH_WINDOW - self.ring
            if forgotten >= 0:
                yield b"HDEL", hashes, b"%d" % forgotten
        elif kind == feed.REVERT:
            yield b"HDEL", hashes, b"%d" % old.number
        else:
            yield b"DEL", self.keys.loader
        fields = layout.encode_head(new)
        self._written = (new, fields)
        yield b"HSET", self.keys.head, *flat(fields)

    def _write_entry(self, commands: Commands, changes: ChangeSet, old: Head, kind: bytes, new: Head) -> None:
        place = [b"XADD", self.keys.feed, b"MAXLEN", b"~", b"%d" % self.ring, feed.entry_id(new.seq)]
        fields = feed.entry_fields(kind, new.encoded, new.hash, old.encoded, time.time_ns() // 1000)
        commands.write_entry(changes, place, flat(fields))

    def _check_office(self, epoch: bytes | None) -> None:
        if epoch != b"%d" % self.epoch:
            raise WriterFenced(
                f"another writer took over {self.keys.prefix.decode()}: its epoch is "
                f"{(epoch or b'missing').decode('ascii', 'replace')}, this one's {self.epoch}"
            )

    def _execute(
        self,
        request: Request,
        new: Head,
        doing: str,
        commands: Commands | None = None,
        meanwhile: Callable[[], None] | None = None,
    ) -> bool:
        """Executes a request that begins with MULTI. False: nothing was changed, and a retry may succeed.

        `commands` knows how many keys some of them must change. `meanwhile` is called while the server works.
        """
        request.add(b"EXEC")
        try:
            if meanwhile is not None:
                self.session.send(request, doing)
                meanwhile()
            results = self.session.exchange(request, doing=doing)[-1]
        except StateUnavailable:
            # If the lost request still arrives, its WATCH makes it fail as soon as a retry was executed.
            if not self._happened(new):
                return False
        except BaseException:  # Replies may be outstanding, as after Ctrl-C while the server was working.
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
        """Whether the transaction whose reply was lost was executed. `StateUnavailable` if that cannot be found out."""
        deadline = time.monotonic() + self.timeout
        backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        while True:
            try:
                head = self.head()
            except StateUnavailable as error:
                pause = backoff.pause()
                if time.monotonic() + pause > deadline:
                    raise StateUnavailable(
                        f"whether block {new.number} 0x{new.hash.hex()} was applied is not known; applying it again is "
                        f"safe: {error}"
                    ) from error
                time.sleep(pause)
            else:
                return head == new

    def _wait_for_replicas(self) -> None:
        # WAIT takes whole milliseconds; 0 would wait forever.
        wait = (b"WAIT", b"%d" % self.replicas, b"%d" % math.ceil(self.replica_timeout * 1000))
        try:
            count = self.session.request([wait], "waiting for replicas")[0]
        except StateError as error:
            log.warning("%s", error)
            count = 0
        self.replicated = count >= self.replicas


def flat(fields: dict[bytes, bytes]) -> list[bytes]:
    return [word for pair in fields.items() for word in pair]
