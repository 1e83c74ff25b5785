// base^exponent mod modulus for big-endian numbers of any length (EIP-198).
//
// An odd modulus is worked in Montgomery form. An even one is split into q * 2^k with q odd: the power is taken modulo
// both parts and put together by the Chinese remainder theorem, so no long division is needed anywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace evmcore::modexp_detail {

using Limb = uint64_t;
using DoubleLimb = unsigned __int128;

// low limb of a * b + c + carry, whose high limb becomes the carry; never overflows
inline Limb mul_add(Limb a, Limb b, Limb c, Limb& carry) {
    const DoubleLimb t = DoubleLimb(a) * b + c + carry;
    carry = Limb(t >> 64);
    return Limb(t);
}

inline Limb sub_borrow(Limb a, Limb b, Limb& borrow) {
    const DoubleLimb t = DoubleLimb(a) - b - borrow;
    borrow = Limb(t >> 64) & 1;
    return Limb(t);
}

inline Limb add_carry(Limb a, Limb b, Limb& carry) {
    const DoubleLimb t = DoubleLimb(a) + b + carry;
    carry = Limb(t >> 64);
    return Limb(t);
}

inline bool less(const Limb* a, const Limb* b, size_t n) {
    while (n-- != 0) {
        if (a[n] != b[n]) return a[n] < b[n];
    }
    return false;
}

inline Limb inverse64(Limb odd) {  // modulo 2^64; each Newton step doubles the number of correct bits
    Limb x = odd;
    for (int i = 0; i < 6; ++i) x *= 2 - odd * x;
    return x;
}

inline int top_bit(Limb v) { return 63 - __builtin_clzll(v); }  // v != 0

// A big-endian number of `size` bytes of which only the first `present` exist in memory; the rest are zeros, as call
// data is extended.
struct Number {
    const uint8_t* data;
    size_t present;
    size_t size;

    void strip_leading_zeros() {
        while (present != 0 && *data == 0) {
            ++data;
            --present;
            --size;
        }
        if (present == 0) size = 0;
    }
    size_t limbs() const { return size / 8 + (size % 8 != 0); }
    Limb limb(size_t index) const {  // least significant first
        Limb v = 0;
        for (size_t j = 0; j < 8; ++j) {
            const size_t from_end = 8 * index + j;
            if (from_end >= size) break;
            const size_t position = size - 1 - from_end;
            if (position < present) v |= Limb(data[position]) << (8 * j);
        }
        return v;
    }
    void load(Limb* out, size_t first, size_t n) const {
        for (size_t i = 0; i < n; ++i) out[i] = limb(first + i);
    }
    bool bit(size_t index) const {
        const size_t position = size - 1 - index / 8;
        return position < present && (data[position] >> (index % 8) & 1) != 0;
    }
    size_t bits() const { return size == 0 ? 0 : 8 * (size - 1) + size_t(top_bit(data[0])) + 1; }  // after stripping
};

// Integers modulo an odd number of n limbs, in Montgomery form with R = 2^(64 n).
struct MontgomeryRing {
    const Limb* modulus;
    size_t n;
    Limb negated_inverse;
    Limb* scratch;  // n limbs

    // r = a * b / R mod modulus. r may alias a and b. One of a and b may be any number below R, the other is reduced.
    template <size_t FIXED>
    void mul_fixed(Limb* r, const Limb* a, const Limb* b) const {
        const size_t count = FIXED != 0 ? FIXED : n;
        Limb local[FIXED != 0 ? FIXED : 1];
        Limb* const t = FIXED != 0 ? local : scratch;
        std::memset(t, 0, count * sizeof(Limb));
        Limb top = 0;
        for (size_t i = 0; i < count; ++i) {
            Limb high = 0, fold = 0;
            const Limb t0 = mul_add(a[0], b[i], t[0], high);
            const Limb q = t0 * negated_inverse;
            mul_add(q, modulus[0], t0, fold);
            for (size_t j = 1; j < count; ++j) {
                const Limb tj = mul_add(a[j], b[i], t[j], high);
                t[j - 1] = mul_add(q, modulus[j], tj, fold);
            }
            Limb carry = 0;
            t[count - 1] = add_carry(high, fold, carry);
            Limb carry_top = 0;
            t[count - 1] = add_carry(t[count - 1], top, carry_top);
            top = carry + carry_top;
        }
        if (top != 0 || !less(t, modulus, count)) {
            Limb borrow = 0;
            for (size_t j = 0; j < count; ++j) r[j] = sub_borrow(t[j], modulus[j], borrow);
        } else {
            std::memcpy(r, t, count * sizeof(Limb));
        }
    }
    void mul(Limb* r, const Limb* a, const Limb* b) const {
        switch (n) {
            case 4: return mul_fixed<4>(r, a, b);
            case 6: return mul_fixed<6>(r, a, b);
            case 8: return mul_fixed<8>(r, a, b);
            default: return mul_fixed<0>(r, a, b);
        }
    }
    void add(Limb* r, const Limb* a, const Limb* b) const {
        Limb carry = 0;
        for (size_t j = 0; j < n; ++j) r[j] = add_carry(a[j], b[j], carry);
        if (carry != 0 || !less(r, modulus, n)) {
            Limb borrow = 0;
            for (size_t j = 0; j < n; ++j) r[j] = sub_borrow(r[j], modulus[j], borrow);
        }
    }

