"""Python integers to and from `u256`, and the arithmetic as Python functions for tests and tools."""
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_Check
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from evmcore.errors import InputError

cdef object int_to_bytes = int.to_bytes
cdef object int_from_bytes = int.from_bytes


cdef int u256_read(u256* out, object value, str name) except -1:
    cdef int overflow = 0
    cdef long long small
    cdef bytes raw
    if not PyLong_Check(value):
        raise InputError(f"{name}: expected an int in [0, 2**256), got {type(value).__name__}")
    small = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow == 0 and small >= 0:
        u_set64(out, <uint64_t>small)
        return 0
    if overflow <= 0:
        raise InputError(f"{name}: expected an int in [0, 2**256), got a negative one")
    try:
        raw = int_to_bytes(value, 32, "little")
    except OverflowError:
        raise InputError(f"{name}: expected an int in [0, 2**256), got one of {value.bit_length()} bits") from None
    memcpy(out, <const uint8_t*>raw, 32)
    return 0


cdef u256 u256_from_int(object value, str name) except *:
    cdef u256 r
    u256_read(&r, value, name)
    return r


cdef object u256_to_int(const u256* value):
    if u_fits64(value):
        return value.w[0]
    return int_from_bytes((<const uint8_t*>value)[:32], "little")


cdef object evaluate(str operation, u256* r, const u256* a, const u256* b, const u256* m):
    """Runs one operation; returns its flag, comparison or count, or None if `r` is the only result."""
    if operation == "add": u_add(r, a, b)
    elif operation == "sub": u_sub(r, a, b)
    elif operation == "mul": u_mul(r, a, b)
    elif operation == "div": u_div(r, a, b)
    elif operation == "mod": u_mod(r, a, b)
    elif operation == "sdiv": u_sdiv(r, a, b)
    elif operation == "smod": u_smod(r, a, b)
    elif operation == "addmod": u_addmod(r, a, b, m)
    elif operation == "mulmod": u_mulmod(r, a, b, m)
    elif operation == "exp": u_exp(r, a, b)
    elif operation == "signextend": u_signextend(r, a, b)
    elif operation == "and": u_and(r, a, b)
    elif operation == "or": u_or(r, a, b)
    elif operation == "xor": u_xor(r, a, b)
    elif operation == "not": u_not(r, a)
    elif operation == "byte": u_byte(r, a, b)
    elif operation == "shl": u_shl(r, a, b)
    elif operation == "shr": u_shr(r, a, b)
    elif operation == "sar": u_sar(r, a, b)
    elif operation == "clz": u_clz(r, a)
    elif operation == "copy": u_copy(r, a)
    elif operation == "add64": u_add64(r, a, b.w[0])
    elif operation == "add_carry": return u_add_carry(r, a, b) != 0
    elif operation == "sub_borrow": return u_sub_borrow(r, a, b) != 0
    elif operation == "mul64_carry": return u_mul64_carry(r, a, b.w[0]) != 0
    elif operation == "is_zero": return u_is_zero(a) != 0
    elif operation == "eq": return u_eq(a, b) != 0
    elif operation == "lt": return u_lt(a, b) != 0
    elif operation == "slt": return u_slt(a, b) != 0
    elif operation == "fits64": return u_fits64(a) != 0
    elif operation == "sat64": return u_sat64(a)
    elif operation == "bits": return u_bits(a)
    elif operation == "byte_len": return u_byte_len(a)
    else: raise InputError(f"operation: {operation!r} is not one of u256's")
    return None


def apply(str operation, operands, int alias = -1):
    """Apply one operation to a list of operand tuples (one to three ints each, in the EVM's order).

    Gives a list with, for each tuple, the result as an int; a tuple (result, flag) for the operations with a carry,
    borrow or overflow; or the bool or int of a comparison or count. `alias` names the operand whose memory the
    result is written to (0 to 2); -1 writes it apart.
    """
    cdef u256 x[4]
    cdef u256* r
    cdef Py_ssize_t i
    if not -1 <= alias <= 2:
        raise InputError(f"alias: expected -1 to 2, got {alias}")
    r = &x[alias] if alias >= 0 else &x[3]
    cdef bint pair = operation in ("add_carry", "sub_borrow", "mul64_carry")
    results = []
    for case in operands:
        if not 1 <= len(case) <= 3:
            raise InputError(f"operands: expected tuples of one to three ints, got {case!r}")
        for i in range(3):
            u_zero(&x[i])
        for i in range(len(case)):
            x[i] = u256_from_int(case[i], "operands")
        flag = evaluate(operation, r, &x[0], &x[1], &x[2])
        if flag is None:
            results.append(u256_to_int(r))
        elif pair:
            results.append((u256_to_int(r), flag))
        else:
            results.append(flag)
    return results


def from_bytes(bytes data):
    """The int of at most 32 big-endian bytes, read as the engine reads them."""
    cdef u256 r
    if len(data) > 32:
        raise InputError(f"data: expected at most 32 bytes, got {len(data)}")
    if len(data) == 32:
        u_from_be(&r, data)
    elif len(data) == 20:
        u_from_address(&r, data)
    else:
        u_from_be_n(&r, data, len(data))
    return u256_to_int(&r)


def to_bytes(value):
    """The 32 big-endian bytes of an int in [0, 2**256)."""
    cdef uint8_t out[32]
    cdef u256 x = u256_from_int(value, "value")
    u_to_be(out, &x)
    return out[:32]


def to_address(value):
    """The low 20 bytes of an int in [0, 2**256), big-endian."""
    cdef uint8_t out[20]
    cdef u256 x = u256_from_int(value, "value")
    u_to_address(out, &x)
    return out[:20]
