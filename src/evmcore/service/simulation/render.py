"""Simulated blocks as JSON-RPC values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evmcore._results import Status, TransactionResult
from evmcore.blocks import Block, Header
from evmcore.service.outcomes import revert_error, status_text
from evmcore.service.render import block_json, data, log_json
from evmcore.service.rpc_errors import VM_ERROR

__all__ = ["simulated_block_json"]


def simulated_block_json(
    block: Block, results: Sequence[TransactionResult], full: bool, first_log: int
) -> dict[str, Any]:
    """The block with the results of its calls. Its logs are numbered from `first_log` of the session on, counting the
    logs of reverted calls too, as in the test cases of the execution APIs."""
    calls = [
        _call_json(result, block.header, block.transactions[index].hash, index, first_log)
        for index, result in enumerate(results)
    ]
    senders = [tx.sender or bytes(20) for tx in block.transactions]
    return block_json(block, full=full, senders=senders, fields={"calls": calls})


def _call_json(
    result: TransactionResult, header: Header, transaction_hash: bytes, index: int, first_log: int
) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "returnData": data(result.output if result.success else b""),
        "logs": [
            log_json(log, header, transaction_hash, index, serial - first_log)
            for log, serial in zip(result.logs, result.log_serials, strict=True)
        ],
        "gasUsed": hex(result.gas_used),
        "maxUsedGas": hex(max(result.gas_spent, result.gas_used)),
        "status": hex(result.success),
    }
    if result.status == Status.REVERT:
        answer["error"] = revert_error(result.output).to_json()
    elif not result.success:
        answer["error"] = {"message": status_text(result.status), "code": VM_ERROR}
    return answer
