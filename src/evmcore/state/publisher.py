"""The writer of a chain's state in Redis. Each block is one change of state, head and feed, made completely or not at
all.

A `Publisher` takes office when it is made: the previous writer is fenced off and gets `WriterFenced` at its next
change.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evmcore._diff import StateDiff
from evmcore.blocks import Block, Header
from evmcore.errors import ReorgTooDeep, StateCorrupted, StateError
from evmcore.state import feed, layout
from evmcore.state._changes import ChangeSet
from evmcore.state._requests import Request
from evmcore.state.arguments import check_count
from evmcore.state.feed import Changes, FeedEntry
from evmcore.state.layout import Head, Record
from evmcore.state.office import Office, flat
from evmcore.state.planning import load_commands
from evmcore.state.session import DEFAULT_TIMEOUT, Command, as_fields
from evmcore.state.works import Loading, Publication, Undoing

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger(__name__)

DEFAULT_CHECKED_SLOTS = 64

# Readers are told first of a block that changes more slots than this.
DEFAULT_TOLD_FIRST = 256


class Publisher(Office):
    """Applies blocks to the state of one chain in Redis, and reverts them. Not for several threads at once.

    Every method either makes its change and returns, or raises and changes nothing. Only after `StateUnavailable` it
    may be unknown whether the change was made; the same call may then be repeated, because a block that is the head
    already changes nothing. A block with many changes may have been announced to readers before another error is raised
    (`WriterFenced`, or `WriteRefused` by a server that has no memory left): the next change, by any writer, finishes
    that block first.
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
        """Takes office.

        - `redis`: an address (see `session.open_client`) or a redis-py client.
        - `ring`: the number of feed entries that are kept, and thereby of blocks that can be reverted.
        - `replicas`: after each change, wait until this many replicas have it, at most `replica_timeout` seconds;
          `replicated` has the outcome.
        - `checked_slots`: the number of a block's slots, chosen at random, whose value is compared with the stored one
          before anything is written; None: all slots, which takes Redis as long as writing them. In any case all
          account records and slot counts are compared, and each slot that was zero must not be stored.
        - `told_first`: readers are told of a block that changes more slots than this before its keys are changed; None:
          never.
        - `replaces`: the stored state is going to be deleted, and may have another schema or be corrupted.

        Times are in seconds. Raises `InputError` for a bad argument, `UnsafeStorage` if the server may evict keys,
        `StateUnavailable`, `WriteRefused`, `StateCorrupted`.
        """
        if checked_slots is not None:
            check_count(checked_slots, "checked_slots", 0, 2**63 - 1)
        super().__init__(
            redis,
            chain_id,
            ring=ring,
            replicas=replicas,
            replica_timeout=replica_timeout,
            timeout=timeout,
            told_first=told_first,
            replaces=replaces,
        )
        self.checked_slots = checked_slots

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- reading

    def is_clear(self) -> bool:
        """Whether no head is stored, valid or not, and no other key prevents writing one."""
        places = (self.keys.head, self.keys.loader, self.keys.meta)
        kinds = self.session.request([(b"TYPE", key) for key in places], "reading what is there")
        return kinds[0] == b"none" and all(kind in (b"none", b"hash") for kind in kinds)

    def complete(self) -> bool:
        """Whether the state holds every account of the chain."""
        value = self.session.request([(b"HGET", self.keys.meta, b"complete")], "reading")[0]
        return layout.decode_complete(value, self.keys.meta)

    def block_hashes(self) -> dict[int, bytes]:
        """The hashes of the last blocks by number, as far as stored."""
        fields = as_fields(self.session.request([(b"HGETALL", self.keys.block_hashes)], "reading block hashes")[0])
        return layout.decode_block_hashes(fields, self.keys.block_hashes)

    def chain_config(self) -> Mapping[str, Any] | None:
        """The chain's configuration as stored with the state (the `config` of a genesis file), None if not stored."""
        value = self.session.request([(b"HGET", self.keys.meta, b"chain")], "reading")[0]
        return layout.decode_chain(value, self.keys.meta)

    def tracked(self, addresses: Sequence[bytes]) -> list[Record | None]:
        """The records of accounts, None for accounts without a record."""
        if not addresses:
            return []
        values = self.session.request([(b"MGET", *(self.keys.account(address) for address in addresses))])[0]
        return layout.decode_records(self.keys, addresses, values)

    def stored_slots(self, address: bytes, record: Record, slots: Sequence[int]) -> dict[int, int]:
        """Some slots of an account, zero for slots that are not stored."""
        if not slots:
            return {}
        key = self.keys.storage(address, record.generation)
        names = [slot.to_bytes(32, "big") for slot in slots]
        values = self.session.request([(b"HMGET", key, *names)], "reading storage")[0]
        return {
            slot: 0 if value is None else layout.decode_value(value, key, name)
            for slot, name, value in zip(slots, names, values, strict=True)
        }

    # ---- changes

    def publish(self, block: Block | Header, diff: StateDiff) -> Head:
        """Applies a block's diff to the state after its parent; returns the new head.

        In an incomplete state only the stored accounts change. The diff need not list every slot of wiped accounts. A
        block that is the head already changes nothing. Raises `WrongParent`, `WriterFenced`, `StateError` naming
        account or slot with both values if the state is not the one the diff starts from, `StateCorrupted`,
        `WriteRefused`, `StateUnavailable`.
        """
        header = block.header if isinstance(block, Block) else block
        return self._transact(
            Publication(self.keys, self._known, header, diff, self.checked_slots), f"block {header.number}"
        )

    def revert(self) -> Head:
        """Reverts the head block; returns the head before it. See `revert_to`."""
        head = self._need_head(self.head())
        return self.revert_to(head.header.parent_hash)

    def revert_to(self, block_hash: bytes) -> Head:
        """Reverts blocks until the block with that hash is the head, in one transaction each.

        Accounts that were loaded into an incomplete state after such a block become unknown, because their values
        before the block are not known: a warning names them, and readers start anew. Raises `ReorgTooDeep` if the feed
        does not go back that far; the head is then unchanged.
        """
        head = self._need_head(self.head())
        if head.hash == block_hash:
            return head
        forgotten: set[bytes] = set()
        with self._in_office():
            way = self._way_back(head, block_hash)
        for entry, loaded in way:
            if loaded - forgotten:
                self._forget(loaded - forgotten, entry)
                forgotten |= loaded
            head = self._take_back(entry, forgotten)
        return head

    def ancestors(self) -> Iterator[tuple[int, bytes]]:
        """Number and hash of the blocks before the head to which `revert_to` can go back, latest first; each is read
        when the iterator reaches it."""
        for entry, _ in self._taken_back(self._need_head(self.head())):
            yield entry.parent.number, entry.parent.hash

    def _way_back(self, head: Head, block_hash: bytes) -> list[tuple[FeedEntry, set[bytes]]]:
        """The entries of the blocks after `block_hash`, as `_taken_back` yields them."""
        way: list[tuple[FeedEntry, set[bytes]]] = []
        for step in self._taken_back(head):
            way.append(step)
            if step[0].parent.hash == block_hash:
                return way
        raise ReorgTooDeep(
            f"block 0x{block_hash.hex()} is not among the {len(way)} blocks before block {head.number} "
            f"0x{head.hash.hex()} that the feed can take back: the state has to be loaded anew"
        )

    def _taken_back(self, head: Head) -> Iterator[tuple[FeedEntry, set[bytes]]]:
        """The entries of the blocks that can be reverted, the head's first, each with the accounts that were loaded
        on top of it."""
        loaded: set[bytes] = set()
        at = head.hash
        start = b"+"
        while True:
            found = self.session.request(
                [(b"XREVRANGE", self.keys.feed, start, b"-", b"COUNT", b"1")], "reading the feed"
            )
            if not found[0]:
                return
            stream_id, fields = found[0][0]
            entry = feed.decode_entry(stream_id, as_fields(fields), self.keys.feed)
            start = b"(" + stream_id
            if entry.header.hash != at:
                continue  # of a branch that was reverted
            if entry.kind == feed.LOAD:
                loaded.update(account.address for account in entry.decode(self.keys.feed).accounts)
            elif entry.kind == feed.BLOCK:
                yield entry, loaded
                loaded = set()
                at = entry.parent.hash

    def _take_back(self, entry: FeedEntry, forgotten: set[bytes]) -> Head:
        back = ChangeSet.decode(entry.changes, self.keys.feed).invert(forgotten)
        return self._transact(Undoing(self.keys, entry, back), f"taking back block {entry.header.number}")

    def _forget(self, addresses: set[bytes], entry: FeedEntry) -> None:
        """Makes accounts of an incomplete state unknown; readers start anew."""
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
        """Makes accounts known to an incomplete state whose head is `header`; their storage hashes must be stored
        already.

        `changes` has their records, and slots only of accounts that were known in part. Raises `StateError` if the head
        is another block, or if a record differs from the old one in `changes`.
        """
        return self._transact(Loading(self.keys, header, changes), "loading accounts")

    def load_anew(self, header: Header, changes: Changes) -> Head:
        """Like `load`, without a feed entry: readers start anew. For changes too large for an entry."""
        records = self.tracked([account.address for account in changes.accounts])
        head = self._need_head(self.head())
        if head.hash != header.hash or records != [account.old for account in changes.accounts]:
            raise StateError("the state changed while accounts were loaded: load again")
        return self.renew_feed([*load_commands(self.keys, changes), (b"DEL", self.keys.loader)])

    def drop_head(self) -> None:
        """Makes the state unreadable, even if it is corrupted, as the first step of deleting it; remembers the last
        step number of the feed."""
        places = (self.keys.head, self.keys.meta)
        kinds = self._watch([(b"TYPE", key) for key in places])
        with self.session.guard_watch():
            known = [self._seq_in(key) for key, kind in zip(places, kinds, strict=True) if kind == b"hash"]
        commands: list[Command] = [(b"MULTI",), (b"DEL", *places, self.keys.loader)]
        if any(known):
            commands.append((b"HSET", self.keys.meta, b"seq", b"%d" % max(known)))
        if self.session.request([*commands, (b"EXEC",)], "deleting the head")[-1] is None:
            raise StateError("another writer was at work while the state was deleted")

    def _seq_in(self, key: bytes) -> int:
        """The step number in a hash of Redis; 0 if there is none."""
        value = self.session.request([(b"HGET", key, b"seq")], "reading how far the feed was")[0]
        try:
            return layout.decimal(value, key, "seq")
        except StateCorrupted:
            return 0

    def begin(
        self,
        header: Header,
        complete: bool,
        block_hashes: Iterable[tuple[int, bytes]] = (),
        chain: bytes | None = None,
    ) -> Head:
        """Makes a newly loaded state readable: writes the first head, with a new feed.

        Raises `StateError` if there is a head already.
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
            (b"HSET", self.keys.head, *flat(layout.encode_head(head))),
        ]
        if not self._execute(Request(commands), head, "writing the first head"):
            raise StateError("another writer was at work while the first head was written")
        return head

    def renew_feed(self, commands: Sequence[Command] = ()) -> Head:
        """Executes commands in one transaction, after which readers start anew and no block can be reverted."""
        head = self._finished_head()
        new = Head(head.seq, os.urandom(16), self.epoch, head.header)
        own: list[Command] = [
            (b"XTRIM", self.keys.feed, b"MAXLEN", b"0"),
            (b"HSET", self.keys.head, *flat(layout.encode_head(new))),
        ]
        if not self._execute(Request([(b"MULTI",), *commands, *own]), new, "starting a new feed"):
            raise StateError("another writer was at work while a new feed was started")
        return new
