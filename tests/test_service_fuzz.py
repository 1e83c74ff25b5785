"""Input that nobody should send: random JSON, and random bytes."""

from __future__ import annotations

import json
import random
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from evmcore.service import CallService, Limits, MemorySource
from evmcore.service.dispatch import Dispatcher
from evmcore.service.methods import METHODS
from tests.rpc_server import serving
from tests.service_app import make_app
from tests.service_chain import GENESIS, GETTER, SPINNER

WORDS: list[Any] = [
    None, True, 0, -1, 1.5, 10**30, "", "0x", "0x0", "0x01", "latest", "pending", "0x" + "ff" * 32, "0x" + "c0" * 20,
    "0x" + GETTER.hex(), "0x" + SPINNER.hex(), "0x" + "0" * 65, "0xzz", "\ud800", "\x00", "0x" + "00" * 5000, [], {},
    [None], [[[]]], {"to": "0x" + GETTER.hex()}, {"to": None, "data": "0x60"}, {"blockHash": "0x12"}, {"from": 3},
    {"fromBlock": "0x0", "toBlock": "latest", "topics": [[None], []]}, {"address": [], "topics": [{}]},
    {"0x" + "c0" * 20: {"code": "0x00", "state": {"0x": "0x1"}}}, {"gas": "0xffffffffffffffff"}, "0x7fffffffffffffff",
]  # fmt: skip


def random_value(rng: random.Random, depth: int = 0) -> Any:
    fate = rng.randrange(12)
    if fate == 0 and depth < 3:
        return [random_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if fate == 1 and depth < 3:
        keys = ["to", "from", "data", "input", "gas", "value", "gasPrice", "accessList", "authorizationList", "nonce",
                "address", "topics", "blockHash", "number", "blockStateCalls", "calls", "stateOverrides"]  # fmt: skip
        return {rng.choice(keys): random_value(rng, depth + 1) for _ in range(rng.randrange(5))}
    return rng.choice(WORDS)


@pytest.mark.parametrize("seed", range(8))
def test_no_request_is_answered_with_an_internal_error(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    rng = random.Random(seed)
    service = CallService(MemorySource.from_genesis(GENESIS), Limits(timeout=0.05, gas=10**7, log_blocks=10))
    dispatcher = Dispatcher(service, METHODS)
    names = sorted(METHODS)
    for _ in range(1500):
        method = METHODS[rng.choice(names)]
        params = [random_value(rng) for _ in range(rng.randrange(method.allowed + 2))]
        request = {"jsonrpc": "2.0", "id": 1, "method": method.name, "params": params}
        answer = json.loads(dispatcher.answer_parsed(request).body)
        assert ("result" in answer) != ("error" in answer)
        if "error" in answer:
            assert answer["error"]["code"] != -32603, (request, answer, caplog.text)


@pytest.mark.parametrize("seed", range(4))
def test_a_server_outlives_random_bytes(seed: int) -> None:
    rng = random.Random(seed)
    good = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}'
    whole = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(good)
    with serving(make_app()) as own:

        def one(number: int) -> None:
            rng = random.Random(seed * 1000 + number)
            data = bytearray(whole + good)
            for _ in range(rng.randrange(1, 6)):
                at = rng.randrange(len(data))
                data[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(4))
            with socket.create_connection(("127.0.0.1", own.port), timeout=10) as connection:
                try:
                    connection.sendall(bytes(data))
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):
                        pass
                except OSError:
                    pass

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(one, range(rng.randrange(60, 80))))
        assert own.call("eth_chainId") == "0x539"
