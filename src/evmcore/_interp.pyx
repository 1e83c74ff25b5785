"""The interpreter: frames, the driver that runs them, and the opcode bodies (``ops/*.pxi``).

A message runs in a frame. A handler that starts a callee leaves the dispatch loop with RUNNING; the driver goes on with the
new top frame and, when that ends, settles its outcome in the caller and resumes it. So depth never uses the C stack. All
frames of a machine share one stack block (a callee's stack starts where its caller's ends) and one chain of memory chunks
(a callee's memory starts where its caller's ends; when it outgrows the chunk it moves to a larger one, its caller's stays).
"""
import os

from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy, memmove, memset

from evmcore._code cimport code_release, code_transient, is_jumpdest
from evmcore._hash cimport keccak256, keccak256_64
from evmcore._precompiles cimport (
    PRECOMPILE_FAILED, PRECOMPILE_NO_MEMORY, PRECOMPILE_OK, PrecompileStatus, output_free, output_reserve, precompile_after,
    precompile_at, precompile_run,
)
from evmcore._rules cimport (
    BERLIN, BYZANTIUM, CANCUN, CONSTANTINOPLE, FRONTIER, HOMESTEAD, ISTANBUL, LONDON, PRAGUE, SHANGHAI, SPURIOUS_DRAGON,
    TANGERINE_WHISTLE,
)
from evmcore._state cimport (
    FOUND, USE_CODE, SlotEntry, ws_account, ws_account_unloaded, ws_add_balance, ws_balance, ws_block_hash, ws_can_pay,
    ws_checkpoint, ws_code,
    ws_destroy, ws_exists, ws_free, ws_has_storage, ws_is_empty, ws_load, ws_load_slot, ws_log, ws_mark_created, ws_new, ws_nonce, ws_revert,
    ws_set_balance, ws_set_code, ws_set_nonce, ws_slot, ws_slot_unloaded, ws_store, ws_sub_balance, ws_tload, ws_touch,
    ws_tstore, ws_warm_account, ws_warm_slot,
)
from evmcore._u256 cimport (
    u_add, u_add_carry, u_addmod, u_and, u_byte, u_byte_len, u_clz, u_copy, u_div, u_eq, u_exp, u_fits64, u_from_address, u_from_be,
    u_is_zero, u_lt, u_mod, u_mul, u_mulmod, u_not, u_or, u_sar, u_sat64, u_sdiv, u_set64, u_shl, u_shr, u_signextend, u_slt,
    u_smod, u_sub, u_sub_borrow, u_swap, u_to_address, u_to_be, u_xor, u_zero,
)

cdef extern from *:
    """
    #define unlikely_(x) __builtin_expect(!!(x), 0)
    #ifdef EVMCORE_SWITCH_DISPATCH
    #define EVMCORE_TAIL_CALLS 0
    #else
    #define EVMCORE_TAIL_CALLS 1
    #endif
    """
    bint unlikely "unlikely_"(bint condition) noexcept nogil
    bint TAIL_CALLS "EVMCORE_TAIL_CALLS"

cdef extern from "include/sync.h" nogil:
    uint32_t atomic_load32(const uint32_t* p)
    int64_t atomic_load64(const int64_t* p)
    int64_t monotonic_ns()

cdef extern from "include/push.h" nogil:
    void u_push0 "u_push<0>"(u256* r, const uint8_t* p) noexcept
    void u_push1 "u_push<1>"(u256* r, const uint8_t* p) noexcept
    void u_push2 "u_push<2>"(u256* r, const uint8_t* p) noexcept
    void u_push3 "u_push<3>"(u256* r, const uint8_t* p) noexcept
    void u_push4 "u_push<4>"(u256* r, const uint8_t* p) noexcept
    void u_push5 "u_push<5>"(u256* r, const uint8_t* p) noexcept
    void u_push6 "u_push<6>"(u256* r, const uint8_t* p) noexcept
    void u_push7 "u_push<7>"(u256* r, const uint8_t* p) noexcept
    void u_push8 "u_push<8>"(u256* r, const uint8_t* p) noexcept
    void u_push9 "u_push<9>"(u256* r, const uint8_t* p) noexcept
    void u_push10 "u_push<10>"(u256* r, const uint8_t* p) noexcept
    void u_push11 "u_push<11>"(u256* r, const uint8_t* p) noexcept
    void u_push12 "u_push<12>"(u256* r, const uint8_t* p) noexcept
    void u_push13 "u_push<13>"(u256* r, const uint8_t* p) noexcept
    void u_push14 "u_push<14>"(u256* r, const uint8_t* p) noexcept
    void u_push15 "u_push<15>"(u256* r, const uint8_t* p) noexcept
    void u_push16 "u_push<16>"(u256* r, const uint8_t* p) noexcept
    void u_push17 "u_push<17>"(u256* r, const uint8_t* p) noexcept
    void u_push18 "u_push<18>"(u256* r, const uint8_t* p) noexcept
    void u_push19 "u_push<19>"(u256* r, const uint8_t* p) noexcept
    void u_push20 "u_push<20>"(u256* r, const uint8_t* p) noexcept
    void u_push21 "u_push<21>"(u256* r, const uint8_t* p) noexcept
    void u_push22 "u_push<22>"(u256* r, const uint8_t* p) noexcept
    void u_push23 "u_push<23>"(u256* r, const uint8_t* p) noexcept
    void u_push24 "u_push<24>"(u256* r, const uint8_t* p) noexcept
    void u_push25 "u_push<25>"(u256* r, const uint8_t* p) noexcept
    void u_push26 "u_push<26>"(u256* r, const uint8_t* p) noexcept
    void u_push27 "u_push<27>"(u256* r, const uint8_t* p) noexcept
    void u_push28 "u_push<28>"(u256* r, const uint8_t* p) noexcept
    void u_push29 "u_push<29>"(u256* r, const uint8_t* p) noexcept
    void u_push30 "u_push<30>"(u256* r, const uint8_t* p) noexcept
    void u_push31 "u_push<31>"(u256* r, const uint8_t* p) noexcept
    void u_push32 "u_push<32>"(u256* r, const uint8_t* p) noexcept