    // R^2 mod modulus, for a modulus above 1 whose top limb is not zero.
    void radix_squared(Limb* r) const {
        const size_t top = 64 * (n - 1) + size_t(top_bit(modulus[n - 1]));
        std::memset(r, 0, n * sizeof(Limb));
        r[top / 64] = Limb(1) << (top % 64);
        for (size_t i = top; i < 64 * n + 1; ++i) add(r, r, r);  // 2R: the number 2 in Montgomery form
        // Then 2^(64 n) = R itself in Montgomery form, by squaring and doubling.
        const size_t exponent = 64 * n;
        for (int i = top_bit(exponent) - 1; i >= 0; --i) {
            mul(r, r, r);
            if (exponent >> i & 1) add(r, r, r);
        }
    }
    // value * R mod modulus for a number of any size: Horner's rule with R as the base. chunk: n limbs of scratch.
    void enter(Limb* r, const Number& value, const Limb* r2, Limb* chunk) const {
        std::memset(r, 0, n * sizeof(Limb));
        for (size_t at = (value.limbs() + n - 1) / n; at-- != 0;) {
            mul(r, r, r2);
            value.load(chunk, at * n, n);
            mul(chunk, chunk, r2);
            add(r, r, chunk);
        }
    }
    void leave(Limb* r, Limb* one) const {  // one: n limbs of scratch
        std::memset(one, 0, n * sizeof(Limb));
        one[0] = 1;
        mul(r, r, one);
    }
};

// Integers modulo 2^(64 n).
struct BinaryRing {
    size_t n;
    Limb* scratch;  // n limbs

    void mul(Limb* r, const Limb* a, const Limb* b) const {  // r may alias a and b
        std::memset(scratch, 0, n * sizeof(Limb));
        for (size_t i = 0; i < n; ++i) {
            Limb carry = 0;
            for (size_t j = 0; i + j < n; ++j) scratch[i + j] = mul_add(a[j], b[i], scratch[i + j], carry);
        }
        std::memcpy(r, scratch, n * sizeof(Limb));
    }
    // r = odd^-1 by Newton's iteration on growing precision. product: n limbs of scratch.
    void invert(Limb* r, const Limb* odd, Limb* product) const {
        std::memset(r, 0, n * sizeof(Limb));
        r[0] = inverse64(odd[0]);
        for (size_t known = 1; known < n;) {
            known = 2 * known < n ? 2 * known : n;
            const BinaryRing part{known, scratch};
            part.mul(product, odd, r);
            Limb borrow = 0;  // 2 - product
            for (size_t j = 0; j < known; ++j) product[j] = sub_borrow(j == 0 ? 2 : 0, product[j], borrow);
            part.mul(r, r, product);
        }
    }
};

inline int window_bits(size_t exponent_bits) {
    return exponent_bits <= 17 ? 1 : exponent_bits <= 64 ? 3 : exponent_bits <= 240 ? 4 : exponent_bits <= 700 ? 5 : 6;
}

// r = base^exponent by a sliding window, exponent > 0. table: 2^(window - 1) * n limbs; base may not alias it.
template <class Ring>
inline void power(const Ring& ring, Limb* r, const Limb* base, const Number& exponent, Limb* table) {
    const size_t n = ring.n, bytes = n * sizeof(Limb);
    const size_t window = size_t(window_bits(exponent.bits()));
    std::memcpy(table, base, bytes);  // the odd powers of the base
    if (window > 1) {
        ring.mul(r, base, base);
        for (size_t i = 1; i < size_t(1) << (window - 1); ++i) ring.mul(table + i * n, table + (i - 1) * n, r);
    }
    bool started = false;
    for (size_t left = exponent.bits(); left != 0;) {  // bits not yet consumed
        if (!exponent.bit(left - 1)) {
            ring.mul(r, r, r);  // the first bit is set, so r holds something by now
            --left;
            continue;
        }
        size_t low = left > window ? left - window : 0;
        while (!exponent.bit(low)) ++low;
        size_t digit = 0;
        for (size_t i = left; i-- > low;) {
            digit = digit << 1 | size_t(exponent.bit(i));
            if (started) ring.mul(r, r, r);
        }
        const Limb* factor = table + (digit >> 1) * n;
        if (started) {
            ring.mul(r, r, factor);
        } else {
            std::memcpy(r, factor, bytes);
        }
        started = true;
        left = low;
    }
}

