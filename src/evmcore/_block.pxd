"""The way into a block's execution. Layer 4."""
from evmcore._block_result cimport BlockResult
from evmcore._block_run cimport BlockRun, Executor

# Executes the block of a `BlockRequest` on a run of the caller's, who may look at its output meanwhile. `commit`: apply what it
# changes.
cdef BlockResult run_block(BlockRun run, object request, Executor executor, bint commit)
