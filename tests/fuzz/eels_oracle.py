"""Runs state-test cases with the executable specification (PyPI `ethereum-execution`).

Run by the interpreter of the environment that has it; knows nothing of evmcore. Reads one case a line (JSON) from
stdin and answers each with one line: for a state test the state root, logs hash, gas used and the exception of a
rejected transaction; for a block of transactions the same and the receipts; for a chain its blocks and which are valid.
"""

import copy
import io
import json
import logging
import sys

from eels_access import Recorder, access_list, accessed_by_part
from eels_chain import run_chain
from ethereum.crypto.hash import keccak256
from ethereum_spec_tools.evm_tools import create_parser
from ethereum_spec_tools.evm_tools.t8n import T8N, ForkCache

ARGUMENTS = ["t8n", "--input.alloc", "stdin", "--input.env", "stdin", "--input.txs", "stdin", "--state-test"]


def transaction_of(section):
    """The picked transaction of a state test in the form t8n reads."""
    transaction = {
        key: value for key, value in section.items() if key not in ("data", "gasLimit", "value", "accessLists")
    }
    transaction["input"] = section["data"][0]
    transaction["gas"] = section["gasLimit"][0]
    transaction["value"] = section["value"][0]
    if "accessLists" in section:
        transaction["accessList"] = section["accessLists"][0]
    return transaction


def run(case, parser, cache):
    """The specification's answer to one case."""
    (fork_name,) = case["post"]
    env = copy.deepcopy(case["env"])
    number = int(env["currentNumber"], 16)
    first = max(0, number - 256)
    env["blockHashes"] = {hex(n): "0x" + keccak256(str(n).encode()).hex() for n in range(first, number)}
    env["withdrawals"] = []
    document = {"env": env, "alloc": case["pre"], "txs": [transaction_of(case["transaction"])]}
    options = parser.parse_args([*ARGUMENTS, "--state.fork", fork_name])
    t8n = T8N(options, io.StringIO(), io.StringIO(json.dumps(document)), cache)
    t8n.run_state_test()
    result = t8n.result
    return {
        "stateRoot": "0x" + result.state_root.hex(),
        "logsHash": "0x" + result.logs_hash.hex(),
        "gasUsed": int(result.gas_used),
        "rejected": next(iter(result.rejected.values()), ""),
        "alloc": t8n.alloc.to_json() if case.get("dump") else None,
    }


def run_block(case, parser, cache):
    """The specification's answer to a block of transactions."""
    case["env"].setdefault("withdrawals", [])
    document = {name: case[name] for name in ("alloc", "env", "txs")}
    reward = str(case["reward"])
    options = parser.parse_args([*ARGUMENTS[:-1], "--state.fork", case["fork"], f"--state.reward={reward}"])
    t8n = T8N(options, io.StringIO(), io.StringIO(json.dumps(document)), cache)
    listed = {}
    if case.get("accesses"):
        with Recorder(t8n) as recorder:
            t8n.run_blockchain_test()
            recorder.start_end()
            recorder.end_part()
        listed = {"accessList": access_list(recorder), "accessed": accessed_by_part(recorder)}
    else:
        t8n.run_blockchain_test()
    result = t8n.result.to_json()
    return listed | {
        "stateRoot": result["stateRoot"],
        "logsHash": result["logsHash"],
        "gasUsed": int(result["gasUsed"], 16),
        "logsBloom": result["logsBloom"],
        "withdrawalsRoot": result.get("withdrawalsRoot"),
        "requestsHash": result.get("requestsHash"),
        "rejected": sorted(item["index"] for item in result["rejected"]),
        "blockException": result.get("blockException"),
        "receipts": [
            {
                "root": receipt.get("post_state"),
                "succeeded": receipt.get("succeeded"),
                "cumulativeGasUsed": int(receipt["cumulativeGasUsed"], 16),
                "bloom": receipt["bloom"],
                "logs": receipt["logs"],
            }
            for receipt in result["receipts"]
        ],
    }


def main():
    """Answers cases until stdin ends."""
    logging.disable(logging.CRITICAL)
    sys.setrecursionlimit(20000)
    parser = create_parser()
    answers = sys.stdout
    sys.stdout = sys.stderr
    with ForkCache() as cache:
        for line in sys.stdin:
            try:
                case = json.loads(line)
                if "steps" in case:
                    answer = run_chain(case)
                else:
                    answer = run_block(case, parser, cache) if "txs" in case else run(case, parser, cache)
            except Exception as error:  # whatever stops the specification is an answer, not the end of the run
                answer = {"crash": f"{type(error).__name__}: {error}"}
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
