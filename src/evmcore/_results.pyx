"""The results of calls and transactions: plain objects whose costly fields are made on first access."""
from enum import IntEnum

cimport cython
from libc.string cimport memcpy
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from evmcore._diff cimport StateDiff
from evmcore._interp cimport Status as CStatus
from evmcore._state cimport LogEntry, WorkingSet

from evmcore.errors import InputError
from evmcore.reverts import decode_revert
from evmcore.types import Log, to_address, to_hash

cdef enum:
    MOST_TOPICS = 4


class Status(IntEnum):
    """How a message ended. Every status after `REVERT` is an exceptional halt that consumes all gas given."""

    SUCCESS = CStatus.SUCCESS
    REVERT = CStatus.REVERT
    OUT_OF_GAS = CStatus.OUT_OF_GAS
    STACK_UNDERFLOW = CStatus.STACK_UNDERFLOW
    STACK_OVERFLOW = CStatus.STACK_OVERFLOW
    INVALID_OPCODE = CStatus.INVALID_OPCODE
    INVALID_JUMP = CStatus.INVALID_JUMP
    WRITE_PROTECTION = CStatus.WRITE_PROTECTION
    RETURN_DATA_OUT_OF_BOUNDS = CStatus.RETURN_DATA_OUT_OF_BOUNDS
    CREATE_COLLISION = CStatus.CREATE_COLLISION
    CODE_TOO_LARGE = CStatus.CODE_TOO_LARGE
    INVALID_CODE_PREFIX = CStatus.INVALID_CODE_PREFIX
    CODE_STORE_OUT_OF_GAS = CStatus.CODE_STORE_OUT_OF_GAS
    INIT_CODE_TOO_LARGE = CStatus.INIT_CODE_TOO_LARGE
    PRECOMPILE_FAILURE = CStatus.PRECOMPILE_FAILURE
    CALL_DEPTH = CStatus.CALL_DEPTH
    INSUFFICIENT_BALANCE = CStatus.INSUFFICIENT_BALANCE
    NONCE_OVERFLOW = CStatus.NONCE_OVERFLOW


