"""The command line: what each command prints, and `t8n`'s exit codes."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evmcore import Account, Block, Header, MemoryState, Transaction, execute_block
from evmcore.forks import ChainConfig
from evmcore.trie import ordered_root
from tests.commands import assert_one_line, run_command, state_test, write

ADDING = "600160020160005260206000f3"  # returns 1 + 2
REVERTING = "08c379a0" + "00" * 31 + "20" + "00" * 31 + "03" + "6e6f21" + "00" * 29  # Error("no!")


# ---------------------------------------------------------------------------------------------------- run


def test_run_prints_gas_output_and_calls(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run_command(capsys, "run", ADDING)
    assert code == 0
    assert "gas used  24" in out
    assert "output    0x" + "00" * 31 + "03" in out
    assert "CALL 0x0000000000000000000000007265636569766572 gas 24" in out


def test_run_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run_command(capsys, "run", "--json", "0x" + ADDING)
    document = json.loads(out)
    assert (code, document["status"], document["gasUsed"]) == (0, "SUCCESS", 24)
    assert document["calls"]["type"] == "CALL"


def test_run_decodes_a_revert_and_exits_with_1(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    copy_and_revert = f"6100{len(REVERTING) // 2:02x}600c600039" + f"6100{len(REVERTING) // 2:02x}6000fd"
    offset = len(copy_and_revert) // 2
    path = write(tmp_path / "code", copy_and_revert.replace("600c", f"60{offset:02x}", 1) + REVERTING)
    code, out, _ = run_command(capsys, "run", "--codefile", path)
    assert code == 1
    assert "revert    no!" in out


def test_run_traces_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run_command(capsys, "run", "--trace", "--trace.nostack", ADDING)
    lines = [json.loads(line) for line in err.splitlines()]
    assert code == 0
    assert [line.get("opName") for line in lines[:3]] == ["PUSH1", "PUSH1", "ADD"]
    assert all("stack" not in line or line["stack"] is None for line in lines)
    assert lines[-1]["gasUsed"] == "0x18"


def test_run_takes_code_from_stdin_and_input_from_a_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("60003560005260206000f3\n"))
    code, out, _ = run_command(capsys, "run", "-", "--inputfile", write(tmp_path / "input", "0x" + "ab" * 32))
    assert code == 0
    assert "output    0x" + "ab" * 32 in out


def test_run_calls_a_contract_of_the_prestate(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    contract = "0x" + "c0" * 20
    genesis = {
        "config": {"chainId": 7},
        "number": "0x9",
        "alloc": {contract: {"balance": "5", "code": "0x46600052436020524760405260606000f3"}},
    }
    prestate = write(tmp_path / "genesis.json", genesis)
    code, out, _ = run_command(capsys, "run", "--prestate", prestate, "--receiver", contract, "--json")
    output = json.loads(out)["output"]
    assert code == 0
    assert [int(output[2 + 64 * i : 66 + 64 * i], 16) for i in range(3)] == [7, 9, 5]


def test_run_creates(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run_command(capsys, "run", "--create", "--json", "6001600c60003960016000f300")
    document = json.loads(out)
    assert code == 0
    assert len(document["created"]) == 42


# ---------------------------------------------------------------------------------------------------- statetest


def test_statetest_prints_a_json_list(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    test = state_test()
    path = write(tmp_path / "test.json", {"good": test})
    code, out, _ = run_command(capsys, "statetest", path)
    assert code == 0
    expected = {"name": "good", "pass": True, "stateRoot": test["post"]["Prague"][0]["hash"], "fork": "Prague"}
    assert json.loads(out) == [expected]


def test_statetest_says_what_differs_and_exits_with_1(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    test = state_test()
    test["post"]["Prague"][0]["hash"] = "0x" + "00" * 32
    test["post"]["Prague"][0]["state"] = test["pre"]
    code, out, _ = run_command(capsys, "statetest", "--human", write(tmp_path / "test.json", {"bad": test}))
    assert code == 1
    assert "post state root mismatch" in out
    assert "account 0x" in out
    assert "0/1 pass" in out


def test_statetest_reads_names_from_stdin(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = write(tmp_path / "test.json", {"good": state_test()})
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{path}\n{path}\n"))
    code, out, _ = run_command(capsys, "statetest")
    assert code == 0
    assert out.count('"pass": true') == 2


def test_statetest_reads_archives_and_directories_with_workers(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "tests" / "inner"
    folder.mkdir(parents=True)
    for i in range(3):
        write(folder / f"{i}.json", {f"test-{i}": state_test(10 * i)})
    with tarfile.open(tmp_path / "tests.tar.xz", "w:xz") as archive:
        archive.add(folder, "inner")
    paths = [str(tmp_path / "tests"), str(tmp_path / "tests.tar.xz")]
    code, out, _ = run_command(capsys, "statetest", "--workers", "2", *paths)
    assert code == 0
    assert [case["name"] for case in json.loads(out)] == ["test-0", "test-1", "test-2"] * 2


def test_statetest_chooses_by_name_fork_and_index(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = write(tmp_path / "test.json", {"one": state_test(), "two": state_test(50)})
    assert [case["name"] for case in json.loads(run_command(capsys, "statetest", "--run", "^t", path)[1])] == ["two"]
    assert json.loads(run_command(capsys, "statetest", "--statetest.fork", "Osaka", path)[1]) == []
    assert json.loads(run_command(capsys, "statetest", "--statetest.index", "1", path)[1]) == []
    assert len(json.loads(run_command(capsys, "statetest", "--statetest.index", "0", path)[1])) == 2


def test_statetest_traces_on_stderr(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    test = state_test()
    code, _, err = run_command(capsys, "statetest", "--trace", write(tmp_path / "test.json", {"good": test}))
    assert code == 0
    assert err.splitlines()[-1] == json.dumps({"stateRoot": test["post"]["Prague"][0]["hash"]})


def test_statetest_adds_times_and_states(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = write(tmp_path / "test.json", {"good": state_test()})
    case = json.loads(run_command(capsys, "statetest", "--bench", "--dump", path)[1])[0]
    assert case["benchStats"]["time"] > 0
    assert case["state"]


# ---------------------------------------------------------------------------------------------------- blocktest


def block_test() -> dict[str, Any]:
    """A genesis, a block with one transfer that is right in everything, and the same block with a wrong state root."""
    config = ChainConfig.from_network("Berlin")
    state = MemoryState({bytes.fromhex(sender[2:]): Account(balance=10**18) for sender in ALLOC})
    pre = state.dump()
    genesis = Block(Header(state_root=state.state_root(), difficulty=131_072, gas_limit=5_000_000))
    transfer = Transaction(gas_price=10, gas_limit=21_000, to=b"\xab" * 20, value=1).sign(TX["secretKey"])
    header = Header(parent_hash=genesis.hash, number=1, timestamp=10, difficulty=131_072, gas_limit=5_000_000)
    block = Block(header, (transfer,))
    result = execute_block(block, state, config, validate=False, commit=True)
    assert result.receipts_root is not None
    right = replace(
        header,
        state_root=state.state_root(),
        transactions_root=ordered_root([transfer.encode()]),
        receipts_root=result.receipts_root,
        logs_bloom=result.logs_bloom,
        gas_used=result.gas_used,
    )
    good, bad = Block(right, (transfer,)), Block(replace(right, state_root=bytes(32)), (transfer,))
    return {
        "network": "Berlin",
        "genesisRLP": "0x" + genesis.encode().hex(),
        "pre": pre,
        "blocks": [
            {"rlp": "0x" + bad.encode().hex(), "expectException": "BlockException.INVALID_STATE_ROOT"},
            {"rlp": "0x" + good.encode().hex(), "blockHeader": {"hash": "0x" + good.hash.hex()}},
        ],
        "lastblockhash": "0x" + good.hash.hex(),
        "postState": state.dump(),
    }


def test_blocktest_imports_good_blocks_and_rejects_bad_ones(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = write(tmp_path / "test.json", {"chain": block_test()})
    code, out, _ = run_command(capsys, "blocktest", path)
    (case,) = json.loads(out)
    assert code == 0
    assert (case["name"], case["pass"], case["fork"]) == ("chain", True, "Berlin")
    code, out, _ = run_command(capsys, "blocktest", "--human", path)
    assert (code, out.splitlines()[0].split()) == (0, ["Berlin", "1/1", "pass"])


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"lastblockhash": "0x" + "00" * 32}, "head: expected"),
        ({"postState": {}}, "post state: account 0x"),
        ({"pre": {}}, "INVALID_STATE_ROOT"),
    ],
)
def test_blocktest_says_what_differs(
    change: dict[str, Any], error: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out, _ = run_command(capsys, "blocktest", write(tmp_path / "test.json", {"chain": block_test() | change}))
    (case,) = json.loads(out)
    assert (code, case["pass"]) == (1, False)
    assert error in case["error"]


def test_blocktest_traces_on_stderr(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    test = block_test()
    code, _, err = run_command(capsys, "blocktest", "--trace", write(tmp_path / "test.json", {"chain": test}))
    assert code == 0
    lines = [json.loads(line) for line in err.splitlines()]
    assert list(lines[-1]) == ["stateRoot"]
    assert "gasUsed" in lines[0]


def test_bench_is_handed_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run_command(capsys, "bench", "--help")
    assert code == 0
    assert "--blocks" in out


# ---------------------------------------------------------------------------------------------------- t8n

ENV = {
    "currentCoinbase": "0x" + "c0" * 20,
    "currentGasLimit": "0x1c9c380",
    "currentNumber": "0x1",
    "currentTimestamp": "0x3e8",
    "currentRandom": "0x0",
    "currentDifficulty": "0x0",
    "currentBaseFee": "0x7",
    "withdrawals": [],
}
ALLOC = {"0xae3dffee97f92db0201d11cb8877c89738353bce": {"balance": "0xde0b6b3a7640000"}}
TX = {
    "nonce": "0x0",
    "gasPrice": "0xa",
    "gas": "0x5208",
    "to": "0x" + "ab" * 20,
    "value": "0x1",
    "input": "0x",
    "secretKey": "0x" + "00" * 31 + "2a",
}


def t8n_files(folder: Path, alloc: Any = ALLOC, env: Any = ENV, txs: Any = (TX,)) -> list[str]:
    documents = {"alloc": alloc, "env": env, "txs": list(txs) if isinstance(txs, tuple) else txs}
    return [f"--input.{name}={write(folder / f'in-{name}.json', doc)}" for name, doc in documents.items()]


def test_t8n_writes_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    files = t8n_files(tmp_path)
    options = [
        "--output.basedir",
        str(tmp_path / "out"),
        "--output.body",
        "body.rlp",
        "--state.fork",
        "Shanghai",
        "--trace",
    ]
    code, out, err = run_command(capsys, "t8n", *files, *options, "--opcode.count", "stdout")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"opcodeCount": {}}
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["gasUsed"] == "0x5208"
    assert len(result["receipts"]) == 1
    alloc = json.loads((tmp_path / "out" / "alloc.json").read_text())
    assert int(alloc["0x" + "ab" * 20]["balance"], 16) == 1
    trace = f"trace-0-{result['receipts'][0]['transactionHash']}.jsonl"
    assert json.loads((tmp_path / "out" / trace).read_text())["gasUsed"] == "0x0"  # execution only
    body = json.loads((tmp_path / "out" / "body.rlp").read_text())
    again = ["--output.result=stdout", "--output.alloc=", "--state.fork=Shanghai"]
    code, out, err = run_command(capsys, "t8n", *t8n_files(tmp_path, txs=json.dumps(body)), *again)
    assert (code, err) == (0, "")
    assert json.loads(out)["result"] == result


def test_t8n_uses_stdin_and_stdout(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    bad = TX | {"nonce": "0x9"}
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({"alloc": ALLOC, "env": ENV, "txs": [TX, bad]})))
    names = [f"--input.{name}=stdin" for name in ("alloc", "env", "txs")]
    outputs = ["--output.alloc=stdout", "--output.result=stdout", "--output.body=stderr"]
    code, out, err = run_command(capsys, "t8n", *names, *outputs, "--state.fork", "Merge")
    document = json.loads(out)
    assert code == 0
    assert set(document) == {"alloc", "result"}
    assert set(json.loads(err)) == {"body"}
    assert [item["index"] for item in document["result"]["rejected"]] == [1]
    assert "NONCE_MISMATCH_TOO_HIGH" in document["result"]["rejected"][0]["error"]


def test_t8n_derives_base_fee_and_difficulty_from_the_parent(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    env = {name: value for name, value in ENV.items() if name not in ("currentBaseFee", "currentDifficulty")}
    env |= {"parentBaseFee": "0x3b9aca00", "parentGasUsed": "0x0", "parentGasLimit": "0x1c9c380"}
    env |= {"parentDifficulty": "0x20000", "parentTimestamp": "0x3de"}
    options = ["--output.result=stdout", "--output.alloc=", "--state.fork=London"]
    code, out, _ = run_command(capsys, "t8n", *t8n_files(tmp_path, env=env, txs=[]), *options)
    result = json.loads(out)["result"]
    assert (code, result["currentBaseFee"], result["currentDifficulty"]) == (0, hex(875_000_000), "0x20000")


@pytest.mark.parametrize(
    ("exit_code", "change"),
    [
        (3, {"options": ["--state.fork=Nowhere"]}),
        (3, {"env": {"currentBaseFee": None}}),
        (3, {"env": {"currentRandom": None}}),
        (3, {"env": {"withdrawals": None}}),
        (10, {"env": {"currentNumber": None}}),
        (10, {"env": {"currentGasLimit": "many"}}),
        (10, {"env": {"currentCoinbase": "0x12"}}),
        (10, {"env": {"withdrawals": [{"index": "0x0"}]}}),
        (10, {"env": {"blockHashes": {"0": "0x12"}}}),
        (10, {"env": {"ommers": [{"delta": 9, "address": "0x" + "00" * 20}]}}),
        (10, {"env_document": "[]"}),
        (10, {"env_document": "{"}),
        (10, {"alloc": "[]"}),
        (10, {"alloc": '{"0x12": {}}'}),
        (10, {"alloc": '{"0x' + "12" * 20 + '": {"balance": "-1"}}'}),
        (10, {"alloc": '{"0x' + "12" * 20 + '": {"storage": {"x": "0x1"}}}'}),
        (10, {"txs": "{}"}),
        (10, {"txs": '[{"gas": "0x5208"}, 7]'}),
        (10, {"txs": '[{"nonce": "0x1", "gas": "lots"}]'}),
        (10, {"txs": '"0xzz"'}),
        (12, {"txs": '"0xc1"'}),
        (12, {"txs": '"0x80"'}),
        (11, {"options": ["--input.alloc=/nowhere/alloc.json"]}),
        (11, {"options": ["--input.txs=/nowhere/txs.json"]}),
        (2, {"options": ["--state.reward=much"]}),
        (2, {"options": ["--state.chainid=-5"]}),
    ],
)
def test_t8n_exits_as_geth_does(
    exit_code: int, change: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    env: Any = {k: v for k, v in (ENV | change.get("env", {})).items() if v is not None}
    files = t8n_files(
        tmp_path,
        alloc=change.get("alloc", ALLOC),
        env=change.get("env_document", env),
        txs=change.get("txs", (TX,)),
    )
    code, out, err = run_command(
        capsys, "t8n", *files, "--state.fork=Shanghai", "--output.basedir", str(tmp_path), *change.get("options", [])
    )
    assert (code, out) == (exit_code, "")
    assert_one_line(err)
