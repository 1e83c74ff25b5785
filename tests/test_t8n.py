"""``t8n`` gives what the executable specification's own tool gives on the same input, for every fork that both know."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evmcore.forks import Fork
from tests.fuzz.cases import FORKS, make_case
from tests.fuzz.oracle import ENVIRONMENT_VARIABLE, oracle_python

# EIP-4788 and EIP-2935: contracts that keep their calldata. EIP-7002 and EIP-7251: one answers nothing, one a request.
SYSTEM_CONTRACTS = {
    "0x000f3df6d732807ef1319fb7b8bb8522d0beac02": "0x5f355f55",
    "0x0000f90827f1c53a10cb7a02335b175320002935": "0x5f356001554060025500",
    "0x00000961ef480eb55e80d19ad83579a64c007002": "0x00",
    "0x0000bbddc7ce488642fb579f8b00f3a590007251": "0x61c0de5f5260206000f3",
}
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


def _transaction(section: dict[str, Any], nonce: int) -> dict[str, Any]:
    """A state test's transaction in the form that t8n reads."""
    transaction = {k: v for k, v in section.items() if k not in ("data", "gasLimit", "value", "accessLists", "sender")}
    transaction |= {"input": section["data"][0], "gas": section["gasLimit"][0], "value": section["value"][0]}
    if "accessLists" in section:
        transaction["accessList"] = section["accessLists"][0]
    return transaction | {"nonce": hex(nonce)}


def block_input(fork_name: str, seed: int, count: int) -> dict[str, Any]:
    """A block of ``count`` random transactions by one sender; in every other fork the last has a wrong nonce."""
    case = make_case(seed, fork_name)
    sections = [make_case(seed + i, fork_name)["transaction"] for i in range(count)]
    # A plain transfer comes first: should a later one be rejected, something is left in the block.
    sections[0] = sections[0] | {"to": "0x" + "ab" * 20, "data": ["0x"], "value": ["0x1"], "gasLimit": ["0xea60"]}
    txs = [_transaction(section, nonce) for nonce, section in enumerate(sections)]
    if FORKS[fork_name] % 2:
        txs[-1]["nonce"] = hex(count + 5)
    number = int(case["env"]["currentNumber"], 16)
    env = case["env"] | {
        "currentGasLimit": hex(3_000_000),
        "currentBaseFee": "0x0",  # the transactions were made for other base fees
        "parentBeaconBlockRoot": "0x" + "be" * 32,
        "blockHashes": {hex(n): f"0x{n:064x}" for n in range(max(0, number - 256), number)},
        "withdrawals": [{"index": "0x0", "validatorIndex": "0x1", "address": "0x" + "0a" * 20, "amount": "0x10"}],
    }
    alloc = case["pre"]
    if FORKS[fork_name] >= Fork.CANCUN:
        for address, code in SYSTEM_CONTRACTS.items():
            alloc[address] = {"nonce": "0x1", "balance": "0x0", "code": code, "storage": {}}
    return {"alloc": alloc, "env": env, "txs": txs}


def arguments(fork_name: str, reward: int) -> list[str]:
    """Everything through stdin and stdout."""
    names = [f"--input.{name}=stdin" for name in ("alloc", "env", "txs")] + [
        f"--output.{name}=stdout" for name in ("alloc", "result")
    ]
    return ["t8n", *names, f"--state.fork={fork_name}", f"--state.reward={reward}"]


def ours(document: dict[str, Any], *more: str) -> dict[str, Any]:
    """The outputs of ``python -m evmcore t8n``."""
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
    document = block_input(fork_name, 9_000_000 + 100 * FORKS[fork_name], 8)
    line = arguments(fork_name, 0 if FORKS[fork_name] >= Fork.PARIS else 3 * 10**18)
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
    assert len(result["receipts"]) == len(expected["result"]["receipts"]) > 0
    assert normal(found["alloc"]) == normal(expected["alloc"])
    assert result.get("requests") == expected["result"].get("requests")
