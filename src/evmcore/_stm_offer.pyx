"""What workers are offered to run ahead; see `_stm_offer.pxd`."""
from libc.stdint cimport uint32_t, uint64_t

from evmcore._hints cimport BRIEF_GAS, SHARES_NOTHING, Asked, takes_long
from evmcore._stm cimport Scheduler, TxIndex
from evmcore._stm_block cimport Block

cdef enum:
    LEAD = 4                      # stretches of brief transactions that are left to the committer first: close behind others
                                  # it waits for each of them, and for what they still have in their caches
    STRETCH = 16                  # such transactions that one worker runs one after the other
    STRETCH_GAS = 400000


cdef inline void offer_early(Block* block, TxIndex before) noexcept nogil:
    """Those that begin just before a transaction, before their own turn."""
    cdef const Asked* asked = block.runs.hints.asked
    cdef TxIndex tx = asked[before - 1].early
    while tx:
        if tx >= block.scheduler.frontier():
            block.scheduler.offer(tx, tx + 1, False)
        tx = asked[tx - 1].next_early


cdef void offer_work(Block* block, TxIndex first) noexcept nogil:
    """Says what to run ahead of time, from `first` on: neighbours that are brief together, others one by one. Of as many
    stretches that are brief as there are workers one is left to the committer, and of transactions that share nothing as well:
    nobody waits for them, and to run them directly costs less."""
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
