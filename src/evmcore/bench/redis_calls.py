"""Calls on state in Redis beside their floors, in one run: hot beside memory, cold beside one HMGET of the same slots.

What is asked of the server is counted, not only timed. Everything is checked before it is measured.
"""

from __future__ import annotations

import argparse
import operator
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from itertools import permutations
from typing import Any, Final

from evmcore import EVM, MemoryState
from evmcore._code import cache_info, set_cache_budget
from evmcore.bench import report
from evmcore.bench.contracts import mapping_slot, word
from evmcore.bench.engine import WrongResult
from evmcore.bench.load.mixes import Call, Calls
from evmcore.bench.load.world import LoadWorld
from evmcore.bench.measure import Samples, Task, measure, together
from evmcore.bench.processors import placed, placements
from evmcore.bench.redis_publish import publishing
from evmcore.bench.redis_server import private_server
from evmcore.blocks import Header
from evmcore.errors import InputError
from evmcore.state import Backend
from evmcore.state._requests import Request
from evmcore.state._wire import Connection, open_connection
from evmcore.state.layout import Keys
from evmcore.state.links import peer_name
from evmcore.state.loading import Loader, clear
from evmcore.state.publisher import Publisher
from evmcore.state.redis import RedisPin, RedisState
from evmcore.state.session import open_client
from evmcore.state.sources import from_memory
from evmcore.types import Account

PATIENCE: Final = 20.0  # seconds until the server has to answer
HEADER: Final = Header(number=5, timestamp=1_750_000_000, gas_limit=60_000_000)
SENDER: Final = b"\x5e" * 20
ENTRIES: Final = 20  # slots of one cold call
CALLERS: Final = (1, 2, 4, 8)  # threads
ORDERS: Final = tuple(permutations(range(3)))  # of what is compared: each comes equally often after each other


# ---- the world: contracts that a load test calls, and many that are each called once


def reader_code(entries: int) -> bytes:
    """Returns the sum of the entries of the mapping at slot 0 under each of so many words of calldata (behind the
    selector)."""
    code = bytes.fromhex("5f5f602052")  # the sum; memory word 1 is the mapping's slot: 0
    for number in range(entries):
        # MSTORE(0, CALLDATALOAD(4 + 32 * number)); SLOAD(KECCAK256(0, 64)); ADD
        code += b"\x61" + (4 + 32 * number).to_bytes(2, "big") + bytes.fromhex("355f5260405f205401")
    return code + bytes.fromhex("5f5260205ff3")


@dataclass(frozen=True)
class World:
    """`load`: the contracts of a load test. `single`, `many`: contracts that read one entry, and `ENTRIES`; `crowd`:
    more that read one."""

    load: LoadWorld
    keys: tuple[bytes, ...]
    single: tuple[bytes, ...]
    many: tuple[bytes, ...]
    crowd: tuple[bytes, ...]

    @classmethod
    def make(cls, size: int, fresh: int) -> World:
        keys = tuple(bytes([0xC0, number]) + b"\x11" * 18 for number in range(ENTRIES))
        single, many, crowd = (
            tuple(bytes([mark]) + number.to_bytes(4, "big") + b"\x22" * 15 for number in range(count))
            for mark, count in ((0xA1, fresh), (0xA2, fresh), (0xA3, 10 * fresh))
        )
        return cls(LoadWorld(1, size), keys, single, many, crowd)

    def state(self) -> MemoryState:
        accounts = self.load.alloc()
        accounts[SENDER] = Account(balance=1)
        accounts[bytes(20)] = Account(balance=1)  # the fee recipient
        slots = self.slots()
        for addresses, entries in ((self.single, 1), (self.many, ENTRIES), (self.crowd, 1)):
            code = reader_code(entries)
            for number, address in enumerate(addresses):
                storage = {slot: number + i + 1 for i, slot in enumerate(slots)}
                accounts[address] = Account(nonce=1, code=code, storage=storage)
        return MemoryState(accounts)

    def slots(self) -> list[int]:
        return [mapping_slot(0, key) for key in self.keys]

    def call(self, address: bytes, number: int, entries: int) -> Call:
        total = sum(number + i + 1 for i in range(entries))
        return Call(address, b"\x01\x02\x03\x04" + b"".join(map(word, self.keys[:entries])), word(total))


