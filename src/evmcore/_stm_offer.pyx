"""Which transactions are offered to run ahead; see `_stm_offer.pxd`."""
from libc.stdint cimport uint32_t, uint64_t

from evmcore._hints cimport BRIEF_GAS, SHARES_NOTHING, Asked, takes_long
from evmcore._stm cimport Scheduler, TxIndex
from evmcore._stm_block cimport Block

cdef enum:
    LEAD = 4                      # stretches of brief transactions that are first left to the committer: close behind
                                  # others it would wait for each run, and for the data still in their caches
    STRETCH = 16                  # transactions of a stretch of brief ones, at most
    STRETCH_GAS = 400000


cdef inline void offer_early(Block* block, TxIndex before) noexcept nogil:
    """Offers, just before transaction `before`, those that begin early there."""
    cdef const Asked* asked = block.runs.hints.asked
    cdef TxIndex tx = asked[before - 1].early
    while tx:
        if tx >= block.scheduler.frontier():
            block.scheduler.offer(tx, tx + 1, False)
        tx = asked[tx - 1].next_early


cdef void offer_work(Block* block, TxIndex first) noexcept nogil:
    """Offers the transactions from `first` on: brief neighbours together, others one by one. One in `worker_count` of
    the brief stretches is left to the committer, and as many of the transactions that share nothing: no transaction
    waits for those, and running them directly costs less."""
    cdef Scheduler* scheduler = block.scheduler
    cdef const Asked* asked = NULL
    cdef TxIndex end, most, tx
    cdef uint64_t gas
    cdef uint32_t brief = 0       # stretches
    cdef uint32_t apart = 0       # transactions
    cdef bint left
    if block.worker_count > 1:
        asked = block.runs.hints.asked
        for tx in range(1, first):
            offer_early(block, tx)
    most = max(<TxIndex>1, min(<TxIndex>STRETCH, block.count // (8 * block.worker_count)))
    while first <= block.count:
        end = first
        gas = 0
        while end <= block.count and end - first < most and (asked == NULL or not asked[end - 1].is_early):
            gas += block.txs[end - 1].gas_limit
            if block.txs[end - 1].gas_limit > BRIEF_GAS or gas > STRETCH_GAS:
                break
            end += 1
        if asked != NULL:
            for tx in range(first, max(end, first + 1)):
                offer_early(block, tx)
        if end - first > 1:
            if brief > LEAD and (brief - LEAD) % <uint32_t>block.worker_count:
                scheduler.offer(first, end, True)
            brief += 1
        else:
            end = first + 1
            left = block.sharing[first] == SHARES_NOTHING and not takes_long(block.txs[first - 1])
            apart += left
            left = left and apart % <uint32_t>block.worker_count == 0
            if not left and (asked == NULL or not asked[first - 1].is_early):
                scheduler.offer(first, end, False)
        first = end
