"""`bench --roots`: the root of a state after a block, with the trie kept from the block before, and computed anew.

One account in ten has many slots. A block changes the balances of some accounts and puts new slots into others. Both
roots of each round are compared.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from evmcore.bench import report
from evmcore.bench.engine import WrongResult
from evmcore.bench.measure import Samples
from evmcore.state import MemoryState
from evmcore.types import Account

SIZES: Final = (1_000, 10_000, 100_000)  # accounts
FEW, MANY, ONE_IN = 4, 40, 10  # slots of an account, and how many have many
PAID, WRITTEN, NEW_SLOTS = 300, 200, 5  # by a block: accounts whose balance changes, and who get so many slots


@dataclass
class Row:
    """A state, and nanoseconds of its roots by number of threads."""

    accounts: int
    slots: int
    bare: int  # bytes
    kept: int  # bytes, with the trie
    after: dict[int, list[float]] = field(default_factory=dict)
    anew: dict[int, list[float]] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        return vars(self)


def made(accounts: int, dice: random.Random) -> tuple[MemoryState, list[bytes]]:
    addresses = [dice.randbytes(20) for _ in range(accounts)]
    state = MemoryState()
    for number, address in enumerate(addresses):
        count = FEW if number % ONE_IN else MANY
        storage = {dice.getrandbits(256): dice.getrandbits(60) + 1 for _ in range(count)}
        state.set_account(address, Account(1, 10**18, storage=storage))
    return state, addresses


def change(state: MemoryState, addresses: Sequence[bytes], dice: random.Random) -> None:
    """What a block does to a state."""
    for address in dice.sample(addresses, PAID):
        state.set_balance(address, dice.getrandbits(60))
    for address in dice.sample(addresses, WRITTEN):
        for _ in range(NEW_SLOTS):
            state.set_storage(address, dice.getrandbits(256), dice.getrandbits(60) + 1)


def root(state: MemoryState, threads: int) -> tuple[bytes, float]:
    start = time.perf_counter_ns()
    value = state.state_root(threads=threads)
    return value, time.perf_counter_ns() - start


def measure(accounts: int, threads: Sequence[int], rounds: int, seed: int) -> Row:
    """Raises `WrongResult` where the two ways disagree."""
    dice = random.Random(seed)
    state, addresses = made(accounts, dice)
    bare = sys.getsizeof(state)
    for _ in range(2):  # from the second on the trie is kept
        state.state_root()
    row = Row(accounts, sum(len(state.slots(address)) for address in addresses), bare, sys.getsizeof(state))
    for round_ in range(rounds):
        for turn in range(len(threads)):
            count = threads[(round_ + turn) % len(threads)]
            change(state, addresses, dice)
            value, took = root(state, count)
            expected, took_anew = root(state.copy(), count)
            if value != expected:
                raise WrongResult(f"the root of a kept trie: 0x{value.hex()}, computed anew 0x{expected.hex()}")
            row.after.setdefault(count, []).append(took)
            row.anew.setdefault(count, []).append(took_anew)
    return row


def run(
    threads: Sequence[int], rounds: int, seed: int = 1, sizes: Sequence[int] = SIZES
) -> tuple[str, list[dict[str, Any]]]:
    """Measures; gives the table, and what was measured."""
    rows = [measure(size, threads, rounds, seed) for size in sizes]
    headers = ["accounts", "slots", "MiB", "with trie"]
    for count in threads:
        headers += [f"kept ms ({count})", f"anew ms ({count})", "ratio"]
    lines = []
    for row in rows:
        cells = [f"{row.accounts:,}", f"{row.slots:,}", *(report.number(size / 2**20) for size in (row.bare, row.kept))]
        for count in threads:
            after, anew = (Samples(tuple(values[count])).median for values in (row.after, row.anew))
            cells += [report.number(after / 1e6), report.number(anew / 1e6), f"{anew / after:.1f}"]
        lines.append(cells)
    return report.table(headers, lines), [row.record() for row in rows]