@cython.auto_pickle(False)
@cython.freelist(16)
cdef class CallResult:
    """The outcome of a call. A reverted or halted call is a result, not an exception.

    `gas_used` and `gas_refund` are in gas, `output` is the return data, the revert data, or for a creation the deployed
    code; `created_address` is the 20-byte address of the contract that a creation made, else None. Two results of the same
    class are equal if all their fields are equal, except `log_serials`, which depend on earlier runs.
    """

    cdef int keep_logs(self, WorkingSet* ws) except -1:
        if ws.log_count == 0:
            return 0
        cdef size_t size = 0, i, end
        for i in range(ws.log_count):
            end = ws.logs[i].data_offset + ws.logs[i].data_size
            if end > size:
                size = end
        self.log_entries = PyBytes_FromStringAndSize(<char*>ws.logs, ws.log_count * sizeof(LogEntry))
        self.log_data = PyBytes_FromStringAndSize(<char*>ws.log_data, size)
        return 0

    @property
    def status(self):
        """How the call ended, a `Status`."""
        return Status(<int>self.ended)

    @property
    def success(self):
        """True if the call ended by STOP, RETURN, SELFDESTRUCT or at the end of the code."""
        return self.ended == CStatus.SUCCESS

    @property
    def error(self):
        """None on success, else the name of the `Status`: "REVERT", "OUT_OF_GAS" and so on."""
        return None if self.ended == CStatus.SUCCESS else Status(<int>self.ended).name

    @property
    def revert_reason(self):
        """The decoded revert data (`RevertReason`) if the call reverted, else None."""
        return decode_revert(self.output) if self.ended == CStatus.REVERT else None

    @property
    def logs(self):
        """The logs in the order they were emitted, a tuple of `Log`; empty unless the call succeeded."""
        if self.log_entries is None:
            return ()
        cdef const LogEntry* entries = <const LogEntry*>PyBytes_AS_STRING(self.log_entries)
        cdef const char* data = PyBytes_AS_STRING(self.log_data)
        cdef size_t count = len(self.log_entries) // sizeof(LogEntry), i, j
        cdef list logs = []
        for i in range(count):
            topics = tuple([
                PyBytes_FromStringAndSize(<char*>entries[i].topics + 32 * j, 32) for j in range(entries[i].topic_count)
            ])
            logs.append(Log(
                PyBytes_FromStringAndSize(<char*>entries[i].address, 20),
                topics,
                PyBytes_FromStringAndSize(data + entries[i].data_offset, entries[i].data_size),
            ))
        return tuple(logs)

    @property
    def log_serials(self):
        """For each of `logs`, the number of earlier logs in its EVM or `Session`, including logs of reverted calls."""
        if self.log_entries is None:
            return ()
        cdef const LogEntry* entries = <const LogEntry*>PyBytes_AS_STRING(self.log_entries)
        return tuple([entries[i].serial for i in range(len(self.log_entries) // sizeof(LogEntry))])

    cdef tuple fields(self):
        return self.ended, self.gas_used, self.gas_refund, self.output, self.created_address, self.logs

    def __reduce__(self):
        return call_result, (<int>self.ended, *self.fields()[1:], self.log_serials)

    def __eq__(self, other):
        if type(self) is not type(other):
            return NotImplemented
        return self.fields() == (<CallResult>other).fields()

    def __hash__(self):
        return hash((self.ended, self.gas_used, self.output))

    def __repr__(self):
        status = Status(<int>self.ended).name
        return f"{type(self).__name__}({status}, gas_used={self.gas_used}, output=0x{self.output.hex()})"


@cython.auto_pickle(False)
cdef class TransactionResult(CallResult):
    """The outcome of a transaction that was applied to the state.

    Besides the fields of `CallResult`: `gas_spent` is the gas before refunds, `diff` the `StateDiff` that was applied.
    `gas_used` is the gas that the sender paid for: intrinsic gas included, refunds subtracted, at least the EIP-7623 floor.
    """

    cdef tuple fields(self):
        return (*CallResult.fields(self), self.gas_spent, self.diff)

    def __reduce__(self):
        return transaction_result, CallResult.__reduce__(self)[1]


# ------------------------------------------------------------ unpickled

def call_result(int ended, gas_used, gas_refund, output, created_address, tuple logs, tuple log_serials):
    """The `CallResult` of which these are the fields."""
    cdef CallResult result = CallResult.__new__(CallResult)
    return filled(result, ended, gas_used, gas_refund, output, created_address, logs, log_serials)


def transaction_result(
    int ended, gas_used, gas_refund, output, created_address, tuple logs, gas_spent, diff, tuple log_serials
):
    """The `TransactionResult` of which these are the fields."""
    cdef TransactionResult result = TransactionResult.__new__(TransactionResult)
    result.gas_spent = gas_spent
    result.diff = diff
    return filled(result, ended, gas_used, gas_refund, output, created_address, logs, log_serials)


cdef CallResult filled(
    CallResult result, int ended, gas_used, gas_refund, output, created_address, tuple logs, tuple log_serials
):
    result.ended = <CStatus>ended
    result.gas_used = gas_used
    result.gas_refund = gas_refund
    result.output = output
    result.created_address = created_address
    if logs:
        put_logs(result, logs, log_serials)
    return result


cdef int put_logs(CallResult result, tuple logs, tuple log_serials) except -1:
    """The inverse of `logs` and `log_serials`."""
    cdef LogEntry* entry
    cdef size_t size = 0, i
    result.log_entries = bytes(len(logs) * sizeof(LogEntry))
    result.log_data = b"".join([log.data for log in logs])
    entry = <LogEntry*>PyBytes_AS_STRING(result.log_entries)
    for log, serial in zip(logs, log_serials, strict=True):
        if len(log.topics) > MOST_TOPICS:
            raise InputError(f"topics: expected at most {MOST_TOPICS}, got {len(log.topics)}")
        memcpy(entry.address, PyBytes_AS_STRING(to_address(log.address, "address")), 20)
        entry.topic_count = len(log.topics)
        for i, topic in enumerate(log.topics):
            memcpy(entry.topics + 32 * i, PyBytes_AS_STRING(to_hash(topic, "topic")), 32)
        entry.serial = serial
        entry.data_offset = size
        entry.data_size = len(log.data)
        size += entry.data_size
        entry += 1
    return 0
