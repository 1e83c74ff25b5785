"""Converts the JSON values of a request to plain Python values: quantities, data, blocks, call objects, overrides.

The rules are as strict as geth's: numbers are 0x-hex without leading zeros, data has whole bytes, null means absent,
unknown fields are ignored. A malformed value raises `InvalidParams` (-32602) naming the field.
"""

from __future__ import annotations

from evmcore.service.parse.blocks import TAGS, BlockReference, block_reference
from evmcore.service.parse.calls import CallObject, access_list, authorization, call_object
from evmcore.service.parse.overrides import (
    BlockOverrides,
    StateOverrides,
    block_overrides,
    state_overrides,
    withdrawals,
)
from evmcore.service.parse.values import (
    address,
    array,
    boolean,
    data,
    hash32,
    json_object,
    params_of,
    plain_bytes,
    quantity,
    text,
    word,
)

__all__ = [
    "TAGS",
    "BlockOverrides",
    "BlockReference",
    "CallObject",
    "StateOverrides",
    "access_list",
    "address",
    "array",
    "authorization",
    "block_overrides",
    "block_reference",
    "boolean",
    "call_object",
    "data",
    "hash32",
    "json_object",
    "params_of",
    "plain_bytes",
    "quantity",
    "state_overrides",
    "text",
    "withdrawals",
    "word",
]
