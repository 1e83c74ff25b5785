"""How long a block's transactions will take, alone and on threads, forecast from earlier transactions. Layer 5.

Known calls are identified by callee and selector; for an unknown call, its gas gives an estimate. Times are
nanoseconds. Estimates are shared by the process: any thread reads and improves them.
"""
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint32_t, uint64_t
from evmcore._block_run cimport BlockRun, Pace, Sequence
from evmcore._block_steps cimport BlockFailure
from evmcore._tx cimport TxData

cdef enum:
    LENGTHS = 16                  # of transactions, by powers of two from 256 ns
    WHOLE = 1024

# What is expected of a block before it runs.
cdef struct Forecast:
    uint64_t raw                  # all transactions one after the other, by the times of their kinds
    uint64_t sequential           # the same at the present speed of blocks
    uint64_t longest              # of one transaction
    int length                    # class of the mean transaction, from 0 to LENGTHS - 1, by `raw`
    uint64_t path                 # longest chain lined up by the hints; `longest` where it was not looked for
    uint64_t[16] load             # transactions by length, in 1,024ths; one that threads slow down more counts for more
    uint32_t unknown              # transactions of kinds never seen before ...
    uint32_t unsure               # ... these, and those of kinds not timed beyond their first block ...
    uint32_t wanting              # ... of which these would become known by one sequential block
    uint32_t gas_share            # part of the gas limits that is used, in 1,024ths ...
    bint looked                   # the transactions were examined, not only the header
    bint gas_known                # ... and the header says so
    uint32_t* costs               # of each transaction, as in `raw`; NULL where not all were examined

# `gas_used`: of the header; 0: unknown. Every forecast that may have `costs` must be released by `forecast_end`.
# `forecast_by_gas` gives an upper bound from the gas alone, without examining the transactions.
cdef void forecast_by_gas(size_t count, uint64_t gas_used, Forecast* out) noexcept nogil
# From as many transactions as can be examined in a hundredth of the block's time. Returns whether those are all.
cdef bint forecast_some(TxData** txs, size_t count, uint64_t gas_used, Forecast* out) noexcept nogil
cdef void forecast_all(TxData** txs, size_t count, uint64_t gas_used, Forecast* out) noexcept nogil
cdef void forecast_end(Forecast* out) noexcept nogil

# Sets `path`, if all transactions were examined.
cdef void find_path(TxData** txs, size_t count, Forecast* out) noexcept nogil

# Sets the times by which parts of the block should be final: their sequential time plus `allowed_ns`. The first part is
# one in `part` of the work; each further part is twice the one before.
cdef void set_pace(Pace* pace, size_t count, const Forecast* seen, uint64_t allowed_ns, uint64_t part) noexcept nogil

# Sequential execution that times some transactions, more often those of kinds that are not known well.
cdef BlockFailure run_timed(BlockRun run, Sequence* sequence, const Forecast* seen) noexcept nogil

# Notes that the first `count` transactions ran on threads, which added `ratio` 1,024ths of what was expected (0:
# unknown) and ran for `running_ns` together (0: unknown).
cdef void note_on_threads(BlockRun run, TxData** txs, size_t count, const Forecast* seen, uint64_t running_ns, uint64_t ratio) noexcept nogil

# For tests.
cdef void forget_kinds() noexcept nogil
cdef void teach_kind(const TxData* tx, uint32_t nanoseconds, uint32_t burden) noexcept nogil
cdef void teach_speed(uint32_t plain_ns, uint32_t kilogas_ns) noexcept nogil
cdef dict known_kinds()
