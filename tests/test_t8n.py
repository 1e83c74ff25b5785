"""`t8n` gives what the executable specification's own tool gives on the same input, for every fork that both know."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.cases import FORKS, make_block
from tests.fuzz.oracle import ENVIRONMENT_VARIABLE, oracle_python

COMPARED = (
    "stateRoot",
    "txRoot",
    "receiptsRoot",
    "logsHash",
    "logsBloom",
    "gasUsed",
    "withdrawalsRoot",
    "requestsHash",
)


def arguments(fork_name: str, reward: int) -> list[str]:
    """Everything through stdin and stdout."""
    names = [f"--input.{name}=stdin" for name in ("alloc", "env", "txs")] + [
        f"--output.{name}=stdout" for name in ("alloc", "result")
    ]
    return ["t8n", *names, f"--state.fork={fork_name}", f"--state.reward={reward}"]


def ours(document: dict[str, Any], *more: str) -> dict[str, Any]:
    """The outputs of `python -m evmcore t8n`."""
    result = subprocess.run(
        [sys.executable, "-m", "evmcore", *more], input=json.dumps(document), capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout))


def normal(alloc: dict[str, Any]) -> dict[str, Any]:
    """An alloc with numbers as numbers: the tools pad them differently."""
    return {
        address.lower(): (
            int(account.get("nonce", "0x0"), 16),
            int(account.get("balance", "0x0"), 16),
            account.get("code", "0x"),
            {int(slot, 16): int(value, 16) for slot, value in account.get("storage", {}).items()},
        )
        for address, account in alloc.items()
    }


@pytest.mark.parametrize("fork_name", FORKS)
def test_same_as_the_specification(fork_name: str, tmp_path: Path) -> None:
    python = oracle_python()
    if python is None:
        pytest.skip(f"the executable specification is not installed; {ENVIRONMENT_VARIABLE} names its interpreter")
    document = make_block(9_000_000 + FORKS[fork_name], fork_name)
    line = arguments(fork_name, document["reward"])
    module = "ethereum_spec_tools.evm_tools"
    theirs = subprocess.run(
        [str(python), "-c", f"import sys; from {module} import main; sys.exit(main(sys.argv[1:]))", *line],
        input=json.dumps(document),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": ""},
    )
    assert theirs.returncode == 0, theirs.stderr
    expected, found = json.loads(theirs.stdout), ours(document, *line)
    result = found["result"]
    rejected = [item["index"] for item in result.get("rejected", [])]
    assert rejected == [item["index"] for item in expected["result"]["rejected"]]
    # Unlike a block, the specification's tool keeps rejected transactions in the trie of transactions, and leaves
    # gaps for them in that of the receipts.
    left_out = {"txRoot"} if rejected else set()
    if rejected != list(range(len(document["txs"]) - len(rejected), len(document["txs"]))):
        left_out.add("receiptsRoot")
    compared = [name for name in COMPARED if name not in left_out]
    assert {name: result.get(name) for name in compared} == {name: expected["result"].get(name) for name in compared}
    assert len(result["receipts"]) == len(expected["result"]["receipts"])
    assert normal(found["alloc"]) == normal(expected["alloc"])
    assert result.get("requests") == expected["result"].get("requests")
