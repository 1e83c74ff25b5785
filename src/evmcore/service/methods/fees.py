"""Gas prices, present and past."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from evmcore.blocks import Header
from evmcore.errors import BlockNotFound
from evmcore.forks import ChainConfig, Fork
from evmcore.headers import GAS_PER_BLOB, blob_base_fee, next_base_fee, next_excess_blob_gas
from evmcore.service.archive import ArchivedBlock
from evmcore.service.context import Context
from evmcore.service.method import rpc
from evmcore.service.parse import array, block_reference, quantity
from evmcore.service.prices import effective_gas_price
from evmcore.service.rpc_errors import SERVER_ERROR, InvalidParams, RpcError

# geth's oracle: takes the three lowest tips of each of the last 20 blocks, and of these the 60th percentile.
SAMPLED_BLOCKS: Final = 20
SAMPLED_TIPS: Final = 3
PERCENTILE: Final = 60
LEAST_TIP: Final = 2  # wei; lower tips are not counted
MOST_TIP: Final = 500 * 10**9
DEFAULT_TIP: Final = 10**9  # wei; if there are no transactions to learn from

MAX_HISTORY: Final = 1024
MAX_PERCENTILES: Final = 100


def tips(block: ArchivedBlock) -> list[int]:
    """The tips that the block's transactions paid above the base fee, in wei per gas."""
    base_fee = block.header.base_fee_per_gas
    return [effective_gas_price(tx, base_fee) - (base_fee or 0) for tx in block.transactions]


