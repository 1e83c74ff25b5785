"""What a worker does with a transaction; see `_stm_tasks.pxd`."""
from libc.stdint cimport uint64_t
from libcpp cimport bool as cbool

from evmcore._block_run cimport Pace
from evmcore._block_steps cimport BLOCK_ENGINE_FAILED, BLOCK_OK
from evmcore._hints cimport (
    RAN_AGAIN, RAN_DIRECTLY, STOOD, STOOD_IN_LINE, STOOD_OUT_OF_LINE, STOOD_WITHOUT, Outcome, behind_by_now, note_outcome,
)
from evmcore._interp cimport NO_MEMORY
from evmcore._stm cimport TxIndex, delay_point
from evmcore._stm_block cimport Block, Run, Worker
from evmcore._stm_commit cimport bring_in, run_directly, stands
from evmcore._stm_prefetch cimport ask_for_next, ask_for_runs
from evmcore._stm_run cimport give_up, run_ahead, run_begun, tried_without
from evmcore._sync cimport monotonic_ns


cdef TxIndex run_task(void* self, TxIndex tx, cbool final) noexcept nogil:
    cdef Worker* w = <Worker*>self
    cdef TxIndex behind
    delay_point(w.delays)
    ask_for_next(w.block, tx, final)
    if final:
        ask_for_runs(w.block, tx)
        if w.block.watch_all:
            run_ahead(w, tx)
            if not w.blocked_on and stands(w, tx):
                return 0
        run_directly(w, tx)
        return 0
    if w.block.worker_count > 1:
        behind = behind_by_now(&w.block.runs.hints, w.block.scheduler, w.block.sharing, w.block.txs, tx)
        if behind:
            return behind
    run_ahead(w, tx)
    delay_point(w.delays)
    return w.blocked_on


cdef cbool stands_task(void* self, TxIndex tx) noexcept nogil:
    cdef Worker* w = <Worker*>self
    delay_point(w.delays)
    ask_for_runs(w.block, tx)
    return stands(w, tx)


cdef Outcome outcome_of(const Block* block, TxIndex tx) noexcept nogil:
    cdef const Run* run = &block.run_of[tx]
    cdef TxIndex first, second
    if run.direct:
        return RAN_AGAIN if run.ran_ahead else RAN_DIRECTLY
    first = block.scheduler.hinted(tx, 0)
    second = block.scheduler.hinted(tx, 1)
    if first == 0 and second == 0:
        first = tried_without(block, tx)
        return STOOD_WITHOUT if first > run.leans_on else STOOD
    if first == 0 or (second != 0 and second < first):
        first = second
    return STOOD_IN_LINE if run.leans_on >= first else STOOD_OUT_OF_LINE


cdef cbool conclude_task(void* self, TxIndex tx) noexcept nogil:
    """Commits the frontier's transaction. False: the block ends here, and `failure` says why."""
    cdef Worker* w = <Worker*>self
    cdef Block* block = w.block
    delay_point(w.delays)
    if block.run_of[tx].direct:
        if block.failure != BLOCK_OK:
            return False
    elif not bring_in(w, tx):
        block.failure = BLOCK_ENGINE_FAILED
        block.status = NO_MEMORY
        return False
    note_outcome(
        block.txs[tx - 1], outcome_of(block, tx), block.output.gas_used - block.gas_used, block.run_of[tx].ticks
    )
    block.gas_used = block.output.gas_used
    if block.pace.at[block.pace.step] and block.pace.at[block.pace.step] <= block.before + tx:
        keep_pace(block, tx)
    return True


cdef void keep_pace(Block* block, TxIndex tx) noexcept nogil:
    """Called at a transaction by which the pace is checked: gives speculation up if the block is behind its
    forecast."""
    cdef Pace* pace = block.pace
    pace.seen_ns = monotonic_ns() - block.started
    if pace.seen_ns > pace.until[pace.step] and not makes_up(block, tx):
        pace.behind = True
        give_up(block)
    else:
        pace.step += 1


cdef bint makes_up(const Block* block, TxIndex tx) noexcept nogil:
    """Whether enough later transactions have run already that, at this rate, the rest ends sooner on threads than on
    one thread alone."""
    cdef const Pace* pace = block.pace
    cdef uint64_t done = pace.work[pace.step], ahead = 0, left = pace.sequential - min(pace.sequential, done)
    cdef TxIndex later
    for later in range(tx + 1, block.count + 1):
        if block.scheduler.has_run(later):
            ahead += pace.costs[block.before + later - 1]
    # Some of these runs will fail validation.
    done += <uint64_t>(<double>ahead * 3 / 4 * <double>pace.sequential / <double>max(pace.raw, <uint64_t>1))
    return <double>pace.seen_ns * <double>(pace.sequential - min(pace.sequential, done)) < <double>done * <double>left


cdef void pass_task(void* self, TxIndex tx) noexcept nogil:
    run_begun((<Worker*>self).block, tx).failed = True


cdef void tasks_init(Worker* w) noexcept nogil:
    w.tasks.self = w
    w.tasks.run = run_task
    w.tasks.stands = stands_task
    w.tasks.conclude = conclude_task
    w.tasks.skip = pass_task
