"""A block in parallel execution, as C data: its workers, and the records of each transaction's latest run.

Each module of the executor has one job. `stm` leads the threads through a block, `_stm_furnish` allocates what
they need, and `_stm_offer` chooses what to run ahead. `_stm_tasks` does a worker's tasks with one transaction:
`_stm_run` runs it and records its read and write sets, `_stm_read` answers its reads, `_stm_commit` makes it final.
`_stm_watch` and `_stm_told` report what happened.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from evmcore._bins_block cimport Bins
from evmcore._block_run cimport Pace
from evmcore._block_steps cimport BlockFailure, BlockOutput, BlockRules
from evmcore._code cimport Code
from evmcore._hints cimport HintTables
from evmcore._interp cimport Machine, Status
from evmcore._state cimport LogEntry, StateReader
from evmcore._stm cimport Arena, Baton, Delays, Location, Scheduler, Store, Tally, Tasks, TxIndex, Write
from evmcore._tx cimport TxData, TxInvalid, TxResult
from evmcore._u256 cimport u256

cdef struct AccountRead:
    Location* location
    uint64_t nonce
    int uses                      # of _state.Use: the parts whose value mattered
    uint8_t exists
    uint8_t has_storage
    uint8_t has_floor
    u256 floor                    # the balance was at least this
    AccountSeen* seen             # NULL: balance and code were those before the block

cdef struct AccountSeen:
    u256 balance
    uint8_t[32] code_hash

cdef struct SlotRead:
    Location* location
    Location* account
    u256 low                      # any value from this ...
    u256 high                     # ... to this would have led to the same run

cdef struct Access:               # an account, or a slot of one
    Location* location
    Location* account             # the slot's account; NULL: this is an account

# The latest run of one transaction. Its arrays are in `records` of the worker that executed it.
cdef struct Run:
    uint64_t block                # number of the block to which this run belongs; in any other block nothing here holds
    bint failed                   # the engine failed; nothing else holds
    bint ran_ahead                # a speculative run came before
    bint direct                   # run by the committer on the block's own working set: its changes are there already
    uint32_t account_read_count
    uint32_t slot_read_count
    uint32_t write_count
    uint32_t log_count
    uint32_t access_count
    uint64_t ticks                # how long it took; 0: it is brief and was not timed
    TxIndex leans_on              # the latest transaction whose writes it used; recorded where the hints line it up
    uint32_t kept_size            # bytes of the records from `kept` on, side by side; 0: they are not, or are many
    const uint8_t* kept           # where the run's records begin in the worker's arena
    AccountRead* account_reads
    SlotRead* slot_reads
    Write* writes
    LogEntry* logs
    uint8_t* log_data
    Access* accesses              # all accesses, if the block notes them
    u256 gas_price
    TxResult result

# Data of each transaction of a block; the memory is kept from block to block.
cdef struct Runs:
    size_t capacity
    uint64_t block                # the number of the current block
    Run* run_of                   # by transaction, from 1
    uint8_t* sharing              # of Sharing, by transaction, from 1
    HintTables hints

cdef enum:
    RECENT_CODES = 64             # a power of two

cdef struct Worker:
    Machine* machine
    Arena* arena                  # for what lives as long as the block
    Arena* records                # of runs that are not final yet
    TxIndex last                  # the highest transaction with records there
    Arena* older                  # older records, which other workers may still read ...
    TxIndex older_last            # ... until this transaction is final
    StateReader reader            # answers from the store for the transaction that this worker runs
    Block* block
    TxIndex tx
    TxIndex blocked_on            # a read met an estimate of this transaction
    bint full                     # the store has no room left
    Location* last_account
    bint apart                    # the transaction ignores the writes of others, and does not publish its own
    bint watches                  # slots that other transactions write get symbols (see ops/symbolic.pxi)
    Delays delays                 # for tests
    Code** codes                  # codes that versions or locations of the block refer to; released after it
    uint32_t code_count
    uint32_t code_capacity
    Code* recent_codes[RECENT_CODES]   # of `codes`, by hash: those last met by transactions apart
    Tasks tasks
    Tally tally

cdef struct Block:
    Store* store
    Scheduler* scheduler
    int threads                   # requested
    uint32_t opening              # whether the other workers may begin; of stm.Opening
    bint together                 # ... and no worker begins before all may
    uint32_t came                 # workers that came to prepare what speculation needs: the first of them does so ...
    uint32_t made_ready           # ... and has done so ...
    bint ready                    # ... and there was memory for it
    Worker** workers
    int worker_count              # that exist
    uint32_t next_worker
    uint64_t delays               # tests: their seed
    uint64_t turns                # tests: seed of the order of turns; 0: all workers run at once
    Baton* baton                  # ... held by the worker whose turn it is; NULL where `turns` is 0
    bint watch_all                # tests: every slot counts as contended
    uint32_t arrived              # tests: workers that have begun
    uint32_t* stop                # the run's `halt`
    uint32_t fallback             # speculation has ended: the rest of the block runs sequentially from the frontier
    TxData** txs                  # txs[i] is transaction i + 1
    TxIndex count
    Runs* runs
    Run* run_of                   # of `runs`
    uint8_t* sharing              # of `runs`
    bint alone                    # no worker runs ahead: final changes need not be published
    const BlockRules* rules
    StateReader* base
    Pace* pace
    Bins* bins                    # NULL: none were asked for
    uint64_t bins_seed            # tests: deal out at random
    bint bins_always              # tests: try bins however often they have failed
    bint binned                   # transactions ran in bins first ...
    size_t before                 # ... and this many of them, before those of `txs`, are final
    int64_t started               # ns, of the monotonic clock
    int64_t opened_ns             # when everything was ready for the workers ...
    uint64_t opened               # ... and the same in ticks
    uint64_t closed               # when the workers had ended, in ticks ...
    int64_t took                  # ... and ns since `opened`
    bint watched                  # a timeline is recorded: which worker does what and when
    bint refused                  # speculation could not begin at all
    Machine* main                 # its working set is the block's: final changes
    uint32_t first_epoch          # before the first transaction; each transaction has its own, wherever it ran
    BlockOutput* output
    uint8_t[64] aside             # the committer writes the fields below all the time; other workers read those above
    uint64_t gas_used             # of `output`, before the frontier's transaction
    BlockFailure failure
    TxInvalid invalid
    Status status
