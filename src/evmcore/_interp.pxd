"""Message calls: frames, dispatch, opcode bodies. Layer 2: knows nothing of transactions, blocks or threads."""
from libc.stddef cimport size_t
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from evmcore._code cimport Code
from evmcore._precompiles cimport Output, PrecompileMoves
from evmcore._state cimport Checkpoint, WorkingSet
from evmcore._u256 cimport u256

cpdef enum Status:
    RUNNING = 0
    SUCCESS = 1                   # STOP, RETURN, SELFDESTRUCT, end of code
    REVERT = 2                    # the gas left is returned, output is the revert data
    # exceptional halts: all gas is consumed
    OUT_OF_GAS = 3
    STACK_UNDERFLOW = 4
    STACK_OVERFLOW = 5
    INVALID_OPCODE = 6            # 0xfe, or an opcode that the fork does not have
    INVALID_JUMP = 7
    WRITE_PROTECTION = 8          # state change inside STATICCALL (EIP-214)
    RETURN_DATA_OUT_OF_BOUNDS = 9 # EIP-211
    CREATE_COLLISION = 10         # EIP-684, EIP-7610
    CODE_TOO_LARGE = 11           # EIP-170
    INVALID_CODE_PREFIX = 12      # EIP-3541
    CODE_STORE_OUT_OF_GAS = 13    # EIP-2
    INIT_CODE_TOO_LARGE = 14      # EIP-3860
    PRECOMPILE_FAILURE = 15
    CALL_DEPTH = 16               # a top-level message deeper than 1,024
    INSUFFICIENT_BALANCE = 17     # the caller of a top-level message cannot pay its value
    NONCE_OVERFLOW = 18           # creator's nonce is 2**64 - 1 (EIP-2681)
    # the engine stopped: the message has no outcome
    STATE_FAILED = 32             # the reader failed (or memory ran out in the working set)
    NO_MEMORY = 33
    ABORTED = 34                  # the abort flag was set, or the deadline passed
    UNAVAILABLE = 35              # a precompile needs a library that this machine lacks

cpdef enum MessageKind:
    CALL = 0
    CALLCODE = 1
    DELEGATECALL = 2
    STATICCALL = 3
    CREATE = 4
    CREATE2 = 5

# The block and transaction environment that code sees. Filled by the layers above.
cdef struct Environment:
    uint64_t number
    uint64_t timestamp
    uint64_t gas_limit
    u256 chain_id
    u256 base_fee
    u256 blob_base_fee
    u256 prevrandao               # DIFFICULTY before Paris
    uint8_t[20] coinbase
    uint8_t[20] origin
    u256 gas_price
    const uint8_t* blob_hashes    # 32 bytes each, borrowed
    size_t blob_hash_count

cdef struct Message:
    MessageKind kind              # CALL or CREATE at the top
    bint is_static
    int32_t depth
    int64_t gas
    uint8_t[20] caller
    uint8_t[20] target            # the account whose storage is used; for CREATE filled in by the interpreter
    uint8_t[20] code_address      # CALL: the account with the code (the target at the top; delegations are followed)
    u256 value                    # transferred, except by DELEGATECALL, where only CALLVALUE returns it
    const uint8_t* input          # calldata or init code, borrowed
    size_t input_size
    u256 salt                     # CREATE2

cdef struct Outcome:
    Status status
    int64_t gas_left
    const uint8_t* output         # borrowed from the machine, valid until its next message
    size_t output_size
    uint8_t[20] created           # CREATE: the new address, on success

cdef struct Frame                 # see interpreter/frames.pxi

# The value of a storage slot before the transaction, for a slot whose exact value the message does not depend on. With any
# value from `low` to `high` the message does the same and adds the same amount to the slot (see ops/symbolic.pxi).
cdef struct Symbol:
    uint32_t slot                 # number of the entry; the entry's `symbol` is 0 if the exact value counts after all
    u256 low
    u256 high

