"""Reading a chain's state from Redis: exact at every block of the window, cheap when hot, in few rounds when cold."""

from __future__ import annotations

import copy
import pickle
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from evmcore import EVM
from evmcore._code import cache_info, set_cache_budget
from evmcore._diff import StateDiff
from evmcore.bench.contracts import mapping_slot
from evmcore.errors import (
    BlockNotFound,
    InputError,
    StateCorrupted,
    StateNotAvailable,
    StateUnavailable,
)
from evmcore.state import MemoryState
from evmcore.state.layout import Keys
from evmcore.state.publisher import Publisher
from evmcore.state.redis import NotHere, RedisState
from evmcore.types import Account
from tests.redis_reading import assert_same, load, wait_for
from tests.redis_server import RedisServer
from tests.redis_token import HOLDERS, TOKEN, TOKEN_ADDRESS, balance_of, call_token, token_state
from tests.stored_state import GENESIS, child, random_diff, random_state
from tests.waiting import PATIENCE, eventually, until

KEYS = Keys(1)


# ---- the state at a block


@pytest.mark.parametrize("seed", range(8))
def test_every_block_of_the_window_reads_as_it_was(server: RedisServer, seed: int) -> None:
    """Random blocks and reorganisations: pins opened before, meanwhile and after them, read in any order."""
    rng = random.Random(seed)
    memory = random_state(rng)
    chain = [(GENESIS, memory.copy())]
    with load(server, memory) as publisher, RedisState(server.url, ring=64) as state:
        pins = [(state.pin(), memory.copy())]
        for _ in range(40):
            if rng.randrange(4) == 0 and len(chain) > 1:
                for _ in range(rng.randrange(1, min(4, len(chain)))):
                    chain.pop()
                publisher.revert_to(chain[-1][0].hash)
                header, memory = chain[-1][0], chain[-1][1].copy()
            else:
                diff = random_diff(rng, memory)
                header = child(chain[-1][0], rng.randrange(100))
                publisher.publish(header, diff)
                memory.apply(diff)
                chain.append((header, memory.copy()))
            wait_for(state, header)
            if rng.randrange(2):
                pins.append((state.pin(), memory.copy()))
            if rng.randrange(3) == 0:
                assert_same(*rng.choice(pins))
        rng.shuffle(pins)
        for pin, expected in pins:
            assert_same(pin, expected)
        for header, expected in chain[-10:]:
            assert_same(state.pin(header.number), expected)
            assert_same(state.pin(header.hash), expected)
        assert state.status().ready


@pytest.mark.parametrize("limit", [0, 4000])
def test_a_cache_that_holds_almost_nothing_still_answers(server: RedisServer, limit: int) -> None:
    rng = random.Random(limit)
    memory = random_state(rng)
    with load(server, memory), RedisState(server.url, cache_bytes=limit, ring=2) as state:
        for _ in range(3):
            assert_same(state.pin(), memory)


def test_blocks_before_the_start_can_be_pinned_as_far_as_the_feed_goes(server: RedisServer) -> None:
    rng = random.Random(3)
    memory = random_state(rng)
    header = GENESIS
    history = []
    with load(server, memory, ring=20) as publisher:
        for _ in range(60):
            history.append((header, memory.copy()))
            diff = random_diff(rng, memory)
            header = child(header)
            publisher.publish(header, diff)
            memory.apply(diff)
        with RedisState(server.url, ring=10) as state:
            assert_same(state.pin(), memory)
            for number in range(50, 60):
                assert state.pin(number).header == history[number][0]
                assert_same(state.pin(number), history[number][1])
            with pytest.raises(StateNotAvailable, match="block 49 "):
                state.pin(49)
            with pytest.raises(BlockNotFound, match="block 61 "):
                state.pin(61)
            with pytest.raises(BlockNotFound, match="0x7777"):
                state.pin(b"\x77" * 32)
            with pytest.raises(StateNotAvailable, match="block 0 "):
                state.pin("earliest")
            hashes = state.pin().block_hashes()
            assert all(hashes[old.number] == old.hash for old, _ in history)
            assert hashes[60] == header.hash


@pytest.mark.parametrize("block", [True, 1.5, b"\x01" * 31, bytearray(32), ["latest"], object()])
def test_what_names_no_block_is_refused(server: RedisServer, block: Any) -> None:
    with (
        load(server, token_state()),
        RedisState(server.url) as state,
        pytest.raises(InputError, match="argument 'block': expected"),
    ):
        state.pin(block)