ctypedef int (*Handler)(const uint8_t*, u256*, int64_t, Frame*, const void*) noexcept nogil

cdef enum:
    STACK_WORDS = 1024
    FRAMES = 1025                 # depth 0 to 1,024
    CHUNKS = 48                   # each at least twice its predecessor
    FIRST_CHUNK = 1 << 18
    KEPT_CHUNK = 1 << 26          # larger ones are given back after the message
    HASH_MEMOS = 1024
    TAGS_MARGIN = 32
    POLL_INTERVAL = 2048          # backward jumps between two looks at the clock and the abort flag

cdef struct HashMemo:
    uint8_t[64] data
    u256 digest
    bint used

cdef struct Chunk:
    uint8_t* data
    size_t size

cdef struct Frame:
    # read by handlers all the time
    u256* bottom                  # of the stack
    u256* last                    # the 1,024th word
    uint8_t* memory
    uint64_t memory_size          # bytes, a multiple of 32
    const uint8_t* start          # of the code being run: analysed (tail calls) or raw (switch)
    const Code* code
    const uint8_t* input
    size_t input_size
    WorkingSet* ws
    Machine* machine
    const Prices* prices
    uint32_t account              # whose storage is used
    uint32_t polls                # backward jumps left before the next poll
    bint is_static
    bint suspended                # a callee was started
    Status status                 # why the last body failed
    int32_t depth
    u256 value
    u256 address_word
    u256 caller_word
    uint8_t[20] address
    uint8_t[20] caller
    # saved when the dispatch loop is left
    const uint8_t* pc
    u256* sp
    int64_t gas
    int64_t traced_gas            # calls: what was left when the callee had been paid
    # where the callee's output goes
    uint64_t output_offset
    uint64_t output_size
    # of the message
    MessageKind kind
    Checkpoint checkpoint
    Code* init_code               # to be released; NULL for calls
    uint64_t memory_cost          # gas paid for memory so far
    int chunk
    size_t chunk_offset
    size_t input_total

cdef struct Scratch:
    Frame* frames
    int32_t top                   # index of the running frame, -1 when idle
    u256* stack
    uint8_t* tags                 # of the words of the stack, see ops/symbolic.pxi; NULL unless the machine was symbolic
    uint32_t tagged               # how many tags there are: all in the running frame
    Chunk[CHUNKS] chunks
    HashMemo* hashes
    # what a tracer is shown of the moment before an instruction
    Step step
    u256* step_stack
    uint8_t* step_memory
    size_t step_memory_capacity
    uint8_t* step_return_data
    size_t step_return_data_capacity

cdef inline Scratch* scratch(Machine* machine) noexcept nogil:
    return <Scratch*>machine.private

cdef bint default_switch = not TAIL_CALLS or os.environ.get("EVMCORE_DISPATCH") == "switch"

def dispatch_build():
    """Which of the two builds of the dispatch loop runs unless asked otherwise: "tail-call" or "switch"."""
    return "switch" if default_switch else "tail-call"


# ---------------------------------------------------------------------------------------------------- helpers of the bodies

cdef int64_t fail(Frame* f, Status status) noexcept nogil:
    f.status = NO_MEMORY if status == STATE_FAILED and f.ws.no_memory else status
    return -1


