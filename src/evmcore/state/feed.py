"""The feed: one entry per change of the state, with all changed values, byte by byte.

Numbers, checksums and account records are those of `layout`; bytes that break the rules are `StateCorrupted`.

Feed entry
----------
Fields: `k` (`block`, `revert` or `load`), `h` (RLP of the header of the block that is the head after the entry),
`x` (its hash), `p` (RLP of the header that was the head before), `d` (changes, below), `t` (time at which the writer
published the entry: microseconds since 1970, decimal). Other fields are ignored. A revert entry holds the exact inverse
of the changes of the reverted block. A load entry changes no value: it lists the accounts that became known and, for
accounts that were known in part, the slots.

Changes, version 1
------------------
::

    1   version, 1
    4   number of accounts; then each, addresses ascending:
        20  address
        1   flags: 1 old record there, 2 new record there, 4 storage wiped
            old record, if there; then the new one, if there: the account record without version and checksum
        4   number of slots; then each, keys ascending:
            key, old value, new value: numbers; a value may be the single byte 255: not known
    4   number of codes; then each, hashes ascending:
        32  code hash
        4   size
            the code
    4   checksum

An account is listed when its record or one of its slots changes. Both records are always given; a missing record means
that there is no key. Old and new value of a listed slot differ, except in a wiped account, where a slot may end with
the value it began with. *Wiped*: the storage was destroyed in between, and the generation changes if the old hash had
slots; every slot of the old hash and every slot of the new hash is listed. *Not known* occurs only if the record of
that side is there and its storage is not complete. Codes are those that a new record names and the old record does not.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from evmcore._hash import keccak256
from evmcore.blocks import Header
from evmcore.errors import StateCorrupted
from evmcore.state.layout import (
    Record,
    check_sum,
    corrupted,
    decimal,
    encode_number,
    read_header,
    read_number,
    read_record,
    record_body,
)

CHANGES_VERSION: Final = 1

BLOCK: Final = b"block"
REVERT: Final = b"revert"
LOAD: Final = b"load"
KINDS: Final = (BLOCK, REVERT, LOAD)

_OLD, _NEW, _WIPED = 1, 2, 4
_NOT_KNOWN: Final = 255


# --------------------------------------------------------------------------------------------------- changes


class SlotChange(NamedTuple):
    """One changed slot; None is a value that is not known (of an account whose storage is not complete)."""

    key: int
    old: int | None
    new: int | None


class AccountChange(NamedTuple):
    """A changed account with its changed slots, by ascending key. A record that is None means that there is no key."""

    address: bytes
    old: Record | None
    new: Record | None
    wiped: bool = False
    slots: tuple[SlotChange, ...] = ()


class Changes(NamedTuple):
    """The changes of one feed entry: accounts by ascending address, and new codes by their hash."""

    accounts: tuple[AccountChange, ...] = ()
    codes: Mapping[bytes, bytes] = {}


def encode_changes(changes: Changes) -> bytes:
    """The field `d` of a feed entry."""
    parts = [struct.pack(">BI", CHANGES_VERSION, len(changes.accounts))]
    for account in changes.accounts:
        flags = _OLD * (account.old is not None) | _NEW * (account.new is not None) | _WIPED * account.wiped
        parts += [account.address, bytes((flags,))]
        parts += [record_body(record) for record in (account.old, account.new) if record is not None]
        parts.append(struct.pack(">I", len(account.slots)))
        for slot in account.slots:
            parts += [encode_number(slot.key), _encode_known(slot.old), _encode_known(slot.new)]
    parts.append(struct.pack(">I", len(changes.codes)))
    for code_hash, code in sorted(changes.codes.items()):
        parts += [code_hash, struct.pack(">I", len(code)), code]
    body = b"".join(parts)
    return body + zlib.crc32(body).to_bytes(4, "big")


def _encode_known(value: int | None) -> bytes:
    return bytes((_NOT_KNOWN,)) if value is None else encode_number(value)


def decode_changes(data: bytes, key: bytes) -> Changes:
    """The changes in the field `d` of a feed entry of `key`. Raises `StateCorrupted`."""
    return _ChangesReader(data, key).read()


class _ChangesReader:
    def __init__(self, data: bytes, key: bytes) -> None:
        check_sum(data, key, "feed entry: changes", 13)
        self.data, self.key, self.at, self.end = data, key, 0, len(data) - 4

    def take(self, size: int, what: str) -> bytes:
        if self.end - self.at < size:
            raise self.corrupted(f"{what} at byte {self.at} needs {size} bytes, {self.end - self.at} are left")
        self.at += size
        return self.data[self.at - size : self.at]

    def count(self, what: str, smallest: int) -> int:
        count = int.from_bytes(self.take(4, f"the number of {what}"), "big")
        if count * smallest > self.end - self.at:
            raise self.corrupted(f"{count} {what} cannot be in the {self.end - self.at} bytes after byte {self.at}")
        return count

    def corrupted(self, problem: str) -> StateCorrupted:
        return corrupted(self.key, f"feed entry: changes: {problem}")

    def read(self) -> Changes:
        version = self.take(1, "version")[0]
        if version != CHANGES_VERSION:
            raise self.corrupted(f"version {version}, {CHANGES_VERSION} is known here")
        accounts: list[AccountChange] = []
        for _ in range(self.count("accounts", 25)):
            accounts.append(self.account())
            if len(accounts) > 1 and accounts[-2].address >= accounts[-1].address:
                raise self.corrupted(f"account 0x{accounts[-1].address.hex()} is out of order")
        codes: dict[bytes, bytes] = {}
        last = b""
        for _ in range(self.count("codes", 36)):
            code_hash = self.take(32, "code hash")
            code = self.take(self.count("code bytes", 1), "code")
            if code_hash <= last:
                raise self.corrupted(f"the code of hash 0x{code_hash.hex()} is out of order")
            if keccak256(code) != code_hash:
                raise self.corrupted(f"a code listed as 0x{code_hash.hex()} has the hash 0x{keccak256(code).hex()}")
            codes[code_hash] = code
            last = code_hash
        if self.at != self.end:
            raise self.corrupted(f"{self.end - self.at} bytes too many")
        return Changes(tuple(accounts), codes)

    def account(self) -> AccountChange:
        address = self.take(20, "address")
        flags = self.take(1, "flags")[0]
        if flags > _OLD | _NEW | _WIPED or not flags & (_OLD | _NEW):
            raise self.corrupted(f"account 0x{address.hex()} has the flags {flags:#x}, which have no meaning")
        old = self.record() if flags & _OLD else None
        new = self.record() if flags & _NEW else None
        wiped = bool(flags & _WIPED)
        slots: list[SlotChange] = []
        for _ in range(self.count("slots", 3)):
            slot = SlotChange(self.number(), self.value(address, old), self.value(address, new))
            if slots and slots[-1].key >= slot.key:
                raise self.corrupted(f"slot {slot.key:#x} of 0x{address.hex()} is out of order")
            if slot.old == slot.new and not wiped:
                raise self.corrupted(f"slot {slot.key:#x} of 0x{address.hex()} does not change")
            slots.append(slot)
        if not slots and old == new:
            raise self.corrupted(f"account 0x{address.hex()} does not change")
        return AccountChange(address, old, new, wiped, tuple(slots))

    def record(self) -> Record:
        record, self.at = read_record(self.data, self.at, self.end, self.key)
        return record

    def number(self) -> int:
        value, self.at = read_number(self.data, self.at, self.end, self.key)
        return value

    def value(self, address: bytes, record: Record | None) -> int | None:
        if self.at < self.end and self.data[self.at] == _NOT_KNOWN:
            if record is None or record.storage_complete:
                raise self.corrupted(f"a slot of 0x{address.hex()} is not known, though its storage is complete")
            self.at += 1
            return None
        return self.number()


# ------------------------------------------------------------------------------------------------------ feed


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One change of the state. `header` is the head after it, `parent` the head before; `changes` are still encoded.

    `time` is the time of publication, in microseconds since 1970.
    """

    seq: int
    kind: bytes
    header: Header
    parent: Header
    changes: bytes
    time: int

    def decode(self, key: bytes) -> Changes:
        """The decoded changes. Raises `StateCorrupted` naming `key`, the feed's key."""
        return decode_changes(self.changes, key)


