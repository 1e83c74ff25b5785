from enum import IntEnum

from evmcore._diff import StateDiff
from evmcore.reverts import RevertReason
from evmcore.types import Log

class Status(IntEnum):
    """How a message ended. Everything after `REVERT` is an exceptional halt that takes all gas given."""

    SUCCESS = 1
    REVERT = 2
    OUT_OF_GAS = 3
    STACK_UNDERFLOW = 4
    STACK_OVERFLOW = 5
    INVALID_OPCODE = 6
    INVALID_JUMP = 7
    WRITE_PROTECTION = 8
    RETURN_DATA_OUT_OF_BOUNDS = 9
    CREATE_COLLISION = 10
    CODE_TOO_LARGE = 11
    INVALID_CODE_PREFIX = 12
    CODE_STORE_OUT_OF_GAS = 13
    INIT_CODE_TOO_LARGE = 14
    PRECOMPILE_FAILURE = 15
    CALL_DEPTH = 16
    INSUFFICIENT_BALANCE = 17
    NONCE_OVERFLOW = 18

class CallResult:
    """The outcome of a call. A reverted or halted call is a result, not an exception."""

    @property
    def status(self) -> Status: ...
    @property
    def success(self) -> bool: ...
    @property
    def error(self) -> str | None: ...
    @property
    def output(self) -> bytes: ...
    @property
    def gas_used(self) -> int: ...
    @property
    def gas_refund(self) -> int: ...
    @property
    def logs(self) -> tuple[Log, ...]: ...
    @property
    def log_serials(self) -> tuple[int, ...]: ...
    @property
    def created_address(self) -> bytes | None: ...
    @property
    def revert_reason(self) -> RevertReason | None: ...

class TransactionResult(CallResult):
    """The outcome of a transaction that was applied to the state."""

    @property
    def gas_spent(self) -> int: ...
    @property
    def diff(self) -> StateDiff: ...
