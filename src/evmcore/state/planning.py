"""The commands that make what a load has prepared known. Those of blocks are written natively (see `_commands`).

Nothing here talks to a server.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from evmcore.state.feed import AccountChange, Changes
from evmcore.state.layout import LONGEST_LIST, TABLE_FIELD, Keys, encode_record, encode_value
from evmcore.state.session import Command

# Fields of one command, so that no single one holds the server up for long.
FIELDS_PER_COMMAND: Final = 4096
MAX_GENERATION: Final = 2**32 - 1


def load_commands(keys: Keys, changes: Changes) -> Iterator[Command]:
    """The commands for accounts whose new storage hashes are written already, or go on from the old ones."""
    for account in changes.accounts:
        assert account.new is not None
        if account.wiped and account.old is not None:
            yield b"UNLINK", keys.storage(account.address, account.old.generation)
        elif account.slots:
            yield from storage_commands(keys, account)
        yield b"SET", keys.account(account.address), encode_record(account.new)


def storage_commands(keys: Keys, account: AccountChange) -> Iterator[Command]:
    """The commands for the storage hash of one account, each of at most a few thousand slots."""
    old, new = account.old, account.new
    comes = old is None or old.absent
    goes = new is None or new.absent
    if account.wiped or (account.slots and (comes or goes)):
        # Of the new hash nothing should be there; what something else left behind must not mix with it.
        generations = {record.generation for record in (old, new) if record is not None}
        yield b"UNLINK", *(keys.storage(account.address, generation) for generation in sorted(generations))
    if goes:
        return
    assert new is not None
    key = keys.storage(account.address, new.generation)
    put: list[bytes] = []
    gone: list[bytes] = []
    for slot in account.slots:
        name = slot.key.to_bytes(32, "big")
        if slot.new is None or (slot.new == 0 and new.storage_complete):
            if not account.wiped:
                gone.append(name)
        else:
            put += (name, encode_value(slot.new))
    for at in range(0, len(put), 2 * FIELDS_PER_COMMAND):
        yield b"HSET", key, *put[at : at + 2 * FIELDS_PER_COMMAND]
    for at in range(0, len(gone), FIELDS_PER_COMMAND):
        yield b"HDEL", key, *gone[at : at + FIELDS_PER_COMMAND]
    before = 0 if old is None or comes or account.wiped else old.slot_count
    if before <= LONGEST_LIST < new.slot_count:
        yield from table_commands(key)


def table_commands(key: bytes) -> Iterator[Command]:
    """Makes a storage hash a table (see `layout`)."""
    yield b"HSET", key, TABLE_FIELD, b""
    yield b"HDEL", key, TABLE_FIELD
