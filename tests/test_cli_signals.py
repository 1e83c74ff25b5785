"""How commands end when they are told to, and when what they write cannot be written."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from tests.commands import state_test
from tests.redis_server import need_redis
from tests.waiting import PATIENCE, until

FULL = Path("/dev/full")
ENDLESS = "5b600056"
GAS = str(2**61)
T8N = (
    "t8n --state.fork Berlin --input.alloc {empty} --input.env {env} --input.txs {list} "
    "--output.alloc stdout --output.result stdout"
)


@contextmanager
def started(*words: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A command that runs, as if from a terminal; killed at the end if it is still there."""
    command = [sys.executable, "-m", "evmcore", *words]
    # A shell has what it runs in the background ignore SIGINT, and what that starts with it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options)
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        try:
            yield process
        finally:
            process.kill()


def seconds_of(process: subprocess.Popen[str]) -> float:
    """Processor time that a process has had so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def catches(process: subprocess.Popen[str], number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal."""
    (mask,) = re.findall(r"^SigCgt:\s*(\w+)$", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
    return bool(int(mask, 16) >> (number - 1) & 1)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see that the program runs")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_program_that_does_not_end_is_ended_by_a_signal(number: signal.Signals) -> None:
    with started("run", "--gas", GAS, ENDLESS) as process:
        # Python is up then, and its own handler, which would wait for the program's end, is there no more.
        until(lambda: seconds_of(process) > 1.5 and not catches(process, signal.SIGINT), "the program does not start")
        process.send_signal(number)
        assert process.wait(PATIENCE) == -number
        assert process.stderr is not None and process.stderr.read() == ""


def children_of(process: subprocess.Popen[str]) -> list[int]:
    return [int(word) for word in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to find the server")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_redis_server_of_a_measurement_ends_with_it(number: signal.Signals, code: int, tmp_path: Path) -> None:
    need_redis()
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with started("bench", "--redis", env=environment, stdout=subprocess.DEVNULL) as process:
        until(lambda: children_of(process) and list(tmp_path.glob("*/r.sock")), "the server does not start")
        (server,) = children_of(process)
        process.send_signal(number)
        assert process.wait(PATIENCE) == code
        assert process.stderr is not None and "Traceback" not in process.stderr.read()
    until(lambda: not Path(f"/proc/{server}").exists(), "the server outlives the measurement")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_workers_of_a_command_end_with_it(number: signal.Signals, code: int, tmp_path: Path) -> None:
    endless = state_test()
    endless["pre"] = {name: {**account, "code": "0x" + ENDLESS} for name, account in endless["pre"].items()}
    for index in range(3):
        (tmp_path / f"{index}.json").write_text(json.dumps({"a": endless}))
    with started("statetest", "--workers", "2", str(tmp_path), start_new_session=True) as process:
        until(lambda: len(children_of(process)) >= 3, "the workers do not start")  # and one that tracks resources
        os.killpg(process.pid, number)  # as a terminal does
        assert process.wait(PATIENCE) == code
        assert process.stderr is not None and process.stderr.read() == ""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to find the processes")
@pytest.mark.parametrize(
    ("number", "code", "to_all"),
    [(signal.SIGINT, 130, True), (signal.SIGINT, 130, False), (signal.SIGTERM, 143, False)],
)
def test_the_processes_of_a_comparison_end_with_it(number: signal.Signals, code: int, to_all: bool) -> None:
    words = ("bench", "--parallel", "--once", "--rounds", "1")
    with started(*words, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        until(lambda: len(children_of(process)) >= 5, "the processes do not start")  # and one that tracks resources
        found = children_of(process)
        if to_all:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.send_signal(number)
        assert process.wait(PATIENCE) == code
        assert process.stderr is not None and process.stderr.read() == ""
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in found), "some outlive the command")


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "line",
    [
        "run 00",
        "run --json 00",
        "statetest {test}",
        T8N,
        "bench --filter empty --rounds 1",
        "bench --filter empty --rounds 1 --json /dev/full",
        "bench --load-setup /dev/full --size 2",
        "serve --port 0 --genesis {genesis}",
    ],
)
def test_output_that_cannot_be_written_is_one_line(line: str, tmp_path: Path) -> None:
    environment = {"currentCoinbase": "0x" + "00" * 20, "currentDifficulty": "0x0", "currentGasLimit": "0x1000000"}
    environment |= {"currentNumber": "0x1", "currentTimestamp": "0x1"}
    genesis = {"config": {"chainId": 1}, "alloc": {}}
    files: dict[str, Any] = {"empty": {}, "list": [], "env": environment, "genesis": genesis}
    files["test"] = {"a": state_test()}
    names = {}
    for name, document in files.items():
        names[name] = str(tmp_path / name)
        Path(names[name]).write_text(json.dumps(document))
    with FULL.open("w") as full:
        done = run(line.format(**names).split(), full)
    assert done.returncode in (2, 11)  # 11 is that of geth's t8n
    assert "No space left" in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


def run(words: list[str], stdout: IO[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evmcore", *words]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=PATIENCE, check=False)


@pytest.mark.parametrize("words", [["run", "00"], ["bench", "--filter", "empty", "--rounds", "1"]])
def test_a_reader_that_goes_away_ends_a_command_quietly(words: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        done = run(words, closed)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_command_without_an_output_runs() -> None:
    command = ["sh", "-c", f"exec {sys.executable} -m evmcore run 00 >&-"]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr) == (0, "")
