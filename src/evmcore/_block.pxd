"""The entry point of a block's execution. Layer 4."""
from evmcore._block_result cimport BlockResult
from evmcore._block_run cimport BlockRun, Executor

# Executes the block of a `BlockRequest` on the caller's `run`, whose output may be read meanwhile. `commit`: apply the changes.
cdef BlockResult run_block(BlockRun run, object request, Executor executor, bint commit)