cdef inline bint must_poll(Frame* f) noexcept nogil:
    """Counts backward jumps; true at every POLL_INTERVAL of them."""
    f.polls -= 1
    if f.polls:
        return False
    f.polls = POLL_INTERVAL
    return True


cdef bint must_stop(Machine* machine) noexcept nogil:
    cdef int64_t stop
    if machine.abort_flag != NULL and atomic_load32(machine.abort_flag):
        return True
    if machine.stop_at != NULL:
        stop = atomic_load64(machine.stop_at)
        if stop != 0 and monotonic_ns() >= stop:
            return True
    return machine.deadline_ns != 0 and monotonic_ns() >= machine.deadline_ns


cdef size_t hash_memo(const Machine* machine, size_t first, const uint8_t** data, const u256** digest) noexcept nogil:
    cdef const HashMemo* memos = (<Scratch*>machine.private).hashes
    while first < HASH_MEMOS and not memos[first].used:
        first += 1
    if first == HASH_MEMOS:
        return 0
    data[0] = <const uint8_t*>memos[first].data
    digest[0] = &memos[first].digest
    return first + 1


cdef inline bint within_memory(const u256* offset, uint64_t size, Frame* f) noexcept nogil:
    return u_fits64(offset) and offset.w[0] < f.memory_size and f.memory_size - offset.w[0] >= size


cdef int64_t expand_memory(const u256* offset, uint64_t size, int64_t gas, Frame* f) noexcept nogil:
    """Pays for and makes memory up to offset + size, size not being 0. Returns the gas left or -1."""
    cdef uint64_t limit = <uint64_t>1 << 40
    cdef uint64_t words
    cdef int64_t cost
    if not u_fits64(offset) or offset.w[0] >= limit or size >= limit:
        # 2**40 bytes cost more than 2**61 gas.
        return fail(f, OUT_OF_GAS if gas < (<int64_t>1 << 61) else NO_MEMORY)
    words = (offset.w[0] + size + 31) >> 5
    cost = <int64_t>(GAS_MEMORY_WORD * words + (words * words >> 9) - f.memory_cost)
    gas -= cost
    if gas < 0:
        return fail(f, OUT_OF_GAS)
    if not make_memory(f, words << 5):
        return fail(f, NO_MEMORY)
    f.memory_cost += cost
    return gas


cdef bint make_memory(Frame* f, uint64_t size) noexcept nogil:
    cdef Scratch* s = scratch(f.machine)
    cdef Chunk* chunk = &s.chunks[f.chunk]
    cdef size_t wanted
    cdef uint8_t* data
    if f.chunk_offset + size > chunk.size:
        if f.chunk + 1 >= CHUNKS:
            return False
        wanted = max(chunk.size * 2, 2 * <size_t>size)
        chunk = &s.chunks[f.chunk + 1]
        if chunk.size < wanted:              # no frame lives there: this one is the youngest
            data = <uint8_t*>malloc(wanted)
            if data == NULL:
                return False
            free(chunk.data)
            chunk.data = data
            chunk.size = wanted
        memcpy(chunk.data, f.memory, f.memory_size)
        f.chunk += 1
        f.chunk_offset = 0
        f.memory = chunk.data
    memset(f.memory + f.memory_size, 0, size - f.memory_size)
    f.memory_size = size
    return True


cdef inline int64_t touch_memory(u256* offset, const u256* size, int64_t gas, Frame* f) noexcept nogil:
    """Makes memory for a region; an empty one needs none, whatever its offset. Returns the gas left or -1."""
    if u_is_zero(size):
        return gas
    if within_memory(offset, u_sat64(size), f):
        return gas
    return expand_memory(offset, u_sat64(size), gas, f)


cdef inline int64_t charge_words(const u256* size, int64_t price, int64_t gas, Frame* f) noexcept nogil:
    """Charges a price per started word of 32 bytes. Returns the gas left or -1."""
    cdef uint64_t bytes = u_sat64(size)
    if price == 0 or bytes == 0:
        return gas
    if bytes > <uint64_t>gas * 32 or bytes > <uint64_t>1 << 58:
        return fail(f, OUT_OF_GAS)
    gas -= price * <int64_t>((bytes + 31) >> 5)
    return gas if gas >= 0 else fail(f, OUT_OF_GAS)


cdef inline uint32_t memo_index(const uint8_t* data) noexcept nogil:
    """Picks a memo by bytes in which mapping keys (addresses, small numbers, nested digests) and base slots differ."""
    cdef uint64_t a, b, c
    memcpy(&a, data + 24, 8)
    memcpy(&b, data + 56, 8)
    memcpy(&c, data + 12, 8)
    return <uint32_t>((a * <uint64_t>0x9e3779b97f4a7c15 + b * <uint64_t>0xc2b2ae3d27d4eb4f + c) >> 40) % HASH_MEMOS


