# Slots that a message reads without depending on their exact value, for executors that run ahead of the final state.
#
# A slot that the state reader reports as contended may have another value when the message becomes final. On a `symbolic`
# machine, SLOAD gives such a slot a symbol X for the value it had before the transaction, and tags the word it pushes.
# While tagged words are on a frame's stack, the frame runs the plain code on the table TRACKING, whose handlers maintain the
# tags: a tagged word is always X + c or c - X, modulo 2**256, for a c that is never needed. Additions of untagged words and
# copies keep the tag. A comparison restricts X to the values that lead to the same outcome, and so do SSTORE's comparisons
# with zero. Storing X + c in the slot of X leaves X open. Every other use of a tagged word evaluates it: X is then its exact
# value, as if it had been read like any other slot. So a message never depends on more of X than `Symbol` says, whatever its
# code does. All words on the stack have their concrete values at all times.
#
# A stale tag would make the outcome wrong. One rule prevents this: words above the top of the running frame's stack, and
# words of the frames below it, have no tag.

cdef enum:
    SYMBOLS = 127                 # of one transaction; 0 is no tag
    NEGATIVE = 128                # added to the tag of c - X

cdef u256 U_MAX
cdef u256 U_ONE
cdef u256 U_SIGN                  # of two's complement
u_zero(&U_MAX)
u_not(&U_MAX, &U_MAX)
u_set64(&U_ONE, 1)
u_zero(&U_SIGN)
U_SIGN.w[3] = <uint64_t>1 << 63

cdef inline uint8_t* tags_at(const u256* sp, Frame* f) noexcept nogil:
    """The tag of a stack word; the tags of the words below it precede it."""
    cdef Scratch* s = scratch(f.machine)
    return s.tags + (sp - s.stack)

cdef void untag(uint8_t* tag, Frame* f) noexcept nogil:
    if tag[0]:
        tag[0] = 0
        scratch(f.machine).tagged -= 1

cdef void evaluate(uint8_t tag, Frame* f) noexcept nogil:
    """From now on the message depends on the slot's exact value."""
    cdef Symbol* symbol = &f.machine.symbols[tag & SYMBOLS]
    cdef SlotEntry* slot = &f.ws.slots[symbol.slot]
    symbol.low = slot.base
    symbol.high = slot.base
    slot.symbol = 0

cdef void use_words(const u256* sp, int count, Frame* f) noexcept nogil:
    """Evaluates the tagged words among the topmost `count` words."""
    cdef uint8_t* tag = tags_at(sp, f)
    cdef int i
    for i in range(count):
        if tag[0]:
            evaluate(tag[0], f)
            untag(tag, f)
        tag -= 1

cdef void restrict_by(uint8_t tag, const u256* down, const u256* up, Frame* f) noexcept nogil:
    """Requires that a tagged word is at most `down` below and at most `up` above its present value."""
    cdef Symbol* symbol = &f.machine.symbols[tag & SYMBOLS]
    cdef const u256* base = &f.ws.slots[symbol.slot].base
    cdef u256 bound
    if tag & NEGATIVE:
        down, up = up, down
    if not u_sub_borrow(&bound, base, down) and u_lt(&symbol.low, &bound):
        symbol.low = bound
    if not u_add_carry(&bound, base, up) and u_lt(&bound, &symbol.high):
        symbol.high = bound

cdef void restrict_to(uint8_t tag, const u256* word, const u256* least, const u256* most, Frame* f) noexcept nogil:
    """Requires that a tagged word stays within bounds, which it is within now."""
    cdef u256 down, up
    u_sub(&down, word, least)
    u_sub(&up, most, word)
    restrict_by(tag, &down, &up, f)

cdef void restrict_zeroness(uint8_t tag, const u256* word, Frame* f) noexcept nogil:
    if u_is_zero(word):
        evaluate(tag, f)
    else:
        restrict_to(tag, word, &U_ONE, &U_MAX, f)

