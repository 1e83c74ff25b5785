"""Calls on a chain that moves every millisecond, each checked to be of one block.

The full run, of as many calls as one likes, from a primary, from a stale replica, and from an address that leads to
either. To make a block takes the writer longer than a millisecond leaves beside the callers, so they are made before::

    python -m tests.torn_reads --calls 104000 --prepared 60000 --seed 1 --place primary --place "stale replica"
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evmcore import EVM, BlockEnv
from evmcore.errors import BlockNotFound, StateNotAvailable, StateUnavailable
from evmcore.state.redis import RedisPin, RedisState
from tests.faulty_proxy import FaultyProxy
from tests.invariant_chain import CHAIN_ID, TELLER, Writer, calldata, check
from tests.redis_server import RedisServer
from tests.waiting import PATIENCE, until

GROUPS = 2_000
STILL = 500  # of them, the last ones, that no block changes: the feed tells nobody of them
BATCH = 4
AHEAD = 64  # blocks that the writer makes at most between two calls, where it is to wait for slow callers
# Of the way from the primary to the replica, each piece of the replication stream.
REPLICA_DELAY = 0.03
NICENESS = 3  # of the callers


@dataclass
class Tally:
    """What came of it: `torn` lists every inconsistent answer."""

    answers: int = 0
    blocks: int = 0
    reorgs: int = 0
    seconds: float = 0.0
    torn: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    counters: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        refused = ", ".join(f"{count} {name}" for name, count in self.refused.items()) or "none"
        rounds = self.counters.get("cold_rounds", 0)
        return (
            f"{self.answers:,} answers in {self.seconds:.1f} s, {self.blocks:,} new heads "
            f"({self.blocks / max(self.seconds, 1e-9):,.0f} a second, {self.reorgs:,} of them by reorgs), "
            f"{rounds:,} cold rounds; refused: {refused}; inconsistent: {len(self.torn)}"
        )


class Caller:
    """Calls the teller in one thread: at the head, at earlier blocks, on pins that were opened before, in batches."""

    def __init__(self, state: RedisState, tally: Tally, seed: int, goes_on: Callable[[Caller], bool]) -> None:
        self.state, self.tally, self.goes_on = state, tally, goes_on
        self.dice = random.Random(seed)
        self.kept: deque[RedisPin] = deque(maxlen=8)
        self.answers = 0

    def run(self) -> None:
        while self.goes_on(self):
            try:
                with self._pin() as pin:
                    if self.dice.random() < 0.1:
                        self.kept.append(self.state.pin(pin.block_hash))
                    self._ask(pin)
            except (BlockNotFound, StateNotAvailable, StateUnavailable) as error:
                # A block of an abandoned branch, or a pin that was kept too long: no answer is not a wrong one.
                self.tally.refused[type(error).__name__] += 1
                self.kept.clear()

    def _pin(self) -> RedisPin:
        kind = self.dice.random()
        if kind < 0.6:
            return self.state.pin("latest")
        if kind < 0.75 and self.kept:
            return self.dice.choice(self.kept)
        # Number and hash from one pin: the chain may take blocks back at any moment.
        with self.state.pin("latest") as head:
            number = max(0, head.header.number - self.dice.randrange(60))
            block_hash = head.block_hashes()[number]
        return self.state.pin(number if kind < 0.9 else block_hash)

    def _ask(self, pin: RedisPin) -> None:
        header = pin.header
        groups = self.dice.sample(range(GROUPS), BATCH if self.dice.random() < 0.1 else 1)
        env = BlockEnv(number=header.number, timestamp=header.timestamp, gas_limit=30_000_000)

        def work(backend: Any) -> list[bytes]:
            evm = EVM(backend, "cancun", env)
            if len(groups) == 1:
                return [bytes(evm.call(TELLER, calldata(groups[0])).output)]
            calls = [(TELLER, calldata(group)) for group in groups]
            return [bytes(result.output) for result in evm.call_many(calls, threads=2)]

        for group, output in zip(groups, pin.run(work), strict=True):
            self.answers += 1
            problem = check(group, output, header.number, header.timestamp)
            if problem is not None:
                self.tally.torn.append(f"{pin!r}: {problem}")


def torn_reads(
    place: Place,
    calls: int,
    seed: int,
    *,
    threads: int = 2,
    interval: float = 0.001,
    moves: int = 8,
    prepared: int = 0,
    ahead: int = 0,
    least: tuple[int, int] = (0, 0),
    **options: Any,
) -> Tally:
    """Makes `calls` calls on the state at a place, while a writer applies blocks, with reorgs, to the primary; more of
    them until there were more than `least` new heads and cold rounds.

    `moves`: groups that a block changes; `prepared`: blocks that are made beforehand (see `Writer`). The callers stand
    back behind the writer and the server, so that the chain keeps its pace. `ahead`: see `Writer`.
    """
    tally = Tally()
    with ExitStack() as stack:
        writer = stack.enter_context(
            Writer(place.servers[0].url, GROUPS, seed, interval, moves, prepared, STILL, ahead)
        )
        place.settle()
        state = stack.enter_context(RedisState(place.url, CHAIN_ID, wait=PATIENCE, timeout=PATIENCE, **options))
        started, blocks, reorgs = time.monotonic(), writer.blocks, writer.reorgs

        def goes_on(caller: Caller) -> bool:
            writer.go_on()
            if caller.answers < calls // threads:
                return True
            heads, rounds = writer.blocks - blocks, state.status().counters["cold_rounds"]
            return (heads <= least[0] or rounds <= least[1]) and time.monotonic() < started + PATIENCE

        callers = [Caller(state, tally, seed * 100 + number, goes_on) for number in range(threads)]
        failures: list[BaseException] = []

        def guarded(work: Callable[[], None]) -> None:
            try:
                stand_back()
                work()
            except BaseException as error:
                failures.append(error)

        running = [threading.Thread(target=guarded, args=(caller.run,)) for caller in callers]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        tally.seconds = time.monotonic() - started
        tally.blocks, tally.reorgs = writer.blocks - blocks, writer.reorgs - reorgs
        tally.answers = sum(caller.answers for caller in callers)
        tally.counters = dict(state.status().counters)
        if failures:
            raise failures[0]
    return tally


def stand_back() -> None:
    """The calling thread gets what the others leave of the processors, where the system can do that for one thread."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


