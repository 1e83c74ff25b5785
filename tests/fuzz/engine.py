"""The engine's answer to a case."""

from __future__ import annotations

from typing import Any

from evmcore.blocks import Block
from evmcore.chain import BlockChain
from evmcore.cli.fixtures import fields
from evmcore.cli.fixtures.state_test import block_env, logs_hash
from evmcore.cli.fixtures.transaction_section import TransactionTemplate
from evmcore.cli.transition import TransitionInput, transition
from evmcore.engine import EVM
from evmcore.errors import InvalidBlock, InvalidTransaction
from evmcore.forks import ChainConfig, Fork
from evmcore.state import MemoryState
from tests.fuzz.oracle import Answer


def answer(case: dict[str, Any], switch_dispatch: bool = False) -> Answer:
    """Runs a case the way the specification's state-test mode does: the transaction and nothing else."""
    (fork_name,) = case["post"]
    fork = Fork.from_name(fork_name)
    state = MemoryState(fields.alloc("pre", case["pre"]))
    template = TransactionTemplate.read("transaction", case["transaction"], 1)
    evm = EVM(state, fork=fork, block=block_env("env", case["env"], fork), chain_id=1, switch_dispatch=switch_dispatch)
    try:
        result = evm.transact(template.build(0, 0, 0))
    except InvalidTransaction as error:
        return Answer("0x" + state.state_root().hex(), "", 0, str(error.reason))
    return Answer("0x" + state.state_root().hex(), "0x" + logs_hash(result.logs).hex(), result.gas_used, "")


def block_answer(case: dict[str, Any]) -> dict[str, Any]:
    """Runs a block of transactions; the answer has the shape of the specification's."""
    outcome = transition(TransitionInput(case["alloc"], case["env"], case["txs"], case["fork"], 1, case["reward"]))
    result = outcome.result
    receipts = []
    for receipt in result["receipts"]:
        logs = [{name: log[name] for name in ("address", "topics", "data")} for log in receipt["logs"]]
        has_root = receipt["root"] != "0x"
        receipts.append(
            {
                "root": receipt["root"] if has_root else None,
                "succeeded": None if has_root else receipt["status"] == "0x1",
                "cumulativeGasUsed": int(receipt["cumulativeGasUsed"], 16),
                "bloom": receipt["logsBloom"],
                "logs": logs,
            }
        )
    return {
        "stateRoot": result["stateRoot"],
        "logsHash": result["logsHash"],
        "gasUsed": int(result["gasUsed"], 16),
        "logsBloom": result["logsBloom"],
        "withdrawalsRoot": result.get("withdrawalsRoot"),
        "requestsHash": result.get("requestsHash"),
        "rejected": [item["index"] for item in result.get("rejected", [])],
        "blockException": None,
        "receipts": receipts,
    }


def chain_differences(case: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """What the engine says otherwise than the specification about the blocks of a chain and their variants."""
    state = MemoryState(fields.alloc("alloc", case["alloc"]))
    genesis = Block.decode(bytes.fromhex(expected["genesis"]))
    chain = BlockChain(ChainConfig.from_network(case["fork"]), genesis, state)
    differences = []
    for number, step in enumerate(expected["steps"]):
        for name, block in [*((f"variant {n}", block) for n, block in enumerate(step["variants"])), ("block", step)]:
            refused = ""
            try:
                chain.import_block(Block.decode(bytes.fromhex(block["rlp"])))
            except InvalidBlock as error:
                refused = str(error)
            if bool(refused) != bool(block["why"]) and not block["why"].startswith("!"):
                differences.append(
                    f"step {number}, {name}: engine {refused or 'valid'}, specification {block['why'] or 'valid'}"
                )
    return differences
