"""The genesis of a chain that tests serve: one contract for each thing a call may do."""

from __future__ import annotations

from typing import Any

from tests.assembly import assemble, returning

GETTER = bytes(19) + b"\xc0"  # gives its first storage slot
SPINNER = bytes(19) + b"\xc1"  # never ends
REVERTER = bytes(19) + b"\xc2"
ENVIRONMENT = bytes(19) + b"\xc3"  # number, timestamp, base fee, gas price, balance of the sender, gas
RICH = bytes(19) + b"\xaa"

GENESIS: dict[str, Any] = {
    "config": {"chainId": 1337, "londonBlock": 0, "terminalTotalDifficulty": 0, "shanghaiTime": 0, "cancunTime": 0},
    "gasLimit": "0x1c9c380",
    "baseFeePerGas": "0x7",
    "timestamp": "0x64",
    "alloc": {
        "0x" + GETTER.hex(): {"balance": "0x0", "code": "0x" + returning("0 SLOAD").hex(), "storage": {"0x0": "0x2a"}},
        "0x" + SPINNER.hex(): {"balance": "0x0", "code": "0x" + assemble("start: @start JUMP").hex()},
        "0x" + REVERTER.hex(): {"balance": "0x0", "code": "0x" + assemble("0 0 REVERT").hex()},
        "0x" + ENVIRONMENT.hex(): {
            "balance": "0x0",
            "code": "0x" + returning("NUMBER", "TIMESTAMP", "BASEFEE", "GASPRICE", "CALLER BALANCE", "GAS").hex(),
        },
        "0x" + RICH.hex(): {"balance": hex(10**18)},
    },
}
