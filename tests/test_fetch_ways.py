"""Fetching natively over a plain socket gives what the long way over TLS gives, and what redis-py alone reads."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from evmcore.state.redis import RedisState
from evmcore.types import Account
from tests.redis_reading import load
from tests.redis_tls import tls_server
from tests.stored_state import ADDRESSES, GENESIS, child, keccak256, random_diff, random_state, read_state

STRANGERS = [bytes([0xEE, number]) * 10 for number in range(4)]  # addresses that nobody has
LARGE = bytes([0xDD]) * 20


@pytest.mark.parametrize("seed", range(4))
def test_both_ways_of_fetching_give_what_is_stored(tmp_path: Path, seed: int) -> None:
    """Random states, after blocks that also destroy accounts; requests of one slot and of hundreds; what is zero, what
    is not there, and what is asked for twice."""
    rng = random.Random(seed)
    memory = random_state(rng)
    large = {int.from_bytes(keccak256(bytes([number])), "big"): rng.getrandbits(256) | 1 for number in range(200)}
    memory.set_account(LARGE, Account(1, 2, b"\x00", large))
    with tls_server(tmp_path) as (server, place, trusted), load(server, memory) as publisher:
        header = GENESIS
        for _ in range(12):
            diff = random_diff(rng, memory)
            header = child(header, rng.randrange(100))
            publisher.publish(header, diff)
            memory.apply(diff)
        with server.client() as client:
            stored = read_state(client)
        addresses = [*ADDRESSES, *STRANGERS, LARGE]
        slots = [(address, slot) for address in addresses for slot in range(8)]
        slots += [(LARGE, slot) for slot in [*large, 1 << 255]]
        url = f"rediss://{place}/0?ssl_ca_certs={trusted}"
        for _ in range(6):
            with RedisState(server.url) as plain, RedisState(url) as long_way:
                some = rng.choices(addresses, k=rng.choice((0, 1, 3, 20)))
                few = rng.choices(slots, k=rng.choice((1, 2, 20, 300)))
                read = []
                for state in (plain, long_way):
                    with state.pin() as pin:
                        assert pin.header.hash == header.hash
                        pin.backend.prefetch(some, few)
                        fetched = state.status().counters["cold_rounds"]
                        read.append(([pin.account(address) for address in some], [pin.storage(*key) for key in few]))
                        assert state.status().counters["cold_rounds"] == fetched, "something was not fetched ahead"
                assert read[0] == read[1]
                for address, account in zip(some, read[0][0], strict=True):
                    known = stored.get(address)
                    assert (account is None) == (known is None)
                    if account is not None and known is not None:
                        nonce, balance, code, storage = known
                        assert (account.nonce, account.balance, account.code_hash) == (nonce, balance, keccak256(code))
                        assert account.has_storage == bool(storage)
                for (address, slot), value in zip(few, read[0][1], strict=True):
                    assert value == (stored.get(address) or (0, 0, b"", {}))[3].get(slot, 0)
