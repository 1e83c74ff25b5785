# Instructions that read the environment: the call, the transaction and the block.

cdef inline void op_address(u256* sp, Frame* f) noexcept nogil:
    u_copy(sp + 1, &f.address_word)

cdef void op_origin(u256* sp, Frame* f) noexcept nogil:
    u_from_address(sp + 1, f.machine.env.origin)

cdef inline void op_caller(u256* sp, Frame* f) noexcept nogil:
    u_copy(sp + 1, &f.caller_word)

cdef inline void op_callvalue(u256* sp, Frame* f) noexcept nogil:
    u_copy(sp + 1, &f.value)

cdef inline void op_calldataload(u256* sp, Frame* f) noexcept nogil:
    cdef uint64_t offset = sp.w[0]
    if u_fits64(sp) and f.input_size >= 32 and offset <= f.input_size - 32:
        u_from_be(sp, f.input + offset)
    else:
        load_padded(sp, f.input, f.input_size)

cdef void load_padded(u256* word, const uint8_t* data, size_t size) noexcept nogil:
    """The 32 bytes of `data` from offset `word`, zeros past its end."""
    cdef uint8_t[32] buffer
    cdef uint64_t offset = u_sat64(word)
    memset(buffer, 0, 32)
    if offset < size:
        memcpy(buffer, data + offset, min(<size_t>32, size - <size_t>offset))
    u_from_be(word, buffer)

cdef inline void op_calldatasize(u256* sp, Frame* f) noexcept nogil:
    u_set64(sp + 1, f.input_size)

cdef inline void op_codesize(u256* sp, Frame* f) noexcept nogil:
    u_set64(sp + 1, f.code.size)

cdef inline void op_gasprice(u256* sp, Frame* f) noexcept nogil:
    u_copy(sp + 1, &f.machine.env.gas_price)

cdef inline void op_returndatasize(u256* sp, Frame* f) noexcept nogil:
    u_set64(sp + 1, f.machine.return_data.size)

cdef void op_coinbase(u256* sp, Frame* f) noexcept nogil:
    u_from_address(sp + 1, f.machine.env.coinbase)

cdef inline void op_timestamp(u256* sp, Frame* f) noexcept nogil:
    u_set64(sp + 1, f.machine.env.timestamp)

cdef inline void op_number(u256* sp, Frame* f) noexcept nogil:
    u_set64(sp + 1, f.machine.env.number)

cdef inline void op_prevrandao(u256* sp, Frame* f) noexcept nogil:
    u_copy(sp + 1, &f.machine.env.prevrandao)

cdef inline void op_gaslimit(u256* sp, Frame* f) noexcept nogil:
    u_set64(sp + 1, f.machine.env.gas_limit)

cdef inline void op_chainid(u256* sp, Frame* f) noexcept nogil:
    u_copy(sp + 1, &f.machine.env.chain_id)

cdef inline void op_selfbalance(u256* sp, Frame* f) noexcept nogil:
    u_copy(sp + 1, ws_balance(f.ws, f.account))

cdef inline void op_basefee(u256* sp, Frame* f) noexcept nogil:
    u_copy(sp + 1, &f.machine.env.base_fee)

cdef void op_blobhash(u256* sp, Frame* f) noexcept nogil:
    cdef uint64_t index = u_sat64(sp)
    if index < f.machine.env.blob_hash_count:
        u_from_be(sp, f.machine.env.blob_hashes + 32 * index)
    else:
        u_zero(sp)

cdef inline void op_blobbasefee(u256* sp, Frame* f) noexcept nogil:
    u_copy(sp + 1, &f.machine.env.blob_base_fee)

cdef int64_t op_blockhash(u256* sp, int64_t gas, Frame* f) noexcept nogil:
    """The hash of one of the 256 blocks before this one; zero outside that window."""
    cdef uint64_t number = u_sat64(sp)
    cdef uint64_t current = f.machine.env.number
    cdef uint8_t[32] block_hash
    u_zero(sp)
    if number < current and current - number <= 256:
        if ws_block_hash(f.ws, number, block_hash) == FOUND:
            u_from_be(sp, block_hash)
        elif f.ws.failed:
            return fail(f, STATE_FAILED)
    return gas

cdef inline void op_msize(u256* sp, Frame* f) noexcept nogil:
    u_set64(sp + 1, f.memory_size)

cdef inline int64_t op_gas(u256* sp, int64_t gas, Frame* f) noexcept nogil:
    u_set64(sp + 1, <uint64_t>gas)
    return gas