def entry_id(seq: int) -> bytes:
    """The stream id of a feed entry."""
    return b"%d-0" % seq


def entry_fields(kind: bytes, header: bytes, block_hash: bytes, parent: bytes, time: int) -> dict[bytes, bytes]:
    """The fields of a feed entry besides its changes; `header` and `parent` in RLP. See `FeedEntry`."""
    return {b"k": kind, b"h": header, b"x": block_hash, b"p": parent, b"t": b"%d" % time}


def decode_entry(stream_id: bytes, fields: Mapping[bytes, bytes], key: bytes) -> FeedEntry:
    """The feed entry with these fields in the stream `key`; its changes are not checked. `StateCorrupted` otherwise."""
    number, mark, rest = stream_id.partition(b"-")
    if not mark or rest != b"0":
        raise corrupted(key, f"the entry id {stream_id!r:.60} is not of the form <seq>-0")
    seq = decimal(number, key, "id")
    kind = fields.get(b"k", b"")
    if kind not in KINDS:
        raise corrupted(key, f"entry {seq} is of kind {kind!r:.40}, known are block, revert and load")
    parent = fields.get(b"p")
    if parent is None or b"d" not in fields:
        raise corrupted(key, f"entry {seq}: the field {'p' if parent is None else 'd'} is missing")
    return FeedEntry(
        seq,
        kind,
        read_header(fields.get(b"h"), fields.get(b"x"), key),
        read_header(parent, keccak256(parent), key),
        fields[b"d"],
        decimal(fields.get(b"t"), key, "t"),
    )
