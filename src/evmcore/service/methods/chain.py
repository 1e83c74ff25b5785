"""The chain and this server: ids, the head, versions."""

from __future__ import annotations

import platform
from typing import Any

from evmcore import __version__
from evmcore._hash import keccak256
from evmcore.service.context import Context
from evmcore.service.method import rpc
from evmcore.service.parse import data


@rpc("eth_chainId")
def chain_id(context: Context) -> str:
    return hex(context.service.source.chain.chain_id)


@rpc("net_version")
def net_version(context: Context) -> str:
    return str(context.service.source.chain.chain_id)


@rpc("eth_blockNumber")
def block_number(context: Context) -> str:
    return hex(context.pin().header.number)


@rpc("eth_syncing")
def syncing(context: Context) -> bool:
    return False


@rpc("eth_accounts")
def accounts(context: Context) -> list[str]:
    return []


@rpc("rpc_modules")
def modules(context: Context) -> dict[str, str]:
    from evmcore.service.methods import METHODS  # imported here: the table contains this method

    return dict.fromkeys(sorted({method.partition("_")[0] for method in METHODS}), "1.0")


@rpc("net_listening")
def listening(context: Context) -> bool:
    return True


@rpc("net_peerCount")
def peer_count(context: Context) -> str:
    return "0x0"


@rpc("web3_clientVersion")
def client_version(context: Context) -> str:
    return f"evmcore/{__version__}/{platform.system().lower()}-{platform.machine()}/python{platform.python_version()}"


@rpc("web3_sha3", required=1)
def sha3(context: Context, value: Any) -> str:
    return "0x" + keccak256(data(value, "0")).hex()
