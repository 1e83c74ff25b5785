"""A peer that speaks the protocol of peers/README.md, with this package's own engine; told to, it misbehaves."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evmcore import EVM, Block, MemoryState, execute_block
from evmcore.blocks import Header
from evmcore.forks import CANCUN_BLOBS, Activation, ChainConfig, Fork
from evmcore.transactions import Authorization, Transaction

MISDEEDS = (
    "", "silent", "nameless", "no json", "other gas", "other output", "too few", "refuses", "dies", "no times",
)  # fmt: skip


def script(directory: Path, misdeed: str = "") -> Path:
    """A program in the directory that is this peer."""
    assert misdeed in MISDEEDS
    path = directory / f"peer {misdeed}".strip()
    path.write_text(f"#!{sys.executable}\nfrom tests.peer_program import main\nmain({misdeed!r})\n")
    path.chmod(0o755)
    return path


def transaction(fields: dict[str, Any], chain_id: int | str) -> Transaction:
    """The transaction of a request."""
    given = {name: value for name, value in fields.items() if value is not None}
    if given["type"]:
        given["chain_id"] = chain_id
    if "access_list" in given:
        given["access_list"] = [(entry["address"], entry["storage_keys"]) for entry in given["access_list"]]
    if "authorization_list" in given:
        given["authorization_list"] = [Authorization(**entry) for entry in given["authorization_list"]]
    return Transaction(**given)


def block_run(request: dict[str, Any]) -> Callable[[], list[int]]:
    """What executes the block of a request and gives the gas of its receipts."""
    fields = request["header"]
    fork = Fork.from_name(request["fork"])
    later: dict[str, Any] = {}  # what a header of the fork has besides, and no transaction sees
    if fork >= Fork.SHANGHAI:
        later["withdrawals_root"] = bytes(32)
    if fork >= Fork.CANCUN:
        later.update(blob_gas_used=0, excess_blob_gas=fields["excess_blob_gas"], parent_beacon_block_root=bytes(32))
    if fork >= Fork.PRAGUE:
        later["requests_hash"] = bytes(32)
    header = Header(
        number=fields["number"],
        timestamp=fields["timestamp"],
        coinbase=fields["coinbase"],
        gas_limit=fields["gas_limit"],
        difficulty=fields["difficulty"],
        mix_hash=fields["prev_randao"],
        base_fee_per_gas=fields["base_fee_per_gas"],
        **later,
    )
    transactions = tuple(transaction(fields, request["chain_id"]) for fields in request["transactions"])
    block = Block(header=header, transactions=transactions, withdrawals=() if later else None)
    chain = ChainConfig(request["chain_id"], (Activation(fork, block=0, timestamp=0, blob_schedule=CANCUN_BLOBS),))
    state = MemoryState(request["alloc"])
    hashes = {int(number, 16): block_hash for number, block_hash in request["block_hashes"].items()}

    def run() -> list[int]:
        result = execute_block(block, state, chain, block_hashes=hashes, validate=False, threads=request["threads"])
        return [receipt.gas_used for receipt in result.receipts]

    return run


def answer(request: dict[str, Any], kept: dict[str, Callable[[], Any]], misdeed: str) -> dict[str, Any]:
    if misdeed == "refuses":
        return {"error": "a fork that this engine lacks"}
    if request["do"] == "message":
        evm = EVM(MemoryState(request["alloc"]), fork=request["fork"])
        kept["run"] = lambda: evm.message(
            request["to"], request["data"], sender=request["sender"], gas=int(request["gas"], 16)
        )
        result = kept["run"]()
        output = result.output + (b"!" if misdeed == "other output" else b"")
        used = result.gas_used + (1 if misdeed == "other gas" else 0)
        return {"success": result.success, "output": "0x" + output.hex(), "gas_used": hex(used)}
    if request["do"] == "block":
        kept["run"] = block_run(request)
        gas_used = kept["run"]()
        if misdeed == "too few":
            gas_used.pop()
        return {"gas_used": [hex(gas + (1 if misdeed == "other gas" else 0)) for gas in gas_used]}
    wall, processor = [], []
    for _ in range(request["times"]):
        begun = time.perf_counter_ns(), time.thread_time_ns()
        kept["run"]()
        wall.append(time.perf_counter_ns() - begun[0])
        processor.append(time.thread_time_ns() - begun[1])
    return {"wall_ns": wall[1:] if misdeed == "no times" else wall, "cpu_ns": processor}


def main(misdeed: str) -> None:
    hello: dict[str, Any] = {"name": "itself", "version": "1", "does": ["message", "block"], "threads": True}
    if misdeed == "silent":
        return
    if misdeed == "nameless":
        del hello["name"]
    print(json.dumps(hello), flush=True)
    kept: dict[str, Callable[[], Any]] = {}
    for line in sys.stdin:
        if misdeed == "dies":
            sys.exit(3)
        print("{" if misdeed == "no json" else json.dumps(answer(json.loads(line), kept, misdeed)), flush=True)
