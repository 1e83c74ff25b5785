"""256-bit unsigned arithmetic: the C face of `include/u256.h` (header only, no module state)."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t

cdef extern from "include/u256.h" nogil:
    ctypedef struct u256:
        uint64_t w[4]           # least significant limb first

    # Every result pointer may alias any input pointer.
    void u_zero(u256* r) noexcept
    void u_set64(u256* r, uint64_t v) noexcept
    void u_copy(u256* r, const u256* a) noexcept
    void u_swap(u256* a, u256* b) noexcept
    bint u_is_zero(const u256* a) noexcept
    bint u_eq(const u256* a, const u256* b) noexcept
    bint u_lt(const u256* a, const u256* b) noexcept
    bint u_slt(const u256* a, const u256* b) noexcept
    bint u_fits64(const u256* a) noexcept              # value < 2**64
    uint64_t u_sat64(const u256* a) noexcept           # min(value, 2**64 - 1)
    int u_bits(const u256* a) noexcept                 # bit length, 0 for zero
    int u_byte_len(const u256* a) noexcept             # significant bytes, 0 for zero

    void u_add(u256* r, const u256* a, const u256* b) noexcept
    void u_sub(u256* r, const u256* a, const u256* b) noexcept
    bint u_add_carry(u256* r, const u256* a, const u256* b) noexcept    # carry out
    bint u_sub_borrow(u256* r, const u256* a, const u256* b) noexcept   # borrow out
    void u_add64(u256* r, const u256* a, uint64_t b) noexcept           # wraps
    void u_mul(u256* r, const u256* a, const u256* b) noexcept
    bint u_mul64_carry(u256* r, const u256* a, uint64_t b) noexcept     # true when the product needs more than 256 bits
    void u_div(u256* r, const u256* a, const u256* b) noexcept          # EVM: x / 0 = 0
    void u_mod(u256* r, const u256* a, const u256* b) noexcept          # EVM: x % 0 = 0
    void u_sdiv(u256* r, const u256* a, const u256* b) noexcept
    void u_smod(u256* r, const u256* a, const u256* b) noexcept
    void u_addmod(u256* r, const u256* a, const u256* b, const u256* m) noexcept
    void u_mulmod(u256* r, const u256* a, const u256* b, const u256* m) noexcept
    void u_exp(u256* r, const u256* base, const u256* exponent) noexcept
    void u_signextend(u256* r, const u256* byte_index, const u256* x) noexcept
    void u_and(u256* r, const u256* a, const u256* b) noexcept
    void u_or(u256* r, const u256* a, const u256* b) noexcept
    void u_xor(u256* r, const u256* a, const u256* b) noexcept
    void u_not(u256* r, const u256* a) noexcept
    void u_byte(u256* r, const u256* index, const u256* x) noexcept     # index 0 = most significant byte
    void u_shl(u256* r, const u256* shift, const u256* x) noexcept
    void u_shr(u256* r, const u256* shift, const u256* x) noexcept
    void u_sar(u256* r, const u256* shift, const u256* x) noexcept
    void u_clz(u256* r, const u256* x) noexcept                         # 256 for zero (EIP-7939)

    void u_from_be(u256* r, const uint8_t* b) noexcept                  # 32 bytes
    void u_from_be_n(u256* r, const uint8_t* b, size_t n) noexcept      # n <= 32 bytes
    void u_to_be(uint8_t* b, const u256* a) noexcept                    # 32 bytes
    void u_from_address(u256* r, const uint8_t* b) noexcept             # 20 bytes
    void u_to_address(uint8_t* b, const u256* a) noexcept               # low 20 bytes

# A Python int in [0, 2**256); for anything else InputError naming the argument.
cdef u256 u256_from_int(object value, str name) except *
# The same in place, for many: a value of 32 octets that is written word by word and then copied at once waits for its own words.
cdef int u256_read(u256* out, object value, str name) except -1
cdef object u256_to_int(const u256* value)
