"""An empty block on a chain that has had Cancun's rules from its first block on."""

from __future__ import annotations

from evmcore import Block, ChainConfig, Fork, Header

CANCUN = ChainConfig.of_fork(Fork.CANCUN)
HEADER = Header(
    number=1,
    timestamp=12,
    gas_limit=10_000_000,
    base_fee_per_gas=0,
    withdrawals_root=bytes(32),
    blob_gas_used=0,
    excess_blob_gas=0,
    parent_beacon_block_root=bytes(32),
)
BLOCK = Block(HEADER, withdrawals=())