cdef void restrict_order(const u256* a, uint8_t tag_a, const u256* b, uint8_t tag_b, Frame* f) noexcept nogil:
    """Requires that the result of a < b stays the same."""
    cdef bint less = u_lt(a, b)
    cdef u256 bound, zero
    u_zero(&zero)
    if tag_a and tag_b:
        if tag_a == tag_b:                   # they differ by a constant: the order changes only if one of them wraps around
            if not u_eq(a, b):
                u_sub(&bound, &U_MAX, b if less else a)
                restrict_by(tag_a, a if less else b, &bound, f)
            return
        evaluate(tag_b, f)
    if tag_a:
        if less:
            u_sub(&bound, b, &U_ONE)
            restrict_to(tag_a, a, &zero, &bound, f)
        else:
            restrict_to(tag_a, a, b, &U_MAX, f)
    elif less:
        u_add(&bound, a, &U_ONE)
        restrict_to(tag_b, b, &bound, &U_MAX, f)
    else:
        restrict_to(tag_b, b, &zero, a, f)

cdef void restrict_equality(const u256* a, uint8_t tag_a, const u256* b, uint8_t tag_b, Frame* f) noexcept nogil:
    """Requires that the result of a == b stays the same."""
    if tag_a == tag_b:                       # they differ by a constant
        return
    if tag_a and tag_b:
        evaluate(tag_b, f)
        tag_b = 0
    if tag_b:
        restrict_equality(b, tag_b, a, tag_a, f)
    elif u_eq(a, b):
        evaluate(tag_a, f)
    else:
        restrict_order(a, tag_a, b, 0, f)
        restrict_order(b, 0, a, tag_a, f)

cdef void compare(const u256* sp, uint8_t op, Frame* f) noexcept nogil:
    """LT, GT, SLT, SGT, EQ of the two topmost words."""
    cdef uint8_t* top = tags_at(sp, f)
    cdef uint8_t* second = top - 1
    cdef uint8_t tag_a = top[0]
    cdef uint8_t tag_b = second[0]
    cdef u256 a, b
    if not tag_a and not tag_b:
        return
    untag(top, f)
    untag(second, f)
    if op == 0x14:
        restrict_equality(sp, tag_a, sp - 1, tag_b, f)
        return
    u_copy(&a, sp)
    u_copy(&b, sp - 1)
    if op >= 0x12:                           # signed: the same order, after adding 2**255
        u_xor(&a, &a, &U_SIGN)
        u_xor(&b, &b, &U_SIGN)
    if op & 1:
        restrict_order(&b, tag_b, &a, tag_a, f)
    else:
        restrict_order(&a, tag_a, &b, tag_b, f)

cdef void combine(const u256* sp, bint minus, Frame* f) noexcept nogil:
    """Tags the sum, or difference, of the two topmost words."""
    cdef uint8_t* top = tags_at(sp, f)
    cdef uint8_t* second = top - 1
    cdef uint8_t tag_a = top[0]
    cdef uint8_t tag_b = second[0]
    if tag_b and minus:
        tag_b ^= NEGATIVE
    if tag_a and tag_b:
        untag(top, f)
        if tag_a ^ tag_b == NEGATIVE:        # X - X
            untag(second, f)
            return
        evaluate(tag_b, f)
        tag_b = 0
    top[0] = 0
    second[0] = tag_a | tag_b

cdef bint is_low_mask(const u256* word) noexcept nogil:
    """Whether a word is zeros followed by ones; all ones too, but not zero."""
    cdef u256 next_
    u_add(&next_, word, &U_ONE)
    u_and(&next_, &next_, word)
    return u_is_zero(&next_) and not u_is_zero(word)