def test_the_earliest_block_is_the_first_of_the_chain(server: RedisServer) -> None:
    with load(server, token_state()), RedisState(server.url) as state:
        assert state.pin("earliest").header == state.pin(0).header == GENESIS


def test_a_pin_stays_at_its_block_until_the_window_has_passed_it_by_far(server: RedisServer) -> None:
    memory = token_state()
    header = GENESIS
    with load(server, memory) as publisher, RedisState(server.url, ring=4) as state:
        pin = state.pin()
        slot = mapping_slot(TOKEN.slots["balanceOf"], HOLDERS[0])
        assert pin.storage(TOKEN_ADDRESS, slot) == 1000
        for value in range(1100):
            header = child(header)
            publisher.publish(header, slot_diff(slot, value + 1000 if value else 1000, value + 1001))
            if value == 500:
                wait_for(state, header)
                assert pin.storage(TOKEN_ADDRESS, slot) == 1000
        wait_for(state, header)
        with pytest.raises(StateNotAvailable, match="left the window"):
            pin.storage(TOKEN_ADDRESS, slot)
        assert state.pin().storage(TOKEN_ADDRESS, slot) == 2100


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
def test_what_is_open_on_redis_says_what_to_open_elsewhere(server: RedisServer, way: Callable[[Any], Any]) -> None:
    with load(server, token_state()) as publisher, RedisState(server.url) as state, state.pin() as pin:
        for given, said in (
            (publisher, "a Publisher cannot be pickled or copied: its office is this process's; make another there"),
            (
                state,
                "a RedisState cannot be pickled or copied: its cache and its thread are this process's; open",
            ),
            (pin, "a RedisPin cannot be pickled or copied: pickle its block_hash, and pin that on a RedisState"),
            (pin.backend, "a CacheView cannot be pickled or copied: it reads what this process holds open"),
        ):
            with pytest.raises(TypeError) as error:
                way(given)
            assert str(error.value).startswith(said)


def slot_diff(slot: int, old: int, new: int) -> StateDiff:
    change = {f"0x{slot:064x}": {"old": f"0x{old:064x}", "new": f"0x{new:064x}"}}
    return StateDiff.from_json({"accounts": {}, "storage": {"0x" + TOKEN_ADDRESS.hex(): change}, "codes": {}})


def test_block_hashes_are_those_of_the_pinned_branch(server: RedisServer) -> None:
    code = bytes.fromhex("5f35405f5260205ff3")  # returns BLOCKHASH(calldata word)
    memory = MemoryState({TOKEN_ADDRESS: Account(1, 0, code)})
    nothing = StateDiff.from_json({"accounts": {}, "storage": {}, "codes": {}})
    with load(server, memory) as publisher, RedisState(server.url) as state:
        first = child(GENESIS)
        second = child(first)
        publisher.publish(first, nothing)
        publisher.publish(second, nothing)
        wait_for(state, second)
        before = state.pin()
        publisher.revert_to(GENESIS.hash)
        other = child(GENESIS, 5)
        other_second = child(other)
        publisher.publish(other, nothing)
        publisher.publish(other_second, nothing)
        wait_for(state, other_second)
        after = state.pin()
        for pin, expected in ((before, first), (after, other)):
            env = {"number": 2}
            answer = pin.run(
                lambda backend, env=env: EVM(backend).with_block(env).call(TOKEN_ADDRESS, bytes(31) + b"\1")
            )
            assert answer.output == expected.hash


# ---- hot and cold


def test_a_hot_call_sends_no_command(server: RedisServer) -> None:
    with load(server, token_state()), RedisState(server.url) as state, state.pin() as pin:
        call = lambda backend: EVM(backend).call(TOKEN_ADDRESS, balance_of(HOLDERS[3]))  # noqa: E731
        assert int.from_bytes(pin.run(call).output, "big") == 1003
        rounds = state.status().counters["cold_rounds"]
        before = server.command_counts()
        for _ in range(1000):
            assert int.from_bytes(pin.run(call).output, "big") == 1003
        after = server.command_counts()
        assert state.status().counters["cold_rounds"] == rounds
        for command in ("exec", "get", "hlen", "mget"):
            assert after.get(command, 0) == before.get(command, 0)


