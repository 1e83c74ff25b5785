# Arithmetic, comparison and bitwise operations. The result replaces the deepest operand.

cdef inline void op_add(u256* sp) noexcept nogil:
    u_add(sp - 1, sp, sp - 1)

cdef inline void op_mul(u256* sp) noexcept nogil:
    u_mul(sp - 1, sp, sp - 1)

cdef inline void op_sub(u256* sp) noexcept nogil:
    u_sub(sp - 1, sp, sp - 1)

cdef void op_div(u256* sp) noexcept nogil:
    u_div(sp - 1, sp, sp - 1)

cdef void op_sdiv(u256* sp) noexcept nogil:
    u_sdiv(sp - 1, sp, sp - 1)

cdef void op_mod(u256* sp) noexcept nogil:
    u_mod(sp - 1, sp, sp - 1)

cdef void op_smod(u256* sp) noexcept nogil:
    u_smod(sp - 1, sp, sp - 1)

cdef void op_addmod(u256* sp) noexcept nogil:
    u_addmod(sp - 2, sp, sp - 1, sp - 2)

cdef void op_mulmod(u256* sp) noexcept nogil:
    u_mulmod(sp - 2, sp, sp - 1, sp - 2)

cdef int64_t op_exp(u256* sp, int64_t gas, Frame* f) noexcept nogil:
    gas -= f.prices.exp_byte * u_byte_len(sp - 1)
    if gas < 0:
        return fail(f, OUT_OF_GAS)
    u_exp(sp - 1, sp, sp - 1)
    return gas

cdef inline void op_signextend(u256* sp) noexcept nogil:
    u_signextend(sp - 1, sp, sp - 1)

cdef inline void op_lt(u256* sp) noexcept nogil:
    u_set64(sp - 1, u_lt(sp, sp - 1))

cdef inline void op_gt(u256* sp) noexcept nogil:
    u_set64(sp - 1, u_lt(sp - 1, sp))

cdef inline void op_slt(u256* sp) noexcept nogil:
    u_set64(sp - 1, u_slt(sp, sp - 1))

cdef inline void op_sgt(u256* sp) noexcept nogil:
    u_set64(sp - 1, u_slt(sp - 1, sp))

cdef inline void op_eq(u256* sp) noexcept nogil:
    u_set64(sp - 1, u_eq(sp, sp - 1))

cdef inline void op_iszero(u256* sp) noexcept nogil:
    u_set64(sp, u_is_zero(sp))

cdef inline void op_and(u256* sp) noexcept nogil:
    u_and(sp - 1, sp, sp - 1)

cdef inline void op_or(u256* sp) noexcept nogil:
    u_or(sp - 1, sp, sp - 1)

cdef inline void op_xor(u256* sp) noexcept nogil:
    u_xor(sp - 1, sp, sp - 1)

cdef inline void op_not(u256* sp) noexcept nogil:
    u_not(sp, sp)

cdef inline void op_byte(u256* sp) noexcept nogil:
    u_byte(sp - 1, sp, sp - 1)

cdef inline void op_shl(u256* sp) noexcept nogil:
    u_shl(sp - 1, sp, sp - 1)

cdef inline void op_shr(u256* sp) noexcept nogil:
    u_shr(sp - 1, sp, sp - 1)

cdef inline void op_sar(u256* sp) noexcept nogil:
    u_sar(sp - 1, sp, sp - 1)

cdef inline void op_clz(u256* sp) noexcept nogil:
    u_clz(sp, sp)
