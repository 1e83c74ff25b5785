# The data of an instruction that a tracer is shown (switch build).

cdef uint8_t* kept(const uint8_t* data, size_t* size, uint8_t** copy, size_t* capacity) noexcept nogil:
    """A copy of data that the instruction may overwrite or move; empty if there is no memory for it."""
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
