"""Blocks with their access list given, on state in Redis: what the list names comes in one batch, before all else."""

from __future__ import annotations

import pytest

from evmcore.execution import execute_block
from evmcore.forks import Fork
from evmcore.state import MemoryState
from evmcore.state.redis import RedisState
from tests.listed_blocks import ALLOC, READER, WRITER, block_of, pay
from tests.parallel_blocks import difference, outcome_of
from tests.redis_reading import load
from tests.redis_server import RedisServer


@pytest.mark.parametrize("threads", (1, 2, 8))
def test_what_a_list_names_is_asked_of_redis_at_once(server: RedisServer, threads: int) -> None:
    block = block_of(*(pay(nonce, (READER, WRITER, bytes([nonce]) * 20)[nonce % 3], nonce % 2) for nonce in range(40)))
    expected = execute_block(block, MemoryState(ALLOC), Fork.SHANGHAI, access_list=True, validate=False)
    load(server, MemoryState(ALLOC))
    rounds = {}
    for listed in (True, expected.access_list):
        assert listed is not None
        with RedisState(server.url, 1) as state, state.pin() as pin:
            before = state.status().counters["cold_rounds"]
            result = execute_block(
                block, pin.backend, Fork.SHANGHAI, threads=threads, access_list=listed, validate=False
            )
            rounds[listed is True] = state.status().counters["cold_rounds"] - before
            assert difference(outcome_of(expected), outcome_of(result)) is None
    assert rounds[False] <= 2 < rounds[True]  # one for what is listed, one for the codes that turned out to be needed
