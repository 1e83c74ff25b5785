"""The Python facade's compiled half: one object that answers calls and runs transactions on a state."""
from libc.stdint cimport int64_t, uint64_t
from evmcore._batch cimport Batch, Settings
from evmcore._interp cimport Machine, Message, Status
from evmcore._overlay cimport MovedPrecompiles, Overlay
from evmcore._results cimport CallResult, TransactionResult
from evmcore._tx cimport TxChecks, TxData, TxResult
from evmcore._u256 cimport u256
from evmcore.state._reader cimport Backend
from evmcore.tracing._hooks cimport Tracer

cdef int fill_result(CallResult result, const TxResult* outcome, Machine* machine) except -1

cdef class EVM:
    cdef readonly object state                    # as it was given; an alloc has become a MemoryState
    cdef Backend backend
    cdef readonly object fork                     # Fork
    cdef readonly object block                    # BlockEnv
    cdef readonly object chain_id                 # int
    cdef Settings settings
    cdef Overlay hashes                           # of block.block_hashes; None when there are none
    cdef object blob_schedule                     # BlobSchedule; None before Cancun
    cdef object applying                          # lock: one transaction at a time

    cdef int set_block(self, object block) except -1
    cdef CallResult answer(
        self, const Settings* settings, const TxData* tx, MovedPrecompiles moves, object timeout, object tracer)
    cdef int finish(self, Tracer watcher, Machine* machine, int64_t gas, int64_t gas_used, CallResult result) except -1
    cdef TransactionResult apply(self, const TxData* tx, const TxChecks* checks, object timeout, object tracer)
    cdef int check(self, const TxResult* result, const TxData* tx, object index) except -1
    cdef int check_status(self, Status status) except -1
