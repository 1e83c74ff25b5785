"""The writer of state in Redis, measured: blocks published and seen by readers, loading and reading back, memory.

All against a server that is given; the chain id below is used and its keys are deleted before and after. Rows are rate
or milliseconds, with what they compare to, for `evmcore bench --redis`.
"""

from __future__ import annotations

import multiprocessing
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from evmcore import EVM, BlockEnv
from evmcore._diff import StateDiff
from evmcore.bench import children
from evmcore.blocks import Header
from evmcore.errors import StateCorrupted, StateUnavailable
from evmcore.state import MemoryState
from evmcore.state.loading import Loader, clear
from evmcore.state.publisher import Publisher
from evmcore.state.redis import RedisState
from evmcore.state.sources import from_memory
from evmcore.state.stored import load_memory
from evmcore.types import Account

CHAIN_ID: Final = 0xBE7C
SLOTS: Final = 60_000  # of the state
CHANGES: Final = 3_000  # slots that a block changes
CALLER_SLOTS: Final = 20
CALLER: Final = b"\xca" * 20


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `unit` says what `value` is; `note` what it stands beside."""

    name: str
    value: float
    unit: str
    note: str = ""


def _percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


class Chain:
    """A state of so many slots over so many contracts, and blocks that change some at random."""

    def __init__(self, contracts: int, slots: int = SLOTS, seed: int = 1) -> None:
        self.dice = random.Random(seed)
        self.addresses = sorted(self.dice.randbytes(20) for _ in range(contracts))
        self.values = {
            address: {self.dice.getrandbits(256): self._value() for _ in range(slots // contracts)}
            for address in self.addresses
        }
        self.keys = {address: list(slots) for address, slots in self.values.items()}
        self.header = Header(number=0, timestamp=1_700_000_000, gas_limit=30_000_000)

    def _value(self) -> int:
        return self.dice.getrandbits(8 * self.dice.choice((1, 8, 10, 20, 32))) | 1

    def state(self) -> MemoryState:
        """The state; with a contract that reads 20 slots of its own, for calls."""
        accounts = {address: Account(nonce=1, balance=1, storage=slots) for address, slots in self.values.items()}
        code = b"".join(bytes((0x60, slot, 0x54, 0x50)) for slot in range(CALLER_SLOTS))  # PUSH1 SLOAD POP
        accounts[CALLER] = Account(nonce=1, code=code, storage={slot: slot + 1 for slot in range(CALLER_SLOTS)})
        return MemoryState(accounts)

    def block(self, changes: int = CHANGES) -> tuple[Header, StateDiff]:
        """The next block and what it changes."""
        storage: dict[str, Any] = {}
        for address in self.addresses:
            values, slots = self.values[address], {}
            for key in self.dice.sample(self.keys[address], changes // len(self.addresses)):
                new = self._value()
                if new != values[key]:
                    slots[f"0x{key:x}"] = {"old": f"0x{values[key]:x}", "new": f"0x{new:x}"}
                    values[key] = new
            storage["0x" + address.hex()] = slots
        parent = self.header
        self.header = Header(
            parent_hash=parent.hash,
            number=parent.number + 1,
            timestamp=parent.timestamp + 12,
            gas_limit=parent.gas_limit,
        )
        return self.header, StateDiff.from_json({"accounts": {}, "storage": storage, "codes": {}})


# ---- readers in a process of their own


def _follow(url: str, ready: Any, stop: Any, result: Any) -> None:
    """Follows the feed; says in the end when it could see each block, in seconds since 1970."""
    with RedisState(url, CHAIN_ID, wait=30.0) as state:
        cache = state._following().cache
        ready.set()
        stop.wait()
        labels = (cache.label(seq) for seq in range(cache.oldest, cache.latest + 1))
        result.send({Header.decode(label[2]).number: label[4] / 1e6 for label in labels if label is not None})


def _call(url: str, ready: Any, stop: Any, result: Any) -> None:
    """Calls the contract as fast as it can; says how long that took, at the 50th and 99th percentile, in seconds."""
    with RedisState(url, CHAIN_ID, wait=30.0) as state:
        env = BlockEnv(number=1, timestamp=1, gas_limit=30_000_000)
        times: list[float] = []
        for _ in range(1000):
            with state.pin("latest") as pin:
                pin.run(lambda backend: EVM(backend, "cancun", env).call(CALLER, b""))
        ready.set()
        while not stop.is_set() or not times:
            start = time.perf_counter()
            with state.pin("latest") as pin:
                pin.run(lambda backend: EVM(backend, "cancun", env).call(CALLER, b""))
            times.append(time.perf_counter() - start)
        result.send((_percentile(times, 0.5), _percentile(times, 0.99)))


@contextmanager
def _beside(url: str, work: Any) -> Iterator[Callable[[], Any]]:
    """Runs a reader meanwhile; gives a function that ends it and gives its result."""
    context = multiprocessing.get_context("spawn")
    ready, stop = context.Event(), context.Event()
    result, far_end = context.Pipe(False)
    process = children.started(work, url, ready, stop, far_end)

    def finish() -> Any:
        stop.set()
        if not result.poll(30):
            raise StateUnavailable("the reader does not answer")
        return result.recv()

    try:
        if not ready.wait(60):
            raise StateUnavailable("the reader does not start")
        yield finish
    finally:
        stop.set()
        process.join(30)


# ---- what is measured


def publishing(url: str, *, blocks: int = 40, pause: float = 0.02, shapes: Sequence[int] = (1, 30, 300)) -> list[Row]:
    """Publishes blocks of 3,000 slot changes over few and many contracts to the server at `url`.

    For each shape: how long publishing takes; how long it takes, from the beginning of that, until another process can
    read the block; what Redis itself takes for the transaction; and the p99 of hot calls in another process, idle and
    meanwhile. Then loading, reading back and memory. Raises `StateError` and its kind when the server cannot be used.
    """
    rows: list[Row] = []
    with Publisher(url, CHAIN_ID) as publisher:
        try:
            for contracts in shapes:
                rows += _shape(publisher, url, contracts, blocks, pause)
            rows += _bulk(publisher)
        finally:
            clear(publisher)
            publisher.session.request([(b"DEL", publisher.keys.writer, publisher.keys.meta)])
    return rows


def _shape(publisher: Publisher, url: str, contracts: int, blocks: int, pause: float) -> list[Row]:
    chain = Chain(contracts)
    Loader(publisher, chain.header, complete=True, replace=True).run(from_memory(chain.state()))
    name = f"{CHANGES:,} slots over {contracts} contract{'s' * (contracts > 1)}"
    busy = _exec_time(publisher)
    with _beside(url, _follow) as finish:
        begun, took = _publish(publisher, chain, blocks, pause)
        time.sleep(0.2)
        shown = finish()
    busy = (_exec_time(publisher) - busy) / blocks
    seen = [shown[number] - begun[number] for number in begun if number in shown]
    with _beside(url, _call) as finish:
        time.sleep(blocks * pause)
        idle = finish()
    with _beside(url, _call) as finish:
        _publish(publisher, chain, blocks, pause)
        during = finish()
    return [
        Row(f"{name}: published", 1e3 * statistics.median(took), "ms p50", f"p99 {1e3 * _percentile(took, 0.99):.2f}"),
        Row(f"{name}: seen", 1e3 * statistics.median(seen), "ms p50", f"p99 {1e3 * _percentile(seen, 0.99):.2f}"),
        Row(f"{name}: EXEC in Redis", 1e3 * busy, "ms mean", "what every writer takes"),
        Row(
            f"{name}: hot calls",
            1e6 * during[1],
            "us p99",
            f"idle {1e6 * idle[1]:.1f}, {during[1] / idle[1]:.2f} times",
        ),
    ]


def _publish(publisher: Publisher, chain: Chain, blocks: int, pause: float) -> tuple[dict[int, float], list[float]]:
    """Publishes blocks; when each was begun, in seconds since 1970, and how long each took."""
    made = [chain.block() for _ in range(blocks)]
    begun, took = {}, []
    for header, diff in made:
        begun[header.number] = time.time()
        start = time.perf_counter()
        publisher.publish(header, diff)
        took.append(time.perf_counter() - start)
        time.sleep(pause)
    return begun, took


def _exec_time(publisher: Publisher) -> float:
    """Seconds the server has spent in EXEC."""
    info: bytes = publisher.session.request([(b"INFO", b"commandstats")])[0]
    for line in info.splitlines():
        if line.startswith(b"cmdstat_exec:"):
            return int(line.partition(b"usec=")[2].partition(b",")[0]) / 1e6
    return 0.0


def _bulk(publisher: Publisher, slots: int = 200_000) -> list[Row]:
    """Loading a state, reading it back, and what it takes in the server."""
    chain = Chain(20, slots)
    state = chain.state()
    keys = publisher.keys
    clear(publisher)
    start = time.perf_counter()
    Loader(publisher, chain.header, complete=True, replace=True).run(from_memory(state))
    loading = time.perf_counter() - start
    storage = [keys.storage(address, 0) for address in chain.addresses]
    sizes = publisher.session.request([(b"MEMORY", b"USAGE", key, b"SAMPLES", b"0") for key in storage])
    start = time.perf_counter()
    raw = 0
    for key in storage:
        cursor = b"0"
        while True:
            cursor, found = publisher.session.request([(b"HSCAN", key, cursor, b"COUNT", b"5000")])[0]
            raw += len(found) // 2
            if cursor == b"0":
                break
    scanning = time.perf_counter() - start
    start = time.perf_counter()
    memory, _ = load_memory(publisher.session.client, CHAIN_ID)
    reading = time.perf_counter() - start
    if memory != state:
        raise StateCorrupted("what was read back is not what was loaded")
    return [
        Row("loaded", slots / loading, "slots/s"),
        Row("read back into memory", slots / reading, "slots/s", f"{scanning / reading:.2f} of HSCAN alone"),
        Row("HSCAN alone", raw / scanning, "slots/s"),
        Row("taken in Redis", sum(sizes) / slots, "bytes/slot", "values of 1 to 32 bytes; target at most 140"),
    ]
