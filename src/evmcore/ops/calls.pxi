# Calls, creations and the instructions that end a frame.

cdef inline Status finish(Frame* f, int64_t gas, Status status) noexcept nogil:
    f.gas = gas
    return status

cdef inline Status op_stop(u256* sp, int64_t gas, Frame* f) noexcept nogil:
    f.machine.return_data.size = 0
    return finish(f, gas, SUCCESS)

cdef inline Status op_invalid(u256* sp, int64_t gas, Frame* f) noexcept nogil:
    return finish(f, 0, INVALID_OPCODE)

cdef Status end_with_output(u256* sp, int64_t gas, Frame* f, Status status) noexcept nogil:
    cdef size_t size
    gas = touch_memory(sp, sp - 1, gas, f)
    if gas < 0:
        return f.status
    size = (sp - 1).w[0]
    if output_reserve(&f.machine.return_data, size) < 0:
        return NO_MEMORY
    if size:
        memcpy(f.machine.return_data.data, f.memory + sp.w[0], size)
    f.machine.return_data.size = size
    return finish(f, gas, status)

cdef Status op_return(u256* sp, int64_t gas, Frame* f) noexcept nogil:
    return end_with_output(sp, gas, f, SUCCESS)

cdef Status op_revert(u256* sp, int64_t gas, Frame* f) noexcept nogil:
    return end_with_output(sp, gas, f, REVERT)

cdef Status op_selfdestruct(u256* sp, int64_t gas, Frame* f) noexcept nogil:
    """EIP-150 and EIP-161 price the new account, EIP-2929 the access; EIP-3529 removes the refund; EIP-6780 keeps the account
    unless this transaction created it."""
    cdef WorkingSet* ws = f.ws
    cdef int revision = f.machine.revision
    cdef uint32_t heir = account_of(sp, f)
    cdef u256 balance
    cdef bint dies
    if f.is_static:
        return finish(f, 0, WRITE_PROTECTION)
    gas -= f.prices.selfdestruct
    if f.prices.warm and ws_warm_account(ws, heir) and not precompile_at(ws.accounts[heir].address, revision):
        gas -= GAS_COLD_ACCOUNT
    if gas < 0:
        return finish(f, 0, OUT_OF_GAS)
    ws_load(ws, heir)
    balance = ws_balance(ws, f.account)[0]
    if revision >= SPURIOUS_DRAGON:
        if not u_is_zero(&balance) and ws_is_empty(ws, heir):
            gas -= GAS_NEW_ACCOUNT
    elif revision == TANGERINE_WHISTLE and not ws_exists(ws, heir):
        gas -= GAS_NEW_ACCOUNT
    if gas < 0:
        return finish(f, 0, OUT_OF_GAS)
    dies = revision < CANCUN or ws.accounts[f.account].created == ws.epoch
    if revision < LONDON and ws.accounts[f.account].destroyed != ws.epoch:
        ws.refund += GAS_SELFDESTRUCT_REFUND
    if heir != f.account or dies:
        if u_is_zero(&balance):
            ws_touch(ws, heir)
        else:
            ws_add_balance(ws, heir, &balance)
            if f.machine.show_transfers:
                log_transfer(ws, f.address, ws.accounts[heir].address, &balance)
            u_zero(&balance)
            ws_set_balance(ws, f.account, &balance)
    if dies:
        ws_destroy(ws, f.account)
    f.machine.return_data.size = 0
    return finish(f, gas if not ws.failed else 0, SUCCESS if not ws.failed else STATE_FAILED)

