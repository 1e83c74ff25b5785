"""Rules of a block's body: its roots against the header, payments (withdrawals and rewards), requests.

Nothing here reads the state. Violations raise `InvalidBlock`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

from evmcore._hash import keccak256
from evmcore.blocks import EMPTY_OMMERS_HASH, Block, encode_withdrawal
from evmcore.errors import BlockReason, InvalidBlock
from evmcore.forks import Fork
from evmcore.headers import MAX_BLOCK_SIZE
from evmcore.rlp import encode_items
from evmcore.trie import ordered_root

ETHER: Final = 10**18
GWEI: Final = 10**9

DEPOSIT_EVENT: Final = bytes.fromhex("649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5")
_DEPOSIT_EVENT_SIZE: Final = 576
# Offset of each part in the event's data, and its size in bytes (EIP-6110): public key, withdrawal credentials, amount,
# signature, index.
_DEPOSIT_PARTS: Final = ((160, 48), (256, 32), (320, 8), (384, 96), (512, 8))


def check_body(block: Block, fork: Fork) -> None:
    """Checks ommers hash, withdrawals root and size (EIP-7934). `check_transactions_root` runs after the execution,
    because an invalid transaction is the more useful reason."""
    header = block.header
    if fork >= Fork.OSAKA:
        size = len(block.encode())
        if size > MAX_BLOCK_SIZE:
            raise InvalidBlock(
                BlockReason.RLP_BLOCK_LIMIT_EXCEEDED, f"{size} bytes of RLP, at most {MAX_BLOCK_SIZE} (EIP-7934)"
            )
    if fork >= Fork.PARIS and (block.ommers or header.ommers_hash != EMPTY_OMMERS_HASH):
        raise InvalidBlock(BlockReason.IMPORT_IMPOSSIBLE_UNCLES_OVER_PARIS, "ommers after the merge")
    ommers_hash = keccak256(encode_items([ommer.encode() for ommer in block.ommers]))
    if ommers_hash != header.ommers_hash:
        raise InvalidBlock(
            BlockReason.INVALID_UNCLES_HASH,
            f"ommers hash 0x{header.ommers_hash.hex()}, the ommers have 0x{ommers_hash.hex()}",
        )
    if (block.withdrawals is not None) != (fork >= Fork.SHANGHAI):
        raise InvalidBlock(
            BlockReason.INCORRECT_BLOCK_FORMAT,
            f"{'no withdrawals' if block.withdrawals is None else 'withdrawals'} in a block of {fork.title}",
        )
    if block.withdrawals is not None:
        withdrawals_root = ordered_root([encode_withdrawal(withdrawal) for withdrawal in block.withdrawals])
        if withdrawals_root != header.withdrawals_root:
            raise InvalidBlock(
                BlockReason.INVALID_WITHDRAWALS_ROOT,
                f"withdrawals root 0x{(header.withdrawals_root or b'').hex()}, "
                f"the withdrawals have 0x{withdrawals_root.hex()}",
            )


def check_transactions_root(block: Block, threads: int = 1) -> None:
    """Checks the root of the transactions trie, hashed on up to `threads` native threads."""
    root = ordered_root([transaction.encode() for transaction in block.transactions], threads)
    if root != block.header.transactions_root:
        raise InvalidBlock(
            BlockReason.INVALID_TRANSACTIONS_ROOT,
            f"transactions root 0x{block.header.transactions_root.hex()}, the transactions have 0x{root.hex()}",
        )


def block_reward(fork: Fork) -> int:
    """Reward for a proof-of-work block in wei: 5 ether, 3 from Byzantium (EIP-649), 2 from Constantinople (EIP-1234),
    none from Paris on."""
    if fork >= Fork.PARIS:
        return 0
    if fork >= Fork.CONSTANTINOPLE:
        return 2 * ETHER
    return (3 if fork >= Fork.BYZANTIUM else 5) * ETHER


def block_credits(block: Block, fork: Fork, reward: int | None = None) -> list[tuple[bytes, int]]:
    """The payments at the end of a block, as (address, wei) in order: withdrawals (EIP-4895), or the rewards for the
    block and its ommers. `reward` replaces the fork's block reward; if negative, there are no rewards."""
    if fork >= Fork.SHANGHAI:
        return [(withdrawal.address, withdrawal.amount * GWEI) for withdrawal in block.withdrawals or ()]
    if reward is None:
        reward = block_reward(fork)
    if fork >= Fork.PARIS or reward < 0:
        return []
    header = block.header
    credits = [(header.coinbase, reward + len(block.ommers) * (reward // 32))]
    credits += [(ommer.coinbase, reward * (8 + ommer.number - header.number) // 8) for ommer in block.ommers]
    return credits


def parse_deposit(data: bytes) -> bytes:
    """The deposit request (192 bytes) in the data of a deposit contract's event (EIP-6110)."""
    parts = []
    good = len(data) == _DEPOSIT_EVENT_SIZE
    for place, (offset, size) in enumerate(_DEPOSIT_PARTS):
        good = good and int.from_bytes(data[32 * place : 32 * place + 32], "big") == offset
        good = good and int.from_bytes(data[offset : offset + 32], "big") == size
        parts.append(data[offset + 32 : offset + 32 + size])
    if not good:
        raise InvalidBlock(
            BlockReason.INVALID_DEPOSIT_EVENT_LAYOUT,
            f"a deposit event of {len(data)} bytes does not have the layout of EIP-6110",
        )
    return b"".join(parts)


def join_requests(deposits: Sequence[bytes], withdrawals: bytes, consolidations: bytes) -> list[bytes]:
    """The requests of a block (EIP-7685): type byte and data, in order of type, empty ones left out."""
    by_type = (b"".join(deposits), withdrawals, consolidations)
    return [bytes((number,)) + data for number, data in enumerate(by_type) if data]


def requests_hash(requests: Iterable[bytes]) -> bytes:
    """EIP-7685: SHA-256 over the SHA-256 of each request."""
    return hashlib.sha256(b"".join([hashlib.sha256(request).digest() for request in requests])).digest()
