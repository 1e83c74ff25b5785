"""The genesis of a chain whose service has a pool of transactions, and transactions signed by its account holders."""

from __future__ import annotations

from typing import Any

from evmcore import Transaction
from tests.service_client import Service

KEYS = [bytes(31) + bytes((number,)) for number in (1, 2, 3)]
SENDERS = [Transaction(chain_id=1, gas_price=0).sign(key).sender for key in KEYS]
TARGET = b"\x0c" * 20
ETHER = 10**18
GWEI = 10**9

GENESIS: dict[str, Any] = {
    "config": {
        "chainId": 7,
        **{
            f"{fork}Block": 0
            for fork in (
                "homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople", "petersburg", "istanbul",
                "berlin", "london",
            )
        },
        "mergeNetsplitBlock": 0, "terminalTotalDifficulty": 0, "shanghaiTime": 0, "cancunTime": 0,
    },
    "gasLimit": "0x1c9c380", "difficulty": "0x0", "timestamp": "0x0",
    "alloc": {sender.hex(): {"balance": hex(ETHER)} for sender in SENDERS if sender is not None},
}  # fmt: skip


def signed(nonce: int = 0, key: int = 0, tip: int = 1, **fields: Any) -> Transaction:
    """A payment of one wei to `TARGET` by the owner of `KEYS[key]`, with a tip of `tip` gwei."""
    values: dict[str, Any] = {"to": TARGET, "value": 1, "gas_limit": 21_000, "chain_id": 7, "nonce": nonce}
    values |= {"max_fee_per_gas": 10 * GWEI, "max_priority_fee_per_gas": tip * GWEI}
    return Transaction(**{**values, **fields}).sign(KEYS[key])


def send(served: Service, transaction: Transaction) -> str:
    """Gives a transaction to the pool, which takes it; returns its hash."""
    digest = served.result("eth_sendRawTransaction", "0x" + transaction.encode().hex())
    assert digest == "0x" + transaction.hash.hex()
    return str(digest)