cdef void mask(u256* sp, Frame* f) noexcept nogil:
    """AND of the two topmost words: keeps the tag of a word that a mask of low ones does not change."""
    cdef uint8_t* top = tags_at(sp, f)
    cdef uint8_t* second = top - 1
    cdef uint8_t tag = top[0] | second[0]
    cdef const u256* word = sp if top[0] else sp - 1
    cdef const u256* ones = sp - 1 if top[0] else sp
    cdef u256 most, zero
    u_zero(&zero)
    u_not(&most, ones)
    if not (top[0] and second[0]):
        if is_low_mask(ones) and not u_lt(ones, word):
            restrict_to(tag, word, &zero, ones, f)
            top[0] = 0
            second[0] = tag
            return
        if is_low_mask(&most) and not u_lt(&most, word):
            restrict_to(tag, word, &zero, &most, f)
            untag(top, f)
            untag(second, f)
            return
    use_words(sp, 2, f)

cdef void keep_unchanged(u256* sp, uint8_t op, Frame* f) noexcept nogil:
    """Shifts by 0, OR with 0, multiplication and division by 1 do not change a tagged word; otherwise evaluates it."""
    cdef uint8_t* top = tags_at(sp, f)
    cdef uint8_t* second = top - 1
    cdef const u256* other = sp - 1 if top[0] else sp
    cdef bint same = False
    if not (top[0] and second[0]):
        if op == 0x17:                                        # OR
            same = u_is_zero(other)
        elif op == 0x02:                                      # MUL
            same = u_eq(other, &U_ONE)
        elif op == 0x04:                                      # DIV
            same = top[0] != 0 and u_eq(other, &U_ONE)
        else:
            same = second[0] != 0 and u_is_zero(other)
    if not same:
        use_words(sp, 2, f)
    elif top[0]:
        second[0] = top[0]
        top[0] = 0

cdef int64_t watched_sload(u256* sp, int64_t gas, Frame* f) noexcept nogil:
    """`op_sload`; a contended slot gets a symbol."""
    cdef Machine* machine = f.machine
    cdef uint32_t slot = ws_slot_unloaded(f.ws, f.account, sp)
    cdef int64_t price = f.prices.sload
    cdef SlotEntry* entry
    if f.prices.warm and ws_warm_slot(f.ws, slot):
        price = GAS_COLD_SLOAD
    gas -= price
    if gas < 0:
        return fail(f, OUT_OF_GAS)
    entry = &f.ws.slots[slot]
    if entry.seen != f.ws.epoch:
        ws_load_slot(f.ws, slot)
        if f.ws.failed:
            return fail(f, STATE_FAILED)
        if entry.contended and machine.symbol_count < SYMBOLS:
            machine.symbol_count += 1
            entry.symbol = machine.symbol_count
            machine.symbols[entry.symbol].slot = slot
            u_zero(&machine.symbols[entry.symbol].low)
            machine.symbols[entry.symbol].high = U_MAX
    u_copy(sp, &entry.current)
    if entry.symbol:
        tags_at(sp, f)[0] = <uint8_t>entry.symbol
        scratch(machine).tagged += 1
    return gas

cdef int64_t watched_sstore(u256* sp, int64_t gas, Frame* f) noexcept nogil:
    """`op_sstore`; the conditions of its price restrict the symbols of slot and value."""
    cdef uint8_t* tag = tags_at(sp - 1, f)
    cdef uint32_t slot
    cdef SlotEntry* entry
    gas = find_stored(sp, gas, f, &slot)
    if gas < 0:
        return gas
    entry = &f.ws.slots[slot]
    if entry.symbol and entry.symbol == tag[0]:               # current value and new one differ by a constant
        if not u_eq(&entry.current, sp - 1):
            restrict_zeroness(tag[0], &entry.current, f)
            restrict_zeroness(tag[0], sp - 1, f)
            if f.prices.net_sstore:
                restrict_zeroness(tag[0], &entry.original, f)
    else:
        if tag[0]:
            evaluate(tag[0], f)
        if entry.symbol:
            evaluate(<uint8_t>entry.symbol, f)
    untag(tag, f)
    return store_word(slot, sp - 1, gas, f)

# ---- the handlers of WATCHING: HANDLERS except SLOAD and SSTORE

