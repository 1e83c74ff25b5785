"""A whole state read back from Redis, with all consistency checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from evmcore._hash import keccak256
from evmcore.errors import StateCorrupted, StateError, StateUnavailable
from evmcore.state import layout
from evmcore.state.base import EMPTY_CODE_HASH
from evmcore.state.layout import Head, Keys, Record
from evmcore.state.memory import MemoryState
from evmcore.state.session import DEFAULT_TIMEOUT, Session, as_fields
from evmcore.types import Account

if TYPE_CHECKING:
    from redis import Redis

# Storage with more slots is read in parts.
LARGE_STORAGE: Final = 20_000

# Called after each account with its address and number of slots.
Progress = Callable[[bytes, int], None]


def scan(session: Session, pattern: bytes, count: int = 1000) -> Iterator[list[bytes]]:
    """The keys that match, in parts; a key may be repeated."""
    cursor = b"0"
    while True:
        cursor, found = session.request([(b"SCAN", cursor, b"MATCH", pattern, b"COUNT", b"%d" % count)], "scanning")[0]
        yield found
        if cursor == b"0":
            return


def read_storage(session: Session, key: bytes, record: Record) -> Iterator[tuple[int, int]]:
    """The slots of a storage hash. Raises `StateCorrupted` if their number is not the one in the record."""
    count = 0
    for fields in _storage_parts(session, key, record.slot_count):
        for name, value in fields.items():
            if len(name) != 32 or (not value and record.storage_complete):
                raise StateCorrupted(f"{layout.show_key(key)}: the field 0x{name.hex()} is no slot, or is zero")
            count += 1
            yield int.from_bytes(name, "big"), layout.decode_value(value, key, name)
    if count != record.slot_count:
        raise StateCorrupted(
            f"{layout.show_key(key)}: {count} slots, the account record has {record.slot_count}: some are lost"
        )


def _storage_parts(session: Session, key: bytes, slot_count: int) -> Iterator[dict[bytes, bytes]]:
    if slot_count <= LARGE_STORAGE:
        yield as_fields(session.request([(b"HGETALL", key)], "reading storage")[0])
        return
    cursor = b"0"
    seen: set[bytes] = set()
    while True:
        cursor, found = session.request([(b"HSCAN", key, cursor, b"COUNT", b"5000")], "reading storage")[0]
        fields = as_fields(found)
        # While Redis is enlarging the table a field may be repeated.
        yield {name: value for name, value in fields.items() if name not in seen}
        seen.update(fields)
        if cursor == b"0":
            return


def load_memory(
    redis: str | Redis,
    chain_id: int,
    *,
    progress: Progress | None = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> tuple[MemoryState, Head]:
    """The state in Redis as a `MemoryState` with its block hashes, and the head of that state.

    Of an incomplete state, the loaded part. Raises `StateError` if no state is loaded, `StateUnavailable` if the head
    moved meanwhile, and `StateCorrupted` naming what is inconsistent.
    """
    session = Session(redis, timeout)
    try:
        return _load_memory(session, Keys(chain_id), progress)
    finally:
        session.close()


def stored_head(redis: str | Redis, chain_id: int, timeout: float = DEFAULT_TIMEOUT) -> Head | None:
    """The head of the state in Redis; None if no state is loaded."""
    session = Session(redis, timeout)
    try:
        return _read_head(session, Keys(chain_id))
    finally:
        session.close()


def _read_head(session: Session, keys: Keys) -> Head | None:
    return layout.decode_head(as_fields(session.request([(b"HGETALL", keys.head)], "reading the head")[0]), keys.head)


def _load_memory(session: Session, keys: Keys, progress: Progress | None) -> tuple[MemoryState, Head]:
    head = _read_head(session, keys)
    if head is None:
        raise StateError(f"no state is loaded: there is no {layout.show_key(keys.head)}")
    if head.behind:
        raise StateUnavailable(
            f"what block {head.number} changes is not stored yet: a writer is at work, or the next one will finish it"
        )
    state = MemoryState()
    seen: set[bytes] = set()
    codes: dict[bytes, bytes] = {EMPTY_CODE_HASH: b""}
    for found in scan(session, keys.account_pattern()):
        part = [key for key in dict.fromkeys(found) if key not in seen]
        seen.update(part)
        for key, record in _read_records(session, part):
            address = key[-20:]
            slots: dict[int, int] = {}
            if record.slot_count or record.storage_complete:
                slots = dict(read_storage(session, keys.storage(address, record.generation), record))
            if not record.absent:
                code = _read_code(session, keys, record.code_hash, codes)
                state.set_account(address, Account(record.nonce, record.balance, code, slots))
            if progress is not None:
                progress(address, len(slots))
    hashes = as_fields(session.request([(b"HGETALL", keys.block_hashes)], "reading block hashes")[0])
    for number, block_hash in layout.decode_block_hashes(hashes, keys.block_hashes).items():
        state.set_block_hash(number, block_hash)
    if _read_head(session, keys) != head:
        raise StateUnavailable("the head moved while the state was read: a writer is at work")
    return state, head


def _read_records(session: Session, keys: list[bytes]) -> Iterator[tuple[bytes, Record]]:
    if keys:
        for key, value in zip(keys, session.request([(b"MGET", *keys)], "reading accounts")[0], strict=True):
            if value is not None:
                yield key, layout.decode_record(value, key)


def _read_code(session: Session, keys: Keys, code_hash: bytes, known: dict[bytes, bytes]) -> bytes:
    if code_hash not in known:
        code = session.request([(b"GET", keys.code(code_hash))], "reading code")[0]
        if code is None or keccak256(code) != code_hash:
            problem = "missing" if code is None else "not the code of that hash"
            raise StateCorrupted(f"{layout.show_key(keys.code(code_hash))}: {problem}")
        known[code_hash] = code
    return known[code_hash]
