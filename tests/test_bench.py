"""The command `bench`: what it prints and writes, and what it says to arguments and files that are wrong."""

from __future__ import annotations

import io
import itertools
import json
import lzma
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evmcore.bench import cases, imports, measure, once, replay, report
from evmcore.bench.contracts import contract
from evmcore.bench.traffic import Transfers
from evmcore.bench.workloads import Shape, build
from evmcore.blocks import Block
from evmcore.errors import InputError, InvalidBlock, ResourceError
from evmcore.state import MemoryState
from tests.commands import assert_one_line, run_command
from tests.shared_files import shared_path

FAST = ["--rounds", "1"]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evmcore", "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that the command says to arguments or files that are wrong, with exit code 2."""
    code, _, err = run_command(capsys, "bench", *arguments)
    assert code == 2
    assert_one_line(err)
    return err


def case_file(**changes: Any) -> dict[str, Any]:
    """A good case file (PUSH1 42 PUSH0 MSTORE PUSH1 32 PUSH0 RETURN), with changes."""
    good = {
        "name": "answer",
        "group": "main",
        "code_hex": "602a5f5260205ff3",
        "input_hex": "",
        "gas_limit": 1000,
        "expected_output_hex": f"{42:064x}",
        "gas_used": 16,
        "fork": "Cancun",
        "prestate_storage": {},
    }
    return {key: value for key, value in {**good, **changes}.items() if value is not ...}


# ---- what it measures


def test_workloads_are_printed_with_their_speed() -> None:
    done = bench("--filter", "^(transfers|compute|ERC-20 balanceOf)$", *FAST)
    assert (done.returncode, done.stderr) == (0, "")
    machine, *tables = done.stdout.split("\n\n")
    assert re.search(r"\d+ cores, .*CPython .*evmcore \d+\.\d+\.\d+, \S+ dispatch", machine)
    assert re.search(r"^workload +blocks +txs +Mgas +tx/s +Mgas/s +ms/block +min +max$", tables[0], re.M)
    assert re.search(r"^transfers +3 +4284( +[\d.,]+){6}$", tables[0], re.M)
    assert re.search(r"^compute +3 +108( +[\d.,]+){6}$", tables[0], re.M)
    assert re.search(r"^ERC-20 balanceOf( +[\d.,]+){4}$", tables[1], re.M)


def test_json_holds_every_sample(tmp_path: Path) -> None:
    file = tmp_path / "samples.json"
    assert bench("--filter", "^(compute|empty call)$", "--rounds", "2", "--json", str(file)).returncode == 0
    record = json.loads(file.read_text())
    assert record["unit"] == "ns" and record["rounds"] == 2 and record["machine"]["cores"] >= 1
    (compute,) = record["workloads"]
    assert compute["transactions"] == 108 and compute["gas"] > 80_000_000
    assert [len(samples) for samples in compute["blocks"]] == [2, 2, 2]
    assert all(value > 0 for samples in compute["blocks"] for value in samples)
    assert [(row["name"], len(row["samples"])) for row in record["calls"]] == [("empty call", 2)]


def test_the_seed_decides_the_work(tmp_path: Path) -> None:
    def gas(*arguments: str) -> int:
        file = tmp_path / "samples.json"
        assert bench("--filter", "^compute$", *FAST, "--json", str(file), *arguments).returncode == 0
        return int(json.loads(file.read_text())["workloads"][0]["gas"])

    assert gas() == gas("--seed", "1") != gas("--seed", "2")


def test_cases_are_checked_and_measured(tmp_path: Path) -> None:
    (tmp_path / "answer.json").write_text(json.dumps(case_file()))
    done = bench("--cases", str(tmp_path), *FAST)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^answer +16( +[\d.,]+){4}$", done.stdout, re.M)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"expected_output_hex": "00"}, "answer: 00 expected"),
        ({"gas_used": 17}, "answer: 17 gas expected, got 16"),
        ({"gas_limit": 15}, "OUT_OF_GAS"),
    ],
)
def test_a_wrong_result_is_exit_code_1(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    (tmp_path / "answer.json").write_text(json.dumps(case_file(**changes)))
    done = bench("--cases", str(tmp_path), *FAST)
    assert done.returncode == 1 and message in done.stderr and len(done.stderr.splitlines()) == 1


def test_the_peer_is_measured_on_the_same_work(tmp_path: Path) -> None:
    pytest.importorskip("pyrevm")
    (tmp_path / "answer.json").write_text(json.dumps(case_file()))
    file = tmp_path / "samples.json"
    done = bench("--cases", str(tmp_path), "--peer", "pyrevm", *FAST, "--json", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^answer +16( +[\d.,]+){8}$", done.stdout, re.M)
    assert re.search(r"^main +pyrevm +1( +[\d.,]+){4}$", done.stdout, re.M)
    record = json.loads(file.read_text())
    assert list(record["peers"]) == ["pyrevm"] and len(record["cases"][0]["peers"]["pyrevm"]) == 1
    done = bench("--filter", "^(compute|ERC-20 balanceOf)$", "--peer", "pyrevm", *FAST)
    assert re.search(r"^compute +3 +108( +[\d.,]+){8}$", done.stdout, re.M)
    assert re.search(r"^ERC-20 balanceOf( +[\d.,]+){6}$", done.stdout, re.M)


def test_real_blocks_are_checked_and_measured() -> None:
    blocks = shared_path("blocks")
    done = bench("--blocks", str(blocks), "--filter", "^(46147|4369999|19426587)", *FAST)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^19426587 +1 +37 +2\.63( +[\d.,]+){6}$", done.stdout, re.M)
    assert re.search(
        r"^all 3 blocks: [\d.,]+ Mgas/s \([\d.,]+ when executed for the first time\); the slowest, \d+: [\d.,]+ Mgas/s",
        done.stdout,
        re.M,
    )


def test_a_receipt_that_differs_is_exit_code_1(tmp_path: Path) -> None:
    path = shared_path("blocks", "46147.json.xz")
    fields = json.loads(lzma.decompress(path.read_bytes()))
    fields["receipts"][0]["logsBloom"] = "0x01" + "00" * 255
    (tmp_path / path.name).write_bytes(lzma.compress(json.dumps(fields).encode()))
    done = bench("--blocks", str(tmp_path), *FAST)
    assert done.returncode == 1 and "transaction 0: logsBloom" in done.stderr


# ---- what it refuses


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rounds", "0"], "--rounds"),
        (["--rounds", "many"], "--rounds"),
        (["--rounds"], "--rounds"),
        (["--seed", "x"], "--seed"),
        (["--filter", "("], "--filter"),
        (["--peer", "geth"], "--peer"),
        (["--faster"], "--faster"),
        (["surplus"], "surplus"),
        (["--cases"], "--cases"),
        (["--cases", "no/such/place"], "no/such/place: not a directory"),
        (["--blocks", "no/such/place"], "no/such/place: not a directory"),
        (["--filter", "^no name$"], "--filter: nothing has '^no name$' in its name"),
        (["--json", "no/such/place/file"], "--json: no/such/place/file"),
        (["--json", "."], "--json: .: a directory"),
        (["--pairs", "5"], "--pairs: only with --parallel"),
        (["--size", "5"], "--size: only with --load or --load-setup"),
        (["--parallel", "--rates", "max"], "--rates: only with --load"),
        (["--redis", "--load", "own"], "--load: not together with --redis"),
        (["--load", "own", "--load-setup", "x"], "--load-setup: not together with --load"),
        (["--load", "own", "--parallel"], "--load: not together with --parallel"),
        (["--redis", "--blocks", "x", "--cases", "x"], "--redis: not together with --cases, --blocks"),
        (["--timeline", "x.svg", "--json", "x.json"], "--timeline: not together with --json"),
        (["--parallel", "--threads", "1,x"], "--threads: 'x' is not a whole number from 0"),
    ],
)
def test_bad_arguments_are_exit_code_2_and_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refusal(capsys, *arguments)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe\xfd", "not JSON"),
        (b"[1, 2]", "an object is needed, got list"),
        (json.dumps(case_file(code_hex=...)).encode(), "code_hex is missing"),
        (json.dumps(case_file(code_hex=5)).encode(), "code_hex: str expected, got int"),
        (json.dumps(case_file(code_hex="0g")).encode(), "code_hex"),
        (json.dumps(case_file(input_hex="123")).encode(), "input_hex"),
        (json.dumps(case_file(gas_limit="1000")).encode(), "gas_limit: int expected, got str"),
        (json.dumps(case_file(gas_limit=True)).encode(), "gas_limit: int expected, got bool"),
        (json.dumps(case_file(gas_limit=-1)).encode(), "gas"),
        (json.dumps(case_file(fork="Berlinale")).encode(), "Berlinale"),
        (json.dumps(case_file(prestate_storage=[])).encode(), "prestate_storage: dict expected, got list"),
        (json.dumps(case_file(prestate_storage={"0": "x"})).encode(), "prestate_storage"),
        (json.dumps(case_file(prestate_storage={"0": 5})).encode(), "prestate_storage"),
        (json.dumps(case_file(prestate_storage={"-1": "5"})).encode(), "prestate_storage"),
    ],
)
def test_a_malformed_case_is_exit_code_2_and_names_file_and_field(
    tmp_path: Path, content: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.json").write_bytes(content)
    said = refusal(capsys, "--cases", str(tmp_path))
    assert message in said and "bad.json" in said


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON packed by xz"),
        (b"{}", "not JSON packed by xz"),
        (lzma.compress(b"{"), "not JSON packed by xz"),
        (lzma.compress(b"[]"), "an object is needed, got list"),
        (lzma.compress(b"{}"), "is missing"),
        (lzma.compress(b'{"blobSchedule": null, "fork": "Berlinale", "preState": {}}'), "Berlinale"),
        (lzma.compress(b'{"blobSchedule": null, "fork": "Berlin", "preState": 7}'), "not a block with its state"),
        (lzma.compress(b'{"blobSchedule": null, "fork": "Berlin", "preState": {"0x12": {}}}'), "preState"),
    ],
)
@pytest.mark.parametrize("kind", [[], ["--import"]])
def test_a_malformed_block_is_exit_code_2_and_names_the_file(
    tmp_path: Path, content: bytes, message: str, kind: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "1.json.xz").write_bytes(content)
    said = refusal(capsys, "--blocks", str(tmp_path), *kind)
    assert message in said and "1.json.xz" in said


def test_an_empty_directory_is_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no *.json in it" in refusal(capsys, "--cases", str(tmp_path))
    assert "no *.json.xz in it" in refusal(capsys, "--blocks", str(tmp_path))


# ---- parts


def test_measure_takes_turns_and_leaves_the_clock_out_of_setup() -> None:
    ran: list[str] = []
    first = measure.Task(lambda: ran.append("first"), before=lambda: ran.append("before"))
    second = measure.Task(lambda: ran.append("second"), after=lambda: ran.append("after"))
    rounds: list[None] = []
    samples = measure.measure([first, second], 3, budget_ns=1, step=lambda: rounds.append(None))
    assert [len(taken.values) for taken in samples] == [3, 3] and len(rounds) == 3
    assert all(0 < taken.least <= taken.median <= taken.most for taken in samples)
    turns = [name for name, _ in itertools.groupby(name for name in ran if name in ("first", "second"))]
    assert turns == ["first", "second", "first", "second"]  # first second | second first | first second
    assert all(ran[index - 1] == "before" for index, name in enumerate(ran) if name == "first")


def test_geometric_mean() -> None:
    assert measure.geometric_mean([2.0, 8.0]) == pytest.approx(4.0)
    with pytest.raises(ValueError, match="positive"):
        measure.geometric_mean([1.0, 0.0])
    with pytest.raises(ValueError, match="at least one"):
        measure.geometric_mean([])


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.01234, "0.0123"), (1.234, "1.23"), (12.34, "12.3"), (123.4, "123"), (1234567.8, "1,234,568")],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert report.number(value) == text


def test_table_aligns_columns() -> None:
    lines = report.table(["name", "n"], [["a", "1"], ["longer", "12,345"]]).splitlines()
    assert lines == ["name         n", "------  ------", "a            1", "longer  12,345"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("with_rich", [True, False])
def test_progress_is_drawn_on_a_terminal_only(with_rich: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if with_rich:
        pytest.importorskip("rich")
    else:
        monkeypatch.setitem(sys.modules, "rich.console", None)
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        with report.progress(2, stream) as bar:
            bar.step("one")
            bar.step("two")
    assert "2/2" in terminal.getvalue() and file.getvalue() == ""


def test_mapping_slots_and_calldata_follow_the_abi() -> None:
    token = contract("Token")
    data = token.call("transfer(address,uint256)", b"\x11" * 20, 5)
    assert data.hex() == "a9059cbb" + "00" * 12 + "11" * 20 + f"{5:064x}"
    with pytest.raises(KeyError):
        token.call("mint(uint256)", 1)


def test_loading_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a directory"):
        cases.load_directory(tmp_path / "nowhere")
    with pytest.raises(InputError, match="not a directory"):
        replay.paths(tmp_path / "nowhere")


# ---- analysis of code


def test_analysis_is_printed_in_megabytes_a_second_with_the_memory_it_takes(tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    done = bench("--analysis", "--filter", "^(random bytes|one byte, PUSH1)$", "--json", str(file), *FAST)
    assert (done.returncode, done.stderr) == (0, "")
    table = done.stdout.split("\n\n")[1]
    assert re.search(r"^codes +number +MB +MB/s new +MB/s all reached +memory per byte$", table, re.M)
    assert re.search(r"^random bytes +16 +0.393( +[\d.,]+){3}$", table, re.M)
    rows = json.loads(file.read_text())["analysis"]
    assert [(row["name"], row["codes"], row["bytes"]) for row in rows] == [
        ("one byte, PUSH1", 16, 16 * 24_576),
        ("random bytes", 16, 16 * 24_576),
    ]
    # Two copies and a bit for each byte, and what every code takes.
    assert all(row["bytes"] * 2.125 < row["memory"] < row["bytes"] * 2.2 for row in rows)


# ---- state roots


def test_roots_are_printed_with_the_trie_kept_and_computed_anew(tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    done = bench("--roots", "--threads", "1,2", "--filter", "^1000 accounts$", "--json", str(file), *FAST)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(
        r"^accounts +slots +MiB +with trie( +kept ms \(\d\) +anew ms \(\d\) +ratio){2}$", done.stdout, re.M
    )
    (row,) = json.loads(file.read_text())["roots"]
    assert (row["accounts"], row["slots"], sorted(row["after"])) == (1_000, 7_600, ["1", "2"])
    assert row["kept"] > row["bare"]


# ---- sequential against parallel


def test_parallel_is_printed_beside_what_bounds_it(tmp_path: Path) -> None:
    file = tmp_path / "samples.json"
    done = bench("--parallel", "--threads", "1,3", "--filter", "^(one counter|compute)$", "--json", str(file), *FAST)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(
        r"^3 threads that share nothing do \d\.\d\d times the work of one on this machine$", done.stdout, re.M
    )
    columns = r"^workload +txs +seq ms +1 thr +3 thr +spec 3 +auto 3 +decision +list 1 +list 3 +residue"
    assert re.search(columns, done.stdout, re.M)
    assert re.search(r"^one counter +120 ", done.stdout, re.M)
    assert re.search(r"^all of these workloads \(2\) +mean +median +least +greatest$", done.stdout, re.M)
    record = json.loads(file.read_text())
    counter = next(row for row in record["parallel_workloads"] if row["name"] == "one counter")
    assert set(counter["samples"]) == {
        *("sequential", "1", "3", "spec 3", "auto", "list 1", "list 3", "sequential again")
    }
    assert re.search(r"^sequential again \(noise\) +\d\.\d\d ", done.stdout, re.M)
    assert re.search(
        r"^workloads slower than 0\.97 of sequential, deciding by themselves: measured \d of 2 ", done.stdout, re.M
    )
    # Everybody waits for the one before: the chain is the whole block.
    assert counter["critical_path"] == counter["total"] > counter["longest"] > 0


def test_real_blocks_are_compared_too() -> None:
    blocks = shared_path("blocks")
    done = bench("--parallel", "--threads", "2", "--blocks", str(blocks), "--filter", "^46147", *FAST)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^block +txs +seq ms", done.stdout, re.M)


@pytest.mark.parametrize("codes", ["new", "known"])
def test_blocks_in_a_row_are_executed_once_in_each_way_by_new_processes(codes: str, tmp_path: Path) -> None:
    file = tmp_path / "samples.json"
    wanted = ["--threads", "1,2", "--filter", "^(one counter|invalid at the end|swaps)$", "--rounds", "2"]
    done = bench("--parallel", "--once", codes, *wanted, "--json", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    said = "codes known, " if codes == "known" else ""
    assert f"each workload executed once, in order, {said}2 rounds of fresh processes\n" in done.stdout
    assert re.search(r"^workload +txs +seq ms +auto +noise +2 thr +decision of the last round$", done.stdout, re.M)
    assert re.search(r"^auto, at most 2 +\d\.\d\d ", done.stdout, re.M)
    rows = json.loads(file.read_text())["once_workloads"]
    assert {row["name"]: row["transactions"] for row in rows} == {"one counter": 120, "swaps": 288}  # valid ones
    for row in rows:
        assert {way: len(times) for way, times in row["samples"].items()} == dict.fromkeys(
            ("sequential", "auto", "sequential again", "2"), 2
        )
        assert len(row["decisions"]) == 2


def test_a_process_that_ends_early_is_told() -> None:
    absent = once.Stream(Path("absent"), seed=1, large=False, known_codes=False, names=("absent",))
    way = once.Way(absent, "sequential", 2)
    with pytest.raises(ResourceError, match="ended early, with exit code 1"):
        way.blocks()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--threads", "2"],
        ["--gigagas"],
        ["--import", "--gigagas"],
        ["--parallel", "--threads", "two"],
        ["--once", "known"],
    ],
)
def test_arguments_of_the_comparison_are_checked(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, *arguments, *FAST)
    assert "threads" in said or "gigagas" in said or "once" in said


# ---- whole imports


def test_imports_of_own_blocks_are_verified_and_told_part_by_part(tmp_path: Path) -> None:
    file = tmp_path / "samples.json"
    done = bench("--import", "--threads", "1,2", "--filter", "^(mixed|erc20 clusters)$", "--json", str(file), *FAST)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(
        r"^workload +txs +kB +ms \(1\) +ms \(2\) +ratio 2 +decode % +prepare % +senders % ", done.stdout, re.M
    )
    assert re.search(r"^part of all imports +ms \(1\) +share +ms \(2\) +share +ratio 2$", done.stdout, re.M)
    assert re.search(r"^workloads \(2\) +mean +median +least +greatest$", done.stdout, re.M)
    record = json.loads(file.read_text())
    assert [row["name"] for row in record["imports"]] == ["erc20 clusters", "mixed"]
    for row in record["imports"]:
        for samples in row["samples"].values():
            assert set(samples[0]) == set(imports.PARTS)
            assert all(samples[0][part] > 0 for part in ("decode", "execute", "roots", "state root"))
        assert row["samples"]["1"][0]["senders"] > 0, "on two threads they may be found beside the execution"


def test_imports_of_real_blocks_have_no_state_root() -> None:
    blocks = shared_path("blocks")
    # With ommers that are not known, with withdrawals, and with blobs and requests.
    names = ("4370000", "19426587", "24647140")
    for name in names:
        subject = imports.real_subject(blocks / f"{name}.json.xz")
        parts = subject.once(2)
        assert set(parts) == set(imports.PARTS) and parts["state root"] == 0
        assert all(parts[part] > 0 for part in ("decode", "prepare", "execute", "end", "roots"))
        # Of senders what is left after the execution, beside which they are recovered.
        assert parts["senders"] >= 0
        assert subject.once(1).keys() == parts.keys(), "the changes of the import before were not undone"


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ("gas_used", "INVALID_GAS_USED"),
        ("transactions_root", "INVALID_TRANSACTIONS_ROOT"),
        ("state_root", "INVALID_STATE_ROOT"),
        ("receipts_root", "INVALID_RECEIPTS_ROOT"),
        ("logs_bloom", "INVALID_LOG_BLOOM"),
    ],
)
def test_an_import_looks_at_everything_that_the_header_says(part: str, reason: str) -> None:
    workload = build("two", [Transfers(Shape(families=2))], signed=True)
    (subject,) = imports.own_subjects(workload)
    block = Block.decode(subject.encoded)
    value = getattr(block.header, part)
    changed: dict[str, Any] = {part: value + 1 if isinstance(value, int) else b"\1" + value[1:]}
    wrong = replace(block.header, **changed)
    before = MemoryState(workload.alloc)
    subject = replace(subject, state=before.copy(), encoded=replace(block, header=wrong).encode())
    for threads in (1, 2):
        with pytest.raises(InvalidBlock) as caught:
            subject.once(threads)
        assert caught.value.reason == reason and subject.state == before


def test_an_import_recovers_senders_from_signatures() -> None:
    workload = build("two", [Transfers(Shape(families=2))], signed=True)
    (subject,) = imports.own_subjects(workload)
    block = Block.decode(subject.encoded)
    assert all(transaction.sender is None and transaction.is_signed for transaction in block.transactions)
    named = {transaction.sender for transaction in workload.blocks[0].transactions}
    assert {transaction.recover_sender() for transaction in block.transactions} == named
