"""Builds the child of a block from given transactions, or from those of a pool (testing_buildBlockV1)."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from evmcore._session import Session
from evmcore._time_limit import TimeLimit
from evmcore.blocks import Block, Header
from evmcore.errors import InvalidTransaction
from evmcore.forks import ChainConfig
from evmcore.headers import MAX_EXTRA_DATA, MIN_GAS_LIMIT
from evmcore.service.parse import BlockOverrides
from evmcore.service.pool import Pooled
from evmcore.service.prices import effective_gas_price
from evmcore.service.render import data, withdrawal_json
from evmcore.service.roots import ArchiveRoots
from evmcore.service.rpc_errors import SERVER_ERROR, RpcError
from evmcore.service.simulation.headers import begun_block, finished_block
from evmcore.state import Backend

__all__ = ["BuiltBlock", "build_block", "next_gas_limit", "payload_json"]

GAS_TARGET: Final = 60_000_000  # geth's default, towards which gas limits move


@dataclass(frozen=True, slots=True)
class BuiltBlock:
    """A block, its beneficiary's income in wei, its requests (EIP-7685), and its transactions in pooled form."""

    block: Block
    value: int
    requests: tuple[bytes, ...]
    pooled: tuple[Pooled, ...]


def next_gas_limit(parent: int, wanted: int = GAS_TARGET) -> int:
    """The gas limit nearest to `wanted` that a block may have if its parent's limit is `parent`."""
    step = parent // 1024 - 1
    wanted = max(wanted, MIN_GAS_LIMIT)
    return min(parent + step, wanted) if parent < wanted else max(parent - step, wanted)


def build_block(
    backend: Backend,
    chain: ChainConfig,
    parent: Header,
    block_hashes: Mapping[int, bytes],
    attributes: BlockOverrides,
    extra_data: bytes,
    *,
    given: Sequence[Pooled] | None = None,
    pending: Mapping[bytes, Sequence[Pooled]] | None = None,
    timeout: float | TimeLimit | None = None,
    roots: ArchiveRoots | None = None,
) -> BuiltBlock:
    """The block on `parent`, whose state is `backend`, with exactly the transactions `given`, or with those of
    `pending` that pay most and fit. `attributes`: time, beneficiary, prevrandao, withdrawals, beacon root.

    `roots`: computes the state root if `backend` cannot. Raises `RpcError` for given transactions that may not be in
    the block, and `InvalidBlock`.
    """
    if len(extra_data) > MAX_EXTRA_DATA:
        raise RpcError(SERVER_ERROR, f"extra data has {len(extra_data)} bytes, at most {MAX_EXTRA_DATA}")
    if attributes.time is None or attributes.time <= parent.timestamp:
        raise RpcError(SERVER_ERROR, f"invalid timestamp, parent {parent.timestamp} given {attributes.time}")
    changes = replace(attributes, number=parent.number + 1, gas_limit=next_gas_limit(parent.gas_limit))
    begun, fork = begun_block(chain, parent, changes, True)
    begun = replace(begun, header=replace(begun.header, extra_data=extra_data))
    session = Session(backend, chain, timeout=timeout)
    session.begin_block(begun, fork=fork, block_hashes={**block_hashes, parent.number: parent.hash})
    base_fee = begun.header.base_fee_per_gas or 0
    included: list[Pooled] = []
    value = 0
    choice = _Choice(pending or {}, base_fee) if given is None else None
    for pooled in choice or given or ():
        tx = pooled.transaction
        try:
            result = session.run(tx)
        except InvalidTransaction as error:
            if choice is None:
                raise RpcError(
                    SERVER_ERROR, f"transaction 0x{tx.hash.hex()} cannot be in the block: {error}"
                ) from error
            choice.drop(pooled)
            continue
        included.append(pooled)
        value += result.gas_used * (effective_gas_price(tx, base_fee) - base_fee)
    begun = replace(begun, transactions=tuple(pooled.transaction for pooled in included))
    outcome = session.end_block(begun)
    if roots is None or hasattr(backend, "state_root"):
        root = outcome.state_root()
    else:
        root = roots(outcome.diff)
        roots.check()
    block = finished_block(begun, outcome, root)
    return BuiltBlock(block, value, tuple(outcome.requests or ()), tuple(included))


class _Choice:
    """Transactions of a pool, highest tip first; those of one sender in the order of their nonces."""

    def __init__(self, pending: Mapping[bytes, Sequence[Pooled]], base_fee: int) -> None:
        self._pending = pending
        self._base_fee = base_fee
        self._dropped: set[bytes] = set()

    def drop(self, pooled: Pooled) -> None:
        """Drops a transaction and the sender's later ones, which cannot be included without it."""
        self._dropped.add(pooled.sender)

    def __iter__(self) -> Iterator[Pooled]:
        heads = [entry for sender in self._pending for entry in self._ranked(sender, 0)]
        heapq.heapify(heads)
        while heads:
            _, _, sender, place = heapq.heappop(heads)
            yield self._pending[sender][place]
            if sender not in self._dropped:
                for entry in self._ranked(sender, place + 1):
                    heapq.heappush(heads, entry)

    def _ranked(self, sender: bytes, place: int) -> Iterator[tuple[int, bytes, bytes, int]]:
        if place < len(self._pending[sender]):
            tx = self._pending[sender][place].transaction
            tip = effective_gas_price(tx, self._base_fee) - self._base_fee
            if tip >= 0:
                yield -tip, tx.hash, sender, place


def payload_json(built: BuiltBlock) -> dict[str, Any]:
    """The answer of engine_getPayload for a block."""
    header = built.block.header
    payload: dict[str, Any] = {
        "parentHash": data(header.parent_hash),
        "feeRecipient": data(header.coinbase),
        "stateRoot": data(header.state_root),
        "receiptsRoot": data(header.receipts_root),
        "logsBloom": data(header.logs_bloom),
        "prevRandao": data(header.mix_hash),
        "blockNumber": hex(header.number),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "extraData": data(header.extra_data),
        "baseFeePerGas": hex(header.base_fee_per_gas or 0),
        "blockHash": data(header.hash),
        "transactions": [data(tx.encode()) for tx in built.block.transactions],
    }
    if built.block.withdrawals is not None:
        payload["withdrawals"] = [withdrawal_json(entry) for entry in built.block.withdrawals]
    if header.blob_gas_used is not None:
        payload["blobGasUsed"] = hex(header.blob_gas_used)
        payload["excessBlobGas"] = hex(header.excess_blob_gas or 0)
    return {
        "executionPayload": payload,
        "blockValue": hex(built.value),
        "blobsBundle": {
            "commitments": [data(entry) for pooled in built.pooled for entry in pooled.commitments],
            "proofs": [data(entry) for pooled in built.pooled for entry in pooled.proofs],
            "blobs": [data(entry) for pooled in built.pooled for entry in pooled.blobs],
        },
        "executionRequests": [data(entry) for entry in built.requests],
        "shouldOverrideBuilder": False,
    }
