# Machines: made, set back to neutral, freed.

cdef Machine* machine_new() noexcept nogil:
    cdef Machine* machine = <Machine*>take_lines(sizeof(Machine))
    cdef Scratch* s = <Scratch*>take_lines(sizeof(Scratch))
    if machine == NULL or s == NULL:
        free(machine)
        free(s)
        return NULL
    machine.private = s
    s.top = -1
    machine.ws = ws_new()
    s.frames = <Frame*>malloc(FRAMES * sizeof(Frame))
    s.stack = <u256*>malloc(<size_t>FRAMES * STACK_WORDS * sizeof(u256))     # the system maps pages as depth needs them
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
    machine.interrupted = NULL
    machine.polls = 0
    machine.asked_next = 0
    machine.interruption = NULL
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
        # Zero pages until they are written. Instructions that fail may read a few words beyond either end.
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
