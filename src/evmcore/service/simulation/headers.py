"""The headers of simulated blocks: before the calls the fields that the calls see, after them the results."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from evmcore._block_result import BlockResult
from evmcore.blocks import EMPTY_TRIE_ROOT, Block, Header, encode_withdrawal
from evmcore.errors import InputError
from evmcore.forks import ChainConfig, Fork
from evmcore.headers import next_base_fee, next_excess_blob_gas
from evmcore.service.parse import BlockOverrides
from evmcore.service.rpc_errors import SERVER_ERROR, InvalidParams, RpcError
from evmcore.trie import ordered_root

__all__ = ["begun_block", "finished_block", "fork_of_next"]


def fork_of_next(chain: ChainConfig, parent: Header, number: int, timestamp: int) -> Fork:
    """The fork in force in a block of that number and time on `parent`; after the merge it is never an earlier one."""
    fork = chain.fork_at(number, timestamp)
    return max(fork, Fork.PARIS) if parent.difficulty == 0 and parent.number > 0 else fork


def begun_block(chain: ChainConfig, parent: Header, changes: BlockOverrides, validation: bool) -> tuple[Block, Fork]:
    """The block that `changes` describe on `parent`, as its calls see it, and its fork.

    Missing fields are taken from the parent (beneficiary, gas limit), are zero (mix hash, extra data), or follow from
    the parent (blob gas). With `validation` the base fee follows from the parent too; without, it is zero, so that
    calls need no price.
    """
    assert changes.number is not None and changes.time is not None
    number, time = changes.number, changes.time
    fork = fork_of_next(chain, parent, number, time)
    fields: dict[str, Any] = {}
    if fork >= Fork.LONDON:
        fee = changes.base_fee_per_gas
        if fee is None:
            fee = next_base_fee(parent) if validation else 0
        fields["base_fee_per_gas"] = fee
    if fork >= Fork.SHANGHAI:
        fields["withdrawals_root"] = EMPTY_TRIE_ROOT
    elif changes.withdrawals:
        raise RpcError(SERVER_ERROR, "withdrawals set before Shanghai activation")
    if fork >= Fork.CANCUN:
        schedule = chain.blob_schedule_at(number, time)
        assert schedule is not None  # every fork from Cancun on has one
        before = parent.excess_blob_gas is not None
        fields["blob_gas_used"] = 0
        fields["excess_blob_gas"] = next_excess_blob_gas(parent, fork, schedule) if before else 0
        fields["parent_beacon_block_root"] = changes.beacon_root or bytes(32)
    if fork >= Fork.PRAGUE:
        fields["requests_hash"] = bytes(32)
    difficulty = 0 if fork >= Fork.PARIS else parent.difficulty
    try:
        header = Header(
            parent_hash=parent.hash,
            coinbase=parent.coinbase if changes.fee_recipient is None else changes.fee_recipient,
            difficulty=difficulty if changes.difficulty is None else changes.difficulty,
            number=number,
            gas_limit=parent.gas_limit if changes.gas_limit is None else changes.gas_limit,
            timestamp=time,
            mix_hash=bytes(32) if changes.prev_randao is None else changes.prev_randao,
            **fields,
        )
    except InputError as error:
        raise InvalidParams(f"blockOverrides: {error}") from error
    withdrawals = (changes.withdrawals or ()) if fork >= Fork.SHANGHAI else None
    return Block(header, withdrawals=withdrawals), fork


def finished_block(block: Block, result: BlockResult, state_root: bytes) -> Block:
    """The block with all header fields that result from executing it."""
    fields: dict[str, Any] = {}
    if block.withdrawals is not None:
        fields["withdrawals_root"] = ordered_root([encode_withdrawal(entry) for entry in block.withdrawals])
    if block.header.blob_gas_used is not None:
        fields["blob_gas_used"] = result.blob_gas_used
    if result.requests_hash is not None:
        fields["requests_hash"] = result.requests_hash
    header = replace(
        block.header,
        state_root=state_root,
        transactions_root=ordered_root([transaction.encode() for transaction in block.transactions]),
        receipts_root=result.receipts_root or EMPTY_TRIE_ROOT,
        logs_bloom=result.logs_bloom,
        gas_used=result.gas_used,
        **fields,
    )
    return replace(block, header=header)