include "ops/prices.pxi"
include "ops/arithmetic.pxi"
include "ops/environment.pxi"
include "ops/memory.pxi"
include "ops/storage.pxi"
include "ops/calls.pxi"


# ---------------------------------------------------------------------------------------------------- dispatch

cdef Handler[15][256] HANDLERS
cdef Handler[15][256] WATCHING    # for symbolic machines ...
cdef Handler[15][256] TRACKING    # ... and for frames with tagged words
cdef uint8_t[256] OPERANDS        # of the instructions that use up what they take

cdef int h_UNDEFINED(const uint8_t* pc, u256* sp, int64_t gas, Frame* f, const void* table) noexcept nogil:
    return INVALID_OPCODE

cdef int grow_memory_32(const uint8_t* pc, u256* sp, int64_t gas, Frame* f, const void* table) noexcept nogil:
    """Makes memory for 32 bytes at the offset on top of the stack, then starts the instruction at `f.pc` over."""
    gas = expand_memory(sp, 32, gas, f)
    if gas < 0:
        return f.status
    return (<const Handler*>table)[f.pc[0]](f.pc, f.sp, gas, f, table)

cdef int grow_memory_1(const uint8_t* pc, u256* sp, int64_t gas, Frame* f, const void* table) noexcept nogil:
    gas = expand_memory(sp, 1, gas, f)
    if gas < 0:
        return f.status
    return (<const Handler*>table)[f.pc[0]](f.pc, f.sp, gas, f, table)

cdef int poll_and_go(const uint8_t* pc, u256* sp, int64_t gas, Frame* f, const void* table) noexcept nogil:
    """Goes on at `pc` unless the run was told to stop."""
    f.polls = POLL_INTERVAL
    if must_stop(f.machine):
        return ABORTED
    return (<const Handler*>table)[pc[0]](pc, sp, gas, f, table)

include "_ops_generated.pxi"
include "ops/symbolic.pxi"
include "_symbolic_generated.pxi"

fill_handlers()
fill_symbolic()


cdef inline int run_tail(Frame* f) noexcept nogil:
    cdef const Handler* table = HANDLERS[f.machine.revision]
    if f.machine.symbolic:
        table = WATCHING[f.machine.revision]
    return table[f.pc[0]](f.pc, f.sp, f.gas, f, <const void*>table)


cdef void drop_tags(Frame* f) noexcept nogil:
    """Words left on the stack of a frame that has ended, evaluated by nobody."""
    memset(tags_at(f.bottom, f), 0, STACK_WORDS + 1)
    scratch(f.machine).tagged = 0


# ---------------------------------------------------------------------------------------------------- tracing (switch build)

cdef uint8_t* kept(const uint8_t* data, size_t* size, uint8_t** copy, size_t* capacity) noexcept nogil:
    """A copy of what the instruction may overwrite or move; empty when there is no memory for it."""
    cdef uint8_t* bigger
    if capacity[0] < size[0]:
        bigger = <uint8_t*>realloc(copy[0], 2 * size[0])
        if bigger == NULL:
            size[0] = 0
            return copy[0]
        copy[0] = bigger
        capacity[0] = 2 * size[0]
    if size[0]:
        memcpy(copy[0], data, size[0])
    return copy[0]


cdef void trace_before(Frame* f, const uint8_t* pc, u256* sp, int64_t gas) noexcept nogil:
    cdef Scratch* s = scratch(f.machine)
    cdef Step* step = &s.step
    step.pc = <uint64_t>(pc - f.start)
    step.op = pc[0]
    step.gas = gas
    step.depth = f.depth + 1
    step.refund = f.ws.refund
    step.address = f.address
    step.stack = s.step_stack
    step.stack_size = <size_t>(sp + 1 - f.bottom)
    memcpy(s.step_stack, f.bottom, step.stack_size * sizeof(u256))
    step.memory_size = f.memory_size
    step.memory = kept(f.memory, &step.memory_size, &s.step_memory, &s.step_memory_capacity)
    step.return_data_size = f.machine.return_data.size
    step.return_data = kept(
        f.machine.return_data.data, &step.return_data_size, &s.step_return_data, &s.step_return_data_capacity
    )
    f.traced_gas = -1


cdef void trace_after(Frame* f, Tracer* tracer, int64_t gas, int status) noexcept nogil:
    cdef Step* step = &scratch(f.machine).step
    if f.traced_gas >= 0:
        gas = f.traced_gas
    step.cost = step.gas - gas if gas >= 0 else 0
    step.error = <Status>status if status > REVERT else RUNNING
    tracer.step(tracer.self, step)


# ---------------------------------------------------------------------------------------------------- messages

