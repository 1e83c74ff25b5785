"""The EVM.lua peer. Its source is not part of this repository: a stand-in written here takes its place, unless
EVMCORE_PEER_LUA names the real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evmcore.bench.lua import PROGRAMS, SAMPLES, own_engine
from tests.redis_server import need_redis

# Knows the samples by their length, and one more wrong number for everything else.
STAND_IN = """#!lua name=EVM
redis.register_function('eth_call', function(keys)
    local code = redis.call('GET', keys[1])
    if code == '60 00 54 60 01 54 01' then
        return tonumber(redis.call('GET', keys[1] .. ':00'), 16) + tonumber(redis.call('GET', keys[1] .. ':01'), 16)
    elseif code == '60 02 60 fa 01' then
        return %s
    end
    return -1
end)
"""


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evmcore", "bench", "--rounds", "1", "--peer-lua", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("program", [*SAMPLES, *PROGRAMS], ids=lambda program: program.name)
def test_every_program_gives_what_python_says(program: object) -> None:
    own_engine(program)  # type: ignore[arg-type]


def test_the_peer_is_measured_on_its_samples_and_its_wrong_results_are_shown(tmp_path: Path) -> None:
    need_redis()
    pytest.importorskip("hiredis")
    (tmp_path / "evm.lua").write_text(STAND_IN % "252")
    done = bench(str(tmp_path / "evm.lua"), "--json", str(tmp_path / "out.json"))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"2 - 3{'':22}0xffffffffffffffffff..." in done.stdout and "-1  wrong" in done.stdout
    lua = json.loads((tmp_path / "out.json").read_text())["lua"]
    assert lua["results"] == {"programs": 19, "wrong": 17, "needs_stop": False}
    for program in SAMPLES:
        assert all(row["calls"] > 0 for row in lua[program.name].values())
        assert "evmcore, cold from Redis, one at a time" in lua[program.name]
    # All that such a call reads is fetched with one request, once that has been learnt.
    assert done.stdout.count("cold calls, one at a time: 1.0") == len(SAMPLES)


def test_a_peer_that_cannot_run_its_own_samples_is_not_measured(tmp_path: Path) -> None:
    need_redis()
    pytest.importorskip("hiredis")
    (tmp_path / "evm.lua").write_text(STAND_IN % "251")
    done = bench(str(tmp_path / "evm.lua"))
    assert done.returncode == 1 and "sample 2: 2 + 250: returns 251, not 252" in done.stderr
    (tmp_path / "evm.lua").write_text("no lua")
    done = bench(str(tmp_path / "evm.lua"))
    assert done.returncode == 1 and "FUNCTION" in done.stderr
    done = bench(str(tmp_path / "missing.lua"))
    assert done.returncode == 2 and done.stderr.count("\n") == 1


def test_the_real_peer_runs_its_samples() -> None:
    path = os.environ.get("EVMCORE_PEER_LUA")
    if path is None:
        pytest.skip("EVMCORE_PEER_LUA does not name EVM.lua's source")
    need_redis()
    done = bench(path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "EVM.lua, pipelined 64 deep" in done.stdout