cdef void refuse(Frame* f, Message* message) noexcept nogil:
    """Reports a call or creation that does not start to the tracer. All gas given returns to the caller."""
    cdef Tracer* tracer = <Tracer*>f.machine.tracer
    cdef Outcome outcome
    cdef Status status = NONCE_OVERFLOW
    if tracer == NULL:
        return
    if f.depth >= MAX_DEPTH:
        status = CALL_DEPTH
    elif message.kind != DELEGATECALL and not ws_can_pay(f.ws, f.account, &message.value):
        status = INSUFFICIENT_BALANCE
    if message.kind >= CREATE:
        memset(message.target, 0, 20)
        memset(message.code_address, 0, 20)
    no_output(&outcome, status, message.gas)
    memset(outcome.created, 0, 20)
    tracer.enter(tracer.self, message)
    tracer.leave(tracer.self, message, &outcome)

cdef int64_t call(u256* sp, int64_t gas, Frame* f, MessageKind kind) noexcept nogil:
    """[gas, to, (value), input offset, input size, output offset, output size] to success flag."""
    cdef WorkingSet* ws = f.ws
    cdef Machine* machine = f.machine
    cdef bint has_value = kind == CALL or kind == CALLCODE
    cdef const u256* value = sp - 2
    cdef u256* region = sp - 3 if has_value else sp - 2      # input offset; the other three operands are below it
    cdef u256* result = region - 3
    cdef bint moves_value = has_value and not u_is_zero(value)
    cdef Code* code
    cdef Message message
    cdef Outcome outcome
    cdef uint32_t to, delegate
    cdef int64_t limit, offered
    if f.is_static and kind == CALL and moves_value:
        return fail(f, WRITE_PROTECTION)
    gas = touch_memory(region, region - 1, gas, f)
    if gas >= 0:
        gas = touch_memory(region - 2, region - 3, gas, f)
    if gas < 0:
        return gas
    to = account_of(sp - 1, f)
    gas = charge_account(to, f.prices.call, gas, f)
    if gas < 0:
        return gas
    if moves_value:
        gas -= GAS_CALL_VALUE
        if gas < 0:
            return fail(f, OUT_OF_GAS)                        # before the account is accessed (EIP-7928)
    ws_load(ws, to)
    if machine.revision >= PRAGUE:
        code = ws_code(ws, to)
        if code == NULL:
            return fail(f, STATE_FAILED)
        if code.delegation:                                   # EIP-7702: the delegate is accessed too
            delegate = ws_account_unloaded(ws, code.raw + 3)
            gas = charge_account(delegate, 0, gas, f)
            if gas < 0:
                return gas
            ws_load(ws, delegate)
    if kind == CALL:
        if machine.revision >= SPURIOUS_DRAGON:
            if moves_value and ws_is_empty(ws, to):
                gas -= GAS_NEW_ACCOUNT
        elif not ws_exists(ws, to):
            gas -= GAS_NEW_ACCOUNT
    if gas < 0:
        return fail(f, OUT_OF_GAS)
    if f.prices.cap_call_gas:
        limit = gas - gas // 64
        if u_fits64(sp) and sp.w[0] < <uint64_t>limit:
            limit = <int64_t>sp.w[0]
    else:
        if not u_fits64(sp) or sp.w[0] > <uint64_t>gas:
            return fail(f, OUT_OF_GAS)
        limit = <int64_t>sp.w[0]
    gas -= limit
    f.traced_gas = gas
    offered = limit + GAS_CALL_STIPEND if moves_value else limit

    machine.return_data.size = 0
    message.kind = kind
    message.is_static = f.is_static or kind == STATICCALL
    message.depth = f.depth + 1
    message.gas = offered
    u_to_address(message.code_address, sp - 1)
    if kind == CALL or kind == STATICCALL:
        memcpy(message.target, message.code_address, 20)
        memcpy(message.caller, f.address, 20)
    else:
        memcpy(message.target, f.address, 20)
        memcpy(message.caller, <const uint8_t*>f.caller if kind == DELEGATECALL else <const uint8_t*>f.address, 20)
    if has_value:
        message.value = value[0]
    elif kind == DELEGATECALL:
        message.value = f.value
    else:
        u_zero(&message.value)
    message.input_size = (region - 1).w[0]
    message.input = f.memory + region.w[0] if message.input_size else NULL
    if f.depth >= MAX_DEPTH or (moves_value and not ws_can_pay(ws, f.account, value)):
        refuse(f, &message)
        u_zero(result)
        return gas + offered
    f.output_size = (region - 3).w[0]
    f.output_offset = (region - 2).w[0] if f.output_size else 0
    f.sp = sp                                                 # the callee's stack starts above
    if enter(machine, &message, &outcome):
        f.suspended = True
        return gas
    if outcome.status >= STATE_FAILED:
        return fail(f, outcome.status)
    settle(f, result, &outcome, False)
    return gas + outcome.gas_left

