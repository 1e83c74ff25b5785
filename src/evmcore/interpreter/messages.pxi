# Begin and end of a message: the begin makes a frame, or the outcome at once; the end settles changes and outcome.

cdef void no_output(Outcome* outcome, Status status, int64_t gas_left) noexcept nogil:
    outcome.status = status
    outcome.gas_left = gas_left
    outcome.output = NULL
    outcome.output_size = 0


cdef uint8_t[20] TRANSFER_ADDRESS             # ERC-7528: the address that represents ether among token addresses
memset(TRANSFER_ADDRESS, 0xee, 20)
cdef u256 TRANSFER_TOPIC
cdef uint8_t[32] transfer_digest
keccak256(<const uint8_t*>b"Transfer(address,address,uint256)", 33, transfer_digest)
u_from_be(&TRANSFER_TOPIC, transfer_digest)


cdef void log_transfer(WorkingSet* ws, const uint8_t* sender, const uint8_t* recipient, const u256* value) noexcept nogil:
    """Logs a transfer of value like an ERC-20 token. Reverts remove the log like any other."""
    cdef u256[3] topics                       # as on the stack, the first topic on top
    cdef uint8_t[32] amount
    topics[2] = TRANSFER_TOPIC
    u_from_address(&topics[1], sender)
    u_from_address(&topics[0], recipient)
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
    else:                                    # not a failure of the contract: the engine stops
        no_output(outcome, NO_MEMORY if status == PRECOMPILE_NO_MEMORY else UNAVAILABLE, 0)


cdef bint enter_create(Machine* machine, const Message* message, Outcome* outcome) noexcept nogil:
    """EIP-684 and EIP-7610 collisions consume the gas; the creator's nonce has been increased already."""
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
    """Ends the top frame: deposits created code, reverts the changes of a failed message, and fills in the outcome."""
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
    """EIP-2, EIP-170, EIP-3541: the output of init code becomes the account's code, for 200 gas a byte."""
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
    """Writes a callee's outcome to its caller: result word and output region (whose memory is allocated already)."""
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
    """The message of a frame, as far as a tracer needs it when the message ends."""
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
