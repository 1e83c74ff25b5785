"""`bench --redis`: what it prints and records, on a small world."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evmcore.bench import redis_calls
from evmcore.errors import InputError
from tests.redis_server import RedisServer, need_redis
from tests.waiting import PATIENCE


def measured(url: str) -> dict[str, Any]:
    need_redis()
    return redis_calls.run(argparse.Namespace(redis=url, rounds=1), size=3, fresh=8, blocks=0)


def test_every_row_is_there_and_what_is_counted_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    record = measured("")
    text = capsys.readouterr().out
    for part in ("hot calls", "cold calls of functions that were learnt", "nothing was learnt", "bytes/slot"):
        assert part in text
    assert all(row["commands"] == 0 for row in record["hot"].values())
    # A learned cold call is one request.
    assert all(set(row["requests"]) == {1} for row in record["cold"].values())
    assert record["unlearned"]["within 3, codes known"] == 1.0
    assert max(record["bytes_per_slot"]) <= 250  # of few slots; an index has a least size
    json.dumps(record)


def test_nothing_is_left_on_a_server_that_was_given(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.set("other", "1")
    assert measured(redis_server.url)["server"].endswith("r.sock") or "evmcore-test" in redis_server.path
    with redis_server.client() as client:
        assert client.keys() == [b"other"]


def test_without_a_server_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match=r"no redis-server on this machine.*--redis URL"):
        measured("")


def test_the_command_ends_with_an_error_where_nobody_answers(tmp_path: Path) -> None:
    need_redis()
    command = [sys.executable, "-m", "evmcore", "bench", "--redis", f"unix://{tmp_path}/none.sock"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False, env=dict(os.environ))
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr
