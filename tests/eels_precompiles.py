"""Runs in the environment of the executable specification: precompile calls as JSON lines in, their outcomes out.

In: `{"fork": module name, "number": int, "data": hex, "gas": int}`.
Out: `{"ok": bool, "left": int, "output": hex}`, or `{"absent": true}` where the fork has no such precompile.
"""

from __future__ import annotations

import importlib
import json
import sys
from types import SimpleNamespace
from typing import Any

from ethereum_types.bytes import Bytes, Bytes20
from ethereum_types.numeric import Uint


def outcome(fork: str, number: int, data: bytes, gas: int) -> dict[str, Any]:
    module = f"ethereum.forks.{fork}.vm"
    contracts = importlib.import_module(f"{module}.precompiled_contracts.mapping").PRE_COMPILED_CONTRACTS
    halt = importlib.import_module(f"{module}.exceptions").ExceptionalHalt
    contract = contracts.get(Bytes20(number.to_bytes(20, "big")))
    if contract is None:
        return {"absent": True}
    evm = SimpleNamespace(message=SimpleNamespace(data=Bytes(data)), gas_left=Uint(gas), output=b"")
    try:
        contract(evm)
    except halt:
        return {"ok": False, "left": 0, "output": ""}
    return {"ok": True, "left": int(evm.gas_left), "output": bytes(evm.output).hex()}


def main() -> None:
    for line in sys.stdin:
        case = json.loads(line)
        print(json.dumps(outcome(case["fork"], case["number"], bytes.fromhex(case["data"]), case["gas"])), flush=True)


if __name__ == "__main__":
    main()
