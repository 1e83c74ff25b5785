"""A block in parallel execution, as C data: its workers, and what the latest run of each transaction left.

What each room of the executor does with it: `stm` leads the threads through a block, `_stm_furnish` gets what they need,
`_stm_offer` says what to run ahead, `_stm_tasks` what a worker does with a transaction: `_stm_run` runs it and records,
`_stm_read` answers its reads, `_stm_commit` makes it final. `_stm_watch` and `_stm_told` tell what happened.
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
    int uses                      # of _state.Use: what mattered
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
    u256 low                      # its value was from this ...
    u256 high                     # ... to this: all that mattered

cdef struct Access:               # an account, or a slot of one
    Location* location
    Location* account             # whose slot it is; NULL: an account

# The latest run of one transaction; what it points to is in `records` of the worker that did it.
cdef struct Run:
    uint64_t block                # whose it is, by number: of no other block anything here holds
    bint failed                   # the engine failed; nothing else holds
    bint ran_ahead                # a speculative run came before
    bint direct                   # run by the committer on the block's own working set: brought in already
    uint32_t account_read_count
    uint32_t slot_read_count
    uint32_t write_count
    uint32_t log_count
    uint32_t access_count
    uint64_t ticks                # how long it took; 0: it is brief, and nobody has looked
    TxIndex leans_on              # the latest transaction whose writes it used; noted where the hints line it up
    uint32_t kept_size            # ... bytes of it, side by side; 0: they are not
    const uint8_t* kept           # what of all this is in the worker's records ...
    AccountRead* account_reads
    SlotRead* slot_reads
    Write* writes
    LogEntry* logs
    uint8_t* log_data
    Access* accesses              # all of them, where the block notes them
    u256 gas_price
    TxResult result

# What a block needs for each of its transactions, kept from block to block.
cdef struct Runs:
    size_t capacity
    uint64_t block                # the number of this one
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
    Arena* older                  # records from before those, which others may still look at ...
    TxIndex older_last            # ... until this one is final
    StateReader reader            # answers from the store, for the transaction this worker runs
    Block* block
    TxIndex tx
    TxIndex blocked_on            # the read met an estimate of this transaction
    bint full                     # the store has no room left
    Location* last_account
    bint apart                    # it is run without a look at what others write, and tells nobody
    bint watches                  # slots that others write get symbols (see ops/symbolic.pxi)
    Delays delays                 # for tests
    Code** codes                  # of published code cells, released after the block
    uint32_t code_count
    uint32_t code_capacity
    Code* recent_codes[RECENT_CODES]   # of `codes`, by hash: those last met by transactions apart
    Tasks tasks
    Tally tally

cdef struct Block:
    Store* store
    Scheduler* scheduler
    int threads                   # asked for
    uint32_t opening              # whether the others may begin; of stm.Opening
    bint together                 # ... and nobody before them
    uint32_t came                 # those who would make ready what is needed for that: the first one does ...
    uint32_t made_ready           # ... and has ...
    bint ready                    # ... and there was memory for it
    Worker** workers
    int worker_count              # there are
    uint32_t next_worker
    uint64_t delays               # tests: their seed
    uint64_t turns                # tests: seed of whose turn it is, 0: all are at work
    Baton* baton                  # ... and who is; NULL where `turns` is 0
    bint watch_all                # tests: every slot counts as contended
    uint32_t arrived              # tests: workers that have begun
    uint32_t* stop                # the run's `halt`
    uint32_t fallback             # go on without speculation from the frontier
    TxData** txs                  # txs[i] is transaction i + 1
    TxIndex count
    Runs* runs
    Run* run_of                   # of `runs`
    uint8_t* sharing              # of `runs`
    bint alone                    # nobody runs ahead: what is final need not be published
    const BlockRules* rules
    StateReader* base
    Pace* pace
    Bins* bins                    # NULL: nobody has asked for any
    uint64_t bins_seed            # tests: dealt out at random
    bint bins_always              # tests: tried however often they have not done
    bint binned                   # transactions ran in bins first ...
    size_t before                 # ... of which so many, before those that are here, are final
    int64_t started               # ns, of the monotonic clock
    int64_t opened_ns             # when all was there for the workers ...
    uint64_t opened               # ... and the same in ticks
    uint64_t closed               # when they had ended ...
    int64_t took                  # ... and ns since `opened`
    bint watched                  # for a picture: who does what and when
    bint refused                  # no speculation at all: it could not be begun
    Machine* main                 # its working set is the block's: what is final
    uint32_t first_epoch          # of that before the first transaction; each has one of its own, wherever it ran
    BlockOutput* output
    uint8_t[64] aside             # what follows the committer writes all the time, what is above others read
    uint64_t gas_used             # of `output`, before the frontier's transaction
    BlockFailure failure
    TxInvalid invalid
    Status status