cdef void no_output(Outcome* outcome, Status status, int64_t gas_left) noexcept nogil:
    outcome.status = status
    outcome.gas_left = gas_left
    outcome.output = NULL
    outcome.output_size = 0


cdef uint8_t[20] TRANSFER_ADDRESS             # ERC-7528: stands for ether where tokens have addresses
memset(TRANSFER_ADDRESS, 0xee, 20)
cdef u256 TRANSFER_TOPIC
cdef uint8_t[32] transfer_digest
keccak256(<const uint8_t*>b"Transfer(address,address,uint256)", 33, transfer_digest)
u_from_be(&TRANSFER_TOPIC, transfer_digest)


cdef void log_transfer(WorkingSet* ws, const uint8_t* sender, const uint8_t* heir, const u256* value) noexcept nogil:
    """Shows a transfer of value as the log that an ERC-20 token would write. Reverts take it back as any log."""
    cdef u256[3] topics                       # as on the stack, the first one on top
    cdef uint8_t[32] amount
    topics[2] = TRANSFER_TOPIC
    u_from_address(&topics[1], sender)
    u_from_address(&topics[0], heir)
    u_to_be(amount, value)
    if ws_log(ws, TRANSFER_ADDRESS, 3, &topics[2], amount, 32):
        ws.logs[ws.log_count - 1].is_transfer = True


cdef bint enter(Machine* machine, const Message* message, Outcome* outcome) noexcept nogil:
    """Starts a message. True: a new top frame is ready to run. False: the message ended at once with `outcome`."""
    cdef Tracer* tracer = <Tracer*>machine.tracer
    cdef bint started
    machine.return_data.size = 0
    memset(outcome.created, 0, 20)
    if message.kind >= CREATE:
        return enter_create(machine, message, outcome)
    if tracer != NULL:
        tracer.enter(tracer.self, message)
    started = enter_call(machine, message, outcome)
    if not started and tracer != NULL:
        tracer.leave(tracer.self, message, outcome)
    return started


cdef bint enter_call(Machine* machine, const Message* message, Outcome* outcome) noexcept nogil:
    cdef WorkingSet* ws = machine.ws
    cdef Checkpoint checkpoint = ws_checkpoint(ws)
    cdef uint32_t target = ws_account(ws, message.target)
    cdef uint32_t code_account
    cdef int precompile
    cdef Code* code
    if message.kind == CALL and not u_is_zero(&message.value):
        if not ws_sub_balance(ws, ws_account(ws, message.caller), &message.value):
            no_output(outcome, INSUFFICIENT_BALANCE if not ws.failed else STATE_FAILED, message.gas)
            return False
        ws_add_balance(ws, target, &message.value)
        if machine.show_transfers:
            log_transfer(ws, message.caller, message.target, &message.value)
    elif message.kind == CALL or message.kind == STATICCALL:
        ws_touch(ws, target)
    if machine.moves == NULL:
        precompile = precompile_at(message.code_address, machine.revision)
    else:
        precompile = precompile_after(machine.moves, message.code_address, machine.revision)
    if precompile and not ws.failed:
        run_precompile(machine, precompile, message, &checkpoint, outcome)
        return False
    code_account = target if memcmp(message.code_address, message.target, 20) == 0 else ws_account(ws, message.code_address)
    code = ws_code(ws, code_account)
    if code != NULL and code.delegation and machine.revision >= PRAGUE:      # EIP-7702, one level
        code = ws_code(ws, ws_account(ws, code.raw + 3))
    if ws.failed or code == NULL:
        no_output(outcome, NO_MEMORY if ws.no_memory else STATE_FAILED, 0)
        return False
    if code.size == 0:
        no_output(outcome, SUCCESS, message.gas)
        return False
    push_frame(machine, message, target, code, &checkpoint)
    return True


cdef void run_precompile(
    Machine* machine, int number, const Message* message, const Checkpoint* checkpoint, Outcome* outcome
) noexcept nogil:
    cdef int64_t gas = message.gas
    cdef PrecompileStatus status = precompile_run(
        number, machine.revision, message.input, message.input_size, &gas, &machine.return_data
    )
    if status == PRECOMPILE_OK:
        outcome.status = SUCCESS
        outcome.gas_left = gas
        outcome.output = machine.return_data.data
        outcome.output_size = machine.return_data.size
        return
    machine.return_data.size = 0
    ws_revert(machine.ws, checkpoint)
    if status == PRECOMPILE_FAILED:
        no_output(outcome, PRECOMPILE_FAILURE, 0)
    else:                                    # not the contract's own failure: the engine stops
        no_output(outcome, NO_MEMORY if status == PRECOMPILE_NO_MEMORY else UNAVAILABLE, 0)


