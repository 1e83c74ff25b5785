"""The layout of a chain's state in Redis: names of keys, and every value byte by byte. Writer and readers follow it.

All integers are unsigned and big-endian. A *number* is one length byte (0 to 32) and that many big-endian bytes without
leading zeros, so zero is the single byte 0. *Decimal* is ASCII digits without leading zeros. Every checksum is the
CRC-32 of zlib, 4 bytes, over all bytes before it. A value that breaks these rules is `StateCorrupted`, never a zero.

Keys
----
With `h` = `{evm:<chain id, decimal>}`; the braces are part of the name and keep all keys of a chain in one shard::

    h:head                           hash    the head, below
    h:bh                             hash    block number (decimal) -> 32-byte hash: at least the last 256 up to the
                                             head, as far as they are known
    h:a:<20-byte address>            string  account record, below
    h:s:<20-byte address><gen>       hash    slot (32 bytes) -> value; <gen> is empty for generation 0, else decimal
    h:c:<32-byte code hash>          string  code; never changes, never deleted by the writer
    h:feed                           stream  one entry a change of the state, id <seq>-0
    h:writer                         string  epoch of the writer in office (decimal)
    h:meta                           hash    `complete` (1 or 0); `chain` (chain configuration as JSON, as a geth-style
                                             genesis has it; may be missing); `evicted` (run_id and evicted_keys of the
                                             server when the state was begun, by INFO; may be missing)
    h:loader                         hash    how far an interrupted load came; readers ignore it

Complete and incomplete states
------------------------------
`complete` = 1: every account of the chain is stored; an account without a key does not exist. `complete` = 0: only
some accounts are stored; an account without a key is *unknown*, and an account known not to exist has a record with
the absent flag.

Account record, version 1
-------------------------
::

    1   version, 1
    1   flags: 1 storage complete, 2 absent; 0, 1 and 3 are allowed
    4   generation: which storage hash is the account's
    8   number of fields in that hash (HLEN); no key when it is 0
    8   nonce
    32  code hash; that of no code is written out
    1+n balance, a number
    4   checksum

*Storage complete*: a slot that is not in the hash is zero, and no value in the hash is zero. Otherwise a slot that is
not in the hash is unknown, and a slot known to be zero has an empty value. An absent account (flags 3) may have
any generation, and has no slots, nonce 0, balance 0, the hash of no code.

Slot values in storage hashes are big-endian without leading zeros, at most 32 bytes.

Redis keeps a hash of up to 512 fields (hash-max-listpack-entries) as a list that it searches from the start, unless a
field or value in the hash is, or was, longer than 64 bytes. A writer that lets a storage hash grow past 128 fields
therefore adds a field of 65 zero bytes and removes it in the same transaction: from then on the hash is a table. No
reader sees that field.

Head
----
Fields of `h:head`: `seq` (decimal, from 1, of the last feed entry), `stored` (decimal), `feed` (16 random bytes; new
whenever the state does not follow from the feed before, which makes readers drop everything), `schema` (2), `epoch`
(decimal, of the writer that wrote it), `header` (RLP of the head's header), `hash` (32 bytes), `number` (decimal).
Other fields are ignored.

*Stored* is the seq that the keys of accounts and storage reflect: `seq`, or one less while the changes of the last
entry are still to be written. Those keys change in the same transaction as this field, so values read together with the
head are exactly the state after step `stored`; the feed has the differences to step `seq`. Codes and block hashes are
written with the entry. Only a block is announced before it is stored. A writer brings the keys up to `seq` before it
does anything else; a writer that takes office finds the unfinished changes of its predecessor in the last entry.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from evmcore._hash import keccak256
from evmcore.blocks import Header
from evmcore.errors import InputError, InvalidBlock, StateCorrupted
from evmcore.json_input import load_json
from evmcore.state.base import EMPTY_CODE_HASH
from evmcore.types import to_uint

SCHEMA: Final = 2
RECORD_VERSION: Final = 1

STORAGE_COMPLETE: Final = 1
ABSENT: Final = 2

# A storage hash of more fields is made a table, by adding a field that is too long for a list.
LONGEST_LIST: Final = 128
TABLE_FIELD: Final = bytes(65)

# Default number of blocks in the feed: readers answer for them, the writer can revert them.
DEFAULT_RING: Final = 128
MOST_RING: Final = 2**32 - 1

_FIXED: Final = struct.Struct(">BIQQ32s")  # flags, generation, slot count, nonce, code hash
_MAX_64: Final = 2**64 - 1


# ------------------------------------------------------------------------------------------------------ keys


class Keys:
    """The names of a chain's keys, as bytes."""

    __slots__ = (
        "_account",
        "_code",
        "_storage",
        "block_hashes",
        "chain_id",
        "feed",
        "head",
        "loader",
        "meta",
        "prefix",
        "writer",
    )

    def __init__(self, chain_id: int) -> None:
        self.chain_id = to_uint(chain_id, "chain_id")
        self.prefix = b"{evm:%d}" % self.chain_id
        self.head = self.prefix + b":head"
        self.block_hashes = self.prefix + b":bh"
        self.feed = self.prefix + b":feed"
        self.writer = self.prefix + b":writer"
        self.meta = self.prefix + b":meta"
        self.loader = self.prefix + b":loader"
        self._account = self.prefix + b":a:"
        self._storage = self.prefix + b":s:"
        self._code = self.prefix + b":c:"

    def account(self, address: bytes) -> bytes:
        """The key of an account's record; `address` has 20 bytes."""
        return self._account + address

    def storage(self, address: bytes, generation: int) -> bytes:
        """The key of an account's storage hash."""
        return self._storage + address + (b"%d" % generation if generation else b"")

    def code(self, code_hash: bytes) -> bytes:
        """The key of a code; `code_hash` has 32 bytes."""
        return self._code + code_hash

    def account_pattern(self) -> bytes:
        """A SCAN pattern for all account records."""
        return escape_pattern(self._account) + b"*"


