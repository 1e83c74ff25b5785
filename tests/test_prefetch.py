"""What calls read is learnt and fetched with the first request; what was not learnt takes few requests."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from evmcore import EVM
from evmcore._code import cache_info, set_cache_budget
from evmcore._hash import keccak256
from evmcore.bench.load.mixes import Call, Calls
from evmcore.bench.load.world import LoadWorld
from evmcore.blocks import Header
from evmcore.service.source import CallHint
from evmcore.state import MemoryState
from evmcore.state._cache_view import CacheView
from evmcore.state.loading import Loader
from evmcore.state.publisher import Publisher
from evmcore.state.redis import RedisState
from evmcore.state.sources import from_memory
from evmcore.types import Account
from tests.redis_server import RedisServer

WORLD = LoadWorld(1, 6)
CALLS = Calls(WORLD)
HOLDERS = len(WORLD.holders)


@pytest.fixture(scope="module")
def loaded(shared_redis: RedisServer) -> RedisServer:
    with Publisher(shared_redis.url, 1) as publisher:
        Loader(publisher, Header(number=5, timestamp=1), complete=True).run(from_memory(MemoryState(WORLD.alloc())))
    return shared_redis


@pytest.fixture
def state(loaded: RedisServer) -> Iterator[RedisState]:
    with RedisState(loaded.url) as state:
        yield state


def ask(state: RedisState, call: Call) -> int:
    """Makes a call, checks its answer, and gives the number of requests that it took."""
    before = state.status().counters["cold_rounds"]
    with state.pin() as pin:
        result = pin.run(lambda backend: EVM(backend).call(call.to, call.data))
    assert result.output == call.output
    return state.status().counters["cold_rounds"] - before


def some(kind: str, rng: random.Random) -> Call:
    token, holder = rng.randrange(WORLD.size), rng.randrange(HOLDERS)
    if kind == "multicall":
        return CALLS.multicall([some("balance", rng) for _ in range(20)])
    makers: dict[str, Callable[[], Call]] = {
        "balance": lambda: CALLS.balance(token, holder),
        "allowance": lambda: CALLS.allowance(token, holder),
        "reserves": lambda: CALLS.reserves(token),
        "quote": lambda: CALLS.quote(token, 1, 10**18),
        "quote of three": lambda: CALLS.quote(token, 3, 10**18),
    }
    return makers[kind]()


@pytest.mark.parametrize("kind", ["balance", "allowance", "reserves", "multicall"])
def test_a_call_of_a_known_function_takes_one_request_whatever_its_arguments(
    loaded: RedisServer, state: RedisState, kind: str
) -> None:
    """Also of another contract with the same code, and with nothing in the cache."""
    rng = random.Random(kind)
    ask(state, some(kind, rng))
    for _ in range(5):
        state.restart()
        call = some(kind, rng)
        before = loaded.command_counts()
        assert ask(state, call) == 1
        after = loaded.command_counts()
        assert after["exec"] == before["exec"] + 1


def test_a_path_through_markets_is_known_once_it_was_taken(state: RedisState) -> None:
    for start in range(3):
        ask(state, CALLS.quote(start, 3, 5))
    for start in range(3):
        state.restart()
        assert ask(state, CALLS.quote(start, 3, 10**18 + start)) == 1


@pytest.mark.parametrize("codes", ["known", "fetched"])
def test_calls_that_nothing_is_known_of_take_three_requests_at_most(loaded: RedisServer, codes: str) -> None:
    """Each by a reader that has read nothing. A new process has to fetch the codes, too."""
    rng = random.Random(1)
    budget = cache_info()[2]
    for kind in ("balance", "allowance", "reserves", "quote", "quote of three", "multicall"):
        for _ in range(3):
            if codes == "fetched":
                set_cache_budget(0)
                set_cache_budget(budget)
            with RedisState(loaded.url) as fresh:
                assert ask(fresh, some(kind, rng)) <= (3 if codes == "fetched" else 2), kind


def test_the_implementation_of_a_proxy_is_found_on_the_way(shared_redis: RedisServer) -> None:
    """EIP-1967: the proxy and its slots, its code and the implementation, the implementation's code: three requests."""
    at = int.from_bytes(keccak256(b"eip1967.proxy.implementation"), "big") - 1
    proxy, implementation = b"\x61\x62" * 10, b"\x71\x72" * 10
    # calldata to memory; DELEGATECALL to what the slot holds; its answer.
    code = "365f5f37" + "5f5f365f" + f"7f{at:064x}54" + "5af4" + "3d5f5f3e" + "3d5ff3"
    # The mapping at slot 2 under the first argument.
    answers = "6004355f52600260205260405f20545f5260205ff3"
    holder = b"\x81\x82" * 10
    entry = int.from_bytes(keccak256(holder.rjust(32, b"\0") + (2).to_bytes(32, "big")), "big")
    memory = MemoryState(
        {
            proxy: Account(1, 0, bytes.fromhex(code), {at: int.from_bytes(implementation, "big"), entry: 4711}),
            implementation: Account(1, 0, bytes.fromhex(answers)),
        }
    )
    with Publisher(shared_redis.url, 90) as publisher:
        Loader(publisher, Header(number=1), complete=True).run(from_memory(memory))
    with RedisState(shared_redis.url, 90) as state, state.pin() as pin:
        data = b"\x01\x02\x03\x04" + holder.rjust(32, b"\0")
        result = pin.run(lambda backend: EVM(backend).call(proxy, data))
        assert int.from_bytes(result.output, "big") == 4711
        assert state.status().counters["cold_rounds"] <= 3


