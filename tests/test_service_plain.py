"""The short way for plain calls gives byte for byte what the general way gives."""

from __future__ import annotations

import json
import random
from itertools import islice
from typing import Any

import pytest

from evmcore.bench.load.mixes import MIXES, Calls
from evmcore.bench.load.world import LoadWorld
from evmcore.service.dispatch import Answer, Dispatcher
from evmcore.service.library import CallService
from evmcore.service.memory_source import MemorySource
from evmcore.service.methods import METHODS
from evmcore.service.plain import plain_call
from evmcore.service.source import WouldBlock

WORLD = LoadWorld(seed=2, size=2)


class Watch:
    """An observer that keeps what it was told, but for the time."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, int]] = []

    def answered(self, method: str, code: int, seconds: float, gas: int) -> None:
        self.told.append((method, code, gas))


@pytest.fixture(scope="module")
def dispatcher() -> Dispatcher:
    service = CallService(MemorySource.from_genesis(WORLD.genesis()))
    return Dispatcher(service, METHODS, Watch())


def both(dispatcher: Dispatcher, body: bytes) -> tuple[Answer, Answer | None]:
    """The answer of the general way, and the one on the event loop (None: it left that to a thread)."""
    general = dispatcher.answer(body)
    try:
        request = dispatcher.parse(body)
    except Exception:
        return general, None
    try:
        return general, dispatcher.answer_parsed(request, inline=True)
    except WouldBlock:
        return general, None


@pytest.mark.parametrize("mix", ["flood", "hot", "cold", "adversarial"])
def test_mixes_are_answered_alike(mix: str, dispatcher: Dispatcher) -> None:
    plain = compared = 0
    watch = dispatcher.observer
    assert isinstance(watch, Watch)
    for request in islice(MIXES[mix](WORLD, 3), 300):
        if request.codes == (-32000,):
            continue  # loops take long
        watch.told.clear()
        general, short = both(dispatcher, request.body)
        if short is None:
            continue
        assert short == general
        assert watch.told[0] == watch.told[1]
        compared += 1
        plain += plain_call(dispatcher.parse(request.body)) is not None
    assert compared > 150 and plain > (100 if mix == "adversarial" else 0.9 * compared)


def test_requests_of_every_shape_are_answered_alike(dispatcher: Dispatcher) -> None:
    dice = random.Random(5)
    call = Calls(WORLD).balance(0, 0)
    to, data = "0x" + call.to.hex(), "0x" + call.data.hex()
    holder = "0x" + WORLD.holders[0].hex()
    values: dict[str, list[Any]] = {
        "to": [to, to.upper(), "0X" + to[2:], to[:-1], to + "00", to[:10] + " " + to[11:], None, 5, "0x", ""],
        "data": [data, data[:-1], "0x", None, "", data + " ", data[2:], 7, "0xzz"],
        "input": [data, "0x", None, "0x1"],
        "from": [holder, holder[:-2], None, "0x"],
        "gas": ["0x5208", "0x100000", "0x0", None, 5],
        "value": ["0x0", "0x1", None],
    }
    blocks = ["latest", "0x0", "pending", None, "0x5", "x", 0, {"blockNumber": "0x0"}]
    identities = [1, 0, -5, 2**70, 1.5, "x", '"\\é', "", None, True, [], {}]
    taken = 0
    for _ in range(3_000):
        keys = dice.sample(list(values), dice.choice((1, 2, 2, 2, 3, 3, 4)))
        if dice.random() < 0.6:
            keys = list({"to", "data", *keys[: dice.randrange(2)]})
        fields = {key: values[key][0] if dice.random() < 0.7 else dice.choice(values[key]) for key in keys}
        parameters: Any = [fields, "latest"] if dice.random() < 0.6 else [fields, *dice.choices(blocks, k=1)]
        parameters = (
            dice.choice(([fields], [], fields, None, [fields, "latest", {}])) if dice.random() < 0.2 else parameters
        )
        request: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": parameters}
        if dice.random() < 0.4:
            request["id"] = dice.choice(identities)
        if dice.random() < 0.1:
            request.pop(dice.choice(list(request)))
        body = json.dumps(request).encode()
        general, short = both(dispatcher, body)
        taken += plain_call(json.loads(body)) is not None
        if short is not None:
            assert short == general, body
    assert taken > 250


def test_small_batches_are_answered_alike(dispatcher: Dispatcher) -> None:
    watch = dispatcher.observer
    assert isinstance(watch, Watch)
    mixed = [request.body for mix in ("hot", "adversarial") for request in islice(MIXES[mix](WORLD, 4), 200)
             if request.codes != (-32000,)]  # fmt: skip
    others = [
        b"7", b"[]", b"{}", b'{"jsonrpc":"2.0","method":"eth_chainId"}',
        b'{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x12","latest"]}',
        b'{"jsonrpc":"2.0","id":2,"method":"eth_blockNumber"}',
        b'{"jsonrpc":"2.0","id":3,"method":"eth_call","params":[{},"0x99"]}',
    ]  # fmt: skip
    bodies = [body for body in mixed if not body.endswith(b"[{")] + others
    dice = random.Random(6)
    compared = 0
    for _ in range(200):
        body = b"[" + b",".join(dice.choices(bodies, k=dice.randrange(9))) + b"]"
        watch.told.clear()
        general, short = both(dispatcher, body)
        if short is not None:
            assert short == general
            assert watch.told[: len(watch.told) // 2] == watch.told[len(watch.told) // 2 :]
            compared += 1
    assert compared > 100


def test_a_batch_that_takes_longer_is_left_to_a_thread_and_counted_once(dispatcher: Dispatcher) -> None:
    calls = Calls(WORLD)
    request = json.loads(calls.spin(30_000_000).request(1).body)
    short = json.loads(calls.balance(0, 0).request(2).body)
    watch = dispatcher.observer
    assert isinstance(watch, Watch)
    watch.told.clear()
    with pytest.raises(WouldBlock):
        dispatcher.answer_parsed([short, short, request], inline=True)
    assert watch.told == []
    assert len(json.loads(dispatcher.answer_parsed([short, short, request]).body)) == 3
    assert [method for method, _, _ in watch.told] == ["eth_call"] * 3