def escape_pattern(text: bytes) -> bytes:
    """A SCAN pattern that matches exactly this text."""
    return b"".join(b"\\" + bytes((c,)) if c in b"*?[]\\" else bytes((c,)) for c in text)


def show_key(key: bytes) -> str:
    """A key as text for messages: address or hash in hexadecimal, `{evm:1}:s:0x<address>/<generation>`."""
    head, mark, rest = key.partition(b"}:")
    kind = rest[:2]
    if not mark or kind not in (b"a:", b"s:", b"c:"):
        return key.decode("ascii", "backslashreplace")
    body = rest[2:]
    shown = "0x" + (body[:20] if kind == b"s:" else body).hex()
    generation = "/" + body[20:].decode("ascii", "backslashreplace") if kind == b"s:" and len(body) > 20 else ""
    return (head + mark + kind).decode("ascii", "backslashreplace") + shown + generation


def corrupted(key: bytes, problem: str) -> StateCorrupted:
    """The error for a key."""
    return StateCorrupted(f"{show_key(key)}: {problem}")


def check_sum(data: bytes, key: bytes, what: str, smallest: int) -> None:
    """Checks length and checksum of a value that ends in a checksum."""
    if len(data) < smallest:
        raise corrupted(key, f"{what} of {len(data)} bytes, at least {smallest} are right")
    found, right = int.from_bytes(data[-4:], "big"), zlib.crc32(data[:-4])
    if found != right:
        raise corrupted(key, f"{what} cut or damaged: checksum {found:08x}, its bytes have {right:08x}")


def decimal(value: bytes | None, key: bytes, field: str) -> int:
    """A decimal field below 2**64, as in keys and hashes. `StateCorrupted` for anything else."""
    if value is None:
        raise corrupted(key, f"the field {field} is missing")
    if not value.isdigit() or len(value) > 20 or (value[:1] == b"0" and len(value) > 1) or int(value) > _MAX_64:
        raise corrupted(key, f"the field {field} is {value!r:.60}, a number below 2**64 in decimal is right")
    return int(value)


def decode_complete(value: bytes | None, key: bytes) -> bool:
    """The field `complete` of `h:meta`. `StateCorrupted` for anything but 0 and 1."""
    if value not in (b"0", b"1"):
        raise corrupted(key, f"the field complete is {value!r:.40}, not 0 or 1")
    return value == b"1"


