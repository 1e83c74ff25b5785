"""Every answer is of one block, while a writer applies a block every millisecond, with reorgs.

The check itself is checked first: reading slot by slot, as a client without the feed would, does give torn answers.
"""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from evmcore import EVM, BlockEnv
from evmcore.state.layout import Keys
from tests.invariant_chain import (
    CHAIN_ID,
    NUMBER_SLOT,
    PER_GROUP,
    TELLER,
    TIME_SLOT,
    VAULTS,
    Books,
    Writer,
    calldata,
    check,
)
from tests.redis_server import RedisServer
from tests.torn_reads import AHEAD, places, torn_reads
from tests.waiting import PATIENCE

GROUPS = 64


def env(number: int, timestamp: int) -> BlockEnv:
    return BlockEnv(number=number, timestamp=timestamp, gas_limit=30_000_000)


def test_every_state_of_the_chain_passes_the_check() -> None:
    books = Books(GROUPS, seed=1)
    for _ in range(40):
        header, _ = books.next_block()
        evm = EVM(books.state, fork="cancun", block=env(header.number, header.timestamp))
        for group in range(GROUPS):
            output = evm.call(TELLER, calldata(group)).output
            assert check(group, output, header.number, header.timestamp) is None
        if books.dice.random() < 0.2:
            books.take_back()


def test_an_answer_from_two_blocks_fails_the_check() -> None:
    books = Books(4, seed=2, moves=4)
    books.next_block()
    before = books.state.copy()
    header, diff = books.next_block()
    caught = 0
    for change in diff.storage_changes:
        mixed = books.state.copy()
        mixed.set_storage(change.address, change.key, before.storage(change.address, change.key))
        evm = EVM(mixed, fork="cancun", block=env(header.number, header.timestamp))
        groups = range(4) if change.key in (NUMBER_SLOT, TIME_SLOT) else [change.key // PER_GROUP]
        for group in groups:
            caught += 1
            assert check(group, evm.call(TELLER, calldata(group)).output) is not None
    assert caught > 20


def test_reads_slot_by_slot_are_torn(redis_server: RedisServer) -> None:
    """Not ours: this shows that the writer is fast enough, and the check sharp enough, for torn reads to be seen."""
    keys, dice = Keys(CHAIN_ID), random.Random(3)
    torn = 0
    with Writer(redis_server.url, groups=4, seed=3) as writer, redis_server.client() as client:
        deadline, turns = time.monotonic() + PATIENCE, 0
        while turns < 500 or torn <= 5 or writer.blocks <= 20:
            assert time.monotonic() < deadline, (turns, torn, writer.blocks)
            turns += 1
            group = dice.randrange(4)
            if check(group, _read_naively(client, keys, group)) is not None:
                torn += 1


def _read_naively(client: Any, keys: Keys, group: int) -> bytes:
    words = []
    for vault in VAULTS:
        for slot in [*range(group * PER_GROUP, (group + 1) * PER_GROUP), NUMBER_SLOT, TIME_SLOT]:
            value = client.hget(keys.storage(vault, 0), slot.to_bytes(32, "big"))
            words.append((value or b"").rjust(32, b"\0"))
    return b"".join([*words, *words[PER_GROUP : PER_GROUP + 2]])


# ---- ours

HOLDS_ALL = 1 << 28  # bytes of cache


@pytest.mark.parametrize(
    ("number", "calls", "cache_bytes"),
    [(0, 3_000, 1 << 20), (0, 1_500, 0), (0, 3_000, HOLDS_ALL), (1, 3_000, 1 << 20), (2, 600, 1 << 20)],
    ids=["primary", "primary, no cache", "primary, large cache", "stale replica", "either by turns"],
)
def test_no_answer_is_put_together_from_two_blocks(
    tmp_path_factory: pytest.TempPathFactory, number: int, calls: int, cache_bytes: int
) -> None:
    """`python -m tests.torn_reads` makes as many as one likes."""
    # It was a test: the chain moved meanwhile, and much had to be fetched, but for a cache that soon holds everything.
    least = 20 if cache_bytes == HOLDS_ALL else calls // 20
    with places(tmp_path_factory.mktemp("redis")) as found:
        tally = torn_reads(
            found[number], calls, seed=11 + number, ahead=AHEAD, least=(20, least), cache_bytes=cache_bytes
        )
    assert not tally.torn
    assert tally.answers >= calls and tally.blocks > 20 and tally.counters["cold_rounds"] > least
    assert sum(tally.refused.values()) < calls // 2