cdef int track(const uint8_t* pc, u256* sp, int64_t gas, Frame* f, const void* table) noexcept nogil:
    """Switches from the fused code to the plain code."""
    f.start = f.code.raw
    pc = f.start + (pc - f.code.ops)
    return TRACKING[f.machine.revision][pc[0]](pc, sp, gas, f, <const void*>TRACKING[f.machine.revision])

cdef int w_SLOAD(const uint8_t* pc, u256* sp, int64_t gas, Frame* f, const void* table) noexcept nogil:
    if unlikely(sp < f.bottom):
        return STACK_UNDERFLOW
    gas = watched_sload(sp, gas, f)
    if unlikely(gas < 0):
        return f.status
    pc += 1
    if scratch(f.machine).tagged:
        return track(pc, sp, gas, f, table)
    return (<const Handler*>table)[pc[0]](pc, sp, gas, f, table)

cdef int w_PUSH1_SLOAD(const uint8_t* pc, u256* sp, int64_t gas, Frame* f, const void* table) noexcept nogil:
    if unlikely(sp >= f.last):
        return STACK_OVERFLOW
    gas -= 3
    if unlikely(gas < 0):
        return OUT_OF_GAS
    u_push1(sp + 1, pc + 1)
    return w_SLOAD(pc + 2, sp + 1, gas, f, table)

cdef int w_SSTORE(const uint8_t* pc, u256* sp, int64_t gas, Frame* f, const void* table) noexcept nogil:
    if unlikely(sp - 1 < f.bottom):
        return STACK_UNDERFLOW
    gas = watched_sstore(sp, gas, f)
    if unlikely(gas < 0):
        return f.status
    sp -= 2
    pc += 1
    return (<const Handler*>table)[pc[0]](pc, sp, gas, f, table)

# ---- the handlers of TRACKING: maintain the operands' tags, then do the work of the plain handler

cdef int go_on(const uint8_t* pc, u256* sp, int64_t gas, Frame* f, const void* table) noexcept nogil:
    """Runs the instruction at `pc`; once no tag is left, on the fused code. (Starting in the middle of a fused sequence is
    correct, because only the first byte of the sequence was replaced.)"""
    cdef uint8_t op = pc[0]
    if scratch(f.machine).tagged == 0:
        f.start = f.code.ops
        pc = f.start + (pc - f.code.raw)
        table = <const void*>WATCHING[f.machine.revision]
    return HANDLERS[f.machine.revision][op](pc, sp, gas, f, table)

cdef int next_tracked(const uint8_t* pc, u256* sp, int64_t gas, Frame* f, const void* table) noexcept nogil:
    if scratch(f.machine).tagged == 0:
        f.start = f.code.ops
        pc = f.start + (pc - f.code.raw)
        table = <const void*>WATCHING[f.machine.revision]
    return (<const Handler*>table)[pc[0]](pc, sp, gas, f, table)

cdef int t_use(const uint8_t* pc, u256* sp, int64_t gas, Frame* f, const void* table) noexcept nogil:
    use_words(sp, OPERANDS[pc[0]], f)
    return go_on(pc, sp, gas, f, table)

cdef int t_use_all(const uint8_t* pc, u256* sp, int64_t gas, Frame* f, const void* table) noexcept nogil:
    """For calls and creations: the callee's frame may have its own tags."""
    if sp >= f.bottom:
        use_words(sp, <int>(sp - f.bottom) + 1, f)
    return go_on(pc, sp, gas, f, table)

cdef int t_ADD(const uint8_t* pc, u256* sp, int64_t gas, Frame* f, const void* table) noexcept nogil:
    if sp > f.bottom:
        combine(sp, False, f)
    return go_on(pc, sp, gas, f, table)

cdef int t_SUB(const uint8_t* pc, u256* sp, int64_t gas, Frame* f, const void* table) noexcept nogil:
    if sp > f.bottom:
        combine(sp, True, f)
    return go_on(pc, sp, gas, f, table)

