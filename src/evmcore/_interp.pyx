"""The interpreter: dispatch, and the driver that runs frames. Opcode bodies are in `ops/`; `interpreter/` begins and ends
messages. All of it is compiled into this module, so that its functions can be inlined into each other.

A message runs in a frame. A handler that starts a callee leaves the dispatch loop with RUNNING; the driver continues with the
new top frame and, when that frame ends, settles its outcome in the caller and resumes the caller. Call depth therefore never
uses the C stack. All frames of a machine share one stack block (a callee's stack starts where its caller's ends) and one chain
of memory chunks (a callee's memory starts where its caller's ends; when it outgrows the chunk, it moves to a larger one, and its
caller's memory stays).
"""
import os

from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy, memmove, memset

from evmcore._code cimport code_fuse, code_release, code_transient, is_jumpdest
from evmcore._hash cimport keccak256, keccak256_64
from evmcore._precompiles cimport (
    PRECOMPILE_FAILED, PRECOMPILE_NO_MEMORY, PRECOMPILE_OK, PrecompileStatus, output_free, output_reserve, precompile_after,
    precompile_at, precompile_run,
)
from evmcore._rules cimport (
    BERLIN, CANCUN, CONSTANTINOPLE, HOMESTEAD, ISTANBUL, LONDON, PRAGUE, SHANGHAI, SPURIOUS_DRAGON, TANGERINE_WHISTLE,
)
from evmcore._state cimport (
    FOUND, USE_CODE, SlotEntry, ws_account, ws_account_unloaded, ws_add_balance, ws_balance, ws_block_hash, ws_can_pay,
    ws_checkpoint, ws_code,
    ws_destroy, ws_exists, ws_free, ws_has_storage, ws_is_empty, ws_load, ws_load_slot, ws_log, ws_mark_created, ws_new, ws_nonce, ws_revert,
    ws_set_balance, ws_set_code, ws_set_nonce, ws_slot, ws_slot_unloaded, ws_store, ws_sub_balance, ws_tload, ws_touch,
    ws_tstore, ws_warm_account, ws_warm_slot,
)
from evmcore._sync cimport atomic_load32, atomic_load64, monotonic_ns
from evmcore._u256 cimport (
    u_add, u_add_carry, u_addmod, u_and, u_byte, u_byte_len, u_clz, u_copy, u_div, u_eq, u_exp, u_fits64, u_from_address, u_from_be,
    u_is_zero, u_lt, u_mod, u_mul, u_mulmod, u_not, u_or, u_sar, u_sat64, u_sdiv, u_set64, u_shl, u_shr, u_signextend, u_slt,
    u_smod, u_sub, u_sub_borrow, u_swap, u_to_address, u_to_be, u_xor, u_zero,
)

from evmcore.errors import InputError

cdef extern from "include/lines.h" namespace "evmcore" nogil:
    void* take_lines(size_t size)

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

ctypedef int (*Handler)(const uint8_t*, u256*, int64_t, Frame*, const void*) noexcept nogil

include "interpreter/frames.pxi"

cdef bint default_switch = not TAIL_CALLS or os.environ.get("EVMCORE_DISPATCH") == "switch"

def dispatch_build():
    """The build of the dispatch loop that runs by default: "tail-call" or "switch"."""
    return "switch" if default_switch else "tail-call"


def use_dispatch_build(str build not None):
    global default_switch
    if build != "switch" and (build != "tail-call" or not TAIL_CALLS):
        raise InputError(f"argument 'build': {build!r} is not one of this module's builds of the dispatch loop")
    default_switch = build == "switch"


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
    machine.polls += 1
    if machine.polls % ASKED_AT == 0 and machine.interrupted != NULL and machine.interrupted(machine):
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


cdef inline uint32_t memo_index(const uint8_t* data) noexcept nogil:
    """Picks a memo by the bytes in which mapping keys (addresses, small numbers, nested digests) and base slots differ."""
    cdef uint64_t a, b, c
    memcpy(&a, data + 24, 8)
    memcpy(&b, data + 56, 8)
    memcpy(&c, data + 12, 8)
    return <uint32_t>((a * <uint64_t>0x9e3779b97f4a7c15 + b * <uint64_t>0xc2b2ae3d27d4eb4f
                       + c * <uint64_t>0x165667b19e3779f9) >> 40) % HASH_MEMOS


include "interpreter/memory.pxi"
include "ops/push.pxi"
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
cdef uint8_t[256] OPERANDS        # number of operands that the instruction consumes

cdef int h_UNDEFINED(const uint8_t* pc, u256* sp, int64_t gas, Frame* f, const void* table) noexcept nogil:
    return INVALID_OPCODE

cdef int h_UNREACHED(const uint8_t* pc, u256* sp, int64_t gas, Frame* f, const void* table) noexcept nogil:
    """The first execution at this place: fuses the code that follows, then runs the instruction."""
    code_fuse(f.code, <size_t>(pc - f.start))
    return (<const Handler*>table)[pc[0]](pc, sp, gas, f, table)

cdef int grow_memory_32(const uint8_t* pc, u256* sp, int64_t gas, Frame* f, const void* table) noexcept nogil:
    """Allocates memory for 32 bytes at the offset on top of the stack, then restarts the instruction at `f.pc`."""
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
    """Continues at `pc` unless the run has to stop."""
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
    """Drops the tags of words left on the stack of a frame that has ended, without evaluating them."""
    memset(tags_at(f.bottom, f), 0, STACK_WORDS + 1)
    scratch(f.machine).tagged = 0


include "interpreter/traced.pxi"
include "interpreter/messages.pxi"
include "interpreter/machines.pxi"
include "interpreter/addresses.pxi"


# ---------------------------------------------------------------------------------------------------- the driver

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
    """Drops all frames after the engine stopped. The working set is left unchanged and must be reset."""
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
