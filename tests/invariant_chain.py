"""A chain whose every state can be checked by one call, a writer that applies it, and a fork of it now and then.

Two vaults hold the shares of many groups. A block moves amounts between shares of a group, within a vault and across,
so that the sum over both vaults is the same in every block; and it writes its own number, and its time, which no other
block has, into both. The teller calls both vaults and returns what it found for a group, with the block's NUMBER and
TIMESTAMP. `check` says what is inconsistent in that: an answer put together from two blocks, of whatever branches, is.
"""

from __future__ import annotations

import gc
import multiprocessing
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from multiprocessing.synchronize import Event as EventType
from typing import Any

from evmcore._diff import StateDiff
from evmcore.blocks import Header
from evmcore.state import MemoryState
from evmcore.state.layout import Keys
from evmcore.state.loading import Loader
from evmcore.state.publisher import Publisher
from evmcore.state.sources import from_memory
from evmcore.types import Account
from tests.assembly import assemble
from tests.redis_server import RedisServer
from tests.waiting import PATIENCE, until

CHAIN_ID = 7
VAULTS = (b"\xaa" * 20, b"\xbb" * 20)
TELLER = b"\xcc" * 20
PER_GROUP = 4  # shares of a group in each vault
NUMBER_SLOT, TIME_SLOT = 1 << 64, (1 << 64) + 1
WORDS = PER_GROUP + 2
START = 1_700_000_000


def _vault_code() -> bytes:
    """Calldata: a group. Returns its shares, then block number and time as stored."""
    parts = []
    for share in range(PER_GROUP):
        parts.append(f"{share} 0 CALLDATALOAD {PER_GROUP} MUL ADD SLOAD {32 * share} MSTORE")
    for index, slot in enumerate((NUMBER_SLOT, TIME_SLOT)):
        parts.append(f"{slot} SLOAD {32 * (PER_GROUP + index)} MSTORE")
    return assemble(" ".join([*parts, f"{32 * WORDS} 0 RETURN"]))


def _teller_code() -> bytes:
    """Calldata: a group. Returns what both vaults return, then NUMBER and TIMESTAMP."""
    size = 32 * WORDS
    parts = ["0 CALLDATALOAD 0 MSTORE"]
    for index, vault in enumerate(VAULTS):
        # STATICCALL(gas, vault, input at 0, 32 bytes, output at 32 + index * size)
        parts.append(f"{size} {32 + index * size} 32 0 0x{vault.hex()} GAS STATICCALL ISZERO @fail JUMPI")
    end = 32 + 2 * size
    parts.append(f"NUMBER {end} MSTORE TIMESTAMP {end + 32} MSTORE {2 * size + 64} 32 RETURN")
    parts.append("fail: 0 0 REVERT")
    return assemble(" ".join(parts))


def group_total(group: int) -> int:
    """What the shares of a group sum up to, always."""
    return 1_000_000 * (group + 1)


def calldata(group: int) -> bytes:
    return group.to_bytes(32, "big")


def check(group: int, output: bytes, number: int | None = None, timestamp: int | None = None) -> str | None:
    """What is inconsistent in the teller's answer, or None. `number`, `timestamp`: of the block that was asked for."""
    if len(output) != 32 * (2 * WORDS + 2):
        return f"{len(output)} bytes"
    words = [int.from_bytes(output[i : i + 32], "big") for i in range(0, len(output), 32)]
    first, second, (block, moment) = words[:WORDS], words[WORDS : 2 * WORDS], words[2 * WORDS :]
    shares = first[:PER_GROUP] + second[:PER_GROUP]
    if sum(shares) != group_total(group):
        return f"group {group}: the shares {shares} sum up to {sum(shares)}, not {group_total(group)}"
    for stored in (first[PER_GROUP:], second[PER_GROUP:]):
        if stored != [block, moment]:
            return f"block {block} at {moment} stores {stored}"
    if number not in (None, block) or timestamp not in (None, moment):
        return f"block {number} at {timestamp} was asked for, the answer is from block {block} at {moment}"
    return None


