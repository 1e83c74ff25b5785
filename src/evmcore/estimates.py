"""Estimates that take several runs of one call: how much gas it needs, and which accounts and slots it accesses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from evmcore._hash import keccak256
from evmcore._overlay import account_fields
from evmcore._results import CallResult
from evmcore._time_limit import TimeLimit
from evmcore.errors import InputError, InvalidTransaction
from evmcore.forks import Fork
from evmcore.rlp import encode
from evmcore.state._view import read_account
from evmcore.state.adapter import as_backend
from evmcore.tracing._access import AccessListTracer
from evmcore.transactions import MAX_TX_GAS, to_access_list
from evmcore.types import BlockEnv, to_address, to_uint

__all__ = ["AccessEstimate", "GasEstimate", "create_access_list", "estimate_gas"]

MAX_ROUNDS = 16  # of running the call until its access list no longer changes


class Caller(Protocol):
    """The part of `EVM` that the estimates use; `EVM` itself is above this module."""

    @property
    def state(self) -> Any: ...
    @property
    def fork(self) -> Fork: ...
    @property
    def block(self) -> BlockEnv: ...
    @property
    def call(self) -> Callable[..., CallResult]: ...


class GasEstimate(NamedTuple):
    """`gas` is the least gas limit with which the call succeeds, None if it fails with any; `result` is the run with
    that limit, or the failing run with the most gas."""

    gas: int | None
    result: CallResult


class AccessEstimate(NamedTuple):
    """`access_list` has pairs of a 20-byte address and its slots; `result` is the run with that list, whose `gas_used`
    a transaction with the list would pay for."""

    access_list: tuple[tuple[bytes, tuple[int, ...]], ...]
    result: CallResult


def estimate_gas(
    evm: Caller, to: Any, data: Any = b"", *, gas: Any = None, timeout: Any = None, **arguments: Any
) -> GasEstimate:
    """The least gas limit with which a call succeeds, found by bisection; exact if more gas never makes the call fail.

    `gas` is the largest limit to try: by default the block's gas limit, from Osaka on at most 2**24 (EIP-7825). The
    other arguments and the errors are those of `EVM.call`; `timeout` is for all runs together.
    """
    limit = TimeLimit.of(timeout)
    if gas is None:
        most = min(evm.block.gas_limit, MAX_TX_GAS) if evm.fork >= Fork.OSAKA else evm.block.gas_limit
    else:
        most = to_uint(gas, "gas", 63)
    best = evm.call(to, data, gas=most, timeout=limit, **arguments)
    if not best.success:
        return GasEstimate(None, best)
    too_little, enough = best.gas_used - 1, most
    # Likely limits first: the gas used before refunds, and that plus a stipend and the 64th a caller keeps (EIP-150).
    spent = best.gas_used + best.gas_refund
    hints = [(spent + 2_300) * 64 // 63 + 1, spent]
    while enough - too_little > 1:
        guess = hints.pop() if hints else (too_little + enough) // 2
        if not too_little < guess < enough:
            continue
        result = _try(evm, to, data, guess, arguments | {"timeout": limit})
        if result is None:
            too_little = guess
        else:
            enough, best = guess, result
    return GasEstimate(enough, best)


def _try(evm: Caller, to: Any, data: Any, gas: int, arguments: dict[str, Any]) -> CallResult | None:
    try:
        result = evm.call(to, data, gas=gas, **arguments)
    except InvalidTransaction:  # below the intrinsic gas or the floor
        return None
    return result if result.success else None


def create_access_list(
    evm: Caller,
    to: Any,
    data: Any = b"",
    *,
    sender: Any = None,
    access_list: Any = (),
    timeout: Any = None,
    **arguments: Any,
) -> AccessEstimate:
    """The access list of all accounts and slots that a call accesses; the call runs until the list no longer changes.

    Sender, callee and precompiles are warm anyway and left out, except for their slots. Entries of a given
    `access_list` stay in the list. The arguments and the errors are those of `EVM.call`, without `tracer`. A call that
    fails has an access list too, of what it accessed before it failed. `timeout` is for all runs together.
    """
    if "tracer" in arguments:
        raise InputError("argument 'tracer': an access list is made by a tracer of its own")
    found = to_access_list(access_list)
    limit = TimeLimit.of(timeout)
    caller = bytes(20) if sender is None else to_address(sender, "sender")
    if to is None:
        callee = keccak256(encode([caller, _nonce(evm.state, caller, arguments.get("overrides"))]))[12:]
    else:
        callee = to_address(to, "to")
    for _ in range(MAX_ROUNDS):
        tracer = AccessListTracer((caller, callee), found)
        result = evm.call(to, data, sender=caller, access_list=found, tracer=tracer, timeout=limit, **arguments)
        if tracer.access_list == found:
            break
        found = tracer.access_list
    return AccessEstimate(found, result)


def _nonce(state: Any, address: bytes, overrides: Any) -> int:
    """An account's nonce as a call with these overrides sees it. Invalid overrides are left for the call to report."""
    for key, override in overrides.items() if isinstance(overrides, Mapping) else ():
        if to_address(key, "overrides: address") == address:
            nonce = account_fields(override, f"overrides[0x{address.hex()}]").get("nonce")
            if nonce is not None:
                return to_uint(nonce, f"overrides[0x{address.hex()}].nonce", 64)
    account = read_account(as_backend(state), address)
    return 0 if account is None else account.nonce
