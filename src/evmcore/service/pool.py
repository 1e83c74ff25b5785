"""A pool of transactions that wait for a block: checked as geth checks them, kept in this process, never broadcast."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from evmcore import rlp
from evmcore._prepared import intrinsic_gas_of
from evmcore.blocks import Header
from evmcore.errors import InvalidTransaction, RlpError
from evmcore.forks import ChainConfig, Fork
from evmcore.service.prices import fee_cap, most_cost, tip_cap
from evmcore.service.rpc_errors import SERVER_ERROR, RpcError
from evmcore.transaction_rlp import BLOB, DYNAMIC_FEE, LEGACY, SET_CODE
from evmcore.transactions import MAX_INIT_CODE_SIZE, MAX_TX_GAS, Transaction

__all__ = ["PoolLimits", "Pooled", "TransactionPool", "decode_pooled"]

BLOB_SIZE: Final = 131_072
COMMITMENT_SIZE: Final = 48  # bytes, also of a proof
CELLS: Final = 128  # proofs of a blob from Osaka on (EIP-7594)
PRICE_BUMP: Final = 10  # percent, for a replacement
FIRST_FORK: Final = {LEGACY: Fork.FRONTIER, 1: Fork.BERLIN, DYNAMIC_FEE: Fork.LONDON, BLOB: Fork.CANCUN,
                     SET_CODE: Fork.PRAGUE}  # fmt: skip

Account = Callable[[bytes], tuple[int, int]]
"""Nonce and balance (wei) of an address at the head."""


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """`transactions` in all, `per_account`, `size` in bytes of one transaction (without blobs), `fee`: the most wei
    that a transaction may cost, which protects against mistyped prices."""

    transactions: int = 5120
    per_account: int = 64
    size: int = 128 * 1024
    fee: int = 10**18


@dataclass(frozen=True, slots=True)
class Pooled:
    """A transaction with its sender and, for a blob transaction, its sidecar: blobs, commitments, proofs."""

    transaction: Transaction
    sender: bytes
    blobs: tuple[bytes, ...] = ()
    commitments: tuple[bytes, ...] = ()
    proofs: tuple[bytes, ...] = ()

    @property
    def cost(self) -> int:
        """The most that the sender pays, in wei."""
        return most_cost(self.transaction)


def _refuse(message: str) -> RpcError:
    return RpcError(SERVER_ERROR, message)


def decode_pooled(data: bytes) -> tuple[Transaction, tuple[bytes, ...], tuple[bytes, ...], tuple[bytes, ...]]:
    """A transaction as it is sent to a pool, with the blobs, commitments and proofs of a blob transaction
    (EIP-4844's and EIP-7594's network forms). Raises `RpcError`."""
    try:
        if data[:1] == b"\x03":
            parts = rlp.decode_list(rlp.decode(data[1:]), "blob transaction")
            if parts and isinstance(parts[0], list):
                return _with_sidecar(parts)
        return Transaction.decode(data), (), (), ()
    except (InvalidTransaction, RlpError) as error:
        raise _refuse(str(error)) from error


def _with_sidecar(
    parts: list[rlp.Item],
) -> tuple[Transaction, tuple[bytes, ...], tuple[bytes, ...], tuple[bytes, ...]]:
    versioned = len(parts) == 5
    if versioned and parts[1] != b"\x01":
        raise _refuse("blob transaction: unknown version of the sidecar")
    if len(parts) not in (4, 5):
        raise _refuse(f"blob transaction: expected 4 or 5 parts, got {len(parts)}")
    transaction = Transaction.decode(b"\x03" + rlp.encode(parts[0]))
    blobs, commitments, proofs = (_strings(part, name) for part, name in zip(parts[-3:], _PARTS, strict=True))
    count = len(transaction.blob_versioned_hashes)
    if len(blobs) != count or len(commitments) != count:
        raise _refuse(f"invalid number of {len(blobs)} blobs compared to {count} blob hashes")
    if len(proofs) != count * (CELLS if versioned else 1):
        raise _refuse(f"invalid number of {len(proofs)} blob proofs for {count} blobs")
    for entries, size, name in zip((blobs, commitments, proofs), (BLOB_SIZE, COMMITMENT_SIZE, COMMITMENT_SIZE), _PARTS,
                                   strict=True):  # fmt: skip
        if any(len(entry) != size for entry in entries):
            raise _refuse(f"blob transaction: {name} have {size} bytes each")
    for commitment, expected in zip(commitments, transaction.blob_versioned_hashes, strict=True):
        if b"\x01" + hashlib.sha256(commitment).digest()[1:] != expected:
            raise _refuse(f"blob hash mismatch: the commitment 0x{commitment.hex()} is not of 0x{expected.hex()}")
    return transaction, blobs, commitments, proofs


_PARTS: Final = ("blobs", "commitments", "proofs")


def _strings(part: rlp.Item, name: str) -> tuple[bytes, ...]:
    return tuple(entry for entry in rlp.decode_list(part, name) if isinstance(entry, bytes))


class TransactionPool:
    """Transactions by sender and nonce. Safe for use from several threads.

    Transactions are never broadcast, and only testing_buildBlockV1 takes transactions from the pool. The proofs of
    blobs are not verified, their commitments are.
    """

    def __init__(self, limits: PoolLimits | None = None) -> None:
        self.limits = PoolLimits() if limits is None else limits
        self._lock = threading.Lock()
        self._by_sender: dict[bytes, dict[int, Pooled]] = {}

    def add(self, data: bytes, chain: ChainConfig, head: Header, account: Account) -> bytes:
        """Checks and adds an encoded transaction; returns its hash. Raises `RpcError` with geth's text."""
        transaction, blobs, commitments, proofs = decode_pooled(data)
        fork = chain.fork_of(head.number, head.timestamp, head.difficulty)
        self._check(transaction, len(data) - sum(map(len, blobs)), chain, fork, head)
        try:
            sender = transaction.recover_sender(fork, chain.chain_id)
        except InvalidTransaction as error:
            raise _refuse(f"invalid sender: {error}") from error
        pooled = Pooled(replace(transaction, sender=sender), sender, blobs, commitments, proofs)
        nonce, balance = account(sender)
        if transaction.nonce < nonce:
            raise _refuse(f"nonce too low: next nonce {nonce}, tx nonce {transaction.nonce}")
        with self._lock:
            self._insert(pooled, nonce, balance)
        return transaction.hash

    def _check(self, tx: Transaction, size: int, chain: ChainConfig, fork: Fork, head: Header) -> None:
        """The checks that need no state."""
        limits = self.limits
        if fork < FIRST_FORK[tx.type]:
            raise _refuse(f"transaction type not supported: type {tx.type} rejected, pool not yet in its fork")
        if tx.chain_id is None:
            raise _refuse("only replay-protected (EIP-155) transactions allowed over RPC")
        if size > limits.size:
            raise _refuse(f"oversized data: transaction size {size}, limit {limits.size}")
        if tx.gas_limit * fee_cap(tx) > limits.fee:
            fee, cap = tx.gas_limit * fee_cap(tx) / 10**18, limits.fee / 10**18
            raise _refuse(f"tx fee ({fee:.2f} ether) exceeds the configured cap ({cap:.2f} ether)")
        if tx.to is None and fork >= Fork.SHANGHAI and len(tx.data) > MAX_INIT_CODE_SIZE:
            raise _refuse(f"max initcode size exceeded: code size {len(tx.data)}, limit {MAX_INIT_CODE_SIZE}")
        if tx.gas_limit > head.gas_limit:
            raise _refuse("exceeds block gas limit")
        if fork >= Fork.OSAKA and tx.gas_limit > MAX_TX_GAS:
            raise _refuse(f"transaction gas limit too high (cap: {MAX_TX_GAS}, tx: {tx.gas_limit})")
        if tip_cap(tx) > fee_cap(tx):
            raise _refuse("max priority fee per gas higher than max fee per gas")
        intrinsic, floor = intrinsic_gas_of(tx, fork.revision)
        if tx.gas_limit < intrinsic:
            raise _refuse(f"intrinsic gas too low: gas {tx.gas_limit}, minimum needed {intrinsic}")
        if tx.gas_limit < floor:
            raise _refuse(f"insufficient gas for floor data gas cost: gas {tx.gas_limit}, minimum needed {floor}")
        if tx.type == BLOB and (tx.to is None or not tx.blob_versioned_hashes):
            raise _refuse("blob transaction of type create" if tx.to is None else "blobless blob transaction")
        if tx.type == SET_CODE and (tx.to is None or not tx.authorization_list):
            raise _refuse("set code tx must have at least one authorization tuple and an address to call")

    def _insert(self, pooled: Pooled, nonce: int, balance: int) -> None:
        tx = pooled.transaction
        waiting = self._by_sender.get(pooled.sender, {})
        waiting = {place: entry for place, entry in waiting.items() if place >= nonce}
        known = waiting.get(tx.nonce)
        if known is not None:
            if known.transaction.hash == tx.hash:
                raise _refuse("already known")
            for get in (fee_cap, tip_cap):
                if get(tx) * 100 < get(known.transaction) * (100 + PRICE_BUMP):
                    raise _refuse("replacement transaction underpriced")
        elif len(waiting) >= self.limits.per_account:
            raise _refuse(f"txpool is full: {len(waiting)} transactions of this account wait")
        elif sum(map(len, self._by_sender.values())) >= self.limits.transactions:
            raise _refuse("txpool is full")
        queued = sum(entry.cost for place, entry in waiting.items() if place != tx.nonce)
        if balance < queued + pooled.cost:
            raise _refuse(
                f"insufficient funds for gas * price + value: balance {balance}, queued cost {queued}, "
                f"tx cost {pooled.cost}, overshot {queued + pooled.cost - balance}"
            )
        self._by_sender[pooled.sender] = {**waiting, tx.nonce: pooled}

    # ---- content

    def next_nonce(self, sender: bytes, nonce: int) -> int:
        """The nonce of the sender's next transaction: `nonce`, the chain's, or the first one after the waiting
        transactions that follow it without a gap."""
        with self._lock:
            waiting = self._by_sender.get(sender, {})
            while nonce in waiting:
                nonce += 1
        return nonce

    def content(self, account: Account) -> tuple[dict[bytes, list[Pooled]], dict[bytes, list[Pooled]]]:
        """(pending, queued) by sender in the order of nonces: transactions that could be in the next block, and those
        after a gap. Transactions that the chain has included are dropped."""
        pending: dict[bytes, list[Pooled]] = {}
        queued: dict[bytes, list[Pooled]] = {}
        with self._lock:
            for sender in list(self._by_sender):
                nonce = account(sender)[0]
                waiting = {place: entry for place, entry in self._by_sender[sender].items() if place >= nonce}
                if not waiting:
                    del self._by_sender[sender]
                    continue
                self._by_sender[sender] = waiting
                for place in sorted(waiting):
                    if place == nonce:
                        pending.setdefault(sender, []).append(waiting[place])
                        nonce += 1
                    else:
                        queued.setdefault(sender, []).append(waiting[place])
        return pending, queued
