"""How state lies in Redis: what is written reads back the same, and everything else is refused by the key's name."""

from __future__ import annotations

import random
import struct
import zlib
from dataclasses import replace

import pytest
from Crypto.Hash import keccak

from evmcore.blocks import Header
from evmcore.errors import StateCorrupted
from evmcore.state import feed, layout
from evmcore.state._changes import ChangeSet
from evmcore.state.base import EMPTY_CODE_HASH
from evmcore.state.feed import AccountChange, Changes, FeedEntry, SlotChange
from evmcore.state.layout import Head, Keys, Record, absent_record
from tests.plain_planning import inverted

KEYS = Keys(1)
ADDRESS = bytes(range(20))
KEY = KEYS.account(ADDRESS)
TEXT = "{evm:1}:a:0x" + ADDRESS.hex()


def hash_of(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


def with_checksum(body: bytes) -> bytes:
    return body + struct.pack(">I", zlib.crc32(body))


def random_number(rng: random.Random) -> int:
    return rng.choice((0, 1, 255, 256, 2**256 - 1, rng.getrandbits(rng.randrange(1, 257))))


def random_record(rng: random.Random) -> Record:
    if not rng.randrange(6):
        return absent_record(rng.getrandbits(32))
    return Record(
        nonce=rng.choice((0, 1, rng.getrandbits(64))),
        balance=random_number(rng),
        code_hash=rng.choice((EMPTY_CODE_HASH, rng.randbytes(32))),
        generation=rng.choice((0, 1, rng.getrandbits(32))),
        slot_count=rng.choice((0, 1, rng.getrandbits(64))),
        storage_complete=bool(rng.randrange(3)),
    )


def random_account(rng: random.Random, address: bytes) -> AccountChange:
    old = random_record(rng) if rng.randrange(5) else None
    new = random_record(rng) if rng.randrange(5) or old is None else None
    wiped = not rng.randrange(4)

    def value(record: Record | None) -> int | None:
        known = record is None or record.storage_complete or rng.randrange(3)
        return random_number(rng) if known else None

    slots = [SlotChange(key, value(old), value(new)) for key in sorted({random_number(rng) for _ in range(9)})]
    slots = [slot for slot in slots if slot.old != slot.new or wiped]
    if old == new and not slots:
        new = Record(nonce=(old.nonce + 1) % 2**64 if old else 0)
    return AccountChange(address, old, new, wiped, tuple(slots))


def random_changes(rng: random.Random) -> Changes:
    accounts = [
        random_account(rng, address) for address in sorted({rng.randbytes(20) for _ in range(rng.randrange(8))})
    ]
    codes = [rng.randbytes(rng.randrange(1, 60)) for _ in range(rng.randrange(3))]
    return Changes(tuple(accounts), {hash_of(code): code for code in codes})


def test_keys_of_a_chain_share_one_hash_tag() -> None:
    names = [KEYS.head, KEYS.feed, KEYS.writer, KEYS.meta, KEYS.block_hashes, KEY, KEYS.code(bytes(32))]
    assert all(name.startswith(b"{evm:1}:") for name in names)
    assert KEYS.storage(ADDRESS, 0) == b"{evm:1}:s:" + ADDRESS
    assert KEYS.storage(ADDRESS, 12) == b"{evm:1}:s:" + ADDRESS + b"12"
    assert layout.show_key(KEYS.storage(ADDRESS, 12)) == "{evm:1}:s:0x" + ADDRESS.hex() + "/12"
    assert layout.show_key(KEY) == TEXT
    assert layout.show_key(KEYS.head) == "{evm:1}:head"


def test_an_account_record_has_the_documented_bytes() -> None:
    record = Record(nonce=7, balance=0x1234, code_hash=b"\xaa" * 32, generation=3, slot_count=258)
    body = bytes.fromhex("01 01 00000003 0000000000000102 0000000000000007" + "aa" * 32 + "02 1234")
    assert layout.encode_record(record) == with_checksum(body)


def test_account_records_read_back_the_same() -> None:
    rng = random.Random(1)
    for _ in range(2000):
        record = random_record(rng)
        assert layout.decode_record(layout.encode_record(record), KEY) == record


def test_a_changed_byte_in_a_record_is_found() -> None:
    rng = random.Random(2)
    for _ in range(300):
        data = bytearray(layout.encode_record(random_record(rng)))
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        with pytest.raises(StateCorrupted, match=f"^{TEXT}: ".replace("{", r"\{").replace("}", r"\}")):
            layout.decode_record(bytes(data), KEY)


@pytest.mark.parametrize("cut", range(60))
def test_a_cut_record_is_found(cut: int) -> None:
    with pytest.raises(StateCorrupted, match="account record"):
        layout.decode_record(layout.encode_record(Record(balance=5))[:cut], KEY)


def raw_record(version: int = 1, flags: int = 1, count: int = 0, nonce: int = 0, balance: bytes = b"\0") -> bytes:
    body = struct.pack(">BBIQQ", version, flags, 0, count, nonce) + EMPTY_CODE_HASH + balance
    return with_checksum(body)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (raw_record(version=2), "version 2"),
        (raw_record(flags=4), "flags 0x4"),
        (raw_record(flags=2), "flags 0x2"),
        (raw_record(flags=3, count=1), "absent account"),
        (raw_record(flags=3, nonce=1), "absent account"),
        (raw_record(flags=3, balance=b"\1\1"), "absent account"),
        (raw_record(balance=b"\2\0\1"), "leading zeros"),
        (raw_record(balance=b"\x21" + bytes([1]) * 33), "longer than 32 bytes"),
        (raw_record(balance=b"\2\1"), "cut"),
        (raw_record(balance=b"\0\0"), "1 bytes too many"),
    ],
)
def test_a_record_with_a_right_checksum_may_still_be_wrong(data: bytes, problem: str) -> None:
    with pytest.raises(StateCorrupted, match=problem):
        layout.decode_record(data, KEY)


