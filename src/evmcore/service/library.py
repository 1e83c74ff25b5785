"""Calls as a library: what `serve` does, without the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Final, TypeVar

from evmcore._results import CallResult
from evmcore._time_limit import TimeLimit
from evmcore.errors import InputError
from evmcore.estimates import AccessEstimate
from evmcore.service.calls import NO_OVERRIDES, Calls
from evmcore.service.context import Context
from evmcore.service.limits import Limits
from evmcore.service.parse import TAGS, CallObject, StateOverrides
from evmcore.service.source import Source, WouldBlock
from evmcore.service.state_source import StateSource
from evmcore.types import Account, to_address, to_bytes, to_hash, to_uint

__all__ = ["CallService"]

T = TypeVar("T")


class CallService(Calls):
    """Answers calls from a source, within limits: what `serve` does, as a library.

    `source`: a `Source`, or any state that `EVM` takes (see `StateSource`). Each call runs on one block, given by
    number, 32-byte hash or tag. Safe for use from several threads. `acall`, `aestimate_gas` and `acreate_access_list`
    are for asyncio; they leave the event loop free while a call runs long or waits for state, and cancelling them stops
    the call.
    """

    def __init__(self, source: Source | Any, limits: Limits | None = None) -> None:
        if not isinstance(limits, (Limits, type(None))):
            raise InputError(f"argument 'limits': expected Limits, got {type(limits).__name__}")
        super().__init__(
            source if hasattr(source, "pin") else StateSource(source), Limits() if limits is None else limits
        )

    def call(self, to: Any, data: Any = b"", **arguments: Any) -> CallResult:
        """Runs a call (eth_call). A call that reverts or halts is a result too, not an exception.

        - `to`: 20-byte address or 0x-hex, None to run `data` as init code; `data`: bytes or 0x-hex.
        - `block`: number, 32-byte hash or tag, by default "latest".
        - `sender`, `value` (wei), `gas`, `gas_price` or `max_fee_per_gas` and `max_priority_fee_per_gas` (wei per gas),
          `access_list`, `blob_hashes`, `max_fee_per_blob_gas`, `authorization_list`: fields of the transaction. The
          sender must own the value it sends and, if a price is given, the cost of the gas.
        - `overrides`: address to a mapping of balance, nonce, code, state or stateDiff, as in `EVM.call`;
          `block_overrides`: fields of `BlockEnv` that change.

        Raises `RpcError` for what eth_call answers with an error though no code ran, `BlockNotFound`,
        `StateNotAvailable`, `InputError`, `StateError`, and `ExecutionAborted` after the time limit.
        """
        return self._ask(self.run_call, to, data, arguments)

    def estimate_gas(self, to: Any, data: Any = b"", **arguments: Any) -> int:
        """The least gas limit with which a call succeeds; arguments as in `call`. `RpcError` when it fails with any."""
        return self._ask(self.estimate, to, data, arguments)

    def create_access_list(self, to: Any, data: Any = b"", **arguments: Any) -> AccessEstimate:
        """The access list of a call, with the run that uses it; arguments as in `call`."""
        return self._ask(self.access_list, to, data, arguments)

    async def acall(self, to: Any, data: Any = b"", **arguments: Any) -> CallResult:
        """`call` for asyncio."""
        return await self._ask_later(self.run_call, to, data, arguments)

    async def aestimate_gas(self, to: Any, data: Any = b"", **arguments: Any) -> int:
        """`estimate_gas` for asyncio."""
        return await self._ask_later(self.estimate, to, data, arguments)

    async def acreate_access_list(self, to: Any, data: Any = b"", **arguments: Any) -> AccessEstimate:
        """`create_access_list` for asyncio."""
        return await self._ask_later(self.access_list, to, data, arguments)

    def _ask(
        self,
        method: Callable[..., T],
        to: Any,
        data: Any,
        arguments: dict[str, Any],
        limit: TimeLimit | None = None,
        *,
        inline: bool = False,
    ) -> T:
        rest = dict(arguments)
        block = rest.pop("block", "latest")
        overrides = _overrides(rest.pop("overrides", None))
        changes = rest.pop("block_overrides", None)
        if not isinstance(changes, (Mapping, type(None))):
            raise InputError(
                f"argument 'block_overrides': expected a mapping of fields of BlockEnv, got {type(changes).__name__}"
            )
        call = _call_object(to, data, rest)
        with Context(self, inline=inline, whole=limit) as context:
            pin = context.pin(_block_id(block))
            return method(context, pin, call, overrides, changes or {})

    async def _ask_later(self, method: Callable[..., T], to: Any, data: Any, arguments: dict[str, Any]) -> T:
        try:
            return self._ask(method, to, data, arguments, inline=True)
        except WouldBlock:
            limit = TimeLimit()
        try:
            return await asyncio.to_thread(self._ask, method, to, data, arguments, limit)
        except asyncio.CancelledError:
            limit.stop()  # no caller waits for the result any more
            raise


# ---- arguments

_CALL_FIELDS: Final = frozenset(field.name for field in fields(CallObject)) - {"to", "data", "type", "chain_id"}


def _call_object(to: Any, data: Any, arguments: dict[str, Any]) -> CallObject:
    unknown = arguments.keys() - _CALL_FIELDS
    if unknown:
        raise InputError(
            f"unknown argument {min(unknown)!r}; besides block, overrides and block_overrides there are "
            f"{', '.join(sorted(_CALL_FIELDS))}"
        )
    values = dict(arguments)
    if values.get("sender") is not None:
        values["sender"] = to_address(values["sender"], "sender")
    bits = {"gas": 63, "nonce": 64}
    for name in (
        "gas",
        "gas_price",
        "max_fee_per_gas",
        "max_priority_fee_per_gas",
        "value",
        "nonce",
        "max_fee_per_blob_gas",
    ):
        if values.get(name) is not None:
            values[name] = to_uint(values[name], name, bits.get(name, 256))
    call = CallObject(to=None if to is None else to_address(to, "to"), data=to_bytes(data, "data"), **values)
    if call.gas_price is not None and (call.max_fee_per_gas, call.max_priority_fee_per_gas) != (None, None):
        raise InputError("give gas_price, or max_fee_per_gas and max_priority_fee_per_gas, not both")
    return call


def _overrides(value: Any) -> StateOverrides:
    if value is None:
        return NO_OVERRIDES
    if not isinstance(value, Mapping):
        raise InputError(f"argument 'overrides': expected a mapping of address to override, got {type(value).__name__}")
    accounts = {}
    for key, entry in value.items():
        if isinstance(entry, Account):
            entry = {"balance": entry.balance, "nonce": entry.nonce, "code": entry.code, "state": entry.storage}
        if not isinstance(entry, Mapping):
            raise InputError(f"argument 'overrides': {key!r:.60}: expected a mapping, got {type(entry).__name__}")
        accounts[to_address(key, "overrides: address")] = dict(entry)
    return StateOverrides(accounts)


def _block_id(value: Any) -> int | bytes | str:
    """A block as `Source.pin` takes it, from a number, a hash (bytes or 0x-hex) or a tag."""
    if value is None:
        return "latest"
    if isinstance(value, str) and len(value) != 66:
        return value if value in TAGS else to_uint(value, "block", 64)
    return to_uint(value, "block", 64) if isinstance(value, int) else to_hash(value, "block")