@dataclass(frozen=True)
class Place:
    """An address to read from, and the servers behind it: the primary and perhaps a replica of it."""

    name: str
    url: str
    servers: tuple[RedisServer, ...]

    def settle(self) -> None:
        """Waits until the replica has the state that the writer has just begun, whatever it had before."""
        primary, *others = self.servers
        head = b"{evm:%d}:head" % CHAIN_ID
        with primary.client() as client:
            feed = client.hget(head, b"feed")
        for server in others:
            with server.client() as client:
                until(lambda client=client: client.hget(head, b"feed") == feed, "the replica does not follow")


@contextmanager
def places(folder: Path) -> Iterator[list[Place]]:
    """A primary; a replica that lags behind it; an address that leads to the one or the other by turns."""
    with ExitStack() as stack:
        primary = stack.enter_context(RedisServer(folder / "primary"))
        replica = stack.enter_context(RedisServer(folder / "replica"))
        slow = stack.enter_context(FaultyProxy(primary.port))
        slow.delay(REPLICA_DELAY)
        replica.replica_of(slow)
        either = stack.enter_context(FaultyProxy(primary.port, replica.port))
        yield [
            Place("primary", primary.url, (primary,)),
            Place("stale replica", replica.url, (primary, replica)),
            Place("either by turns", either.url, (primary, replica)),
        ]


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--calls", type=int, default=100_000, help="of each kind of place (default 100,000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--moves", type=int, default=2, help="groups that a block changes (default 2)")
    parser.add_argument("--cache-bytes", type=int, default=1 << 20, help="of the reader's cache (default 1 MiB)")
    parser.add_argument("--prepared", type=int, default=40_000, help="blocks made beforehand (default 40,000)")
    parser.add_argument("--place", action="append", help="only this one: 'primary', 'stale replica', 'either by turns'")
    options = parser.parse_args()
    torn = 0
    with tempfile.TemporaryDirectory(prefix="evmcore-") as folder, places(Path(folder)) as found:
        for place in found:
            if options.place and place.name not in options.place:
                continue
            tally = torn_reads(
                place,
                options.calls,
                options.seed,
                moves=options.moves,
                prepared=options.prepared,
                cache_bytes=options.cache_bytes,
            )
            print(f"{place.name}: {tally}", flush=True)
            for problem in tally.torn[:10]:
                print(f"  {problem}")
            torn += len(tally.torn)
    return 1 if torn else 0


if __name__ == "__main__":
    raise SystemExit(main())
