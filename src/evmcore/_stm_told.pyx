"""What a parallel block reports to Python; see `_stm_told.pxd`."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t

from evmcore._bins cimport bins_bytes
from evmcore._stm cimport Tally, kCauses
from evmcore._stm_block cimport Block, Run, SlotRead
from evmcore._stm_watch cimport phases_of, threads_of
from evmcore._u256 cimport u256_to_int

cdef str fallback_words(const Block* block):
    if not block.fallback:
        return "speculation could not begin" if block.refused else ""
    return "behind its forecast" if block.pace.behind else "no room in the store"


CAUSES = (                        # of `_stm.Cause`
    "stands", "nonce", "balance", "floor", "code", "exists", "slot", "interval", "block_gas", "invalid", "failed"
)
assert len(CAUSES) == <int>kCauses


cdef dict counters_of(const Block* block, size_t at):
    """What `ParallelExecutor.counters` holds; see there."""
    cdef dict aborts = dict.fromkeys(CAUSES[1:], 0)
    cdef dict counters
    cdef const Tally* tally
    cdef int i, cause
    counters = dict.fromkeys(("runs", "reruns", "waits", "validations", "lazies", "bytes", "runs_in_bins", "in_bins"), 0)
    for i in range(block.worker_count):
        tally = &block.workers[i].tally
        counters["runs"] += tally.runs
        counters["reruns"] += tally.reruns
        counters["waits"] += tally.waits
        counters["validations"] += tally.validations
        counters["lazies"] += tally.settled
        counters["bytes"] += block.workers[i].arena.taken() + block.workers[i].records.taken() + block.workers[i].older.taken()
        for cause in range(1, <int>kCauses):
            aborts[CAUSES[cause]] += tally.aborts[cause]
    if block.store != NULL:
        counters["bytes"] += block.store.bytes_used()
    if block.binned:
        counters["runs"] += block.bins.runs
        counters["runs_in_bins"] = block.bins.runs
        counters["in_bins"] = block.before
        counters["bytes"] += bins_bytes(block.bins)
    counters["threads"] = max(threads_of(block), 1)
    counters["fallback"] = fallback_words(block)
    counters["fallback_at"] = at if counters["fallback"] else None
    return counters | {"aborts": aborts, "phases": phases_of(block)}


cdef list learnt_of(const Block* block):
    """What `ParallelExecutor.learnt` holds; see there."""
    cdef const Run* run
    cdef const SlotRead* read
    cdef list learnt = []
    cdef size_t tx
    cdef uint32_t i
    for tx in range(1, <size_t>block.count + 1):
        run = &block.run_of[tx]
        if run.block != block.runs.block:
            continue
        for i in range(run.slot_read_count):
            read = &run.slot_reads[i]
            learnt.append((
                tx - 1, (<const uint8_t*>read.location.address)[:20], u256_to_int(&read.location.slot),
                u256_to_int(&read.low), u256_to_int(&read.high),
            ))
    return learnt