def suggested_tip(context: Context) -> int:
    """A priority fee, in wei per gas, that was enough in the last blocks."""
    archive = context.service.source.archive
    if archive is None:
        return DEFAULT_TIP
    head = context.pin().header.number
    sample: list[int] = []
    for number in range(head, max(head - SAMPLED_BLOCKS, -1), -1):
        block = archive.block(number)
        if block is not None:
            sample += sorted(tip for tip in tips(block) if tip >= LEAST_TIP)[:SAMPLED_TIPS]
    if not sample:
        return DEFAULT_TIP
    return min(sorted(sample)[(len(sample) - 1) * PERCENTILE // 100], MOST_TIP)


def fee_of_next(header: Header, chain: ChainConfig) -> int | None:
    """The base fee of the block after that header; None before London."""
    if header.base_fee_per_gas is None and chain.fork_at(header.number + 1, header.timestamp) < Fork.LONDON:
        return None
    return next_base_fee(header)


def blob_fee(header: Header, chain: ChainConfig) -> int | None:
    """The blob base fee of the block with that header; None before Cancun."""
    schedule = chain.blob_schedule_at(header.number, header.timestamp)
    if header.excess_blob_gas is None or schedule is None:
        return None
    return blob_base_fee(header.excess_blob_gas, schedule)


def blob_fee_of_next(header: Header, chain: ChainConfig) -> int | None:
    """The blob base fee of the block after that header, by the rules in force at that header's own time."""
    schedule = chain.blob_schedule_at(header.number, header.timestamp)
    if header.excess_blob_gas is None or schedule is None:
        return None
    fork = chain.fork_of(header.number, header.timestamp, header.difficulty)
    return blob_base_fee(next_excess_blob_gas(header, fork, schedule), schedule)


@rpc("eth_gasPrice", quick=False)
def gas_price(context: Context) -> str:
    return hex(suggested_tip(context) + (context.pin().header.base_fee_per_gas or 0))


@rpc("eth_maxPriorityFeePerGas", quick=False)
def max_priority_fee_per_gas(context: Context) -> str:
    return hex(suggested_tip(context))


@rpc("eth_baseFee")
def base_fee(context: Context) -> str | None:
    fee = fee_of_next(context.pin().header, context.service.source.chain)
    return None if fee is None else hex(fee)


@rpc("eth_blobBaseFee")
def blob_base_fee_now(context: Context) -> str | None:
    fee = blob_fee(context.pin().header, context.service.source.chain)
    return None if fee is None else hex(fee)


# ---- eth_feeHistory


@rpc("eth_feeHistory", required=2, quick=False)
def fee_history(context: Context, count: Any, newest: Any, percentiles: Any) -> dict[str, Any]:
    wanted = _count(count)
    levels = _percentiles(percentiles)
    head = context.pin().header.number
    asked = block_reference(newest, "1").block
    if isinstance(asked, int) and asked > head:
        raise RpcError(SERVER_ERROR, f"request beyond head block: requested {asked}, head {head}")
    last = context.pin_of(newest, "1").header
    number = min(wanted, MAX_HISTORY, last.number + 1)
    if number < 1:
        return {"oldestBlock": "0x0", "gasUsedRatio": []}
    chain = context.service.source.chain
    headers = _headers(context, last, number)
    blob_fees = [blob_fee(header, chain) for header in headers] + [blob_fee_of_next(last, chain)]
    answer: dict[str, Any] = {
        "oldestBlock": hex(headers[0].number),
        "baseFeePerGas": [hex(fee or 0) for fee in [*(h.base_fee_per_gas for h in headers), fee_of_next(last, chain)]],
        "gasUsedRatio": [header.gas_used / header.gas_limit if header.gas_limit else 0 for header in headers],
        "baseFeePerBlobGas": [hex(fee or 0) for fee in blob_fees],
        "blobGasUsedRatio": [_blob_ratio(header, chain) for header in headers],
    }
    if levels:
        answer["reward"] = [_rewards(context, header, levels) for header in headers]
    return answer


def _count(value: Any) -> int:
    """A JSON number, or a number as hexadecimal or decimal text."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**64:
        return value
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 20 and int(value) < 2**64:
        return int(value)
    return quantity(value, "0", 64)


def _percentiles(value: Any) -> list[float]:
    levels: list[float] = []
    for entry in [] if value is None else array(value, "2"):
        if isinstance(entry, bool) or not isinstance(entry, (int, float)):
            raise InvalidParams(f"invalid argument 2: expected numbers, got {entry!r:.40}")
        if not 0 <= entry <= 100:
            raise RpcError(SERVER_ERROR, f"invalid reward percentile: {float(entry):f}")
        if levels and entry <= levels[-1]:
            place = len(levels)
            raise RpcError(
                SERVER_ERROR,
                f"invalid reward percentile: #{place - 1}:{levels[-1]:f} >= #{place}:{float(entry):f}",
            )
        levels.append(entry)
    if len(levels) > MAX_PERCENTILES:
        raise RpcError(SERVER_ERROR, f"invalid reward percentile: over the query limit {MAX_PERCENTILES}")
    return levels


def _headers(context: Context, last: Header, count: int) -> list[Header]:
    """The headers of `count` blocks that end with `last`; fewer if older ones are not known."""
    archive = context.service.source.archive
    headers = [last]
    for number in range(last.number - 1, last.number - count, -1):
        if archive is not None:
            block = archive.block_by_hash(headers[-1].parent_hash)
            if block is None:
                break
            headers.append(block.header)
        else:
            try:
                headers.append(context.pin(number).header)
            except BlockNotFound:
                break
    return headers[::-1]


def _blob_ratio(header: Header, chain: ChainConfig) -> float:
    schedule = chain.blob_schedule_at(header.number, header.timestamp)
    if header.blob_gas_used is None or schedule is None or not schedule.max:
        return 0
    return header.blob_gas_used / (schedule.max * GAS_PER_BLOB)


def _rewards(context: Context, header: Header, levels: Sequence[float]) -> list[str]:
    """The tips paid at percentiles of the block's gas."""
    context.check_time()
    block = context.archive.block_by_hash(header.hash)
    if block is None or not block.transactions:
        return ["0x0"] * len(levels)
    paid = sorted(zip(tips(block), (receipt.gas_used for receipt in block.receipts), strict=True))
    rewards: list[str] = []
    place, total = 0, paid[0][1]
    for level in levels:
        threshold = int(header.gas_used * level / 100)
        while total < threshold and place < len(paid) - 1:
            place += 1
            total += paid[place][1]
        rewards.append(hex(paid[place][0]))
    return rewards
