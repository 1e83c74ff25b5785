"""eth_call, eth_estimateGas, eth_createAccessList."""

from __future__ import annotations

from typing import Any

from evmcore.errors import InvalidTransaction
from evmcore.service.context import Context
from evmcore.service.method import rpc
from evmcore.service.outcomes import call_error, exception_error, status_text
from evmcore.service.parse import block_overrides, call_object, state_overrides
from evmcore.service.render import access_list_json
from evmcore.service.rpc_errors import RpcError


@rpc("eth_call", required=1)
def call(context: Context, transaction: Any, block: Any, overrides: Any, block_changes: Any) -> str:
    request = call_object(transaction)
    pin = context.pin_of(block, "1")
    service = context.service
    try:
        if overrides is None and block_changes is None:
            result = service.run_call(context, pin, request)
        else:
            seen, changes = state_overrides(overrides, "2"), block_overrides(block_changes, "3")
            result = service.run_call(context, pin, request, seen, changes)
    except InvalidTransaction as invalid:
        refusal = exception_error(invalid)
        raise RpcError(refusal.code, f"{refusal.message} (supplied gas {service.gas_limit(request.gas)})") from invalid
    error = call_error(result)
    if error is not None:
        raise error
    return "0x" + result.output.hex()


@rpc("eth_estimateGas", required=1)
def estimate_gas(context: Context, transaction: Any, block: Any, overrides: Any, block_changes: Any) -> str:
    request = call_object(transaction)
    pin = context.pin_of(block, "1")
    seen, changes = state_overrides(overrides, "2"), block_overrides(block_changes, "3")
    return hex(context.service.estimate(context, pin, request, seen, changes))


@rpc("eth_createAccessList", required=1)
def create_access_list(context: Context, transaction: Any, block: Any, overrides: Any) -> dict[str, Any]:
    request = call_object(transaction)
    pin = context.pin_of(block, "1")
    estimate = context.service.access_list(context, pin, request, state_overrides(overrides, "2"))
    answer: dict[str, Any] = {
        "accessList": access_list_json(estimate.access_list),
        "gasUsed": hex(estimate.result.gas_used),
    }
    if not estimate.result.success:
        answer["error"] = status_text(estimate.result.status)
    return answer
