"""Errors of JSON-RPC answers: a code, a message, and sometimes data."""

from __future__ import annotations

from typing import Any, Final

from evmcore.errors import EvmcoreError

# JSON-RPC 2.0
PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603

# Ethereum: geth's own, and those of eth_simulateV1 in the execution APIs
SERVER_ERROR: Final = -32000
FEE_CAP_TOO_LOW: Final = -32005
VM_ERROR: Final = -32015
TIMEOUT: Final = -32016
REVERTED: Final = 3
NONCE_TOO_LOW: Final = -38010
NONCE_TOO_HIGH: Final = -38011
BASE_FEE_TOO_LOW: Final = -38012
INTRINSIC_GAS: Final = -38013
INSUFFICIENT_FUNDS: Final = -38014
BLOCK_GAS_LIMIT: Final = -38015
BLOCK_NUMBER_ORDER: Final = -38020
BLOCK_TIME_ORDER: Final = -38021
MOVE_TO_SELF: Final = -38022
MOVE_TWICE: Final = -38023
SENDER_NOT_EOA: Final = -38024
INIT_CODE_SIZE: Final = -38025
CLIENT_LIMIT: Final = -38026


class RpcError(EvmcoreError):
    """The error that a method returns instead of a result: `code`, `message`, and `data` if there is any."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(code, message, data)
        self.code = code
        self.message = message
        self.data = data

    def __str__(self) -> str:
        return f"{self.message} ({self.code})"

    def to_json(self) -> dict[str, Any]:
        """The `error` object of a JSON-RPC answer."""
        answer: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            answer["data"] = self.data
        return answer


class Unavailable(RpcError):
    """The state is unavailable now; another try, or another server, may succeed (-32000)."""

    def __init__(self, message: str) -> None:
        super().__init__(SERVER_ERROR, message)

    def __reduce__(self) -> tuple[Any, ...]:
        return Unavailable, (self.message,)


class InvalidParams(RpcError):
    """A parameter is missing, malformed or too many (-32602). The message names it."""

    def __init__(self, message: str) -> None:
        super().__init__(INVALID_PARAMS, message)

    def __reduce__(self) -> tuple[Any, ...]:
        return InvalidParams, (self.message,)