def test_a_cold_call_fetches_all_it_missed_at_once(server: RedisServer) -> None:
    """Sender and contract; its code; the slot: three rounds at most, though the call needs five things."""
    with load(server, token_state()), RedisState(server.url) as state, state.pin() as pin:
        result = pin.run(lambda backend: EVM(backend).call(TOKEN_ADDRESS, balance_of(HOLDERS[7])))
        assert int.from_bytes(result.output, "big") == 1007
        assert state.status().counters["cold_rounds"] <= 3


def test_without_waiting_nothing_is_fetched(server: RedisServer) -> None:
    with load(server, token_state()), RedisState(server.url) as state, state.pin() as pin:
        call = lambda backend: EVM(backend).call(TOKEN_ADDRESS, balance_of(HOLDERS[0]))  # noqa: E731
        with pytest.raises(NotHere):
            pin.run(call, wait=False)
        assert state.status().counters["cold_rounds"] == 0
        pin.run(call)
        assert int.from_bytes(pin.run(call, wait=False).output, "big") == 1000


def test_a_fetch_that_is_brief_is_made_without_waiting_and_a_long_one_is_not(server: RedisServer) -> None:
    with load(server, token_state()), RedisState(server.tcp_url) as state, state.pin() as pin:

        def ask(holder: bytes) -> int:
            return pin.run(lambda backend: call_token(backend, holder), wait=False, brief=True)

        with pytest.raises(NotHere):  # no connection is open yet
            ask(HOLDERS[0])
        assert pin.run(lambda backend: call_token(backend, HOLDERS[0])) == 1000
        # Whatever the machine takes for a request is brief. After one that was long none is tried for a moment.
        fetcher, usual = state._fetcher, (state._fetcher.usually_brief_ns, state._fetcher.brief_ns)
        fetcher.usually_brief_ns = fetcher.brief_ns = 10**18
        assert eventually(lambda: ask(HOLDERS[1]), NotHere) == 1001
        fetcher.usually_brief_ns, fetcher.brief_ns = usual
        with server.paused():
            began = time.monotonic()
            for _ in range(3):
                with pytest.raises(NotHere):
                    ask(HOLDERS[2])
            assert time.monotonic() - began < PATIENCE / 3
        assert pin.run(lambda backend: call_token(backend, HOLDERS[2])) == 1002


def test_overrides_stand_in_front_of_what_is_fetched(server: RedisServer) -> None:
    slot = mapping_slot(TOKEN.slots["balanceOf"], HOLDERS[1])
    with load(server, token_state()), RedisState(server.url) as state, state.pin() as pin:

        def call(backend: Any) -> bytes:
            evm = EVM(backend)
            first = evm.call(TOKEN_ADDRESS, balance_of(HOLDERS[1]), overrides={TOKEN_ADDRESS: {"stateDiff": {slot: 5}}})
            second = evm.call(
                TOKEN_ADDRESS, balance_of(HOLDERS[2]), overrides={TOKEN_ADDRESS: {"stateDiff": {slot: 5}}}
            )
            return bytes(first.output + second.output)

        assert pin.run(call) == (5).to_bytes(32, "big") + (1002).to_bytes(32, "big")


def test_a_batch_on_native_threads_runs_on_guesses_too(server: RedisServer) -> None:
    with load(server, token_state()), RedisState(server.url) as state, state.pin() as pin:
        calls = [(TOKEN_ADDRESS, balance_of(holder)) for holder in HOLDERS]
        results = pin.run(lambda backend: EVM(backend).call_many(calls, threads=2))
        assert [int.from_bytes(result.output, "big") for result in results] == list(range(1000, 1000 + len(HOLDERS)))
        assert state.status().counters["cold_rounds"] <= 3


def test_the_backend_fetches_one_by_one_where_no_guess_is_possible(server: RedisServer) -> None:
    with load(server, token_state()), RedisState(server.url) as state, state.pin() as pin:
        evm = EVM(pin.backend)
        assert int.from_bytes(evm.call(TOKEN_ADDRESS, balance_of(HOLDERS[4])).output, "big") == 1004
        slots = [(TOKEN_ADDRESS, mapping_slot(TOKEN.slots["balanceOf"], holder)) for holder in HOLDERS]
        rounds = state.status().counters["cold_rounds"]
        pin.backend.prefetch([bytes(20)], slots)
        assert state.status().counters["cold_rounds"] == rounds + 1
        for i, holder in enumerate(HOLDERS):
            assert int.from_bytes(evm.call(TOKEN_ADDRESS, balance_of(holder)).output, "big") == 1000 + i
        assert state.status().counters["cold_rounds"] == rounds + 1


