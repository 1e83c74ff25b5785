"""When a block is tried in bins; see `_bins_trial.pxd`."""
from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t

from evmcore._bins_block cimport Bins
from evmcore._pace cimport Estimate, Patience
from evmcore._stm cimport kRunning

cdef enum:
    SIZES = 16                    # classes of blocks, by powers of two of transactions
    EVEN_PARTS = 4                # a thread may run more than its share by one part in EVEN_PARTS of the whole
    MOST_DOUBT = 6                # failures: then one block in 64 is tried in bins
    DOUBT_WITH_NEWS = 3           # then one in 8; the most where the trial taught something
    DOUBT_OF_STRANGERS = 2        # then one in 4; at first, and the most where too few calls are known: a trial only shows more

# By SIZES:
cdef Estimate[16] doubts          # how often bins have failed
cdef Estimate[16] passed_over     # blocks since the latest trial
cdef Estimate[16] deal_first      # 1: blocks are dealt out before anything runs
cdef Patience[16] first_patience  # when to try that


cdef inline int size_class(size_t count) noexcept nogil:
    cdef int size = 0
    while count >> size > 1 and size < SIZES - 1:
        size += 1
    return size


cdef bint is_time_for_bins(size_t count) noexcept nogil:
    cdef int size = size_class(count)
    passed_over[size].set(passed_over[size].value() + 1)
    return passed_over[size].value() >> doubts[size].value() != 0


cdef bint deals_out_first(size_t count) noexcept nogil:
    return deal_first[size_class(count)].value() != 0


cdef bint were_even(const Bins* bins) noexcept nogil:
    """Whether no thread had much more to run than the others. If one had, the cost of a few large groups may have been
    estimated badly."""
    cdef uint64_t all_ = 0, most = 0, spent
    cdef uint32_t i
    for i in range(bins.count):
        spent = bins.watches[i].spent[<int>kRunning]
        all_ += spent
        most = max(most, spent)
    return most * EVEN_PARTS * bins.count <= all_ * (EVEN_PARTS + bins.count)


cdef void note_trial(const Bins* bins, uint32_t final) noexcept nogil:
    cdef int size = size_class(bins.tx_count)
    cdef uint32_t doubt = doubts[size].value()
    if not bins.run.was_dealt():
        if bins.groups.strange:
            passed_over[size].set(0)
            doubts[size].set(max(doubt, min(doubt + 1, <uint32_t>DOUBT_OF_STRANGERS)))
            return
        # The cause may be the transactions that ran meanwhile and so have to stay together in one bin.
        if bins.run.deals_first():
            first_patience[size].begin()
            first_patience[size].judge(False)
        deal_first[size].set(not bins.run.deals_first() and first_patience[size].passed_over())
        return
    if bins.run.deals_first():
        first_patience[size].judge(True)
    passed_over[size].set(0)
    if final == bins.tx_count and were_even(bins):
        doubts[size].set(doubt // 2)
    elif doubt < <uint32_t>(DOUBT_WITH_NEWS if bins.news else MOST_DOUBT):
        doubts[size].set(doubt + 1)


cdef void forget_trials() noexcept nogil:
    cdef int size
    for size in range(SIZES):
        doubts[size].set(DOUBT_OF_STRANGERS)
        passed_over[size].set(0)
        deal_first[size].set(0)
        first_patience[size].forget()


forget_trials()
