"""Whatever is wrong with arguments or files: exit code 2 and one line on stderr that says what and where."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commands import assert_one_line, run_command, state_test, write


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(capsys, "--version")[:2] == (0, "evmcore version 0.1.0\n")


@pytest.mark.parametrize("command", ["run", "statetest", "blocktest", "t8n"])
def test_help_tells_every_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run_command(capsys, command, "--help")
    assert code == 0
    assert "--trace" in out


BAD_ARGUMENTS: dict[str, list[str]] = {
    "no command": [],
    "unknown command": ["fly"],
    "run: no code": ["run"],
    "run: odd digits": ["run", "0x123"],
    "run: not hex": ["run", "0xzz"],
    "run: code twice": ["run", "00", "--codefile", "x"],
    "run: unknown fork": ["run", "--fork", "atlantis", "00"],
    "run: gas is text": ["run", "--gas", "much", "00"],
    "run: gas too large": ["run", "--gas", str(2**63), "00"],
    "run: gas negative": ["run", "--gas", "-1", "00"],
    "run: value too large": ["run", "--value", hex(2**256), "00"],
    "run: sender too short": ["run", "--sender", "0x12", "00"],
    "run: receiver not hex": ["run", "--receiver", "0x" + "zz" * 20, "00"],
    "run: input not hex": ["run", "--input", "0xq", "00"],
    "run: input twice": ["run", "--input", "00", "--inputfile", "x", "00"],
    "run: no such code file": ["run", "--codefile", "/nowhere/code"],
    "run: code file is a folder": ["run", "--codefile", "/"],
    "run: no such input file": ["run", "--inputfile", "/nowhere/input", "00"],
    "run: no such prestate": ["run", "--prestate", "/nowhere/genesis.json", "00"],
    "run: unknown option": ["run", "--quick", "00"],
    "run: unknown trace format": ["run", "--trace.format", "xml", "00"],
    "statetest: no such file": ["statetest", "/nowhere/test.json"],
    "statetest: no such archive": ["statetest", "/nowhere/tests.tar.xz"],
    "statetest: bad pattern": ["statetest", "--run", "(", "x"],
    "statetest: no workers": ["statetest", "--workers", "0", "x"],
    "statetest: workers are text": ["statetest", "--workers", "two", "x"],
    "statetest: index is text": ["statetest", "--statetest.index", "one", "x"],
    "statetest: trace with workers": ["statetest", "--trace", "--workers", "2", "x"],
    "blocktest: no such file": ["blocktest", "/nowhere/test.json"],
    "blocktest: bad pattern": ["blocktest", "--run", "[", "x"],
    "t8n: unknown option": ["t8n", "--input.fork", "x"],
    "load: replicas negative": ["load", "--genesis", "x", "--replicas", "-1"],
    "follow: threads negative": ["follow", "--chain", "x", "--threads", "-1"],
    "follow: too many threads": ["follow", "--chain", "x", "--threads", "100000"],
    "follow: no time between looks": ["follow", "--node", "x", "--poll", "0"],
    "follow: no number of seconds": ["follow", "--node", "x", "--poll", "nan"],
}


@pytest.mark.parametrize("case", BAD_ARGUMENTS)
def test_bad_arguments_are_one_line(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run_command(capsys, *BAD_ARGUMENTS[case])
    assert (code, out) == (2, "")
    assert_one_line(err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["load", "--genesis", "x", "--block", "5"], "--block: only with --node"),
        (["load", "--genesis", "x", "--slots", "x"], "--slots: only with --node"),
        (["load", "--node", "x", "--header", "x"], "--header: only with --alloc"),
        (["follow", "--chain", "x", "--poll", "2"], "--poll: only with --node"),
        (["follow", "--chain", "x", "--trust-tracer"], "--trust-tracer: only with --diffs"),
        (["follow", "--blocks", "x", "--genesis", "x"], "--genesis: only with --chain or --node"),
        (["follow", "--blocks", "x", "--execute-on", "redis"], "--execute-on: only with --chain or --node"),
        (["follow", "--blocks", "x", "--no-state-root"], "--no-state-root: only with --chain or --node"),
        (["serve", "--redis", "x", "--history", "5"], "--history: only with --genesis"),
        (["serve", "--genesis", "x", "--cache", "5"], "--cache: only with --redis"),
        (["serve", "--genesis", "x", "--connections", "5"], "--connections: only with --redis"),
        (["serve", "--genesis", "x", "--max-head-age", "5"], "--max-head-age: only with --redis"),
        (["serve", "--redis", "x", "--upstream-timeout", "5"], "--upstream-timeout: only with --upstream"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run_command(capsys, *arguments)
    assert (code, out) == (2, "")
    assert_one_line(err)
    assert message in err


def test_a_wrong_value_is_told_with_the_name_of_its_option_alone(capsys: pytest.CaptureFixture[str]) -> None:
    _, _, err = run_command(capsys, "run", "--gas", "-1", "00")
    assert "argument --gas: expected a number that is not negative, got -1 " in err


def without(key: str) -> Callable[[dict[str, Any]], Any]:
    def change(test: dict[str, Any]) -> Any:
        del test[key]
        return test

    return change


def replaced(*path: Any) -> Callable[[dict[str, Any]], Any]:
    *keys, value = path

    def change(test: dict[str, Any]) -> Any:
        place: Any = test
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value
        return test

    return change


BAD_STATE_TESTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no env": without("env"),
    "no pre": without("pre"),
    "no transaction": without("transaction"),
    "no post": without("post"),
    "a list": lambda test: [test],
    "a number": lambda test: 7,
    "env is a list": replaced("env", []),
    "number is text": replaced("env", "currentNumber", "one"),
    "number is negative": replaced("env", "currentNumber", "-0x1"),
    "gas limit is null": replaced("env", "currentGasLimit", None),
    "timestamp too large": replaced("env", "currentTimestamp", hex(2**64)),
    "short coinbase": replaced("env", "currentCoinbase", "0xc0"),
    "pre is text": replaced("pre", "0x"),
    "short address": replaced("pre", {"0x12": {}}),
    "account is a list": replaced("pre", {"0x" + "12" * 20: []}),
    "code is not hex": replaced("pre", {"0x" + "12" * 20: {"code": "0xgg"}}),
    "nonce too large": replaced("pre", {"0x" + "12" * 20: {"nonce": hex(2**64)}}),
    "storage is a list": replaced("pre", {"0x" + "12" * 20: {"storage": [1]}}),
    "slot too large": replaced("pre", {"0x" + "12" * 20: {"storage": {hex(2**256): "0x1"}}}),
    "unknown fork": replaced("post", {"Atlantis": []}),
    "post is a list": replaced("post", []),
    "fork's post is an object": replaced("post", {"Prague": {}}),
    "entry is a number": replaced("post", {"Prague": [1]}),
    "no indexes": replaced("post", "Prague", 0, {"hash": "0x" + "00" * 32, "logs": "0x" + "00" * 32}),
    "index out of range": replaced("post", "Prague", 0, "indexes", {"data": 9, "gas": 0, "value": 0}),
    "short hash": replaced("post", "Prague", 0, "hash", "0x12"),
    "no hash": lambda test: test["post"]["Prague"][0].pop("hash") and test,
    "data is not a list": replaced("transaction", "data", "0x"),
    "nonce is null": replaced("transaction", "nonce", None),
    "short recipient": replaced("transaction", "to", "0x12"),
    "gas limit is text": replaced("transaction", "gasLimit", ["lots"]),
    "no sender and no key": lambda test: [test["transaction"].pop(k) for k in ("sender", "secretKey")] and test,
}


@pytest.mark.parametrize("case", BAD_STATE_TESTS)
def test_malformed_state_tests_are_one_line(case: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = write(tmp_path / "bad.json", {"some-test": BAD_STATE_TESTS[case](state_test())})
    code, out, err = run_command(capsys, "statetest", path)
    assert (code, out) == (2, "")
    assert_one_line(err)
    assert path in err


BAD_FILES = {
    "empty": b"",
    "not JSON": b"{",
    "not UTF-8": b'{"a": "\xff"}',
    "a list": b"[]",
    "a string": b'"test"',
    "empty object": b"{}",
    "too deep": b"[" * 200_000,
    "null test": b'{"a": null}',
}


@pytest.mark.parametrize("case", BAD_FILES)
@pytest.mark.parametrize("command", ["statetest", "blocktest"])
def test_malformed_files_are_one_line(
    command: str, case: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(BAD_FILES[case])
    code, out, err = run_command(capsys, command, str(path))
    assert (code, out) == (2, "")
    assert_one_line(err)
    assert str(path) in err


@pytest.mark.parametrize("command", ["statetest", "blocktest"])
def test_broken_archives_and_empty_folders_are_one_line(
    command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "broken.tar.xz").write_bytes(b"\xfd7zXZ\x00broken")
    with tarfile.open(tmp_path / "empty.tar.xz", "w:xz"):
        pass
    (tmp_path / "folder").mkdir()
    for name in ("broken.tar.xz", "empty.tar.xz", "folder"):
        code, out, err = run_command(capsys, command, str(tmp_path / name))
        assert (code, out) == (2, "")
        assert_one_line(err)
        assert name in err


BLOCK_TEST = {
    "network": "Frontier",
    "genesisRLP": "0xc0",
    "pre": {},
    "blocks": [],
    "lastblockhash": "0x" + "00" * 32,
    "postState": {},
}


@pytest.mark.parametrize(
    "change",
    [
        {"network": "Atlantis"},
        {"network": 7},
        {"config": {"chainid": "seven"}},
        {"config": {"blobSchedule": {"Cancun": {"target": "0x3"}}}},
        {"pre": []},
        {"genesisRLP": "0xzz"},
        {"genesisRLP": "0xc1"},
        {"genesisRLP": "0x"},
        {"blocks": {}},
        {"blocks": [7], "genesisRLP": None},
    ],
)
def test_malformed_block_tests_are_one_line(
    change: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    test = {name: value for name, value in (BLOCK_TEST | change).items() if value is not None}
    path = write(tmp_path / "bad.json", {"some-test": test})
    code, out, err = run_command(capsys, "blocktest", path)
    assert (code, out) == (2, "")
    assert_one_line(err)
    assert path in err


BAD_PRESTATES = [
    "",
    "[]",
    "{",
    '{"alloc": 7}',
    '{"alloc": {"0x12": {}}}',
    '{"alloc": {}, "number": "x"}',
    '{"alloc": {}, "coinbase": "0x1"}',
    '{"alloc": {}, "gasLimit": "0x' + "f" * 20 + '"}',
    '{"alloc": {}, "config": {"chainId": "x"}}',
    '{"0x' + "12" * 20 + '": {"balance": "0x' + "f" * 65 + '"}}',
]


@pytest.mark.parametrize("text", BAD_PRESTATES)
def test_malformed_prestates_are_one_line(text: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = write(tmp_path / "genesis.json", text)
    code, out, err = run_command(capsys, "run", "--prestate", path, "00")
    assert (code, out) == (2, "")
    assert_one_line(err)
    assert path in err


def test_a_code_file_that_is_not_hex_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for content in (b"0x6", b"hello", b"\xff\xfe"):
        (tmp_path / "code").write_bytes(content)
        code, out, err = run_command(capsys, "run", "--codefile", str(tmp_path / "code"))
        assert (code, out) == (2, "")
        assert_one_line(err)
        assert str(tmp_path / "code") in err
