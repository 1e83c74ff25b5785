"""The block parameter: a number, a tag, a hash, or the object of EIP-1898."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from evmcore.service.parse.values import boolean, hash32, json_object, quantity, refuse, shown

TAGS: Final = frozenset({"latest", "earliest", "pending", "safe", "finalized"})


class BlockReference(NamedTuple):
    """A block by number, 32-byte hash or tag, as `Source.pin` takes it; with a hash, whether it has to be canonical."""

    block: int | bytes | str
    require_canonical: bool = False


def block_reference(value: Any, name: str = "block", default: str = "latest") -> BlockReference:
    """A block number, a tag, a 32-byte hash, or the object of EIP-1898; `default` if it is missing."""
    if value is None:
        return BlockReference(default)
    if isinstance(value, Mapping):
        return _block_object(json_object(value, name), name)
    if not isinstance(value, str):
        refuse(name, f"expected a block number, hash or tag, got {shown(value)}")
    if value in TAGS:
        return BlockReference(value)
    if len(value) == 66:
        return BlockReference(hash32(value, name))
    number = quantity(value, name, 64)
    if number >= 2**63:
        refuse(name, "block number larger than int64")
    return BlockReference(number)


def _block_object(item: dict[str, Any], name: str) -> BlockReference:
    if "blockHash" in item and "blockNumber" in item:
        refuse(name, "cannot specify both BlockHash and BlockNumber, choose one or the other")
    canonical = boolean(item.get("requireCanonical", False), f"{name}.requireCanonical")
    if "blockHash" in item:
        return BlockReference(hash32(item["blockHash"], f"{name}.blockHash"), canonical)
    if "blockNumber" in item:
        number = block_reference(item["blockNumber"], f"{name}.blockNumber")
        if isinstance(number.block, bytes):
            refuse(f"{name}.blockNumber", "expected a number or tag, got a hash")
        return number
    refuse(name, "expected blockHash or blockNumber")