class Engines:
    """An `EVM` for each state that work is done on; making one costs more than a light call."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[Backend | MemoryState, EVM]] = {}

    def __call__(self, backend: Any) -> EVM:
        found = self._made.get(id(backend))
        if found is None:
            found = self._made[id(backend)] = (backend, EVM(backend))
        return found[1]


class RedisBench:
    """One run; `record` is what was measured. `server`: its process id, where it is one that may be moved."""

    def __init__(self, url: str, rounds: int, size: int, fresh: int, server: int | None = None) -> None:
        self.url, self.rounds, self.server = url, rounds, server
        self.chain_id = random.getrandbits(40) | 1 << 40  # none that the server may hold already
        self.keys = Keys(self.chain_id)
        self.world = World.make(size, fresh)
        self.calls = Calls(self.world.load)
        self.memory = self.world.state()
        self.record: dict[str, Any] = {"slots": 0}

    def run(self) -> dict[str, Any]:
        with ExitStack() as stack:
            publisher = stack.enter_context(Publisher(self.url, self.chain_id))
            stack.callback(self.clean, publisher)
            Loader(publisher, HEADER, complete=True).run(from_memory(self.memory))
            client = open_client(self.url)
            stack.callback(client.close)
            self.wire = open_connection(client, peer_name(self.url))
            stack.callback(self.wire.close)
            self.client = client
            self.hot()
            self.cold()
            self.crowded()
            self.unlearned()
            self.whole()
        return self.record

    def clean(self, publisher: Publisher) -> None:
        """Nothing of ours stays on the server."""
        clear(publisher)
        publisher.session.request([(b"UNLINK", self.keys.writer, self.keys.meta)], "deleting the state")

    def state(self, **options: Any) -> RedisState:
        return RedisState(self.url, self.chain_id, **options)

    # ---- hot

    def hot(self) -> None:
        """The same calls on memory, on a pinned view, and through `RedisPin.run`."""
        calls = {
            "balanceOf": self.calls.balance(0, 1),
            "quote over three pairs": self.calls.quote(0, min(3, self.world.load.size - 1), 10**18),
            "multicall of 20 balanceOf": self.calls.multicall(
                [self.calls.balance(i % self.world.load.size, i) for i in range(20)]
            ),
        }
        lines = []
        self.record["hot"] = {}
        with self.state() as state, state.pin() as pin:
            for name, call in calls.items():
                engines = Engines()
                to, data = call.to, call.data

                def work(backend: Any, to: bytes = to, data: bytes = data, engines: Engines = engines) -> Any:
                    return engines(backend).call(to, data)

                for answer in (work(self.memory), pin.run(work), work(pin.backend)):
                    check(name, answer.output, call)
                before = self.commands(), state.status().counters["cold_rounds"]
                run: Callable[..., Any] = pin.run
                tasks = [
                    Task(partial(work, self.memory)),
                    Task(partial(work, pin.backend)),
                    Task(partial(run, work)),
                ]
                memory, view, through = measure(tasks, self.rounds)
                after = self.commands(), state.status().counters["cold_rounds"]
                commands = sum((after[0] - before[0]).values()) + after[1] - before[1]
                lines.append(
                    [
                        name,
                        us(memory),
                        us(view),
                        us(through),
                        ratio(view, memory),
                        ratio(through, memory),
                        str(commands),
                    ]
                )
                self.record["hot"][name] = {
                    "memory": list(memory.values),
                    "view": list(view.values),
                    "run": list(through.values),
                    "commands": commands,
                }
        print("hot calls, us; commands: what Redis was asked meanwhile, other than for news")
        headers = ["call", "memory", "Redis", "RedisPin.run", "ratio", "ratio of run", "commands"]
        print(report.table(headers, lines) + "\n")

    def commands(self) -> Counter[str]:
        """How often the server was asked what only readers of state ask."""
        stats: dict[str, Any] = self.client.info("commandstats")
        return Counter(
            {name: int(stats.get(f"cmdstat_{name}", {}).get("calls", 0)) for name in ("multi", "get", "hlen", "mget")}
        )

    # ---- cold, and known what such calls read

    def cold(self) -> None:
        """Each contract once: its account and slots are fetched, its code is known. Beside an HMGET of its slots."""
        lines = []
        self.record["cold"] = {}
        for placement in placements(self.server):
            for name, addresses, entries in (
                ("1 slot", self.world.single, 1),
                (f"{ENTRIES} slots", self.world.many, ENTRIES),
            ):
                with placed(placement, self.server):
                    (ours, wire, client, hot), requests = self.cold_samples(addresses, entries)
                rest = Samples(tuple(map(operator.sub, ours.values, hot.values)))
                lines.append(
                    [
                        placement,
                        name,
                        *map(us, (ours, hot, wire, client)),
                        ratio(ours, wire),
                        ratio(rest, wire),
                        ratio(ours, client),
                        histogram(requests),
                    ]
                )
                self.record["cold"][f"{placement}, {name}"] = {
                    "call": list(ours.values),
                    "hot": list(hot.values),
                    "hmget": list(wire.values),
                    "hmget_redis_py": list(client.values),
                    "requests": dict(requests),
                }
        print("cold calls of functions that were learnt, us, beside one HMGET of the same slots over the same kind of")
        print("connection by the same native client, and by redis-py; apart, together: server and caller each on its")
        print("own processor, or on one; hot: the same call once more; requests: how many of the calls took how many")
        headers = ["server", "reads", "cold", "hot", "HMGET", "redis-py"]
        headers += ["ratio", "without hot", "to redis-py", "requests"]
        print(report.table(headers, lines) + "\n")

    def cold_samples(self, addresses: Sequence[bytes], entries: int) -> tuple[tuple[Samples, ...], Counter[int]]:
        """The call, HMGET, HMGET by redis-py, the call again; and how many calls took how many requests."""
        fields = [slot.to_bytes(32, "big") for slot in self.world.slots()[:entries]]
        times: tuple[list[float], ...] = ([], [], [], [])
        requests: Counter[int] = Counter()
        engines = Engines()
        with self.state() as state, state.pin() as pin:
            for number, address in enumerate(addresses):
                call = self.world.call(address, number, entries)
                to, data = call.to, call.data

                def work(backend: Any, to: bytes = to, data: bytes = data) -> Any:
                    return engines(backend).call(to, data, sender=SENDER)

                key = self.keys.storage(address, 0)
                before = state.status().counters["cold_rounds"]
                answers: list[Any] = [None, None, None]
                steps: tuple[Callable[[], Any], ...] = (
                    partial(pin.run, work),
                    partial(asked, self.wire, (b"HMGET", key, *fields)),
                    partial(self.client.hmget, key, fields),
                )
                taken = [0.0, 0.0, 0.0]
                for which in ORDERS[number % len(ORDERS)]:
                    start = time.perf_counter_ns()
                    answers[which] = steps[which]()
                    taken[which] = time.perf_counter_ns() - start
                check("cold call", answers[0].output, call)
                if sum(int.from_bytes(value, "big") for value in answers[1][0]) != int.from_bytes(
                    call.output or b"", "big"
                ):
                    raise WrongResult(f"HMGET: {answers[1]!r:.200}")
                start = time.perf_counter_ns()
                pin.run(work)
                taken.append(time.perf_counter_ns() - start)
                if number >= 2:  # before, the function was not known
                    requests[state.status().counters["cold_rounds"] - before] += 1
                    for samples, value in zip(times, taken, strict=True):
                        samples.append(value)
        return tuple(Samples(tuple(values)) for values in times), requests

    # ---- cold, by many threads at once

    def crowded(self) -> None:
        """Calls of contracts that each are called once, by so many threads on one state; the function is known."""
        lines = []
        self.record["crowd"] = {}
        for threads in CALLERS:
            rates, requests = [], 0
            for _ in range(max(1, self.rounds // 2)):
                with self.state() as state, state.pin() as pin:
                    seconds, calls, asked = self.crowd_seconds(state, pin, threads)
                rates.append(calls / seconds)
                requests += asked
            rate = statistics.median(rates)
            self.record["crowd"][threads] = rates
            first = statistics.median(self.record["crowd"][CALLERS[0]])
            share = requests / calls / len(rates)
            lines.append([str(threads), report.number(rate), f"{rate / first:.2f}", f"{share:.2f}"])
        print("cold calls of a function that was learnt, of one slot each, by so many threads on one RedisState")
        print(report.table(["threads", "calls/s", "of one thread", "requests a call"], lines) + "\n")

    def crowd_seconds(self, state: RedisState, pin: RedisPin, threads: int) -> tuple[float, int, int]:
        """Calls the whole crowd; how long that took, how many calls that were, and how many requests they needed."""
        engines = [Engines() for _ in range(threads)]

        def call(number: int, made: Engines) -> None:
            wanted = self.world.call(self.world.crowd[number], number, 1)
            answer = pin.run(lambda backend: made(backend).call(wanted.to, wanted.data, sender=SENDER))
            check("cold call", answer.output, wanted)

        def caller(turn: int) -> None:
            for number in range(2 + turn, len(self.world.crowd), threads):
                call(number, engines[turn])

        for number in range(2):  # from these the function is learnt
            call(number, engines[0])
        before = state.status().counters["cold_rounds"]
        seconds = together([partial(caller, turn) for turn in range(threads)])
        return seconds, len(self.world.crowd) - 2, state.status().counters["cold_rounds"] - before

    # ---- cold, and nothing known

    def unlearned(self) -> None:
        """Each call by a reader that has nothing in its cache and has learnt nothing; with and without the codes."""
        lines = []
        self.record["unlearned"] = {}
        budget = cache_info()[2]
        for known in (True, False):
            total: Counter[int] = Counter()
            for name, weight, make in self.kinds():
                requests: Counter[int] = Counter()
                dice = random.Random(f"{name} {known}")
                for _ in range(max(1, weight * self.rounds // 5)):
                    call = make(dice)
                    if not known:
                        set_cache_budget(0)
                        set_cache_budget(budget)
                    requests[self.requests_of(name, call)] += 1
                total += requests
                lines.append([name, "known" if known else "fetched", histogram(requests), str(max(requests))])
                self.record["unlearned"][f"{name}, codes {'known' if known else 'fetched'}"] = dict(requests)
            within = sum(count for number, count in total.items() if number <= 3) / sum(total.values())
            lines.append(["all", "known" if known else "fetched", f"{within:.1%} within 3", str(max(total))])
            self.record["unlearned"]["within 3, codes " + ("known" if known else "fetched")] = within
        print("cold calls of which nothing was learnt, each by a new reader with an empty cache: requests taken")
        print(report.table(["call", "codes", "requests: calls", "most"], lines) + "\n")

    def kinds(self) -> list[tuple[str, int, Callable[[random.Random], Call]]]:
        """The mix of `mixes.hot` by its weights, of 20."""
        calls, world = self.calls, self.world.load

        def simple(dice: random.Random) -> Call:
            make = dice.choices([kind[2] for kind in kinds[:4]], [8, 3, 4, 3])[0]
            return make(dice)

        def people(dice: random.Random) -> tuple[int, int]:
            return dice.randrange(world.size), dice.randrange(len(world.holders))

        kinds: list[tuple[str, int, Callable[[random.Random], Call]]] = [
            ("balanceOf", 8, lambda dice: calls.balance(*people(dice))),
            ("allowance", 3, lambda dice: calls.allowance(*people(dice))),
            ("getReserves", 4, lambda dice: calls.reserves(dice.randrange(world.size))),
            (
                "quote over 1 to 3 pairs",
                3,
                lambda dice: calls.quote(dice.randrange(world.size), dice.randint(1, min(3, world.size - 1)), 10**15),
            ),
            ("multicall of 8 of them", 2, lambda dice: calls.multicall([simple(dice) for _ in range(8)])),
        ]
        return kinds

    def requests_of(self, name: str, call: Call) -> int:
        with self.state() as state, state.pin() as pin:
            answer = pin.run(lambda backend: EVM(backend).call(call.to, call.data))
            check(name, answer.output, call)
            return state.status().counters["cold_rounds"]

    # ---- whole contracts

    def whole(self) -> None:
        """Contracts read whole into the cache beside HSCANs that are thrown away; and what a slot takes."""
        addresses = [token.address for token in self.world.load.tokens]
        stored = sum(len(self.memory.slots(address)) for address in addresses)
        scans, fills, sizes = [], [], []
        for _ in range(self.rounds):
            start = time.perf_counter()
            found = sum(self.scan(address) for address in addresses)
            scans.append(found / (time.perf_counter() - start))
            if found != stored:
                raise WrongResult(f"HSCAN gave {found} slots, {stored} are stored")
            with self.state() as state:
                empty = state.status().gauges["cache_bytes"]
                start = time.perf_counter()
                filled = state.preload(addresses)
                fills.append(filled / (time.perf_counter() - start))
                gauges = state.status().gauges
                if filled != stored or gauges["cache_slots"] < stored:
                    raise WrongResult(f"{filled} slots came into the cache, {stored} are stored")
                sizes.append((gauges["cache_bytes"] - empty) / gauges["cache_slots"])
        scan, fill, size = (sorted(values)[len(values) // 2] for values in (scans, fills, sizes))
        self.record |= {"slots": stored, "hscan": scans, "preload": fills, "bytes_per_slot": sizes}
        headers = ["slots", "HSCAN slots/s", "into the cache slots/s", "ratio", "bytes/slot in process"]
        cells = [f"{stored:,}", report.number(scan), report.number(fill), f"{fill / scan:.2f}", f"{size:.0f}"]
        print(report.table(headers, [cells]) + "\n")

    def scan(self, address: bytes) -> int:
        key, cursor, count = self.keys.storage(address, 0), b"0", 0
        while True:
            cursor, fields = self.wire.request([(b"HSCAN", key, cursor, b"COUNT", b"1000")], PATIENCE, "HSCAN")[0]
            count += len(fields) // 2
            if cursor == b"0":
                return count


def asked(wire: Connection, command: Sequence[bytes]) -> list[Any]:
    """One command from words to reply: encoded, sent, received, decoded."""
    request = Request([command])
    request.send(wire, PATIENCE)
    return request.receive(wire, PATIENCE)


def check(name: str, output: bytes, call: Call) -> None:
    if output != call.output:
        raise WrongResult(f"{name}: {call.output!r:.200} expected, got {output!r:.200}")


def us(samples: Samples) -> str:
    return report.number(samples.median / 1e3)


def ratio(ours: Samples, floor: Samples) -> str:
    """The median of the rounds' ratios: one round is measured at one speed of the machine, more or less."""
    return f"{statistics.median(map(operator.truediv, ours.values, floor.values)):.2f}"


def histogram(counts: Counter[int]) -> str:
    return ", ".join(f"{number}: {count}" for number, count in sorted(counts.items()))


def run(options: argparse.Namespace, size: int = 20, fresh: int = 300, blocks: int = 40) -> dict[str, Any]:
    """Measures and prints: `options.redis` is the server's address, empty for one of our own; `options.rounds` samples.

    `size` and `fresh`: of the world. `blocks`: of each kind that the writer publishes; 0: without it. Raises
    `InputError` where no server can be had, `WrongResult` for a wrong answer, `StateError`.
    """
    with ExitStack() as stack:
        try:
            own = None if options.redis else stack.enter_context(private_server())
        except InputError as error:
            raise InputError(f"--redis: {error}; install one, or give the address of one: --redis URL") from None
        url = options.redis if own is None else f"unix://{own.path}"
        record = RedisBench(url, options.rounds, size, fresh, own and own.pid).run()
        if blocks:
            rows = publishing(url, blocks=blocks)
            cells = [[row.name, report.number(row.value), row.unit, row.note] for row in rows]
            print(report.table(["the writer", "", "", ""], cells))
            record["writer"] = [asdict(row) for row in rows]
    return {"server": peer_name(options.redis) if options.redis else "its own", **record}