@dataclass
class Books:
    """The chain in memory: its branch of blocks from genesis on, and what each block changed."""

    groups: int
    seed: int
    moves: int = 8  # groups that a block changes
    still: int = 0  # groups, the last ones, that no block changes
    state: MemoryState = field(init=False)
    headers: list[Header] = field(init=False)
    diffs: list[StateDiff] = field(default_factory=list)
    made: int = 0  # blocks, those of abandoned branches too
    touched: set[int] = field(default_factory=set)  # groups that some block changed

    def __post_init__(self) -> None:
        storage: tuple[dict[int, int], dict[int, int]] = ({}, {})
        for group in range(self.groups):
            left = group_total(group)
            for share in range(2 * PER_GROUP):
                part = left if share == 2 * PER_GROUP - 1 else left // 3
                left -= part
                storage[share // PER_GROUP][group * PER_GROUP + share % PER_GROUP] = part
        for slots in storage:
            slots[TIME_SLOT] = START
        code = _vault_code()
        alloc = {
            vault: Account(nonce=1, balance=1, code=code, storage=slots)
            for vault, slots in zip(VAULTS, storage, strict=True)
        }
        alloc[TELLER] = Account(nonce=1, code=_teller_code())
        self.state = MemoryState(alloc)
        self.headers = [Header(number=0, timestamp=START, gas_limit=30_000_000, base_fee_per_gas=7)]
        self.dice = random.Random(self.seed)

    @property
    def head(self) -> Header:
        return self.headers[-1]

    def next_block(self) -> tuple[Header, StateDiff]:
        """Another block on the head; its time is one that no block had before."""
        self.made += 1
        parent = self.head
        header = Header(
            parent_hash=parent.hash,
            number=parent.number + 1,
            timestamp=START + self.made,
            gas_limit=30_000_000,
            base_fee_per_gas=7,
        )
        after: tuple[dict[int, int], dict[int, int]] = ({}, {})
        moving = self.groups - self.still
        for group in self.dice.sample(range(moving), min(self.moves, moving)):
            self.touched.add(group)
            shares = [(vault, group * PER_GROUP + share) for vault in (0, 1) for share in range(PER_GROUP)]
            values = [self.state.storage(VAULTS[vault], slot) for vault, slot in shares]
            # Cut anew at random: some shares become zero, which deletes them.
            total = sum(values)
            cuts = sorted(self.dice.choice((0, self.dice.randint(0, total))) for _ in range(len(shares) - 1))
            values = [high - low for low, high in zip([0, *cuts], [*cuts, total], strict=True)]
            self.dice.shuffle(values)
            for (vault, slot), value in zip(shares, values, strict=True):
                after[vault][slot] = value
        for slots in after:
            slots[NUMBER_SLOT], slots[TIME_SLOT] = header.number, header.timestamp
        storage: dict[str, Any] = {}
        for address, slots in zip(VAULTS, after, strict=True):
            storage["0x" + address.hex()] = {
                f"0x{slot:064x}": {"old": f"0x{old:064x}", "new": f"0x{new:064x}"}
                for slot, new in slots.items()
                if (old := self.state.storage(address, slot)) != new
            }
        diff = StateDiff.from_json({"accounts": {}, "storage": storage, "codes": {}})
        self.state.apply(diff)
        self.headers.append(header)
        self.diffs.append(diff)
        return header, diff

    def take_back(self) -> None:
        self.state.undo(self.diffs.pop())
        self.headers.pop()

    def cold(self) -> Iterator[int]:
        """Groups but the first that no block has changed so far: the feed has not told a reader of them."""
        return iter([group for group in range(1, self.groups) if group not in self.touched])


def begin(publisher: Publisher, books: Books) -> None:
    """Loads the genesis into nothing, or over whatever is there."""
    Loader(publisher, books.headers[0], complete=True, replace=True, chain=CHAIN).run(from_memory(books.state))


@contextmanager
def begun(url: str, books: Books, blocks: int = 0, **options: Any) -> Iterator[Publisher]:
    """A publisher that has loaded the genesis and published some blocks."""
    with Publisher(url, CHAIN_ID, **options) as publisher:
        begin(publisher, books)
        for _ in range(blocks):
            publisher.publish(*books.next_block())
        yield publisher


def begin_anew(server: RedisServer, books: Books) -> None:
    """Loads the genesis into a server that lost everything, and publishes a block."""
    with begun(server.url, books, blocks=1):
        pass


def wait_for_head(server: RedisServer, number: int) -> None:
    """Until a replica has this block."""
    with server.client() as client:
        until(lambda: client.hget(Keys(CHAIN_ID).head, b"number") == b"%d" % number, f"block {number} does not come")


FORKS = "homestead eip150 eip155 eip158 byzantium constantinople petersburg istanbul berlin london mergeNetsplit"
CHAIN: dict[str, Any] = {
    "chainId": CHAIN_ID,
    **dict.fromkeys([f"{name}Block" for name in FORKS.split()], 0),
    **{"terminalTotalDifficulty": 0, "shanghaiTime": 0, "cancunTime": 0},
}


@dataclass(frozen=True)
class Step:
    """A block on the head (with its diff), or blocks taken back (none) until `header` is the head."""

    header: Header
    diff: StateDiff | None = None


def steps(books: Books, *, reorgs: float = 0.03, deepest: int = 4) -> Iterator[Step]:
    """Block after block, with reorgs of up to `deepest` blocks, for ever."""
    while True:
        if books.dice.random() < reorgs and books.head.number > deepest:
            for _ in range(books.dice.randint(1, deepest)):
                books.take_back()
            yield Step(books.head)
        yield Step(*books.next_block())


# So late the writer hurries to be in time again; later than that it does not.
HURRY = 0.05


def follow(publisher: Publisher, script: Iterator[Step], interval: float = 0.0) -> Iterator[Step]:
    """Applies steps, one each `interval` seconds; gives each when it is done."""
    due = time.monotonic()
    for step in script:
        if step.diff is None:
            publisher.revert_to(step.header.hash)
        else:
            publisher.publish(step.header, step.diff)
        yield step
        now = time.monotonic()
        due = max(due + interval, now - HURRY)
        if due > now:
            time.sleep(due - now)


# ---- a writer in a process of its own


class Writer:
    """Applies blocks as fast as it can, or one each `interval` seconds, until it is told to stop.

    To make a block takes longer than to publish it: the first `prepared` ones are made before it says that it is ready.
    Of every other block, at random, readers are told before its changes are stored. `still`: see `Books`. `ahead`: so
    many blocks it makes after `go_on` was called last, and then waits; 0: it waits for nobody.
    """

    def __init__(
        self,
        url: str,
        groups: int,
        seed: int,
        interval: float = 0.001,
        moves: int = 8,
        prepared: int = 0,
        still: int = 0,
        ahead: int = 0,
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._stop: EventType = context.Event()
        self._ready: EventType = context.Event()
        self._count, self._back = context.Value("q", 0), context.Value("q", 0)
        self._ahead, self._allowed = ahead, context.Value("q", ahead or 2**62)
        books = (groups, seed, moves, still)
        counters = (self._count, self._back, self._allowed)
        arguments = (url, books, interval, prepared, self._stop, self._ready, counters)
        self._process = context.Process(target=_write, args=arguments, daemon=True)

    @property
    def blocks(self) -> int:
        """How many new heads there have been."""
        return int(self._count.value)

    def go_on(self) -> None:
        """Lets the writer make some more blocks, where it waits for that."""
        if self._ahead:
            self._allowed.value = self._count.value + self._ahead

    @property
    def reorgs(self) -> int:
        """How many of them were reached by taking blocks back."""
        return int(self._back.value)

    def __enter__(self) -> Writer:
        self._process.start()
        deadline = time.monotonic() + PATIENCE
        while not self._ready.wait(0.1):
            assert self._process.is_alive() and time.monotonic() < deadline, "the writer does not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._process.join(PATIENCE)
        assert self._process.exitcode == 0, f"the writer ended with {self._process.exitcode}"


def _write(
    url: str,
    facts: tuple[int, int, int, int],
    interval: float,
    prepared: int,
    stop: EventType,
    ready: EventType,
    counters: tuple[Any, Any, Any],
) -> None:
    groups, seed, moves, still = facts
    count, back, allowed = counters
    books = Books(groups, seed, moves, still)
    with Publisher(url, CHAIN_ID) as publisher:
        begin(publisher, books)
        live = steps(books)
        made = list(islice(live, prepared))
        gc.freeze()  # They stay as they are: nothing to look through again and again.
        dice = random.Random(seed)
        for step in follow(publisher, chain(made, live), interval):
            publisher.told_first = dice.choice((0, None))
            count.value += 1
            back.value += step.diff is None
            if step.header.number >= 10:
                ready.set()
            while count.value >= allowed.value and not stop.is_set():
                time.sleep(0.001)
            if stop.is_set():
                return