def test_what_work_raises_counts_only_when_it_had_everything(server: RedisServer) -> None:
    with load(server, token_state()), RedisState(server.url) as state, state.pin() as pin:
        seen = []

        def work(backend: Any) -> None:
            result = EVM(backend).call(TOKEN_ADDRESS, balance_of(HOLDERS[0]))
            seen.append(bytes(result.output))
            raise KeyError(len(seen))

        with pytest.raises(KeyError):
            pin.run(work)
        assert len(seen) > 1
        assert int.from_bytes(seen[-1], "big") == 1000


def test_a_guess_that_runs_away_is_stopped(server: RedisServer) -> None:
    """While a slot is not known it reads as zero, which this contract loops on."""
    code = bytes.fromhex("5b5f54" + "15" + "5f57" + "5f545f5260205ff3")  # while slot 0 is zero: again; return it
    memory = MemoryState({TOKEN_ADDRESS: Account(1, 0, code, {0: 9})})
    with load(server, memory), RedisState(server.url) as state, state.pin() as pin:
        start = time.monotonic()
        result = pin.run(lambda backend: EVM(backend).call(TOKEN_ADDRESS, gas=2**40))
        assert int.from_bytes(result.output, "big") == 9
        assert time.monotonic() - start < PATIENCE


def test_threads_share_a_pin(server: RedisServer) -> None:
    with load(server, token_state()), RedisState(server.url, cache_bytes=20_000) as state, state.pin() as pin:
        wrong: list[object] = []

        def read(number: int) -> None:
            rng = random.Random(number)
            for _ in range(200):
                i = rng.randrange(len(HOLDERS))
                try:
                    output = pin.run(
                        lambda backend, i=i: EVM(backend).call(TOKEN_ADDRESS, balance_of(HOLDERS[i]))
                    ).output
                    if int.from_bytes(output, "big") != 1000 + i:
                        wrong.append(output)
                except Exception as error:
                    wrong.append(error)

        threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong


@pytest.mark.usefixtures("no_code_cache")
def test_native_threads_share_the_codes_that_were_fetched_while_more_of_them_come(server: RedisServer) -> None:
    """Each contract returns its number. Who read where the codes had been before they were moved, crashed."""
    contracts = {
        bytes([1, *divmod(number, 256)]) + bytes(17): bytes([0x61, *divmod(number, 256)])
        + bytes.fromhex("5f5260205ff3")
        for number in range(900)
    }
    addresses = list(contracts)
    with load(server, MemoryState({address: Account(code=code) for address, code in contracts.items()})):
        for seed in range(20):
            rng = random.Random(seed)
            called = [rng.randrange(len(addresses)) for _ in range(8_000)]
            with RedisState(server.url) as state, state.pin() as pin:
                results = EVM(pin.backend).call_many([(addresses[number],) for number in called], threads=4)
                assert [int.from_bytes(result.output, "big") for result in results] == called


# ---- whole contracts


def test_contracts_that_are_preloaded_are_answered_without_a_request(server: RedisServer) -> None:
    with load(server, token_state()) as publisher, RedisState(server.url, preload=[TOKEN_ADDRESS, bytes(20)]) as state:
        assert state.status().counters["preloaded_slots"] == len(HOLDERS)
        with state.pin() as pin:
            for i, holder in enumerate(HOLDERS):
                assert pin.storage(TOKEN_ADDRESS, mapping_slot(TOKEN.slots["balanceOf"], holder)) == 1000 + i
        assert state.status().counters["cold_rounds"] == 0
        # They are kept exact as everything is.
        slot = mapping_slot(TOKEN.slots["balanceOf"], HOLDERS[3])
        header = child(GENESIS)
        publisher.publish(header, slot_diff(slot, 1003, 7))
        wait_for(state, header)
        with state.pin() as pin, state.pin(GENESIS.number) as before:
            assert (pin.storage(TOKEN_ADDRESS, slot), before.storage(TOKEN_ADDRESS, slot)) == (7, 1003)
        # And read again with a new cache.
        state.restart()
        until(lambda: state.status().counters["preloaded_slots"] == 2 * len(HOLDERS), state.status)
        assert state.preload([TOKEN_ADDRESS]) == len(HOLDERS)
        assert state.status().counters["cold_rounds"] == 0


