# Memory, hashing and copying. Handlers allocate memory before MLOAD, MSTORE and MSTORE8 run.

cdef inline void op_mload(u256* sp, Frame* f) noexcept nogil:
    u_from_be(sp, f.memory + sp.w[0])

cdef inline void op_mstore(u256* sp, Frame* f) noexcept nogil:
    u_to_be(f.memory + sp.w[0], sp - 1)

cdef inline void op_mstore8(u256* sp, Frame* f) noexcept nogil:
    f.memory[sp.w[0]] = <uint8_t>(sp - 1).w[0]

cdef int64_t op_keccak256(u256* sp, int64_t gas, Frame* f) noexcept nogil:
    cdef uint8_t[32] digest
    cdef size_t size
    gas = charge_words(sp - 1, GAS_KECCAK_WORD, gas, f)
    if gas >= 0:
        gas = touch_memory(sp, sp - 1, gas, f)
    if gas < 0:
        return gas
    size = (sp - 1).w[0]
    if size == 64:
        hash_pair(f.machine, f.memory + sp.w[0], sp - 1)
        return gas
    keccak256(f.memory + sp.w[0] if size else NULL, size, digest)
    u_from_be(sp - 1, digest)
    return gas

cdef void hash_pair(Machine* machine, const uint8_t* data, u256* result) noexcept nogil:
    """Keccak-256 of 64 bytes: the slot of a mapping's entry. Contracts hash the same bytes again and again, so the latest
    results are remembered."""
    cdef HashMemo* memo = &scratch(machine).hashes[memo_index(data)]
    cdef uint8_t[32] digest
    if memo.used and memcmp(memo.data, data, 64) == 0:
        result[0] = memo.digest
        return
    keccak256_64(data, digest)
    u_from_be(result, digest)
    memcpy(memo.data, data, 64)
    memo.digest = result[0]
    memo.used = True

cdef inline int64_t charge_copy(u256* sp, int64_t gas, Frame* f) noexcept nogil:
    """Charges a copy to memory, [memory offset, data offset, size], and allocates the memory. Returns the gas left or -1."""
    gas = charge_words(sp - 2, GAS_COPY_WORD, gas, f)
    return touch_memory(sp, sp - 2, gas, f) if gas >= 0 else gas

cdef void copy_padded(u256* sp, const uint8_t* data, size_t data_size, Frame* f) noexcept nogil:
    """Makes a copy that was charged before, with zeros past the end of the data."""
    cdef size_t size = (sp - 2).w[0]
    cdef size_t available
    cdef uint64_t offset
    if size == 0:
        return
    offset = u_sat64(sp - 1)
    available = data_size - <size_t>offset if offset < data_size else 0
    available = min(available, size)
    if available:
        memcpy(f.memory + sp.w[0], data + offset, available)
    memset(f.memory + sp.w[0] + available, 0, size - available)

cdef int64_t copy_to_memory(u256* sp, const uint8_t* data, size_t data_size, int64_t gas, Frame* f) noexcept nogil:
    gas = charge_copy(sp, gas, f)
    if gas >= 0:
        copy_padded(sp, data, data_size, f)
    return gas

cdef int64_t op_calldatacopy(u256* sp, int64_t gas, Frame* f) noexcept nogil:
    return copy_to_memory(sp, f.input, f.input_size, gas, f)

cdef int64_t op_codecopy(u256* sp, int64_t gas, Frame* f) noexcept nogil:
    return copy_to_memory(sp, f.code.raw, f.code.size, gas, f)

cdef int64_t op_returndatacopy(u256* sp, int64_t gas, Frame* f) noexcept nogil:
    cdef uint64_t offset = u_sat64(sp - 1)
    cdef uint64_t size = u_sat64(sp - 2)
    cdef uint64_t end = f.machine.return_data.size
    if offset > end or size > end - offset:
        return fail(f, RETURN_DATA_OUT_OF_BOUNDS)
    return copy_to_memory(sp, f.machine.return_data.data, end, gas, f)

cdef int64_t op_mcopy(u256* sp, int64_t gas, Frame* f) noexcept nogil:
    gas = charge_words(sp - 2, GAS_COPY_WORD, gas, f)
    if gas >= 0:
        gas = touch_memory(sp if u_lt(sp - 1, sp) else sp - 1, sp - 2, gas, f)
    if gas >= 0 and not u_is_zero(sp - 2):
        memmove(f.memory + sp.w[0], f.memory + (sp - 1).w[0], (sp - 2).w[0])
    return gas

cdef int64_t op_log(u256* sp, int64_t gas, Frame* f, int topics) noexcept nogil:
    cdef uint64_t size = u_sat64(sp - 1)
    if f.is_static:
        return fail(f, WRITE_PROTECTION)
    gas -= GAS_LOG + GAS_LOG_TOPIC * topics
    if gas < 0 or size > <uint64_t>gas // GAS_LOG_BYTE:
        return fail(f, OUT_OF_GAS)
    gas = touch_memory(sp, sp - 1, gas - GAS_LOG_BYTE * <int64_t>size, f)
    if gas < 0:
        return gas
    if not ws_log(f.ws, f.address, topics, sp - 2, f.memory + sp.w[0] if size else NULL, size):
        return fail(f, NO_MEMORY)
    return gas
