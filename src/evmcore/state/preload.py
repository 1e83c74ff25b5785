"""Reads whole contracts into the cache before calls need them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from evmcore.errors import StateCorrupted, StateNotAvailable
from evmcore.state import layout
from evmcore.state._cache import Cache
from evmcore.state._wire import Connection
from evmcore.state.layout import Keys
from evmcore.state.session import as_fields

AT_ONCE = b"1000"  # fields of a storage hash in one request: other clients wait while the server reads them


def read_whole(connection: Connection, keys: Keys, cache: Cache, address: bytes, timeout: float) -> int:
    """Reads an account with all its slots into a cache that is being followed; returns the number of slots.

    Each reply includes the step after which it was read, and the feed has the changes since, so the reading may take
    any time. Raises `StateUnavailable`; `StateCorrupted` naming what is damaged; `StateNotAvailable` if the cache is
    not followed any more.
    """
    account = keys.account(address)
    seq, record = _read(connection, keys, cache, [(b"GET", account)], timeout)
    if record is None:
        return 0  # it does not exist, or is not known: a call that reads it finds out
    _fill(cache, seq, address, record, [], layout.show_key(account))
    storage = keys.storage(address, layout.decode_record(record, account).generation)
    cursor, count = b"0", 0
    while True:
        scan = [(b"HSCAN", storage, cursor, b"COUNT", AT_ONCE), (b"GET", account), (b"HLEN", storage)]
        seq, (cursor, fields), now, length = _read(connection, keys, cache, scan, timeout)
        current = None if now is None else layout.decode_record(now, account)
        if current is None or keys.storage(address, current.generation) != storage:
            return count  # the storage was replaced meanwhile: the feed has corrected the slots read before
        if current.slot_count != length:
            raise StateCorrupted(
                f"{layout.show_key(storage)}: {length} slots are stored, "
                f"the account's record says {current.slot_count}: some were lost"
            )
        _fill(cache, seq, address, b"", fields, layout.show_key(storage))
        count += len(fields) // 2
        if cursor == b"0":
            return count


def _read(
    connection: Connection, keys: Keys, cache: Cache, commands: Sequence[Sequence[bytes]], timeout: float
) -> list[Any]:
    """The step after which the commands were read, once the cache has applied it, and the replies."""
    transaction = [(b"MULTI",), (b"HGETALL", keys.head), *commands, (b"EXEC",)]
    replies = connection.request(transaction, timeout, "reading whole contracts")[-1]
    head = layout.decode_head(as_fields(replies[0]), keys.head)
    if head is None or head.feed != cache.feed or cache.given_up:
        raise StateNotAvailable("the state was read anew meanwhile")
    deadline = time.monotonic() + timeout
    while cache.latest < head.seq:
        if cache.given_up or time.monotonic() > deadline:
            raise StateNotAvailable("the cache has not followed the feed so far")
        time.sleep(0.001)
    label = cache.label(head.seq)
    if label is not None and (label[1] != head.hash or (head.behind and label[0] not in (b"b", b"s"))):
        raise StateNotAvailable("the state in Redis has another history than the one that is followed")
    return [head.stored, *replies[1:]]


def _fill(cache: Cache, seq: int, address: bytes, record: bytes, fields: list[bytes], key: str) -> None:
    if not cache.fill(seq, address, record, fields, key):
        raise StateNotAvailable("the server is a replica that is too far behind, or the state was read anew meanwhile")