def test_contracts_are_read_whole_while_they_change(server: RedisServer) -> None:
    """More slots than come at once, and a writer that changes them meanwhile."""
    memory = MemoryState({TOKEN_ADDRESS: Account(1, 0, b"\0", dict.fromkeys(range(1, 5000), 1))})
    with load(server, memory) as publisher, RedisState(server.url) as state:
        values = dict.fromkeys(range(1, 5000), 1)
        header = GENESIS
        done = threading.Event()

        def write() -> None:
            nonlocal header
            rng = random.Random(5)
            while not done.is_set():
                slot = rng.randrange(1, 5000)
                header = child(header)
                publisher.publish(header, slot_diff(slot, values[slot], values[slot] + 1))
                values[slot] += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(10):
                assert state.preload([TOKEN_ADDRESS]) == 4999
        finally:
            done.set()
            writer.join()
        wait_for(state, header)
        rounds = state.status().counters["cold_rounds"]
        with state.pin() as pin:
            assert {slot: pin.storage(TOKEN_ADDRESS, slot) for slot in values} == values
        assert state.status().counters["cold_rounds"] == rounds


def test_damage_is_noticed_while_contracts_are_read_whole(server: RedisServer) -> None:
    with load(server, token_state()), RedisState(server.url) as state, server.client() as client:
        storage = KEYS.storage(TOKEN_ADDRESS, 0)
        client.hdel(storage, client.hkeys(storage)[0])
        with pytest.raises(StateCorrupted, match="19 slots are stored, the account's record says 20"):
            state.preload([TOKEN_ADDRESS])


# ---- what is damaged


def poisoned(server: RedisServer, state: RedisState, what: str) -> None:
    pin = state.pin()
    with pytest.raises(StateCorrupted, match=what):
        pin.run(lambda backend: EVM(backend).call(TOKEN_ADDRESS, balance_of(HOLDERS[0])))
    with pytest.raises(StateCorrupted, match=what):
        EVM(pin.backend).call(TOKEN_ADDRESS, balance_of(HOLDERS[0]))


@pytest.fixture
def no_code_cache() -> Iterator[None]:
    """Codes are cached by hash for the whole process: not during this test."""
    budget = cache_info()[2]
    set_cache_budget(0)
    yield
    set_cache_budget(budget)


@pytest.mark.usefixtures("no_code_cache")
def test_damage_is_named_and_repaired_state_is_read_again(server: RedisServer) -> None:
    slot = mapping_slot(TOKEN.slots["balanceOf"], HOLDERS[0]).to_bytes(32, "big")
    account, storage = KEYS.account(TOKEN_ADDRESS), KEYS.storage(TOKEN_ADDRESS, 0)
    other = mapping_slot(TOKEN.slots["balanceOf"], HOLDERS[1]).to_bytes(32, "big")
    with load(server, token_state()) as publisher, RedisState(server.url) as state, server.client() as client:
        code = KEYS.code(publisher.tracked([TOKEN_ADDRESS])[0].code_hash)
        record, program = client.get(account), client.get(code)
        client.set(account, record[:-1] + b"\0")
        poisoned(server, state, f"a:0x{TOKEN_ADDRESS.hex()}: account record: cut or damaged")
        client.set(account, record[:20])
        poisoned(server, state, "account record")
        client.set(account, record)
        client.set(code, program[:-1])
        poisoned(server, state, ":c:0x.*hash 0x")
        client.delete(code)
        poisoned(server, state, "the code is missing")
        client.set(code, program)
        state.restart()  # the slot was right when it was fetched with the account
        client.hset(storage, slot, b"\0\1")
        poisoned(server, state, f"s:0x{TOKEN_ADDRESS.hex()}: slot 0x.*value")
        client.hset(storage, slot, b"\1" * 33)
        poisoned(server, state, "value")
        client.hdel(storage, slot)
        poisoned(server, state, "19 slots are stored, the account's record says 20")
        client.hset(storage, slot, (1000).to_bytes(2, "big"))
        client.hdel(storage, other)
        poisoned(server, state, "19 slots")
        client.rename(storage, "elsewhere")
        poisoned(server, state, "0 slots")
        client.set(storage, "text")
        poisoned(server, state, "WRONGTYPE")
        client.rename("elsewhere", storage)
        client.hset(storage, other, (1001).to_bytes(2, "big"))
        output = state.pin().run(lambda backend: EVM(backend).call(TOKEN_ADDRESS, balance_of(HOLDERS[0]))).output
        assert int.from_bytes(output, "big") == 1000


