# Memory of a frame: gas is charged first, then memory is allocated. A body continues with the gas left, or stops at -1.

cdef inline bint within_memory(const u256* offset, uint64_t size, Frame* f) noexcept nogil:
    return u_fits64(offset) and offset.w[0] < f.memory_size and f.memory_size - offset.w[0] >= size


cdef int64_t expand_memory(const u256* offset, uint64_t size, int64_t gas, Frame* f) noexcept nogil:
    """Charges and allocates memory up to offset + size; size is not 0. Returns the gas left or -1."""
    cdef uint64_t most = <uint64_t>1 << 41   # bytes: these cost more than 2**63 gas, more than there can be
    cdef uint64_t words, cost
    if not u_fits64(offset) or offset.w[0] >= most or size >= most or offset.w[0] + size >= most:
        return fail(f, OUT_OF_GAS)
    words = (offset.w[0] + size + 31) >> 5
    # words**2 // 512, computed so that the square does not overflow.
    cost = GAS_MEMORY_WORD * words + (words >> 9) * words + ((words & 511) * words >> 9) - f.memory_cost
    if cost > <uint64_t>gas:
        return fail(f, OUT_OF_GAS)
    if words > <uint64_t>1 << 31 or not make_memory(f, words << 5):      # 2**36 bytes
        return fail(f, NO_MEMORY)
    f.memory_cost += cost
    return gas - <int64_t>cost


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
        if chunk.size < wanted:              # no frame uses it: this one is the youngest
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
    """Charges and allocates memory for a region; an empty region needs none, whatever its offset. Returns the gas left or -1."""
    if u_is_zero(size):
        return gas
    if within_memory(offset, u_sat64(size), f):
        return gas
    return expand_memory(offset, u_sat64(size), gas, f)


cdef inline int64_t charge_words(const u256* size, int64_t price, int64_t gas, Frame* f) noexcept nogil:
    """Charges a price per started word of 32 bytes. Returns the gas left or -1."""
    cdef uint64_t bytes = u_sat64(size)
    cdef int64_t words = <int64_t>((bytes >> 5) + ((bytes & 31) != 0))
    if price == 0 or words == 0:
        return gas
    if words > gas:                          # the price might overflow
        return fail(f, OUT_OF_GAS)
    gas -= price * words
    return gas if gas >= 0 else fail(f, OUT_OF_GAS)