cdef bint enter_create(Machine* machine, const Message* message, Outcome* outcome) noexcept nogil:
    """EIP-684 and EIP-7610 collisions burn the gas; the creator's nonce has been increased already."""
    cdef WorkingSet* ws = machine.ws
    cdef Tracer* tracer = <Tracer*>machine.tracer
    cdef Message named = message[0]
    cdef uint32_t creator = ws_account(ws, message.caller)
    cdef uint8_t[32] digest
    cdef uint32_t target
    cdef Checkpoint checkpoint
    cdef Code* code
    if message.kind == CREATE:
        create_address(message.caller, ws_nonce(ws, creator) - 1, named.target)
    else:
        keccak256(message.input, message.input_size, digest)
        create2_address(message.caller, &message.salt, digest, named.target)
    memcpy(named.code_address, named.target, 20)
    if tracer != NULL:
        tracer.enter(tracer.self, &named)
    target = ws_account(ws, named.target)
    ws_warm_account(ws, target)
    no_output(outcome, SUCCESS, 0)
    memcpy(outcome.created, named.target, 20)
    if ws.failed:
        no_output(outcome, NO_MEMORY if ws.no_memory else STATE_FAILED, 0)
    elif ws_nonce(ws, target) or not ws_code_is_empty(ws, target) or ws_has_storage(ws, target):
        no_output(outcome, CREATE_COLLISION, 0)
    else:
        checkpoint = ws_checkpoint(ws)
        ws_mark_created(ws, target)
        if machine.revision >= SPURIOUS_DRAGON:
            ws_set_nonce(ws, target, 1)
        if not u_is_zero(&message.value):
            if not ws_sub_balance(ws, creator, &message.value):
                ws_revert(ws, &checkpoint)
                no_output(outcome, INSUFFICIENT_BALANCE, message.gas)
            else:
                ws_add_balance(ws, target, &message.value)
                if machine.show_transfers:
                    log_transfer(ws, message.caller, named.target, &message.value)
        code = NULL
        if outcome.status == SUCCESS:
            code = code_transient(message.input, message.input_size)
            if code == NULL:
                no_output(outcome, NO_MEMORY, 0)
        if code != NULL:
            push_frame(machine, &named, target, code, &checkpoint)
            return True
    if tracer != NULL:
        tracer.leave(tracer.self, &named, outcome)
    return False


cdef bint ws_code_is_empty(WorkingSet* ws, uint32_t account) noexcept nogil:
    cdef Code* code = ws_code(ws, account)
    return code != NULL and code.size == 0


cdef void push_frame(
    Machine* machine, const Message* message, uint32_t target, Code* code, const Checkpoint* checkpoint
) noexcept nogil:
    cdef Scratch* s = scratch(machine)
    cdef Frame* caller = &s.frames[s.top] if s.top >= 0 else NULL
    cdef Frame* f
    s.top += 1
    f = &s.frames[s.top]
    if caller != NULL:
        f.bottom = caller.sp + 1
        f.chunk = caller.chunk
        f.chunk_offset = caller.chunk_offset + caller.memory_size
    else:
        f.bottom = s.stack
        f.chunk = 0
        f.chunk_offset = 0
    f.last = f.bottom + (STACK_WORDS - 1)
    f.memory = s.chunks[f.chunk].data + f.chunk_offset
    f.memory_size = 0
    f.memory_cost = 0
    f.code = code
    f.start = code.raw if machine.switch_dispatch or machine.tracer != NULL else code.ops
    f.ws = machine.ws
    f.machine = machine
    f.prices = &PRICES[machine.revision]
    f.account = target
    f.polls = POLL_INTERVAL
    f.is_static = message.is_static
    f.suspended = False
    f.status = RUNNING
    f.depth = message.depth
    f.value = message.value
    f.kind = message.kind
    f.init_code = code if message.kind >= CREATE else NULL
    f.input = message.input if message.kind < CREATE else NULL
    f.input_size = message.input_size if message.kind < CREATE else 0
    f.input_total = message.input_size
    memcpy(f.address, message.target, 20)
    memcpy(f.caller, message.caller, 20)
    u_from_address(&f.address_word, f.address)
    u_from_address(&f.caller_word, f.caller)
    f.pc = f.start
    f.sp = f.bottom - 1
    f.gas = message.gas
    f.checkpoint = checkpoint[0]
    machine.return_data.size = 0


