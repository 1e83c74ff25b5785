"""The results of calls and transactions. Filled by `_engine`; the costly Python fields are made on first access."""
from libc.stdint cimport int64_t
from evmcore._diff cimport StateDiff
from evmcore._interp cimport Status as CStatus
from evmcore._state cimport WorkingSet

cdef class CallResult:
    cdef CStatus ended
    cdef readonly int64_t gas_used
    cdef readonly int64_t gas_refund
    cdef readonly bytes output
    cdef readonly bytes created_address
    cdef bytes log_entries        # LogEntry structs, one after the other; None: no logs
    cdef bytes log_data           # the bytes that their offsets refer to

    cdef int keep_logs(self, WorkingSet* ws) except -1
    cdef tuple fields(self)       # the fields that equality compares

cdef class TransactionResult(CallResult):
    cdef readonly int64_t gas_spent
    cdef readonly StateDiff diff