def test_slot_values_have_no_leading_zeros_and_at_most_32_bytes() -> None:
    rng = random.Random(3)
    for value in [0, 1, 2**256 - 1, *(random_number(rng) for _ in range(100))]:
        data = layout.encode_value(value)
        assert len(data) <= 32 and data[:1] != b"\0"
        assert layout.decode_value(data, KEYS.storage(ADDRESS, 0), bytes(32)) == value
    for data in (b"\0", b"\0\1", bytes([1]) * 33):
        with pytest.raises(StateCorrupted, match=r":s:0x.*slot 0x00"):
            layout.decode_value(data, KEYS.storage(ADDRESS, 0), bytes(32))


def test_changes_read_back_the_same_and_reverse_exactly() -> None:
    rng = random.Random(4)
    for _ in range(400):
        changes = random_changes(rng)
        data = feed.encode_changes(changes)
        assert feed.decode_changes(data, KEYS.feed) == changes
        back = inverted(changes)
        assert inverted(feed.decode_changes(feed.encode_changes(back), KEYS.feed)).accounts == changes.accounts


def test_damaged_changes_are_never_read() -> None:
    rng = random.Random(5)
    for _ in range(400):
        data = bytearray(feed.encode_changes(random_changes(rng)))
        if rng.randrange(2):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        else:
            del data[rng.randrange(len(data)) :]
        with pytest.raises(StateCorrupted, match="feed"):
            feed.decode_changes(bytes(data), KEYS.feed)


def test_changes_with_a_right_checksum_are_read_or_refused_by_name() -> None:
    """Whatever the bytes are, what is read would be written as those bytes."""
    rng = random.Random(6)
    refused = 0
    for _ in range(4000):
        body = bytearray(feed.encode_changes(random_changes(rng))[:-4])
        for _ in range(rng.randrange(1, 3)):
            at = rng.randrange(len(body))
            change = rng.randrange(3)
            if change == 0:
                body[at] = rng.choice((0, 1, 7, 32, 33, 255, rng.randrange(256)))
            elif change == 1:
                del body[at : at + rng.randrange(1, 5)]
            else:
                body[at:at] = rng.randbytes(rng.randrange(1, 5))
        data = with_checksum(bytes(body))
        try:
            changes = feed.decode_changes(data, KEYS.feed)
        except StateCorrupted:
            refused += 1
        else:
            assert feed.encode_changes(changes) == data
    assert refused > 1000


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (Changes((AccountChange(b"b" * 20, None, Record()), AccountChange(b"a" * 20, None, Record()))), "out of order"),
        (Changes((AccountChange(ADDRESS, None, Record()), AccountChange(ADDRESS, None, Record()))), "out of order"),
        (Changes((AccountChange(ADDRESS, Record(), Record()),)), "does not change"),
        (Changes((AccountChange(ADDRESS, None, None),)), "flags 0x0"),
        (Changes((AccountChange(ADDRESS, Record(), Record(), False, (SlotChange(1, 5, 5),)),)), "does not change"),
        (Changes((AccountChange(ADDRESS, Record(), Record(), False, (SlotChange(1, None, 5),)),)), "is not known"),
        (Changes((), {bytes(32): b"\1"}), "has the hash"),
    ],
)
def test_changes_that_make_no_sense_are_refused(changes: Changes, problem: str) -> None:
    with pytest.raises(StateCorrupted, match=problem):
        feed.decode_changes(feed.encode_changes(changes), KEYS.feed)


def test_native_checksums_of_any_length_are_those_of_zlib() -> None:
    """Long ones are folded by carry-less multiplication where the processor can; the rest goes through tables."""
    rng = random.Random(5)
    for size in (*range(1, 300), 1000, 4095, 65_537):
        code = rng.randbytes(size)
        data = feed.encode_changes(Changes((), {hash_of(code): code}))
        changes = ChangeSet.decode(data, KEYS.feed)
        assert changes.codes == {hash_of(code): code} and changes.encode() == data
        cut = bytearray(data)
        cut[rng.randrange(len(cut))] ^= 1 << rng.randrange(8)
        with pytest.raises(StateCorrupted):
            ChangeSet.decode(bytes(cut), KEYS.feed)


