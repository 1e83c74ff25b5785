"""The bench beside other engines: programs that speak its protocol, and those that do not."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import evmcore
from evmcore.bench import cases, engine, parallel
from evmcore.bench.peer import PeerError, open_peer
from evmcore.bench.program import Program, transaction_json
from evmcore.errors import InputError
from evmcore.transactions import Authorization, Transaction
from tests.commands import assert_one_line, run_command
from tests.peer_program import script, transaction
from tests.shared_files import shared_path

FAST = ["--rounds", "1"]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs of these tests import `tests`, and this `evmcore`, installed or not."""
    roots = (Path(evmcore.__file__).parent.parent, Path(__file__).parent.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, roots)))


def output_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    code, out, err = run_command(capsys, "bench", *FAST, *arguments)
    assert (code, err) == (0, "")
    return out


def test_workloads_and_calls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = tmp_path / "out.json"
    out = output_of(
        capsys, "--peer", str(script(tmp_path)), "--filter", "^(transfers|empty call)$", "--json", str(written)
    )
    assert "; itself 1\n" in out
    assert "itself Mgas/s  ratio" in out
    assert "itself calls/s  ratio" in out
    assert "left out" not in out
    record = json.loads(written.read_text())
    (workload,) = record["workloads"]
    assert len(workload["peers"]["itself"]) == len(workload["blocks"]) == 3
    assert all(value > 0 for block in workload["peers"]["itself"] for value in block)
    assert record["peers"] == {"itself": "1"}


def test_cases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = str(shared_path("bench", "cases"))
    out = output_of(capsys, "--cases", directory, "--filter", "swap_math", "--peer", str(script(tmp_path)))
    assert "itself us  ratio" in out
    (mean,) = (line for line in out.splitlines() if line.startswith("main "))
    assert mean.split()[1:3] == ["itself", "3"]


def test_real_blocks_of_every_type(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A peer that gets every field right has the gas of the receipts."""
    blocks = str(shared_path("blocks"))
    names = "46147|1150000|19807080|24647140"  # without replay protection; creations; blobs; delegations
    out = output_of(capsys, "--blocks", blocks, "--filter", names, "--peer", str(script(tmp_path)))
    assert "itself (4)" in out
    assert "left out" not in out


def test_whole_blocks_on_threads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = tmp_path / "out.json"
    arguments = ["--parallel", "--threads", "2", "--filter", "^(beneficiary|erc20$)", "--json", str(written)]
    out = output_of(capsys, *arguments, "--peer", str(script(tmp_path)))
    assert "evmcore 1  evmcore 2  itself 1  itself 2" in out
    assert "itself 2 / evmcore 2 (" in out
    assert "itself 1 / itself 2: its gain from threads (" in out
    rows = json.loads(written.read_text())["contest_workloads"]
    assert all(set(row["samples"]) == {"evmcore 1", "evmcore 2", "itself 1", "itself 2"} for row in rows)


@pytest.mark.parametrize(
    ("misdeed", "words"),
    [
        ("refuses", "itself: a fork that this engine lacks"),
        ("other gas", "itself gives another result for block 20000000 of transfers: transaction 0 uses 0x5209 gas"),
        ("too few", "itself gives no gas for each of the 1428 transactions of block 20000000 of transfers"),
    ],
)  # fmt: skip
def test_what_a_peer_cannot_do_is_left_out(
    misdeed: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = output_of(capsys, "--peer", str(script(tmp_path, misdeed)), "--filter", "^transfers$")
    assert f"left out: {words}" in out
    assert "itself Mgas/s" not in out


@pytest.mark.parametrize(
    ("misdeed", "words"),
    [
        ("silent", "it ended: exit code 0"),
        ("nameless", "it does not say what it is: {'version'"),
        ("no json", "no JSON: b'{'"),
        ("dies", "it ended: exit code 3"),
        ("no times", "wall_ns: 1 whole numbers expected, got []"),
    ],
)
def test_a_program_that_does_not_speak_the_protocol(misdeed: str, words: str, tmp_path: Path) -> None:
    case = cases.own()[0]
    with pytest.raises(PeerError) as raised:
        peer = open_peer(str(script(tmp_path, misdeed)))
        try:
            peer.case(case).sample(1_000)
        finally:
            peer.close()
    assert words in str(raised.value)


def test_another_output_or_gas_is_said(tmp_path: Path) -> None:
    case = replace(cases.own()[0], gas_used=0)
    for misdeed, words in (("other output", "another output for empty call: 0x21"), ("other gas", "1 instead of 0")):
        peer = open_peer(str(script(tmp_path, misdeed)))
        with pytest.raises(PeerError) as raised:
            peer.case(case)
        peer.close()
        assert words in str(raised.value)


def test_a_program_that_cannot_be_started(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "nothing"
    with pytest.raises(InputError, match="cannot be started: No such file"):
        Program(path)
    code, _, err = run_command(capsys, "bench", "--peer", str(path))
    assert code == 2
    assert_one_line(err)


@pytest.mark.parametrize(
    "arguments", [["--parallel", "--once"], ["--import"], ["--roots"], ["--timeline", "x.svg"], ["--peer-lua", "x.lua"]]
)
def test_where_peers_take_no_part(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run_command(capsys, "bench", "--peer", "program", *arguments)
    assert code == 2
    assert "not together with" in err


def test_pyrevm_executes_no_whole_blocks(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run_command(capsys, "bench", "--peer", "pyrevm", "--parallel")
    assert code == 2
    assert "--peer pyrevm: not together with --parallel" in err


def test_the_protocol_has_every_field_of_a_transaction() -> None:
    """What is read back from a request is the transaction."""
    address, sender = bytes(range(20)), bytes(20)
    authorization = Authorization(chain_id=1, address=address, nonce=7, y_parity=1, r=5, s=6)
    made: list[dict[str, Any]] = [
        {"type": 0, "gas_price": 9, "to": None, "data": b"\1"},
        {"type": 1, "chain_id": 1, "gas_price": 9, "access_list": [(address, [1, 2**255])]},
        {"type": 2, "chain_id": 1, "max_fee_per_gas": 9, "max_priority_fee_per_gas": 8, "value": 2**200},
        {"type": 3, "chain_id": 1, "to": address, "max_fee_per_blob_gas": 4, "blob_versioned_hashes": [b"\1" * 32]},
        {"type": 4, "chain_id": 1, "to": address, "authorization_list": [authorization], "nonce": 3},
    ]
    for fields in made:
        sent = Transaction(sender=sender, gas_limit=50_000, **fields)
        assert transaction(json.loads(json.dumps(transaction_json(sent))), 1) == sent


def test_work_of_a_block_has_the_gas_of_its_receipts() -> None:
    subject = parallel.workload_makers(1, False)["erc20"]()
    work = engine.work_of("erc20", subject.block, subject.state, subject.chain, None)
    assert len(work.gas_used) == len(subject.block.transactions)
    assert sum(work.gas_used) == subject.execute(parallel.SEQUENTIAL).gas_used
