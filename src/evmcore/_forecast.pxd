"""What a block's transactions will take, alone and on threads, by what those before them took. Layer 5.

A transaction that is known is told by callee and selector; of one that is not, its gas says something. Times are
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

# What is thought of a block before it runs.
cdef struct Forecast:
    uint64_t raw                  # its transactions one after the other, by what their kinds took
    uint64_t sequential           # the same at the speed that blocks have at present
    uint64_t longest              # of one transaction
    int length                    # of its mean transaction, from 0 to LENGTHS - 1, by `raw`
    uint64_t path                 # of those that the hints line up; `longest` where there was no need to look
    uint64_t[16] load             # transactions by length, in 1,024ths: one that threads burden more counts for more
    uint32_t unknown              # transactions of kinds that were not seen before ...
    uint32_t unsure               # ... or were timed in their first block only ...
    uint32_t wanting              # ... or seen, but never timed: one sequential block would tell
    uint32_t gas_share            # of the limits that is used, in 1,024ths ...
    bint looked                   # at transactions, not only at the header
    bint gas_known                # ... as the header says
    uint32_t* costs               # of each transaction, as in `raw`; NULL where not all were looked at

# `gas_used`: what the header says, 0 where it says nothing. Each forecast that may have `costs` wants a `forecast_end`.
# At most, by the gas alone, without a look at the transactions.
cdef void forecast_by_gas(size_t count, uint64_t gas_used, Forecast* out) noexcept nogil
# From as many transactions as can be looked at in a hundredth of the block's time. Whether those are all.
cdef bint forecast_some(TxData** txs, size_t count, uint64_t gas_used, Forecast* out) noexcept nogil
cdef void forecast_all(TxData** txs, size_t count, uint64_t gas_used, Forecast* out) noexcept nogil
cdef void forecast_end(Forecast* out) noexcept nogil

# Sets `path`, where all were looked at.
cdef void find_path(TxData** txs, size_t count, Forecast* out) noexcept nogil

# Times by which parts of the block should be final: what they take sequentially, and `allowed_ns`. The first part is one in
# `part` of the work, each further one twice the one before.
cdef void set_pace(Pace* pace, size_t count, const Forecast* seen, uint64_t allowed_ns, uint64_t part) noexcept nogil

# Sequential execution that times a transaction here and there, those of kinds that are not known well more often.
cdef BlockFailure run_timed(BlockRun run, Sequence* sequence, const Forecast* seen) noexcept nogil

# That the first `count` transactions ran on threads, which added `ratio` 1,024ths of what was expected (0: nobody knows) and
# took `running_ns` together (0 likewise).
cdef void note_on_threads(BlockRun run, TxData** txs, size_t count, const Forecast* seen, uint64_t running_ns, uint64_t ratio) noexcept nogil

# For tests.
cdef void forget_kinds() noexcept nogil
cdef void teach_kind(const TxData* tx, uint32_t nanoseconds, uint32_t burden) noexcept nogil
cdef void teach_speed(uint32_t plain_ns, uint32_t kilogas_ns) noexcept nogil
cdef dict known_kinds()