HEADER = Header(number=5, extra_data=b"x")
HEAD = Head(9, bytes(range(16)), 3, HEADER)


def test_a_head_reads_back_the_same() -> None:
    for head in (HEAD, replace(HEAD, behind=True)):
        assert layout.decode_head(layout.encode_head(head), KEYS.head) == head
    assert layout.decode_head({}, KEYS.head) is None


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        (b"seq", None, "seq is missing"),
        (b"seq", b"0", "seq is 0"),
        (b"seq", b"01", "decimal is right"),
        (b"seq", b"18446744073709551616", "decimal is right"),
        (b"seq", "٣".encode(), "decimal is right"),
        (b"feed", b"short", "5 bytes"),
        (b"stored", None, "stored is missing"),
        (b"stored", b"7", "stored is 7, with seq 9 that or one less"),
        (b"stored", b"10", "stored is 10"),
        (b"schema", b"1", "schema 1"),
        (b"epoch", b"-1", "decimal is right"),
        (b"number", b"6", "the header has 5"),
        (b"hash", bytes(32), "0x0000"),
        (b"hash", None, "hash is missing"),
        (b"header", None, "header is missing"),
        (b"header", b"\xc0", "cannot be read"),
        (b"header", Header(number=5).encode(), "has the hash"),
    ],
)
def test_a_damaged_head_is_refused(field: bytes, value: bytes | None, problem: str) -> None:
    fields = {**layout.encode_head(HEAD), field: value}
    with pytest.raises(StateCorrupted, match=r"\{evm:1\}:head: .*" + problem):
        layout.decode_head({name: data for name, data in fields.items() if data is not None}, KEYS.head)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        (b"7", bytes(31), "the hash of block 7 has 31 bytes, 32 are right"),
        (b"7", b"", "the hash of block 7 has 0 bytes"),
        (b"07", bytes(32), "decimal is right"),
    ],
)
def test_damaged_block_hashes_are_refused(name: bytes, value: bytes, problem: str) -> None:
    right = {b"5": bytes(32), b"6": b"\1" * 32}
    assert layout.decode_block_hashes(right, KEYS.block_hashes) == {5: bytes(32), 6: b"\1" * 32}
    with pytest.raises(StateCorrupted, match=r"\{evm:1\}:bh: .*" + problem):
        layout.decode_block_hashes({**right, name: value}, KEYS.block_hashes)


@pytest.mark.parametrize("value", [b"", b"{", b"\xff", b"[" * 100_000, b"[]", b"null"])
def test_a_damaged_chain_configuration_is_refused(value: bytes) -> None:
    assert layout.decode_chain(b'{"chainId":1}', KEYS.meta) == {"chainId": 1}
    assert layout.decode_chain(None, KEYS.meta) is None
    with pytest.raises(StateCorrupted, match=r"\{evm:1\}:meta: the field chain is .*not"):
        layout.decode_chain(value, KEYS.meta)


def fields_of(entry: FeedEntry) -> dict[bytes, bytes]:
    """A feed entry as it is stored."""
    header, parent = entry.header.encode(), entry.parent.encode()
    return {**feed.entry_fields(entry.kind, header, hash_of(header), parent, entry.time), b"d": entry.changes}


def test_a_feed_entry_reads_back_the_same() -> None:
    entry = FeedEntry(9, feed.BLOCK, HEADER, Header(number=4), feed.encode_changes(Changes()), 1_700_000_000_000_000)
    assert feed.decode_entry(feed.entry_id(9), fields_of(entry), KEYS.feed) == entry
    assert entry.decode(KEYS.feed) == Changes()


@pytest.mark.parametrize(
    ("stream_id", "field", "value", "problem"),
    [
        (b"9-1", b"k", b"block", "the entry id"),
        (b"9", b"k", b"block", "the entry id"),
        (b"9-0", b"k", b"other", "of kind b'other'"),
        (b"9-0", b"d", None, "field d is missing"),
        (b"9-0", b"p", None, "field p is missing"),
        (b"9-0", b"x", bytes(32), "has the hash"),
        (b"9-0", b"t", b"soon", "field t"),
    ],
)
def test_a_damaged_feed_entry_is_refused(stream_id: bytes, field: bytes, value: bytes | None, problem: str) -> None:
    entry = FeedEntry(9, feed.BLOCK, HEADER, HEADER, b"", 1)
    fields = {**fields_of(entry), field: value}
    with pytest.raises(StateCorrupted, match=problem):
        feed.decode_entry(stream_id, {name: data for name, data in fields.items() if data is not None}, KEYS.feed)
