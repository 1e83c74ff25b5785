"""What a parallel block needs; see `_stm_furnish.pxd`."""
import os

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from evmcore._bins cimport bins_give
from evmcore._block_steps cimport block_enter
from evmcore._code cimport code_release
from evmcore._hints cimport MAY_SHARE, SHARES_SLOTS, hint_tables_free
from evmcore._interp cimport machine_make_symbolic
from evmcore._machines cimport FOR_WORKERS, arena_give, arena_take, machine_give, machine_take
from evmcore._stm cimport Baton, Events, HashKey, Scheduler, Store, Tally
from evmcore._stm_block cimport Block, Run, Runs, Worker
from evmcore._stm_read cimport reader_init
from evmcore._stm_tasks cimport tasks_init

cdef extern from "include/lines.h" namespace "evmcore" nogil:
    void* take_lines(size_t size)

cdef extern from "include/spares.h" namespace "evmcore" nogil:
    ctypedef struct Spares:
        pass
    void* spares_take(Spares* spares)
    bint spares_give(Spares* spares, void* item)

cdef enum:
    EVENTS_EACH = 16              # events of a timeline, by transaction ...
    MOST_EVENTS = 1 << 20         # ... and in all, for each worker: 40 bytes each

cdef HashKey store_key
cdef bytes random_key = os.urandom(sizeof(HashKey))
memcpy(&store_key, <const uint8_t*>random_key, sizeof(HashKey))

cdef Spares spare_stores
cdef Spares spare_schedulers
cdef Spares spare_runs


cdef size_t expected_locations(const Block* block) noexcept nogil:
    """Room for the accounts and slots that most blocks reach: four for each transaction, and one for every 4,000 gas
    that the transactions may use together. A block that reaches more continues without speculation."""
    cdef uint64_t gas = 0
    cdef size_t i
    for i in range(block.count):
        gas += min(block.txs[i].gas_limit, block.rules.env.gas_limit)
    gas = min(gas, block.rules.env.gas_limit)
    return min(<size_t>(gas // 4000), <size_t>1 << 21) + 4 * <size_t>block.count + 1024


cdef bint prepare_store(Block* block) noexcept nogil:
    return block.store.prepare(expected_locations(block), store_key)


cdef Worker* worker_new() noexcept nogil:
    cdef Worker* w = <Worker*>take_lines(sizeof(Worker))
    if w == NULL:
        return NULL
    w.machine = machine_take(FOR_WORKERS)
    w.arena = arena_take()
    w.records = arena_take()
    w.older = arena_take()
    if w.machine == NULL or w.arena == NULL or w.records == NULL or w.older == NULL:
        worker_free(w)
        return NULL
    reader_init(w)
    tasks_init(w)
    return w


cdef void worker_free(Worker* w) noexcept nogil:
    cdef uint32_t i
    for i in range(w.code_count):
        code_release(w.codes[i])
    free(w.codes)
    if w.machine != NULL:
        machine_give(w.machine, FOR_WORKERS)
    if w.arena != NULL:
        arena_give(w.arena)
    if w.records != NULL:
        arena_give(w.records)
    if w.older != NULL:
        arena_give(w.older)
    free(w)


cdef void runs_free(Runs* runs) noexcept nogil:
    if runs != NULL:
        free(runs.run_of)
        free(runs.sharing)
        hint_tables_free(&runs.hints)
        free(runs)


cdef Runs* runs_for(size_t count) noexcept nogil:
    """Room for the runs of `count` transactions, none of which has run. NULL: no memory."""
    cdef Runs* runs = <Runs*>spares_take(&spare_runs)
    if runs == NULL:
        runs = <Runs*>calloc(1, sizeof(Runs))
    if runs == NULL:
        return NULL
    if count + 1 > runs.capacity:
        free(runs.run_of)
        free(runs.sharing)
        runs.run_of = <Run*>calloc(count + 1, sizeof(Run))
        runs.sharing = <uint8_t*>malloc(count + 1)
        runs.capacity = count + 1
        if runs.run_of == NULL or runs.sharing == NULL:
            runs_free(runs)
            return NULL
    runs.block += 1
    return runs


cdef bint furnish_block(Block* block) noexcept nogil:
    cdef Worker* w
    cdef int i, threads = block.threads
    block.store = <Store*>spares_take(&spare_stores)
    if block.store == NULL:
        block.store = new Store()
    block.scheduler = <Scheduler*>spares_take(&spare_schedulers)
    if block.scheduler == NULL:
        block.scheduler = new Scheduler()
    block.workers = <Worker**>calloc(threads, sizeof(Worker*))
    block.runs = runs_for(block.count)
    if block.workers == NULL or block.runs == NULL:
        return False
    block.run_of = block.runs.run_of
    block.sharing = block.runs.sharing
    block.alone = threads == 1 and not block.watch_all
    memset(block.sharing, <int>SHARES_SLOTS if block.watch_all else <int>MAY_SHARE, <size_t>block.count + 1)
    for i in range(threads):
        w = worker_new()
        if w == NULL:
            break
        w.block = block
        w.full = False
        w.last = w.older_last = 0
        w.machine.symbolic = False
        w.watches = (threads > 1 or block.watch_all) and machine_make_symbolic(w.machine)
        w.delays.random = block.delays * (i + 1)
        w.delays.worker = <uint32_t>i
        memset(&w.tally, 0, sizeof(Tally))
        if block.watched:
            w.tally.watch.events = new Events(min(EVENTS_EACH * <size_t>block.count + 4096, <size_t>MOST_EVENTS))
        block_enter(w.machine, block.rules, block.stop)
        block.workers[i] = w
        block.worker_count += 1
    if block.turns:
        block.baton = new Baton(<uint32_t>block.worker_count, block.turns)
        for i in range(block.worker_count):
            block.workers[i].delays.baton = block.baton
    block.first_epoch = block.main.ws.epoch
    return block.worker_count != 0 and block.scheduler.prepare(block.count)


cdef void close_block(Block* block) noexcept nogil:
    cdef int i
    for i in range(block.worker_count):
        del block.workers[i].tally.watch.events
        worker_free(block.workers[i])
    free(block.workers)
    bins_give(block.bins)
    del block.baton
    if block.runs != NULL and not spares_give(&spare_runs, block.runs):
        runs_free(block.runs)
    if block.store != NULL and not spares_give(&spare_stores, block.store):
        del block.store
    if block.scheduler != NULL and not spares_give(&spare_schedulers, block.scheduler):
        del block.scheduler
