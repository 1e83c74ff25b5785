"""The entry point of a block's execution: `execute` runs a `BlockRequest` and makes its result."""
from libc.stdint cimport int64_t

from evmcore._block_result cimport BlockResult, conclude, result_of
from evmcore._block_run cimport PREPARE, BlockRun, Executor, prepare_transactions
from evmcore._sync cimport monotonic_ns
from evmcore.state.adapter cimport as_backend
from evmcore.tracing._hooks cimport Tracer

from evmcore import body
from evmcore.errors import InputError
from evmcore.forks import Fork
from evmcore.headers import check_header

cdef Executor SEQUENTIAL = Executor()


def execute(request, Executor executor=SEQUENTIAL):
    """Executes a block on the state after its parent, by `executor`, whatever `threads` the request has; sequentially by
    default. Raises `InvalidBlock`; the state is then unchanged."""
    return run_block(BlockRun(), request, executor, request.commit)


cdef BlockResult run_block(BlockRun run, object request, Executor executor, bint commit):
    cdef BlockResult result
    cdef int64_t start = monotonic_ns()
    cdef bint roots
    run.backend = as_backend(request.state)
    chain, fork = request.rules()
    if request.tracer is not None and not isinstance(request.tracer, Tracer):
        raise InputError(f"tracer: expected one of evmcore.tracing, got {type(request.tracer).__name__}")
    if request.parent is not None:
        check_header(request.block.header, request.parent, chain, fork)
    if request.validate:
        body.check_body(request.block, fork)
    roots = request.check_state_root and fork < Fork.BYZANTIUM
    run.stepwise = roots or request.tracer is not None
    prepare_transactions(run, request.block, fork)
    run.prepare(request.block, chain, fork, request.block_hashes, request.reward)
    if request.records_accesses:
        run.kept.record_accesses()
    executor = executor.prepare(run, request.block)
    run.phases[PREPARE] = monotonic_ns() - start
    run.run(roots, request.tracer, executor)
    run.output.notes = NULL                      # the record owns them, if it was requested
    result = result_of(run, request.block, chain, fork, executor.threads)
    conclude(result, request.validate, request.check_state_root, commit)
    return result
