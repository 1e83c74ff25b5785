"""Prefetching memory ahead of time; see `_stm_prefetch.pxd`.

Data behind a pointer can be prefetched only once the pointer itself is in the cache. So a run is prefetched in three
steps, each of which uses what the step before has brought: the run three transactions ahead, its records two ahead, and
one ahead the data that the records point to and that they will be validated against.

Only a run that has ended is examined. From then on only the committer changes it.
"""
from libc.stddef cimport size_t
from libc.stdint cimport uint32_t

from evmcore._block_steps cimport block_ask_for_next
from evmcore._state cimport ws_ask_for_account, ws_ask_for_slot, ws_find_account
from evmcore._stm_block cimport AccountRead, Run, SlotRead

cdef extern from "include/prefetch.h" namespace "evmcore" nogil:
    void prefetch(const void* at, size_t size)
    void prefetch_for_writing(void* at, size_t size)


cdef void ask_for_next(const Block* block, TxIndex tx, bint final) noexcept nogil:
    block_ask_for_next(block.base, block.main.ws if final else NULL, block.txs, tx - 1, block.count)
    if tx + 2 <= block.count:
        prefetch_for_writing(&block.run_of[tx + 2], sizeof(Run))


cdef inline void ask_for_read(Block* block, const Run* run) noexcept nogil:
    """Prefetches what `stands` and `bring_in` will read first."""
    cdef const AccountRead* account
    cdef const SlotRead* slot
    cdef uint32_t i, number
    for i in range(run.account_read_count):
        account = &run.account_reads[i]
        if account.location.apart:
            ws_ask_for_account(block.main.ws, account.location.address)
        else:
            block.store.ask_for(account.location)
    for i in range(run.slot_read_count):
        slot = &run.slot_reads[i]
        if not slot.location.apart:
            block.store.ask_for(slot.location)
            continue
        number = ws_find_account(block.main.ws, slot.account.address)
        if number:
            ws_ask_for_slot(block.main.ws, number, &slot.location.slot)


cdef void ask_for_runs(Block* block, TxIndex tx) noexcept nogil:
    cdef const Run* run
    if tx + 3 <= block.count:
        prefetch(&block.run_of[tx + 3], sizeof(Run))
    if tx + 2 <= block.count and block.scheduler.has_run(tx + 2):
        run = &block.run_of[tx + 2]
        prefetch(run.kept, run.kept_size)
    if tx + 1 <= block.count and block.scheduler.has_run(tx + 1):
        run = &block.run_of[tx + 1]
        if not run.direct and run.kept_size:
            ask_for_read(block, run)
