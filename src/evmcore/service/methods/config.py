"""The forks of the chain (eth_config, EIP-7910), and the capabilities of this server (eth_capabilities)."""

from __future__ import annotations

import zlib
from typing import Any, Final

from evmcore.errors import BlockNotFound, StateNotAvailable
from evmcore.forks import Activation, ChainConfig, Fork
from evmcore.service.context import Context
from evmcore.service.method import rpc
from evmcore.service.rpc_errors import SERVER_ERROR, RpcError

# Name, number and first fork of each precompiled contract, with the names of EIP-7910.
PRECOMPILES: Final = (
    ("ECREC", 0x01, Fork.FRONTIER),
    ("SHA256", 0x02, Fork.FRONTIER),
    ("RIPEMD160", 0x03, Fork.FRONTIER),
    ("ID", 0x04, Fork.FRONTIER),
    ("MODEXP", 0x05, Fork.BYZANTIUM),
    ("BN254_ADD", 0x06, Fork.BYZANTIUM),
    ("BN254_MUL", 0x07, Fork.BYZANTIUM),
    ("BN254_PAIRING", 0x08, Fork.BYZANTIUM),
    ("BLAKE2F", 0x09, Fork.ISTANBUL),
    ("KZG_POINT_EVALUATION", 0x0A, Fork.CANCUN),
    ("BLS12_G1ADD", 0x0B, Fork.PRAGUE),
    ("BLS12_G1MSM", 0x0C, Fork.PRAGUE),
    ("BLS12_G2ADD", 0x0D, Fork.PRAGUE),
    ("BLS12_G2MSM", 0x0E, Fork.PRAGUE),
    ("BLS12_PAIRING_CHECK", 0x0F, Fork.PRAGUE),
    ("BLS12_MAP_FP_TO_G1", 0x10, Fork.PRAGUE),
    ("BLS12_MAP_FP2_TO_G2", 0x11, Fork.PRAGUE),
    ("P256VERIFY", 0x100, Fork.OSAKA),
)

SYSTEM_CONTRACTS: Final = (
    ("BEACON_ROOTS_ADDRESS", "0x000f3df6d732807ef1319fb7b8bb8522d0beac02", Fork.CANCUN),  # EIP-4788
    ("HISTORY_STORAGE_ADDRESS", "0x0000f90827f1c53a10cb7a02335b175320002935", Fork.PRAGUE),  # EIP-2935
    ("WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS", "0x00000961ef480eb55e80d19ad83579a64c007002", Fork.PRAGUE),  # EIP-7002
    ("CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS", "0x0000bbddc7ce488642fb579f8b00f3a590007251", Fork.PRAGUE),  # EIP-7251
)


def fork_id(genesis_hash: bytes, chain: ChainConfig, until: Activation, genesis_time: int = 0) -> bytes:
    """The fork hash of EIP-2124 and EIP-6122 for a chain that has had its forks up to `until`."""
    passed = chain.activations[: chain.activations.index(until) + 1]
    blocks = {a.block for a in passed if a.timestamp is None and a.block}
    times = {a.timestamp for a in passed if a.timestamp is not None and a.timestamp > genesis_time}
    checksum = zlib.crc32(genesis_hash)
    for point in (*sorted(blocks), *sorted(times)):
        checksum = zlib.crc32(point.to_bytes(8, "big"), checksum)
    return checksum.to_bytes(4, "big")


def _entry(context: Context, activation: Activation) -> dict[str, Any]:
    chain, fork = context.service.source.chain, activation.fork
    genesis = context.archive.block(0)
    if genesis is None:
        raise RpcError(SERVER_ERROR, "the genesis block is not kept here: no fork id can be told")
    contracts = {name: address for name, address, since in SYSTEM_CONTRACTS if fork >= since}
    if fork >= Fork.PRAGUE:
        contracts["DEPOSIT_CONTRACT_ADDRESS"] = "0x" + chain.deposit_contract.hex()
    time = activation.timestamp or 0
    schedule = chain.blob_schedule_at(activation.block or 0, time) if fork >= Fork.CANCUN else None
    return {
        "activationTime": time,
        "blobSchedule": None
        if schedule is None
        else {
            "target": schedule.target,
            "max": schedule.max,
            "baseFeeUpdateFraction": schedule.base_fee_update_fraction,
        },
        "chainId": hex(chain.chain_id),
        "forkId": "0x" + fork_id(genesis.hash, chain, activation, genesis.header.timestamp).hex(),
        "precompiles": {name: f"0x{number:040x}" for name, number, since in PRECOMPILES if fork >= since},
        "systemContracts": dict(sorted(contracts.items())),
    }


@rpc("eth_config")
def config(context: Context) -> dict[str, Any]:
    chain, head = context.service.source.chain, context.pin().header
    # Forks at the same time count as one: the last of them.
    points = [
        activation
        for activation, after in zip(chain.activations, [*chain.activations[1:], None], strict=True)
        if after is None or (after.block, after.timestamp) != (activation.block, activation.timestamp)
    ]
    current = next(
        (
            activation
            for activation in reversed(points)
            if (activation.timestamp is not None and activation.timestamp <= head.timestamp)
            or (activation.timestamp is None and activation.block is not None and activation.block <= head.number)
        ),
        points[0],
    )
    later = points[points.index(current) + 1 :]
    return {
        "current": _entry(context, current),
        "next": _entry(context, later[0]) if later else None,
        "last": _entry(context, later[-1]) if later else None,
    }


@rpc("eth_capabilities")
def capabilities(context: Context) -> dict[str, Any]:
    pin = context.pin()
    archive = context.service.source.archive
    blocks: dict[str, Any] = {"disabled": archive is None}
    if archive is not None:
        blocks["oldestBlock"] = "0x0"
    return {
        "head": {"number": hex(pin.header.number), "hash": "0x" + pin.block_hash.hex()},
        "state": {"disabled": False, "oldestBlock": hex(_oldest_state(context, pin.header.number))},
        "tx": dict(blocks),
        "logs": dict(blocks),
        "receipts": dict(blocks),
        "blocks": dict(blocks),
        "stateproofs": dict(blocks),
    }


def _oldest_state(context: Context, head: int) -> int:
    """The oldest block whose state can be pinned, found by bisection."""
    held, lost = head, -1
    while held - lost > 1:
        middle = (held + lost) // 2
        try:
            context.service.source.pin(middle).close()
            held = middle
        except (BlockNotFound, StateNotAvailable):
            lost = middle
    return held