def test_predictions_are_counted_and_good(state: RedisState) -> None:
    rng = random.Random(2)
    for _ in range(30):
        ask(state, some("balance", rng))
        state.restart()
    counters = state.status().counters
    assert counters["predicted"] > 0
    assert counters["predictions_used"] >= 0.95 * counters["predicted"]
    assert counters["predictions_used"] >= 0.6 * counters["cold_reads"]


def test_an_access_list_of_the_request_is_fetched_with_the_first_request(state: RedisState) -> None:
    class Hint:
        access_list = tuple((token.address, [int.from_bytes(bytes(31) + b"\7", "big")]) for token in WORLD.tokens)

    with state.pin() as pin:
        call = CALLS.balance(0, 0)
        pin.run(lambda backend: EVM(backend).call(call.to, call.data), [Hint()])
        before = state.status().counters["cold_rounds"]
        for token in WORLD.tokens:
            assert pin.storage(token.address, 7) == 0
            assert pin.account(token.address) is not None
        assert state.status().counters["cold_rounds"] == before


def test_a_batch_is_fetched_together(state: RedisState) -> None:
    rng = random.Random(3)
    ask(state, some("balance", rng))
    state.restart()
    calls = [some("balance", rng) for _ in range(50)]
    before = state.status().counters["cold_rounds"]
    with state.pin() as pin:
        results = pin.run(lambda backend: EVM(backend).call_many([(call.to, call.data) for call in calls]))
    assert [result.output for result in results] == [call.output for call in calls]
    assert state.status().counters["cold_rounds"] == before + 1


class Unhurried(RedisState):
    """Runs on guesses are not cut short, however slow the machine is."""

    def _view(self, moment: Any) -> CacheView:
        return CacheView(moment.cache, moment.seq, self._fetcher, moment.point.hash_of, 60.0)


def test_calls_of_one_work_are_fetched_together_once_one_such_work_was_seen(loaded: RedisServer) -> None:
    rng = random.Random(5)
    with Unhurried(loaded.url) as state:
        ask(state, some("balance", rng))
        requests = []
        for _ in range(3):
            state.restart()
            calls = [some("balance", rng) for _ in range(20)]
            before = state.status().counters["cold_rounds"]
            with state.pin() as pin:
                outputs = pin.run(lambda backend, calls=calls: [EVM(backend).call(c.to, c.data).output for c in calls])
            assert outputs == [call.output for call in calls]
            requests.append(state.status().counters["cold_rounds"] - before)
        assert requests == [2, 1, 1]


def test_what_several_hints_name_is_fetched_together(state: RedisState) -> None:
    rng = random.Random(4)
    ask(state, some("balance", rng))
    ask(state, some("allowance", rng))
    state.restart()
    calls = [some(kind, rng) for kind in ("balance", "allowance") for _ in range(10)]
    before = state.status().counters["cold_rounds"]
    with state.pin() as pin:
        hints = [CallHint(call.to, call.data) for call in calls]
        pin.run(lambda backend: None, hints)
        assert state.status().counters["cold_rounds"] == before + 1
        for call in calls:
            assert pin.run(lambda backend, call=call: EVM(backend).call(call.to, call.data)).output == call.output
    assert state.status().counters["cold_rounds"] == before + 1


def test_forms_of_both_orders_of_hashing_and_of_two_levels(shared_redis: RedisServer) -> None:
    """keccak(key . slot) as Solidity has it, keccak(slot . key) as Vyper has it, a mapping in a mapping, a struct."""

    def word(value: int) -> bytes:
        return value.to_bytes(32, "big")

    def digest(*words: bytes) -> int:
        return int.from_bytes(keccak256(b"".join(words)), "big")

    # memory[0:32] = calldata word 0, memory[32:64] = 3, keccak, +2, SLOAD: a field of a struct.
    solidity = "5f355f52" + "600360205260405f20" + "600201" + "545f5260205ff3"
    vyper = "5f35602052" + "60035f5260405f20" + "545f5260205ff3"
    nested = "5f355f52600360205260405f20" + "602052" + "335f52" + "60405f20" + "545f5260205ff3"
    for number, code in enumerate((solidity, vyper, nested)):
        address = bytes([0x60 + number]) * 20
        sender = bytes([0x50 + number]) * 20
        keys = [1 << 100 | key for key in range(20)]

        def slot(key: int, kind: int = number, sender: bytes = sender) -> int:
            if kind == 0:
                return digest(word(key), word(3)) + 2
            if kind == 1:
                return digest(word(3), word(key))
            return digest(sender.rjust(32, b"\0"), word(digest(word(key), word(3))))

        storage = {slot(key): key + 5 for key in keys}
        chain = 77 + number
        memory = MemoryState({address: Account(1, 0, bytes.fromhex(code), storage)})
        with Publisher(shared_redis.url, chain) as publisher:
            Loader(publisher, Header(number=1), complete=True).run(from_memory(memory))
        with RedisState(shared_redis.url, chain) as state:
            for index, key in enumerate(keys[:6]):
                # the first word of calldata from byte 0 on: shifted, so that the key is found behind a selector
                before = state.status().counters["cold_rounds"]
                with state.pin() as pin:
                    result = pin.run(
                        lambda backend, key=key, sender=sender, address=address: EVM(backend).call(
                            address, word(key) * 2, sender=sender
                        )
                    )
                assert int.from_bytes(result.output, "big") == key + 5
                requests = state.status().counters["cold_rounds"] - before
                assert requests == 1 or index == 0
                state.restart()
