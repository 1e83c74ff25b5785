"""The result of executing a block. Layer 4."""
from libc.stdint cimport int64_t
from evmcore._block_run cimport BlockRun, Decision
from evmcore._block_steps cimport BlockOutput
from evmcore._diff cimport StateDiff
from evmcore._outcome cimport KeptOutput
from evmcore.state._reader cimport Backend

cdef class BlockResult:
    cdef KeptOutput kept
    cdef BlockOutput* output      # of `kept`
    cdef unsigned int threads     # for the parts that are made on first access
    cdef dict counters
    cdef Decision decision
    cdef int64_t[6] phases
    cdef Backend backend
    cdef bint committed
    cdef tuple receipt_cache
    cdef bytes root_cache
    cdef readonly object block    # the Block
    cdef readonly object fork     # its Fork
    cdef readonly StateDiff diff
    cdef readonly list requests
    cdef object given

# The result of a run that has succeeded; takes over the run's output.
cdef BlockResult result_of(BlockRun run, object block, object chain, object fork, unsigned int threads)

# Compares the outcome with the header and applies the changes, each if requested.
cdef int conclude(BlockResult result, bint validate, bint check_state_root, bint commit) except -1