cdef int t_compare(const uint8_t* pc, u256* sp, int64_t gas, Frame* f, const void* table) noexcept nogil:
    if sp > f.bottom:
        compare(sp, pc[0], f)
    return go_on(pc, sp, gas, f, table)

cdef int t_ISZERO(const uint8_t* pc, u256* sp, int64_t gas, Frame* f, const void* table) noexcept nogil:
    cdef uint8_t* tag = tags_at(sp, f)
    if tag[0]:
        restrict_zeroness(tag[0], sp, f)
        untag(tag, f)
    return go_on(pc, sp, gas, f, table)

cdef int t_NOT(const uint8_t* pc, u256* sp, int64_t gas, Frame* f, const void* table) noexcept nogil:
    cdef uint8_t* tag = tags_at(sp, f)
    if tag[0]:
        tag[0] ^= NEGATIVE                   # -1 - x
    return go_on(pc, sp, gas, f, table)

cdef int t_AND(const uint8_t* pc, u256* sp, int64_t gas, Frame* f, const void* table) noexcept nogil:
    cdef uint8_t* top = tags_at(sp, f)
    if sp > f.bottom and top[0] | (top - 1)[0]:
        mask(sp, f)
    return go_on(pc, sp, gas, f, table)

cdef int t_unchanged(const uint8_t* pc, u256* sp, int64_t gas, Frame* f, const void* table) noexcept nogil:
    cdef uint8_t* top = tags_at(sp, f)
    if sp > f.bottom and top[0] | (top - 1)[0]:
        keep_unchanged(sp, pc[0], f)
    return go_on(pc, sp, gas, f, table)

cdef int t_POP(const uint8_t* pc, u256* sp, int64_t gas, Frame* f, const void* table) noexcept nogil:
    untag(tags_at(sp, f), f)
    return go_on(pc, sp, gas, f, table)

cdef int t_DUP(const uint8_t* pc, u256* sp, int64_t gas, Frame* f, const void* table) noexcept nogil:
    cdef int depth = pc[0] - 0x80
    cdef uint8_t* top = tags_at(sp, f)
    if sp - depth >= f.bottom and (top - depth)[0]:
        top[1] = (top - depth)[0]
        scratch(f.machine).tagged += 1
    return go_on(pc, sp, gas, f, table)

cdef int t_SWAP(const uint8_t* pc, u256* sp, int64_t gas, Frame* f, const void* table) noexcept nogil:
    cdef int depth = pc[0] - 0x8f
    cdef uint8_t* top = tags_at(sp, f)
    cdef uint8_t tag = top[0]
    if sp - depth >= f.bottom:
        top[0] = (top - depth)[0]
        (top - depth)[0] = tag
    return go_on(pc, sp, gas, f, table)

cdef int t_JUMPI(const uint8_t* pc, u256* sp, int64_t gas, Frame* f, const void* table) noexcept nogil:
    cdef uint8_t* condition = tags_at(sp - 1, f)
    use_words(sp, 1, f)
    if condition[0]:
        restrict_zeroness(condition[0], sp - 1, f)
        untag(condition, f)
    return go_on(pc, sp, gas, f, table)

cdef int t_SLOAD(const uint8_t* pc, u256* sp, int64_t gas, Frame* f, const void* table) noexcept nogil:
    if unlikely(sp < f.bottom):
        return STACK_UNDERFLOW
    use_words(sp, 1, f)
    gas = watched_sload(sp, gas, f)
    if unlikely(gas < 0):
        return f.status
    return next_tracked(pc + 1, sp, gas, f, table)

cdef int t_SSTORE(const uint8_t* pc, u256* sp, int64_t gas, Frame* f, const void* table) noexcept nogil:
    if unlikely(sp - 1 < f.bottom):
        return STACK_UNDERFLOW
    use_words(sp, 1, f)
    gas = watched_sstore(sp, gas, f)
    if unlikely(gas < 0):
        return f.status
    return next_tracked(pc + 1, sp - 2, gas, f, table)
