"""eth_getLogs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evmcore._hash import keccak256
from evmcore.service import render
from evmcore.service.archive import ArchivedBlock
from evmcore.service.context import Context
from evmcore.service.method import rpc
from evmcore.service.methods.blocks import find
from evmcore.service.parse import address, array, hash32, json_object, quantity
from evmcore.service.rpc_errors import SERVER_ERROR, InvalidParams, RpcError
from evmcore.types import Log

MAX_TOPICS = 4
MAX_CHOICES = 1000  # addresses, or topics in one place


@rpc("eth_getLogs", required=1, quick=False)
def get_logs(context: Context, filter_object: Any) -> list[dict[str, Any]]:
    item = json_object(filter_object, "0")
    addresses = _addresses(item.get("address"))
    topics = _topics(item.get("topics"))
    found: list[dict[str, Any]] = []
    most = context.service.limits.logs
    for block in _blocks(context, item):
        context.check_time()
        if not _bloom_admits(block.header.logs_bloom, addresses, topics):
            continue
        for index, receipt in enumerate(block.receipts):
            for place, log in enumerate(receipt.logs, block.first_log[index]):
                if _matches(log, addresses, topics):
                    if len(found) == most:
                        raise RpcError(SERVER_ERROR, f"query returned more than {most} results")
                    digest = block.transactions[index].hash
                    found.append(render.log_json(log, block.header, digest, index, place))
    return found


def _blocks(context: Context, item: dict[str, Any]) -> Iterator[ArchivedBlock]:
    if "blockHash" in item:
        if "fromBlock" in item or "toBlock" in item:
            raise InvalidParams("cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other")
        block = context.archive.block_by_hash(hash32(item["blockHash"], "blockHash"))
        if block is None:
            raise RpcError(SERVER_ERROR, "unknown block")
        context.answer_header = block.header
        return iter((block,))
    head = context.pin().header.number
    first, last = (_number(context, item.get(name), name, head) for name in ("fromBlock", "toBlock"))
    if first > last:
        raise InvalidParams("invalid block range params")
    if last > head:
        raise InvalidParams("block range extends beyond current head block")
    most = context.service.limits.log_blocks
    if last - first >= most:
        raise InvalidParams(f"exceed maximum block range: {most}")
    archive = context.archive
    found = (archive.block(number) for number in range(first, last + 1))
    return (block for block in found if block is not None)


def _number(context: Context, value: Any, name: str, head: int) -> int:
    if value is None:
        return head
    if isinstance(value, str) and value.startswith("0x"):
        return quantity(value, name, 63)
    block = find(context, value, name)
    assert block is not None  # tags always name a block
    return block.header.number


def _addresses(value: Any) -> frozenset[bytes] | None:
    if value is None:
        return None
    entries = value if isinstance(value, list) else [value]
    if len(entries) > MAX_CHOICES:
        raise InvalidParams(f"exceed max addresses: {MAX_CHOICES}")
    return frozenset(address(entry, "address") for entry in entries) or None


def _topics(value: Any) -> list[frozenset[bytes] | None]:
    """For each position the topics that match there; None for any."""
    places = [] if value is None else array(value, "topics")
    if len(places) > MAX_TOPICS:
        raise InvalidParams("exceed max topics")
    topics: list[frozenset[bytes] | None] = []
    for place, entry in enumerate(places):
        choices = entry if isinstance(entry, list) else [entry]
        if len(choices) > MAX_CHOICES:
            raise InvalidParams("exceed max topics")
        if None in choices:
            topics.append(None)
        else:
            topics.append(frozenset(hash32(choice, f"topics[{place}]") for choice in choices) or None)
    return topics


def _matches(log: Log, addresses: frozenset[bytes] | None, topics: list[frozenset[bytes] | None]) -> bool:
    if addresses is not None and log.address not in addresses:
        return False
    if len(topics) > len(log.topics):
        return False
    return all(choices is None or topic in choices for choices, topic in zip(topics, log.topics, strict=False))


def _bloom_admits(bloom: bytes, addresses: frozenset[bytes] | None, topics: list[frozenset[bytes] | None]) -> bool:
    """Whether a block with that bloom may contain matching logs (yellow paper, 4.3.1)."""
    if not any(bloom):
        return False
    wanted = [choices for choices in (addresses, *topics) if choices is not None]
    bits = int.from_bytes(bloom, "big")
    return all(any(_in_bloom(bits, choice) for choice in choices) for choices in wanted)


def _in_bloom(bits: int, value: bytes) -> bool:
    digest = keccak256(value)
    return all(bits >> (int.from_bytes(digest[at : at + 2], "big") & 2047) & 1 for at in (0, 2, 4))