// r = base^exponent mod the odd `modulus` of n limbs, top limb not zero, modulus > 1. pool: see `modexp`.
inline void power_odd(Limb* r, const Number& base, const Number& exponent, const Limb* modulus, size_t n, Limb* pool) {
    Limb *r2 = pool, *entered = pool + n, *chunk = pool + 2 * n, *table = pool + 4 * n;
    const MontgomeryRing ring{modulus, n, 0 - inverse64(modulus[0]), pool + 3 * n};
    ring.radix_squared(r2);
    ring.enter(entered, base, r2, chunk);
    power(ring, r, entered, exponent, table);
    ring.leave(r, chunk);
}

// r = base^exponent mod 2^(64 n)
inline void power_binary(Limb* r, const Number& base, const Number& exponent, size_t n, Limb* pool) {
    base.load(pool, 0, n);
    power(BinaryRing{n, pool + n}, r, pool, exponent, pool + 2 * n);
}

// r = base^exponent mod modulus, an even number of n limbs, top limb not zero.
inline void power_even(Limb* r, const Number& base, const Number& exponent, const Limb* modulus, size_t n, Limb* pool) {
    size_t k = 0;  // modulus = q * 2^k
    while (modulus[k / 64] == 0) k += 64;
    k += size_t(__builtin_ctzll(modulus[k / 64]));
    const size_t skip = k / 64, shift = k % 64, binary_limbs = skip + (shift != 0);
    size_t odd_limbs = n - skip;
    Limb *q = pool, *in_odd = pool + n, *in_binary = pool + 2 * n, *inverse = pool + 3 * n;
    pool += 4 * n;
    std::memset(q, 0, n * sizeof(Limb));
    for (size_t i = 0; i < odd_limbs; ++i) {
        const Limb above = i + 1 < odd_limbs ? modulus[skip + i + 1] : 0;
        q[i] = shift == 0 ? modulus[skip + i] : modulus[skip + i] >> shift | above << (64 - shift);
    }
    while (q[odd_limbs - 1] == 0) --odd_limbs;
    const Limb top_mask = shift == 0 ? ~Limb(0) : (Limb(1) << shift) - 1;

    std::memset(r, 0, n * sizeof(Limb));
    power_binary(in_binary, base, exponent, binary_limbs, pool);
    if (odd_limbs == 1 && q[0] == 1) {
        std::memcpy(r, in_binary, binary_limbs * sizeof(Limb));
        r[binary_limbs - 1] &= top_mask;
        return;
    }
    std::memset(in_odd, 0, n * sizeof(Limb));
    power_odd(in_odd, base, exponent, q, odd_limbs, pool);

    // r = in_odd + q * ((in_binary - in_odd) / q mod 2^k)
    const BinaryRing ring{binary_limbs, pool};
    ring.invert(inverse, q, pool + n);
    Limb borrow = 0;
    for (size_t i = 0; i < binary_limbs; ++i) in_binary[i] = sub_borrow(in_binary[i], in_odd[i], borrow);
    ring.mul(in_binary, in_binary, inverse);
    in_binary[binary_limbs - 1] &= top_mask;
    std::memcpy(r, in_odd, n * sizeof(Limb));
    for (size_t i = 0; i < binary_limbs; ++i) {  // the sum is below the modulus: what does not fit n limbs is zero
        Limb carry = 0;
        for (size_t j = 0; i + j < n; ++j) r[i + j] = mul_add(q[j], in_binary[i], r[i + j], carry);
    }
}

}  // namespace evmcore::modexp_detail

namespace evmcore {

using modexp_number = modexp_detail::Number;

// Writes modulus.size bytes, big-endian, to `out`; zero where the modulus is 0 or 1. Returns 0, or -1 when out of
// memory. Memory and time are bounded by the sizes, which the caller has paid for in gas.
inline int modexp(modexp_number base, modexp_number exponent, modexp_number modulus, uint8_t* out) {
    using namespace modexp_detail;
    const size_t out_size = modulus.size;
    if (out_size == 0) return 0;
    std::memset(out, 0, out_size);
    base.strip_leading_zeros();
    exponent.strip_leading_zeros();
    modulus.strip_leading_zeros();
    const size_t n = modulus.limbs();
    if (n == 0 || (modulus.size == 1 && modulus.data[0] == 1)) return 0;
    if (exponent.size == 0) {
        out[out_size - 1] = 1;
        return 0;
    }
    if (base.size == 0) return 0;

    // modulus, result, four numbers of power_even, four of power_odd, the table of odd powers
    const size_t numbers = 10 + (size_t(1) << (window_bits(exponent.bits()) - 1));
    if (n > SIZE_MAX / (numbers * sizeof(Limb))) return -1;
    Limb* const memory = static_cast<Limb*>(std::malloc(numbers * n * sizeof(Limb)));
    if (memory == nullptr) return -1;
    Limb *m = memory, *r = memory + n, *pool = memory + 2 * n;
    modulus.load(m, 0, n);
    if (m[0] & 1) {
        power_odd(r, base, exponent, m, n, pool);
    } else {
        power_even(r, base, exponent, m, n, pool);
    }
    for (size_t i = 0; i < modulus.size; ++i) out[out_size - 1 - i] = uint8_t(r[i / 8] >> (8 * (i % 8)));
    std::free(memory);
    return 0;
}

}  // namespace evmcore
