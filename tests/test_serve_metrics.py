"""/metrics of a server on Redis: every series that `docs/serving.md` speaks of is there, has its type, and moves."""

from __future__ import annotations

from pathlib import Path

import pytest

from evmcore.state.publisher import Publisher
from tests.invariant_chain import CHAIN_ID, TELLER, Books, begun, calldata
from tests.redis_server import RedisServer
from tests.rpc_server import Client
from tests.serve_command import figures, served
from tests.waiting import until

prometheus = pytest.importorskip("prometheus_client.parser")

COUNTERS = {
    "evmcore_requests", "evmcore_gas", "evmcore_refused", "evmcore_source_pins", "evmcore_source_cold_rounds",
    "evmcore_source_keys_fetched", "evmcore_source_corrections", "evmcore_source_runs_again",
    "evmcore_source_predicted", "evmcore_source_predictions_used", "evmcore_source_cold_reads",
    "evmcore_source_redis_errors", "evmcore_source_feed_entries", "evmcore_source_feed_bytes",
    "evmcore_source_feed_restarts", "evmcore_source_damaged_values", "evmcore_source_evictions",
}  # fmt: skip
GAUGES = {
    "evmcore_head_number", "evmcore_head_age_seconds", "evmcore_feed_lag", "evmcore_ready",
    "evmcore_backend_reachable", "evmcore_waiting_requests", "evmcore_source_cache_bytes",
    "evmcore_source_cache_slots", "evmcore_source_cache_accounts",
}  # fmt: skip


def ask(client: Client, group: int, block: str = "latest", **fields: str) -> None:
    call = {"to": "0x" + TELLER.hex(), "data": "0x" + calldata(group).hex(), **fields}
    client.answer({"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [call, block]})


def types_of(client: Client) -> dict[str, str]:
    text = client.get("/metrics")[2].decode()
    return {family.name: family.type for family in prometheus.text_string_to_metric_families(text)}


def test_every_series_is_there_and_moves(redis_server: RedisServer, tmp_path: Path) -> None:
    books = Books(200, seed=41, moves=6)
    with begun(redis_server.url, books, blocks=3) as publisher:
        command = ["--redis", redis_server.url, "--chain-id", str(CHAIN_ID), "--redis-timeout", "60"]
        with served(*command, "--limit-request-size", "10000") as (client, _):
            until(lambda: client.get("/readyz")[0] == 200, lambda: client.get("/readyz"))
            assert_everything_moves(client, redis_server, books, publisher)


def assert_everything_moves(client: Client, server: RedisServer, books: Books, publisher: Publisher) -> None:
    fresh = books.cold()
    client.post(b" " * 20_000)  # too large
    client.close()
    client.post(b"{}", {"content-type": "text/plain"})
    ask(client, next(fresh))
    before = figures(client)
    types = types_of(client)
    assert {name for name, kind in types.items() if kind == "counter"} >= COUNTERS
    assert {name for name, kind in types.items() if kind == "gauge"} >= GAUGES
    assert types["evmcore_request_seconds"] == "histogram"
    assert before['evmcore_refused_total{why="too_large"}'] == 1
    assert before['evmcore_refused_total{why="content_type"}'] == 1

    for _ in range(20):
        ask(client, next(fresh))  # cold
        ask(client, 0)  # hot
    ask(client, 0, gas="0x6000")  # reverts or runs out of gas
    ask(client, 0, block="0x999")  # not there
    for _ in range(3):
        publisher.publish(*books.next_block())
    until(lambda: figures(client)["evmcore_head_number"] == books.head.number)
    # A block that is not the latest, of which something has to be fetched that later blocks have changed.
    changed = iter(sorted(books.touched))
    for _ in range(4):
        ask(client, next(changed), block=hex(books.head.number - 2))
    after = figures(client)

    def grew(name: str) -> float:
        return after[name] - before.get(name, 0)

    assert grew('evmcore_requests_total{method="eth_call",outcome="ok"}') == 44
    assert grew('evmcore_requests_total{method="eth_call",outcome="error"}') == 2
    assert grew('evmcore_request_seconds_count{method="eth_call"}') == 46
    assert grew('evmcore_request_seconds_bucket{le="+Inf",method="eth_call"}') == 46
    assert grew('evmcore_request_seconds_sum{method="eth_call"}') > 0
    assert grew('evmcore_gas_total{method="eth_call"}') > 44 * 21_000
    assert 20 <= grew("evmcore_source_cold_rounds_total") < 44, "hot calls need no round"
    assert grew("evmcore_source_keys_fetched_total") >= 20
    assert grew("evmcore_source_predicted_total") >= grew("evmcore_source_predictions_used_total")
    assert after["evmcore_source_cold_reads_total"] > 0  # of calls that were learnt from
    assert grew("evmcore_source_pins_total") >= 44
    assert grew("evmcore_source_feed_entries_total") == 3 and grew("evmcore_source_feed_bytes_total") > 0
    assert grew("evmcore_source_cache_bytes") > 0 and grew("evmcore_source_cache_slots") > 0
    assert grew("evmcore_head_number") == 3
    assert (after["evmcore_ready"], after["evmcore_backend_reachable"], after["evmcore_feed_lag"]) == (1, 1, 0)
    until(lambda: figures(client)["evmcore_head_age_seconds"] < 30)

    server.kill()
    ask(client, next(fresh))
    until(lambda: figures(client)["evmcore_backend_reachable"] == 0)
    until(lambda: figures(client)["evmcore_source_redis_errors_total"] > after["evmcore_source_redis_errors_total"])
    until(lambda: figures(client)["evmcore_head_age_seconds"] > after["evmcore_head_age_seconds"])
