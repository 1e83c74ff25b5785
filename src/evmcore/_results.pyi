from enum import IntEnum

from evmcore._diff import StateDiff
from evmcore.reverts import RevertReason
from evmcore.types import Log

class Status(IntEnum):
    """How a message ended. Every status after `REVERT` is an exceptional halt that consumes all gas given."""

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
    """The outcome of a call. A reverted or halted call is a result, not an exception.

    Two results of the same class are equal if all their fields are equal, except `log_serials`, which depend on
    earlier runs.
    """

    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...
    @property
    def status(self) -> Status:
        """How the call ended."""

    @property
    def success(self) -> bool:
        """True if the call ended by STOP, RETURN, SELFDESTRUCT or at the end of the code."""

    @property
    def error(self) -> str | None:
        """None on success, else the name of the `Status`: "REVERT", "OUT_OF_GAS" and so on."""

    @property
    def output(self) -> bytes:
        """The return data, the revert data, or for a creation the deployed code."""

    @property
    def gas_used(self) -> int:
        """In gas: what a transaction would pay for, refunds subtracted; for `EVM.message` the gas of the execution."""

    @property
    def gas_refund(self) -> int:
        """The refund that was subtracted, in gas; for `EVM.message` the refund counter."""

    @property
    def logs(self) -> tuple[Log, ...]:
        """The logs in the order they were emitted; empty unless the call succeeded."""

    @property
    def log_serials(self) -> tuple[int, ...]:
        """For each of `logs`, the number of earlier logs in its EVM or `Session`, including logs of reverted
        calls."""

    @property
    def created_address(self) -> bytes | None:
        """The 20-byte address of the contract that a creation made, else None."""

    @property
    def revert_reason(self) -> RevertReason | None:
        """The decoded revert data if the call reverted, else None."""

class TransactionResult(CallResult):
    """The outcome of a transaction that was applied to the state."""

    @property
    def gas_spent(self) -> int:
        """Gas before refunds."""

    @property
    def diff(self) -> StateDiff:
        """The diff that was applied."""
