"""Loads a state into a Redis server, and compares what a `RedisState` reads there with it."""

from __future__ import annotations

from typing import Any

from evmcore.blocks import Header
from evmcore.state import MemoryState
from evmcore.state.loading import Loader
from evmcore.state.publisher import Publisher
from evmcore.state.redis import RedisPin, RedisState
from evmcore.state.sources import from_memory
from tests.redis_server import RedisServer
from tests.stored_state import ADDRESSES, GENESIS
from tests.waiting import until


def load(server: RedisServer, state: MemoryState, header: Header = GENESIS, **options: Any) -> Publisher:
    """The writer that has loaded a whole state as that of the block `header`."""
    publisher = Publisher(server.url, 1, **options)
    Loader(publisher, header, complete=True).run(from_memory(state))
    return publisher


def wait_for(state: RedisState, header: Header) -> None:
    """Waits until a reader has seen the block."""
    until(lambda: state.head().hash == header.hash, f"block {header.number} does not come")


def assert_same(pin: RedisPin, memory: MemoryState) -> None:
    """All accounts and slots that `stored_state` makes read as they are in memory."""
    for address in ADDRESSES:
        account = pin.account(address)
        assert (account is not None) == (address in memory), f"block {pin.header.number}: 0x{address.hex()}"
        if account is not None:
            expected = (memory.nonce(address), memory.balance(address), memory.code_hash(address))
            assert (account.nonce, account.balance, account.code_hash) == expected
            assert account.has_storage == bool(memory.slots(address))
            assert pin.code(address) == memory.code(address)
        for slot in range(8):
            assert pin.storage(address, slot) == memory.storage(address, slot), (
                f"block {pin.header.number} (step {pin.seq}): slot {slot} of 0x{address.hex()}"
            )