def decode_chain(value: bytes | None, key: bytes) -> dict[str, Any] | None:
    """The field `chain` of `h:meta`, a chain's configuration; None if it is missing. Raises `StateCorrupted`."""
    if value is None:
        return None
    try:
        chain = load_json(value)
    except ValueError as error:
        raise corrupted(key, f"the field chain is not JSON: {error}") from error
    if not isinstance(chain, dict):
        raise corrupted(key, f"the field chain is {value!r:.60}, not a JSON object")
    return chain


def decode_block_hashes(fields: Mapping[bytes, bytes], key: bytes) -> dict[int, bytes]:
    """Block numbers to hashes, from the fields of `h:bh`. `StateCorrupted` naming an invalid number or hash."""
    hashes = {}
    for name, value in fields.items():
        number = decimal(name, key, "number")
        if len(value) != 32:
            raise corrupted(key, f"the hash of block {number} has {len(value)} bytes, 32 are right")
        hashes[number] = value
    return hashes


# -------------------------------------------------------------------------------------------------- accounts


@dataclass(frozen=True, slots=True)
class Record:
    """An account record, the value of `h:a:<address>`.

    `balance` in wei; `code_hash` 32 bytes; `slot_count` fields are in the storage hash of `generation`.
    """

    nonce: int = 0
    balance: int = 0
    code_hash: bytes = EMPTY_CODE_HASH
    generation: int = 0
    slot_count: int = 0
    storage_complete: bool = True
    absent: bool = False

    @property
    def flags(self) -> int:
        return STORAGE_COMPLETE * self.storage_complete + ABSENT * self.absent

    def same_fields(self, other: Record | None) -> bool:
        """Whether both are the same account to the EVM, however much of their storage is known."""
        if other is None or self.absent or other.absent:
            return other is not None and self.absent == other.absent
        return (self.nonce, self.balance, self.code_hash) == (other.nonce, other.balance, other.code_hash)


def absent_record(generation: int = 0) -> Record:
    """The record of an account known not to exist."""
    return Record(generation=generation, absent=True)


def encode_record(record: Record) -> bytes:
    """The value of an account's key."""
    body = bytes((RECORD_VERSION,)) + record_body(record)
    return body + zlib.crc32(body).to_bytes(4, "big")


def decode_record(data: bytes, key: bytes) -> Record:
    """The account record in the value of `key`. Raises `StateCorrupted` naming the key."""
    check_sum(data, key, "account record", 59)
    if data[0] != RECORD_VERSION:
        raise corrupted(key, f"account record of version {data[0]}, {RECORD_VERSION} is known here")
    record, end = read_record(data, 1, len(data) - 4, key)
    if end != len(data) - 4:
        raise corrupted(key, f"account record with {len(data) - 4 - end} bytes too many")
    return record


def decode_records(keys: Keys, addresses: Sequence[bytes], values: Sequence[bytes | None]) -> list[Record | None]:
    """The records in the values of accounts' keys; None for a missing key. Raises `StateCorrupted`."""
    return [
        None if value is None else decode_record(value, keys.account(address))
        for address, value in zip(addresses, values, strict=True)
    ]


def record_body(record: Record) -> bytes:
    """A record without version and checksum."""
    fixed = _FIXED.pack(record.flags, record.generation, record.slot_count, record.nonce, record.code_hash)
    return fixed + encode_number(record.balance)


def read_record(data: bytes, at: int, end: int, key: bytes) -> tuple[Record, int]:
    """The record without version and checksum at byte `at`, and where it ends."""
    if end - at < _FIXED.size:
        raise corrupted(key, f"an account record is cut at byte {at}")
    flags, generation, slot_count, nonce, code_hash = _FIXED.unpack_from(data, at)
    balance, after = read_number(data, at + _FIXED.size, end, key)
    if flags not in (0, STORAGE_COMPLETE, STORAGE_COMPLETE | ABSENT):
        raise corrupted(key, f"an account record has the flags {flags:#x}, which have no meaning")
    if flags & ABSENT and (slot_count or nonce or balance or code_hash != EMPTY_CODE_HASH):
        raise corrupted(key, "the record of an absent account has something in it")
    record = Record(
        nonce, balance, code_hash, generation, slot_count, bool(flags & STORAGE_COMPLETE), bool(flags & ABSENT)
    )
    return record, after


# ------------------------------------------------------------------------------------------- numbers and values