cdef void pop_frame(Machine* machine, Status status, Outcome* outcome) noexcept nogil:
    """Ends the top frame: deposits created code, takes back what a failed message did, and tells the outcome."""
    cdef Scratch* s = scratch(machine)
    cdef Frame* f = &s.frames[s.top]
    cdef int64_t gas = f.gas if status == SUCCESS or status == REVERT else 0
    memset(outcome.created, 0, 20)
    if f.kind >= CREATE:
        memcpy(outcome.created, f.address, 20)
        if status == SUCCESS:
            status = deposit_code(machine, f, &gas)
        code_release(f.init_code)
    if status != SUCCESS and status < STATE_FAILED:
        ws_revert(machine.ws, &f.checkpoint)
        if status != REVERT:
            gas = 0
    if status != REVERT and (status != SUCCESS or (f.kind >= CREATE and s.top > 0)):
        machine.return_data.size = 0
    s.top -= 1
    outcome.status = status
    outcome.gas_left = gas
    outcome.output = machine.return_data.data
    outcome.output_size = machine.return_data.size


cdef Status deposit_code(Machine* machine, Frame* f, int64_t* gas) noexcept nogil:
    """EIP-2, EIP-170, EIP-3541: what init code returned becomes the account's code, for 200 gas a byte."""
    cdef Output* output = &machine.return_data
    cdef int64_t cost
    if machine.revision >= LONDON and output.size and output.data[0] == 0xef:
        return INVALID_CODE_PREFIX
    cost = GAS_CODE_DEPOSIT_BYTE * <int64_t>output.size
    if machine.revision >= SPURIOUS_DRAGON and output.size > MAX_CODE_SIZE and not machine.unlimited_code_size:
        return CODE_TOO_LARGE
    if cost > gas[0]:
        if machine.revision >= HOMESTEAD:
            return CODE_STORE_OUT_OF_GAS
        output.size = 0                      # Frontier: the contract stays, without code
        return SUCCESS
    gas[0] -= cost
    if output.size and not ws_set_code(machine.ws, f.account, output.data, output.size):
        return NO_MEMORY
    return SUCCESS


cdef void settle(Frame* f, u256* result, const Outcome* outcome, bint creation) noexcept nogil:
    """Writes a callee's outcome where the caller expects it: result word and output region (which memory holds already)."""
    cdef size_t size
    if creation:
        if outcome.status == SUCCESS:
            u_from_address(result, outcome.created)
            f.machine.return_data.size = 0
        else:
            u_zero(result)
        return
    u_set64(result, outcome.status == SUCCESS)
    size = min(<size_t>f.output_size, outcome.output_size)
    if size:
        memcpy(f.memory + f.output_offset, outcome.output, size)


cdef void message_of(const Frame* f, Message* message) noexcept nogil:
    """The message a frame runs, as far as a tracer asks when it ends."""
    message.kind = f.kind
    message.is_static = f.is_static
    message.depth = f.depth
    message.gas = 0
    message.value = f.value
    memcpy(message.caller, f.caller, 20)
    memcpy(message.target, f.address, 20)
    memcpy(message.code_address, f.address, 20)
    message.input = f.input
    message.input_size = f.input_size


cdef void execute(Machine* machine, const Message* message, Outcome* outcome) noexcept nogil:
    cdef Scratch* s = scratch(machine)
    cdef Tracer* tracer = <Tracer*>machine.tracer
    cdef bint by_switch = machine.switch_dispatch or tracer != NULL
    cdef Message ended
    cdef Frame* f
    cdef int status
    s.top = -1
    if message.depth > MAX_DEPTH or message.depth < 0 or message.gas < 0:
        no_output(outcome, CALL_DEPTH if message.gas >= 0 else OUT_OF_GAS, 0)
        return
    if not enter(machine, message, outcome):
        return
    while True:
        f = &s.frames[s.top]
        if must_stop(machine):
            status = ABORTED
        else:
            status = run_switch(f) if by_switch else run_tail(f)
            if s.tagged:
                drop_tags(f)
        if status == RUNNING:
            continue                         # into the callee
        if status >= STATE_FAILED:
            unwind(machine, <Status>status, outcome)
            break
        if tracer != NULL:
            message_of(f, &ended)
        pop_frame(machine, <Status>status, outcome)
        if tracer != NULL:
            tracer.leave(tracer.self, &ended, outcome)
        if outcome.status >= STATE_FAILED:
            unwind(machine, outcome.status, outcome)
            break
        if s.top < 0:
            break
        f = &s.frames[s.top]
        settle(f, f.sp, outcome, s.frames[s.top + 1].kind >= CREATE)
        f.gas += outcome.gas_left
        f.suspended = False
    give_back(s)


cdef void unwind(Machine* machine, Status status, Outcome* outcome) noexcept nogil:
    """The engine stopped: drops all frames. The working set is left as it is and must be reset."""
    cdef Scratch* s = scratch(machine)
    while s.top >= 0:
        code_release(s.frames[s.top].init_code)
        s.top -= 1
    no_output(outcome, status, 0)