cdef int64_t op_call(u256* sp, int64_t gas, Frame* f) noexcept nogil:
    return call(sp, gas, f, CALL)

cdef int64_t op_callcode(u256* sp, int64_t gas, Frame* f) noexcept nogil:
    return call(sp, gas, f, CALLCODE)

cdef int64_t op_delegatecall(u256* sp, int64_t gas, Frame* f) noexcept nogil:
    return call(sp, gas, f, DELEGATECALL)

cdef int64_t op_staticcall(u256* sp, int64_t gas, Frame* f) noexcept nogil:
    return call(sp, gas, f, STATICCALL)

cdef int64_t create(u256* sp, int64_t gas, Frame* f, MessageKind kind) noexcept nogil:
    """[value, offset, size, (salt)] to the new contract's address, or zero."""
    cdef WorkingSet* ws = f.ws
    cdef Machine* machine = f.machine
    cdef u256* result = sp - 3 if kind == CREATE2 else sp - 2
    cdef uint64_t nonce
    cdef Message message
    cdef Outcome outcome
    cdef uint64_t size = u_sat64(sp - 2)
    cdef int64_t word_price = GAS_KECCAK_WORD if kind == CREATE2 else 0
    if f.is_static:
        return fail(f, WRITE_PROTECTION)
    if machine.revision >= SHANGHAI:
        word_price += GAS_INIT_CODE_WORD
        if size > MAX_INIT_CODE_SIZE and not machine.unlimited_code_size:
            return fail(f, INIT_CODE_TOO_LARGE)
    gas = charge_words(sp - 2, word_price, gas, f)
    if gas >= 0:
        gas = touch_memory(sp - 1, sp - 2, gas, f)
    if gas < 0:
        return gas
    message.gas = gas - gas // 64 if f.prices.cap_call_gas else gas
    f.traced_gas = gas                                        # unlike for calls, the traced cost excludes the init code's gas
    gas -= message.gas
    machine.return_data.size = 0
    nonce = ws_nonce(ws, f.account)
    message.kind = kind
    message.is_static = False
    message.depth = f.depth + 1
    message.value = sp[0]
    message.input_size = size
    message.input = f.memory + (sp - 1).w[0] if size else NULL
    memcpy(message.caller, f.address, 20)
    if kind == CREATE2:
        message.salt = (sp - 3)[0]
    if f.depth >= MAX_DEPTH or not ws_can_pay(ws, f.account, sp) or nonce == <uint64_t>0xffffffffffffffff:
        refuse(f, &message)
        u_zero(result)
        return gas + message.gas
    ws_set_nonce(ws, f.account, nonce + 1)
    f.sp = sp                                                 # the callee's stack starts above
    if enter(machine, &message, &outcome):
        f.suspended = True
        return gas
    if outcome.status >= STATE_FAILED:
        return fail(f, outcome.status)
    settle(f, result, &outcome, True)
    return gas + outcome.gas_left

cdef int64_t op_create(u256* sp, int64_t gas, Frame* f) noexcept nogil:
    return create(sp, gas, f, CREATE)

cdef int64_t op_create2(u256* sp, int64_t gas, Frame* f) noexcept nogil:
    return create(sp, gas, f, CREATE2)