cdef struct Machine

# One machine per thread: working set, environment and the arenas that all frames share.
cdef struct Machine:
    WorkingSet* ws
    Environment env
    int revision
    bint switch_dispatch          # run the switch build (debugging, coverage, sanitizers); implied by tracing
    bint symbolic                 # contended slots get symbols; see machine_make_symbolic
    Symbol* symbols               # of the transaction, from index 1
    uint32_t symbol_count         # set to 0 before each transaction
    const uint32_t* abort_flag    # not zero: stop soon; may be NULL
    int64_t deadline_ns           # CLOCK_MONOTONIC; 0: none
    const int64_t* stop_at        # like deadline_ns, but another thread may set it while the machine runs; may be NULL
    bint unlimited_code_size      # lifts EIP-170 and EIP-3860 limits (development chains)
    void* tracer                  # Tracer*, or NULL
    const PrecompileMoves* moves  # of precompiles, borrowed; NULL: all are at their own addresses
    bint show_transfers           # ether transfers are logged like ERC-20 transfers (see LogEntry.is_transfer)
    Output return_data            # of the last call
    void* private
    uint32_t polls                # number of checks whether to stop
    bint (*interrupted)(Machine* machine) noexcept nogil     # called at some of these checks; may be NULL
    int64_t asked_next            # used by `interrupted`: the time, or a count, that says when it checks again
    void* interruption            # used by `interrupted`: its context

# Called by the switch build only. `stack` is the bottom, `stack_size` words.
cdef struct Step:
    uint64_t pc
    uint8_t op
    int64_t gas                   # before the instruction
    int64_t cost                  # charged by it (for calls: including the gas given to the callee)
    int32_t depth                 # 1 at the top
    int64_t refund
    const u256* stack             # before the instruction
    size_t stack_size
    const uint8_t* memory         # before the instruction
    size_t memory_size
    const uint8_t* return_data
    size_t return_data_size
    Status error                  # RUNNING, or the reason why the instruction failed
    const uint8_t* address        # 20 bytes: the executing account

cdef struct Tracer:
    void* self
    void (*step)(void* self, const Step* step) noexcept nogil
    void (*enter)(void* self, const Message* message) noexcept nogil          # every call and creation, also of precompiles
    void (*leave)(void* self, const Message* message, const Outcome* outcome) noexcept nogil

cdef Machine* machine_new() noexcept nogil                # with a working set of its own; NULL: no memory
cdef void machine_neutral(Machine* machine) noexcept nogil                  # resets all fields that callers set
cdef void machine_free(Machine* machine) noexcept nogil

# Lets the machine give symbols to slots that its reader reports as contended. The switch build never does. False: no memory.
cdef bint machine_make_symbolic(Machine* machine) noexcept nogil

# Runs one message to its end, with all messages that it starts. Includes the value transfer, the nonce of a creator (CREATE
# only, in the frame's own account) and the code deposit; reverts the state of a failed message. Does not recurse on the C
# stack. For a top-level CREATE the caller's nonce must already have been increased: the address uses `nonce - 1`.
cdef void execute(Machine* machine, const Message* message, Outcome* outcome) noexcept nogil

# Iterates over the machine's memo of hashes of 64 bytes (keys of mappings). Begin with `first` = 0, then pass the value that
# the previous call returned; 0 is returned after the last entry.
cdef size_t hash_memo(const Machine* machine, size_t first, const uint8_t** data, const u256** digest) noexcept nogil
# Keccak-256 of 64 bytes; adds the result to the machine's memo.
cdef void hash_pair(Machine* machine, const uint8_t* data, u256* result) noexcept nogil

cdef void create_address(const uint8_t* sender, uint64_t nonce, uint8_t* out) noexcept nogil
cdef void create2_address(const uint8_t* sender, const u256* salt, const uint8_t* init_code_hash, uint8_t* out) noexcept nogil