cdef void give_back(Scratch* s) noexcept nogil:
    cdef int i
    for i in range(1, CHUNKS):
        if s.chunks[i].size > KEPT_CHUNK:
            free(s.chunks[i].data)
            s.chunks[i].data = NULL
            s.chunks[i].size = 0


# ---------------------------------------------------------------------------------------------------- machines

cdef Machine* machine_new() noexcept nogil:
    cdef Machine* machine = <Machine*>calloc(1, sizeof(Machine))
    cdef Scratch* s = <Scratch*>calloc(1, sizeof(Scratch))
    if machine == NULL or s == NULL:
        free(machine)
        free(s)
        return NULL
    machine.private = s
    s.top = -1
    machine.ws = ws_new()
    s.frames = <Frame*>malloc(FRAMES * sizeof(Frame))
    s.stack = <u256*>malloc(<size_t>FRAMES * STACK_WORDS * sizeof(u256))     # pages are taken as depth needs them
    s.chunks[0].data = <uint8_t*>malloc(FIRST_CHUNK)
    s.chunks[0].size = FIRST_CHUNK
    s.hashes = <HashMemo*>calloc(HASH_MEMOS, sizeof(HashMemo))
    s.step_stack = <u256*>malloc(STACK_WORDS * sizeof(u256))
    if (
        machine.ws == NULL or s.frames == NULL or s.stack == NULL or s.chunks[0].data == NULL or s.hashes == NULL
        or s.step_stack == NULL
    ):
        machine_free(machine)
        return NULL
    machine_neutral(machine)
    return machine


cdef void machine_neutral(Machine* machine) noexcept nogil:
    machine.switch_dispatch = default_switch
    machine.symbolic = False
    machine.abort_flag = NULL
    machine.deadline_ns = 0
    machine.stop_at = NULL
    machine.unlimited_code_size = False
    machine.tracer = NULL
    machine.moves = NULL
    machine.show_transfers = False


cdef bint machine_make_symbolic(Machine* machine) noexcept nogil:
    cdef Scratch* s = scratch(machine)
    cdef uint8_t* tags
    if machine.switch_dispatch:
        return True
    if s.tags == NULL:
        # Zero pages until they are written to. Instructions that fail look a few words beyond either end.
        tags = <uint8_t*>calloc(<size_t>FRAMES * STACK_WORDS + 2 * TAGS_MARGIN, 1)
        if tags == NULL:
            return False
        s.tags = tags + TAGS_MARGIN
    if machine.symbols == NULL:
        machine.symbols = <Symbol*>calloc(SYMBOLS + 1, sizeof(Symbol))
    machine.symbolic = machine.symbols != NULL
    return machine.symbolic


cdef void machine_free(Machine* machine) noexcept nogil:
    cdef Scratch* s
    cdef int i
    if machine == NULL:
        return
    s = scratch(machine)
    ws_free(machine.ws)
    output_free(&machine.return_data)
    for i in range(CHUNKS):
        free(s.chunks[i].data)
    free(s.frames)
    free(s.stack)
    if s.tags != NULL:
        free(s.tags - TAGS_MARGIN)
    free(machine.symbols)
    free(s.hashes)
    free(s.step_stack)
    free(s.step_memory)
    free(s.step_return_data)
    free(s)
    free(machine)


cdef void create_address(const uint8_t* sender, uint64_t nonce, uint8_t* out) noexcept nogil:
    """Last 20 bytes of keccak256(rlp([sender, nonce]))."""
    cdef uint8_t[32] rlp
    cdef uint8_t[32] digest
    cdef int size = 0                        # bytes of the nonce
    cdef int i
    rlp[1] = 0x94
    memcpy(&rlp[2], sender, 20)
    if nonce == 0:
        rlp[22] = 0x80
    elif nonce < 0x80:
        rlp[22] = <uint8_t>nonce
    else:
        while size < 8 and nonce >> (8 * size):
            size += 1
        rlp[22] = <uint8_t>(0x80 + size)
        for i in range(size):
            rlp[23 + i] = <uint8_t>(nonce >> (8 * (size - 1 - i)))
    rlp[0] = <uint8_t>(0xc0 + 22 + size)
    keccak256(rlp, 23 + size, digest)
    memcpy(out, &digest[12], 20)


cdef void create2_address(const uint8_t* sender, const u256* salt, const uint8_t* init_code_hash, uint8_t* out) noexcept nogil:
    """EIP-1014: last 20 bytes of keccak256(0xff ++ sender ++ salt ++ keccak256(init code))."""
    cdef uint8_t[85] data
    cdef uint8_t[32] digest
    data[0] = 0xff
    memcpy(&data[1], sender, 20)
    u_to_be(&data[21], salt)
    memcpy(&data[53], init_code_hash, 32)
    keccak256(data, 85, digest)
    memcpy(out, &digest[12], 20)
