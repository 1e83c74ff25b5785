"""Random transactions of each type, for what has to survive a round trip."""

from __future__ import annotations

import random
from typing import Any

from evmcore.transactions import Authorization, Transaction

KEY = 0x45A915E4D060149EB4365960E6A7A45F334393093061116B197E3240065FF2D8


def some_transaction(rng: random.Random, kind: int) -> Transaction:
    """An unsigned transaction of type `kind`, 0 to 4, with random fields of every length."""
    fields: dict[str, Any] = {
        "type": kind,
        "chain_id": rng.choice([1, 5, 2**63]) if kind else rng.choice([None, 1, 2**200]),
        "nonce": rng.getrandbits(rng.choice([0, 8, 64])),
        "gas_limit": rng.getrandbits(rng.choice([16, 63])),
        "to": rng.randbytes(20) if kind >= 3 or rng.random() < 0.8 else None,
        "value": rng.getrandbits(rng.choice([0, 7, 8, 256])),
        "data": rng.randbytes(rng.choice([0, 1, 4, 55, 56, 300])),
    }
    if kind < 2:
        fields["gas_price"] = rng.getrandbits(70)
    else:
        fields["max_fee_per_gas"] = rng.getrandbits(70)
        fields["max_priority_fee_per_gas"] = rng.getrandbits(60)
    if kind:
        fields["access_list"] = tuple(
            (rng.randbytes(20), tuple(rng.getrandbits(256) for _ in range(rng.randrange(3))))
            for _ in range(rng.randrange(3))
        )
    if kind == 3:
        fields["max_fee_per_blob_gas"] = rng.getrandbits(40)
        fields["blob_versioned_hashes"] = tuple(b"\x01" + rng.randbytes(31) for _ in range(rng.randrange(1, 4)))
    if kind == 4:
        fields["authorization_list"] = tuple(
            Authorization(rng.choice([0, 1]), rng.randbytes(20), rng.getrandbits(20)).sign(KEY + i)
            for i in range(rng.randrange(1, 3))
        )
    return Transaction(**fields)