def test_damage_that_a_call_does_not_need_does_not_hurt_it(server: RedisServer) -> None:
    with load(server, token_state()), RedisState(server.url) as state, server.client() as client:
        client.set(KEYS.account(b"\x42" * 20), b"nonsense")
        pin = state.pin()
        pin.backend.prefetch([b"\x42" * 20])
        output = pin.run(lambda backend: EVM(backend).call(TOKEN_ADDRESS, balance_of(HOLDERS[0]))).output
        assert int.from_bytes(output, "big") == 1000


# ---- where it is not to be had


def test_without_a_server_or_a_state_the_error_says_so(redis_server: RedisServer) -> None:
    with RedisState("unix:///nowhere/redis.sock", wait=0) as state:
        state.settle(PATIENCE)
        with pytest.raises(StateUnavailable, match=r"/nowhere/redis.sock cannot be reached"):
            state.pin()
        assert not state.status().ready
    with RedisState(redis_server.url, wait=0) as state:
        state.settle(PATIENCE)
        with pytest.raises(StateUnavailable, match="no state is loaded"):
            state.pin()
        with load(redis_server, token_state()):
            until(lambda: state.status().ready, state.status)
            assert state.pin().header == GENESIS


@pytest.mark.parametrize(
    ("key", "field", "value", "problem"),
    [
        (KEYS.block_hashes, "0", b"short", r"\{evm:1\}:bh: the hash of block 0 has 5 bytes, 32 are right"),
        (KEYS.meta, "chain", b"{", r"\{evm:1\}:meta: the field chain is not JSON"),
    ],
)
def test_what_is_damaged_at_the_start_is_named(
    server: RedisServer, key: bytes, field: str, value: bytes, problem: str
) -> None:
    """A block hash that was left out would be zero to BLOCKHASH."""
    with load(server, token_state()), server.client() as client:
        client.hset(key, field, value)
        with RedisState(server.url, wait=0) as state:
            state.settle(PATIENCE)
            with pytest.raises(StateUnavailable, match=problem):
                state.pin()


def test_a_closed_state_says_so_and_open_pins_go_on(server: RedisServer) -> None:
    with load(server, token_state()), RedisState(server.url) as state:
        pin = state.pin()
        assert pin.account(TOKEN_ADDRESS) is not None
        state.close()
        for asks in (state.pin, state.head, lambda: state.preload([TOKEN_ADDRESS]), lambda: state.complete):
            with pytest.raises(StateUnavailable, match=r"^the state is closed$"):
                asks()
        status = state.status()
        assert (status.ready, status.reason) == (False, "the state is closed")
        assert pin.account(TOKEN_ADDRESS) is not None


def test_who_takes_it_for_a_backend_is_told_how_it_is_read(server: RedisServer) -> None:
    with load(server, token_state()), RedisState(server.url) as state, state.pin() as pin:
        for given in (state, pin):
            with pytest.raises(InputError, match=r"got Redis\w+; of a pinned block, `run` passes one on: pin\.run\("):
                EVM(given)  # type: ignore[arg-type]


def test_arguments_are_checked() -> None:
    with pytest.raises(InputError, match="connections"):
        RedisState("redis://127.0.0.1:1", connections=0)
    with pytest.raises(InputError, match="Redis address"):
        RedisState("http://127.0.0.1:1")
    wrong: list[dict[str, Any]] = [
        {"preload": 5},
        {"preload": "0x12"},
        {"cache_bytes": -1},
        {"ring": 0},
        {"timeout": 0},
        {"upstream": 5},
        {"upstream": "http://127.0.0.1:8545"},
    ]
    wrong += [{name: value} for name in ("timeout", "wait", "max_head_age") for value in (-1, float("nan"), "1", True)]
    wrong += [{name: value} for name in ("ring", "cache_bytes", "connections") for value in (1.5, "x")]
    for options in wrong:
        with pytest.raises(InputError, match=f"argument '{next(iter(options))}': expected"):
            RedisState("redis://127.0.0.1:1", **options)
    for nothing in (None, b"redis://127.0.0.1:1"):  # None: as os.environ.get gives it
        with pytest.raises(InputError, match="Redis address: expected text"):
            RedisState(nothing)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="Redis address: expected text"):
            Publisher(nothing, 1)  # type: ignore[arg-type]
    for chain_id in ("one", -1, None, 1.5):
        with pytest.raises(InputError, match="'chain_id'"):
            RedisState("redis://127.0.0.1:1", chain_id)  # type: ignore[arg-type]