def encode_value(value: int) -> bytes:
    """A slot's value as in storage hashes: big-endian without leading zeros."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def decode_value(data: bytes, key: bytes, slot: bytes) -> int:
    """The value of a slot in the storage hash `key`. Raises `StateCorrupted` naming both."""
    if len(data) > 32 or data[:1] == b"\0":
        raise corrupted(
            key,
            f"slot 0x{slot.hex()} has the value 0x{data.hex():.80}, at most 32 bytes without leading zeros are right",
        )
    return int.from_bytes(data, "big")


def encode_number(value: int) -> bytes:
    """A length byte and the value's bytes."""
    digits = encode_value(value)
    return bytes((len(digits),)) + digits


def read_number(data: bytes, at: int, end: int, key: bytes) -> tuple[int, int]:
    """The number at byte `at`, and where it ends."""
    size = data[at] if at < end else 0
    if at + 1 + size > end or size > 32:
        raise corrupted(key, f"the number at byte {at} is cut or longer than 32 bytes")
    if size and data[at + 1] == 0:
        raise corrupted(key, f"the number at byte {at} has leading zeros")
    return int.from_bytes(data[at + 1 : at + 1 + size], "big"), at + 1 + size


# ------------------------------------------------------------------------------------------------------ head


@dataclass(frozen=True, slots=True)
class Head:
    """The content of `h:head`, the current step of the state in Redis. `hash` and `number` are those of `header`.

    `behind`: whether the keys of accounts and storage still lack the changes of the last entry.
    """

    seq: int
    feed: bytes
    epoch: int
    header: Header
    behind: bool = False
    schema: int = SCHEMA
    encoded: bytes = field(init=False, repr=False, compare=False)  # the header's RLP
    hash: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "encoded", self.header.encode())
        object.__setattr__(self, "hash", keccak256(self.encoded))

    @property
    def number(self) -> int:
        return self.header.number

    @property
    def stored(self) -> int:
        """The step that the keys of accounts and storage reflect."""
        return self.seq - self.behind


def encode_head(head: Head) -> dict[bytes, bytes]:
    """The fields of `h:head`."""
    return {
        b"seq": b"%d" % head.seq,
        b"stored": b"%d" % head.stored,
        b"feed": head.feed,
        b"schema": b"%d" % head.schema,
        b"epoch": b"%d" % head.epoch,
        b"header": head.encoded,
        b"hash": head.hash,
        b"number": b"%d" % head.number,
    }


def decode_head(fields: Mapping[bytes, bytes], key: bytes) -> Head | None:
    """The head in the fields of `key`; None if there is none, because no state is loaded. Otherwise
    `StateCorrupted`."""
    if not fields:
        return None
    schema = decimal(fields.get(b"schema"), key, "schema")
    if schema != SCHEMA:
        raise corrupted(key, f"the state has schema {schema}, {SCHEMA} is known here: load it anew")
    feed = fields.get(b"feed", b"")
    if len(feed) != 16:
        raise corrupted(key, f"the field feed has {len(feed)} bytes, 16 are right")
    seq = decimal(fields.get(b"seq"), key, "seq")
    if seq == 0:
        raise corrupted(key, "the field seq is 0")
    stored = decimal(fields.get(b"stored"), key, "stored")
    if stored not in (seq, seq - 1):
        raise corrupted(key, f"the field stored is {stored}, with seq {seq} that or one less is right")
    header = read_header(fields.get(b"header"), fields.get(b"hash"), key)
    number = decimal(fields.get(b"number"), key, "number")
    if number != header.number:
        raise corrupted(key, f"the field number is {number}, the header has {header.number}")
    return Head(seq, feed, decimal(fields.get(b"epoch"), key, "epoch"), header, stored != seq, schema)


def read_header(data: bytes | None, block_hash: bytes | None, key: bytes) -> Header:
    """The header in `data` (RLP), checked against `block_hash`."""
    if data is None:
        raise corrupted(key, "the header is missing")
    try:
        header = Header.decode(data)
    except (InvalidBlock, InputError) as error:
        raise corrupted(key, f"the header cannot be read: {error}") from error
    if block_hash is not None and keccak256(data) != block_hash:
        raise corrupted(key, f"the header has the hash 0x{keccak256(data).hex()}, 0x{block_hash.hex()} beside it")
    if block_hash is None:
        raise corrupted(key, "the hash is missing")
    return header
